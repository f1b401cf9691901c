"""Acting by an ONNX file, where SB3 expects a policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, maybe_transpose
from stable_baselines3.common.utils import is_vectorized_observation

from sb3_integral.policies.space_json import space_from_json
from sb3_integral.requirements import require

SPACES = "sb3_integral_spaces"
"""Under this name a file says what it observes and what it does."""

OBSERVATION, ACTION, MASKS = "observation", "action", "action_masks"
STATE, NEXT = ("hidden", "cell", "episode_start"), ("next_hidden", "next_cell")
"""The state of a recurrent actor: inputs behind the observation, and outputs behind the action."""

DTYPES: dict[str, type[np.generic]] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""The types of observations and masks, by the names that onnxruntime has for them."""

Array = np.ndarray[Any, Any]


class OnnxPolicy:
    """An actor of :func:`~sb3_integral.deploy.export_onnx` with ``predict`` as SB3's policies have it.

    It goes wherever SB3 only asks for actions, such as ``evaluate_policy``.

    Args:
        path: The file.
        threads: How many a single run may use; small networks are fastest with one.

    Attributes:
        observation_space: What it observes.
        action_space: What it does.
        session: The session of onnxruntime.
        dtypes: The types of its inputs, by name.
        is_recurrent: Whether ``predict`` takes and gives a state.

    Raises:
        ImportError: If the extra ``deploy`` is not installed.
        ValueError: If the file is not such an actor.
    """

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        require("deploy", "onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            content = Path(path).read_bytes()
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            described = json.loads(self.session.get_modelmeta().custom_metadata_map[SPACES])
            self.observation_space: spaces.Space[Any] = space_from_json(described["observation"])
            self.action_space: spaces.Space[Any] = space_from_json(described["action"])
            self.dtypes = {node.name: DTYPES[node.type] for node in self.session.get_inputs()}
        except (OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is not an actor that this library exported: {error}") from error
        except Exception as error:  # onnxruntime's errors have nothing else in common
            raise ValueError(f"{path} is not a whole ONNX file: {error}") from error
        inputs = self.session.get_inputs()
        parts = input_names(self.observation_space)
        self._names = dict(zip(parts, (one.name for one in inputs), strict=False))
        self.is_recurrent = len(self.session.get_outputs()) > 1
        others = inputs[len(parts) :]
        self._choices: int = others[0].shape[1] if others and not self.is_recurrent else 0
        self._state_shape: list[Any] = others[0].shape if self.is_recurrent else []
        self._single: _Single | None = None

    def predict(
        self,
        observation: Array | dict[str, Array],
        state: tuple[Array, ...] | None = None,
        episode_start: Array | None = None,
        deterministic: bool = True,
        action_masks: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...] | None]:
        """Return the deterministic actions for one observation or a batch, as SB3's ``predict`` does.

        Raises:
            ValueError: If the observation is of another shape than the space's, or there are masks and
                the policy that was exported takes none.
        """
        arrays, is_batch = self.to_batch(observation, action_masks)
        outputs = [ACTION]
        if self.is_recurrent:
            arrays |= self._state_inputs(len(next(iter(arrays.values()))), state, episode_start)
            outputs += NEXT
        actions, *after = self.session.run(outputs, arrays)
        state = tuple(after) if self.is_recurrent else state
        return (actions if is_batch else actions.squeeze(axis=0)), state

    def _state_inputs(
        self, batch: int, state: tuple[Array, ...] | None, episode_start: Array | None
    ) -> dict[str, Array]:
        """Return a state as inputs; zeros and no starts are the defaults, as in sb3-contrib."""
        layers, _, hidden = self._state_shape
        zeros = np.zeros((layers, batch, hidden), np.float32)
        memory = (zeros, zeros) if state is None else state
        starts = np.zeros(batch, bool) if episode_start is None else np.atleast_1d(episode_start)
        arrays = (*(np.asarray(one, np.float32) for one in memory), np.asarray(starts, bool))
        return dict(zip(STATE, arrays, strict=True))

    def act(self, observation: Array) -> Array:
        """Return the action for one observation, as fast as the runtime can be called from Python.

        The observation, which is no dictionary, is not checked. The next call overwrites the action.
        """
        if self._single is None:
            self._single = _Single(self)
        return self._single(observation)

    def to_batch(
        self, observation: Array | dict[str, Array], action_masks: Array | None = None
    ) -> tuple[dict[str, Array], bool]:
        """Return the file's inputs by name, and whether the observation was a batch already.

        Raises:
            ValueError: As for :meth:`predict`.
        """
        space = self.observation_space
        if not isinstance(space, spaces.Dict):
            array, is_batch = _batch(observation, space, self.dtypes[OBSERVATION])
            arrays = {OBSERVATION: array}
        elif not isinstance(observation, dict) or observation.keys() != space.spaces.keys():
            raise ValueError(f"expected a dictionary with {list(space)}, got {observation!r}")
        else:
            pairs = {
                (input_name := self._names[name]): _batch(
                    observation[name], inner, self.dtypes[input_name]
                )
                for name, inner in space.items()
            }
            arrays = {name: array for name, (array, _) in pairs.items()}
            is_batch = any(is_batch for _, is_batch in pairs.values())
        if self._choices:
            count = len(next(iter(arrays.values())))
            masks = np.ones((count, self._choices), bool) if action_masks is None else action_masks
            arrays[MASKS] = np.asarray(masks, bool).reshape(count, self._choices)
        elif action_masks is not None:
            raise ValueError("the policy in the file takes no action masks, expected action_masks=None")
        return arrays, is_batch


class _Single:
    """Memory for one observation and one action, bound to a session once."""

    def __init__(self, policy: OnnxPolicy) -> None:
        space = policy.observation_space
        if isinstance(space, spaces.Dict) or policy.is_recurrent:
            raise ValueError("act is for single arrays, expected predict for dictionaries and states")
        inputs, _ = policy.to_batch(np.zeros(space.shape or ()))
        self._observation = inputs[OBSERVATION]
        self._action: Array = policy.session.run([ACTION], inputs)[0]
        self._run = policy.session.run_with_iobinding
        self._binding = policy.session.io_binding()
        self._bound = [*inputs.values(), self._action]  # which the session does not keep
        binds = [self._binding.bind_input] * len(inputs) + [self._binding.bind_output]
        for bind, name, array in zip(binds, (*inputs, ACTION), self._bound, strict=True):
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def __call__(self, observation: Array) -> Array:
        self._observation[0] = observation
        self._run(self._binding)
        action: Array = self._action[0]
        return action


def input_names(space: spaces.Space[Any], reserved: Sequence[str] = ()) -> dict[str, str]:
    """Return the names of an ONNX file's inputs, by the names of a dictionary's parts, in order.

    They are the same, unless a part is called like the output, the masks or something reserved, or has
    no name. Masks, or a state, are inputs of their own behind these.
    """
    if not isinstance(space, spaces.Dict):
        return {OBSERVATION: OBSERVATION}
    names = {name: name for name in space}
    for name in ("", ACTION, MASKS, *reserved):
        if name in names:
            names[name] = f"{OBSERVATION}_{name}"
            while list(names.values()).count(names[name]) > 1:
                names[name] += "_"
    return names


def _batch(observation: Any, space: spaces.Space[Any], dtype: type[np.generic]) -> tuple[Array, bool]:
    array = np.asarray(observation)
    if is_image_space(space):
        array = maybe_transpose(array, space)
    is_batch: bool = is_vectorized_observation(array, space)
    if not is_batch:
        array = array[None]
    return np.ascontiguousarray(array, dtype), is_batch
