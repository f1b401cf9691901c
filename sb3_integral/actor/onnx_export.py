"""The deterministic actor as an ONNX file, in float32 and in int8."""

from __future__ import annotations

import itertools
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral.actor.description import KEY, Notes, describe
from sb3_integral.actor.examples import example_observations
from sb3_integral.actor.extract import Source, actor_spec
from sb3_integral.actor.normalization import DrawbackWarning
from sb3_integral.actor.onnx_policy import (
    ACTION,
    MASKS,
    NEXT,
    SPACES,
    STATE,
    OnnxPolicy,
    input_names,
)
from sb3_integral.actor.torch_module import RecurrentActor, TorchActor, exported_program, torch_actor
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.nn import Size
from sb3_integral.policies.space_json import space_to_json
from sb3_integral.requirements import require

Observations = Any

TOLERANCE = 1e-4
"""How far the file's actions may be from torch's, relative to the largest, when it is checked."""

TIMED_CALLS = 300
"""Calls by which the int8 form is compared with the float32 form."""

SLOWER = 1.05
"""Times of two forms differ if their ratio is larger: a little less is noise."""

DENSE = ("Gemm", "MatMul")
"""Operators that are quantised to int8. The clipping of actions stays in float32."""


def export_onnx(
    source: Source,
    path: Path | str,
    size: Size | None = None,
    normalize: VecNormalize | None = None,
    notes: Notes | None = None,
) -> Path:
    """Write the deterministic actor as ONNX, atomically, and check it in onnxruntime first.

    The file takes raw observations, of any batch size, and gives actions as ``predict`` does: clipped or
    unscaled to the action space, or the best choice. Inputs are called ``observation``, or by the
    names of a dictionary's parts (see :func:`~sb3_integral.actor.onnx_policy.input_names`), and
    ``action_masks`` where the policy takes such; the output is ``action``. A recurrent policy's file
    takes its state as ``hidden``, ``cell`` and ``episode_start``, and gives ``next_hidden`` and
    ``next_cell``, of shape (layers, batch, hidden). The file's metadata has its
    :class:`~sb3_integral.actor.Description` as JSON, with the notes. The other arguments are as for
    :func:`~sb3_integral.actor.actor_spec`. Returns the path.

    Raises:
        ImportError: If the extra ``deploy`` is not installed.
        ValueError: As for :func:`~sb3_integral.actor.actor_spec`, or if onnxruntime does
            not give what torch does; nothing is written then.
    """
    require("deploy", "onnx", "onnxruntime", "onnxscript")
    path = Path(path)
    check_file_target(path)
    spec = actor_spec(source, size, normalize)
    actor = torch_actor(spec)
    described = describe(spec, notes, actor.act)
    both = {"observation": spec.observation_space, "action": spec.action_space}
    content = {name: space_to_json(space) for name, space in both.items()}
    with _quiet():
        program: Any = torch.onnx.export(exported_program(actor), dynamo=True, verbose=False)
    others, outputs = ([MASKS] if spec.maskable else []), [ACTION]
    if spec.memory is not None:
        others, outputs = list(STATE), [ACTION, *NEXT]
    inputs = [*input_names(spec.observation_space, (*STATE, *NEXT) if spec.memory else ()).values()]
    _name(program.model.graph, [*inputs, *others], outputs)
    model = program.model_proto
    _clean(model)
    for key, value in {SPACES: json.dumps(content), KEY: described.to_json()}.items():
        model.metadata_props.add(key=key, value=value)
    with atomic_file(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        _check(actor, partial)
    return path


def quantize_onnx(
    path: Path | str, target: Path | str, observations: Observations | None = None
) -> Path:
    """Write an int8 form of an actor that :func:`export_onnx` wrote, atomically.

    A warning says so where the file is larger than that in float32, or measurably slower here.

    From raw observations, of shape (samples, ...) or a dictionary of such, the range of every layer's
    input is taken (static); without them it is taken from each batch (dynamic), which is slower. Returns
    the path of the int8 form.

    Raises:
        ImportError: If the extra ``deploy`` is not installed.
        ValueError: If there are no observations, or they are not the actor's, or NaN or infinite; or if
            both paths are of one file.
    """
    require("deploy", "onnx", "onnxruntime")
    import onnx
    from onnxruntime import quantization

    check_file_target(target, inputs=[path])
    exact = OnnxPolicy(path)
    if exact.is_recurrent:
        raise ValueError(f"{path} is a recurrent actor, expected one without memory for int8")
    reader = None if observations is None else _Samples(exact, observations)
    with atomic_file(target) as partial, tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quantization.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        options = {"op_types_to_quantize": list(DENSE), "weight_type": quantization.QuantType.QInt8}
        if reader is None:
            quantization.quantize_dynamic(prepared, partial, **options)
        else:
            # One scale for each row: layers of a policy are small, and their rows differ.
            quantization.quantize_static(prepared, partial, reader, per_channel=True, **options)
        int8 = onnx.load(partial)
        described = {entry.key: entry.value for entry in int8.metadata_props}
        if described.get(KEY, "").startswith("{"):  # else it is of an older version
            described[KEY] = _described_anew(described[KEY], partial)
        _clean(int8)
        for key, value in described.items():
            int8.metadata_props.add(key=key, value=value)
        partial.write_bytes(int8.SerializeToString(deterministic=True))
        drawback = _drawback(Path(path), partial)
    if drawback:
        warnings.warn(drawback, DrawbackWarning, stacklevel=2)
    return Path(target)


def _described_anew(text: str, int8: Path) -> str:
    """Return a description for the int8 form, with its own action."""
    described, policy = json.loads(text), OnnxPolicy(int8)
    seen: Any = described["example_observation"]
    if isinstance(policy.observation_space, spaces.Dict):
        seen = {name: np.asarray(values) for name, values in seen.items()}
    action = policy.predict(seen if isinstance(seen, dict) else np.asarray(seen))[0]
    return json.dumps({**described, "weights": "int8", "example_action": action.tolist()})


def _drawback(exact: Path, int8: Path) -> str:
    """Say how an int8 form is larger or slower than the float32 form; nothing if it is neither."""
    sizes = [path.stat().st_size for path in (exact, int8)]
    times = _latencies_us(OnnxPolicy(exact), OnnxPolicy(int8))
    if sizes[1] <= sizes[0] and times[1] <= SLOWER * times[0]:
        return ""
    return (
        f"the int8 form has {sizes[1]} bytes and takes {times[1]:.1f} µs for one observation on this "
        f"machine, the float32 form has {sizes[0]} bytes and takes {times[0]:.1f} µs"
    )


def _latencies_us(*policies: OnnxPolicy) -> list[float]:
    """Measure policies by turns on one observation; return the median of each in microseconds."""
    times: list[list[float]] = [[] for _ in policies]
    for _ in range(TIMED_CALLS):
        for policy, taken in zip(policies, times, strict=True):
            inputs = policy.to_batch(example_observations(policy.observation_space, 1))[0]
            started = time.perf_counter_ns()
            policy.session.run([ACTION], inputs)
            taken.append((time.perf_counter_ns() - started) / 1000.0)
    return [median(taken) for taken in times]


def _clean(message: Any) -> None:
    """Remove what torch notes about the files and lines of this machine that made each part."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            for part in value if isinstance(value, Sequence) else [value]:
                _clean(part)


def _name(graph: Any, inputs: list[str], outputs: list[str]) -> None:
    """Name the inputs and outputs of torch's graph, and everything in it so that no name is twice.

    Args:
        graph: Its inputs are in the order of the observation space, with the masks behind them.
        inputs: The names to give to the inputs.
        outputs: Those to give to the outputs.
    """
    fresh = (f"value_{number}" for number in itertools.count())
    values = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    for value in values:
        value.name = next(name for name in fresh if name not in (*inputs, *outputs))
    for number, node in enumerate(graph):
        node.name = f"node_{number}"
    for value, name in zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True):
        value.name = name


class _Samples:
    """What onnxruntime reads to see the range of every layer: the observations in one batch."""

    def __init__(self, policy: OnnxPolicy, observations: Observations) -> None:
        arrays, _ = policy.to_batch(observations)
        for name, array in arrays.items():
            if not len(array):
                raise ValueError("there are no observations to take ranges from, expected at least one")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has values that are NaN or infinite, expected finite numbers")
        self._batches = iter([arrays])

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._batches, None)


def _check(actor: TorchActor, path: Path) -> None:
    """Compare what onnxruntime gives with what torch gives, for a single observation and for some."""
    policy, spec = OnnxPolicy(path), actor.spec
    for batch in (1, 5):
        observations = example_observations(spec.observation_space, batch, spec.statistics)
        masks = np.arange(batch * spec.maskable).reshape(batch, -1) % 3 > 0 if spec.maskable else None
        arrays = policy.to_batch(observations, masks)[0].values()
        inputs: list[Any] = [torch.from_numpy(array) for array in arrays]
        if isinstance(spec.observation_space, spaces.Dict):
            parts = len(observations)
            inputs = [dict(zip(observations, inputs[:parts], strict=True)), *inputs[parts:]]
        if isinstance(actor, RecurrentActor):
            # From a state that is not zero, in one of the rows of which an episode starts.
            state = [values + 0.5 for values in actor.start(batch)[:2]]
            starts = torch.arange(batch) % 3 == 1
            results = actor(*inputs, *state, starts)
            action, after = policy.predict(observations, tuple(map(np.asarray, state)), starts.numpy())
            pairs = list(zip(results, (action, *(after or ())), strict=True))
        else:
            pairs = [(actor(*inputs), policy.predict(observations, action_masks=masks)[0])]
        for by_torch, got in pairs:
            wanted = by_torch.numpy()
            largest = float(np.abs(wanted).max(initial=1.0))
            if got.shape != wanted.shape or not np.abs(got - wanted).max() <= TOLERANCE * largest:
                raise ValueError(f"onnxruntime gives {got}, where torch gives {wanted}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings and log messages of torch and onnxruntime."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
