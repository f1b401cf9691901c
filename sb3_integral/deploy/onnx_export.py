"""The deterministic actor as an ONNX file, in float32 and in int8."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.deploy.actor import DeterministicActor, deterministic_actor, example
from sb3_integral.deploy.onnx_policy import SPACES, OnnxPolicy, names_of
from sb3_integral.deploy.plain_sb3 import Source
from sb3_integral.deploy.space_json import space_to_json
from sb3_integral.deploy.torch_export import exported_program
from sb3_integral.nn import Size
from sb3_integral.requirements import require

Observations = Any

TOLERANCE = 1e-4
"""How far the file's actions may be from torch's, relative to the largest, when it is checked."""

DENSE = ("Gemm", "MatMul")
"""What becomes int8; the clipping of actions stays as exact as it is."""


def export_onnx(
    source: Source, path: Path | str, size: Size | None = None, normalize: VecNormalize | None = None
) -> Path:
    """Write the deterministic actor as ONNX, atomically, and check it in onnxruntime first.

    The file takes raw observations, of any batch size, and gives actions as ``predict`` does: clipped or
    unscaled to the action space, or the best choice. Inputs are called ``observation``, or by the
    names of a dictionary's parts; the output is ``action``.

    Args:
        source: A model, a policy, or a ResizablePolicy.
        path: The file.
        size: One integer for all hidden layers, or one for each; that in force by default.
        normalize: Statistics that the policy was trained with, clipping included.

    Returns:
        The path.

    Raises:
        ImportError: If the extra ``deploy`` is not installed.
        ValueError: As for :func:`~sb3_integral.deploy.actor.deterministic_actor`, or if onnxruntime does
            not give what torch does; nothing is written then.
    """
    require("deploy", "onnx", "onnxruntime", "onnxscript")
    path = Path(path)
    check_file_target(path)
    actor = deterministic_actor(source, size, normalize)
    names = names_of(actor.observation_space)
    with _quiet():
        program: Any = torch.onnx.export(
            exported_program(actor), dynamo=True, verbose=False, input_names=names,
            output_names=["action"],
        )  # fmt: skip
    assert program is not None
    described = {"observation": actor.observation_space, "action": actor.action_space}
    content = {name: space_to_json(space) for name, space in described.items()}
    program.model.metadata_props.update({SPACES: json.dumps(content), "sb3_integral": __version__})
    with atomic_file(path) as partial:
        program.save(partial, external_data=False)
        _check(actor, partial)
    return path


def quantize_onnx(
    path: Path | str, target: Path | str, observations: Observations | None = None
) -> Path:
    """Write an int8 form of an actor that :func:`export_onnx` wrote, atomically.

    Args:
        path: The file in float32.
        target: The file in int8.
        observations: Raw observations, of shape (samples, ...) or a dictionary of such, from which the
            range of every layer's input is taken (static); without them it is taken from each batch
            (dynamic), which needs no data and is slower.

    Returns:
        The path of the int8 form.

    Raises:
        ImportError: If the extra ``deploy`` is not installed.
        ValueError: If there are no observations, or they are not the actor's, or NaN or infinite.
    """
    require("deploy", "onnx", "onnxruntime")
    from onnxruntime import quantization

    check_file_target(target)
    reader = None if observations is None else _Samples(OnnxPolicy(path), observations)
    with atomic_file(target) as partial, tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quantization.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        options = {"op_types_to_quantize": list(DENSE), "weight_type": quantization.QuantType.QInt8}
        if reader is None:
            quantization.quantize_dynamic(prepared, partial, **options)
        else:
            # One scale for each row: layers of a policy are small, and their rows differ.
            quantization.quantize_static(prepared, partial, reader, per_channel=True, **options)
        OnnxPolicy(partial)
    return Path(target)


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


def _check(actor: DeterministicActor, path: Path) -> None:
    """Compare what onnxruntime gives with what torch gives, for a single observation and for some."""
    policy = OnnxPolicy(path)
    for batch in (1, 5):
        observations = _drawn(actor.observation_space, batch)
        as_arrays = (
            {name: value.numpy() for name, value in observations.items()}
            if isinstance(observations, dict)
            else observations.numpy()
        )
        wanted = actor(observations).numpy()
        got = policy.predict(as_arrays)[0]
        largest = float(np.abs(wanted).max(initial=1.0))
        if got.shape != wanted.shape or not np.abs(got - wanted).max() <= TOLERANCE * largest:
            raise ValueError(f"onnxruntime gives {got}, where torch gives {wanted}")


def _drawn(space: spaces.Space[Any], batch: int) -> Any:
    """Return some observations that differ, where zeros would say little."""
    if isinstance(space, spaces.Dict):
        return {name: _drawn(inner, batch) for name, inner in space.items()}
    zeros = example(space, batch)
    assert isinstance(zeros, torch.Tensor)
    if zeros.dtype == torch.float32:
        return torch.linspace(-1.0, 1.0, zeros.numel()).reshape(zeros.shape)
    return zeros


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch and onnxruntime say of themselves on the way."""
    loggers = [logging.getLogger("torch.onnx"), logging.getLogger()]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
