"""The file format of policies: numbers and text, and nothing that could be executed.

A safe file is one of safetensors, with this in its header: ``format``, ``version``, ``policy`` (JSON:
the policy's class by name, its spaces, its arguments, its sizes, and the versions that wrote it) and
``sha256``, a digest of all that and of every tensor. It holds every function on its λ grid, so the
policy can still be resized when it is read.

Nothing is built before the file has been checked to hold the weights of what is to be built; see
:mod:`~sb3_integral.policies.file_limits`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.escaping import one_line
from sb3_integral.policies.constructor_json import policy_classes, value_from_json, value_to_json
from sb3_integral.policies.file_limits import AXES, check_arguments, parse_description, read_space
from sb3_integral.policies.integral import IntegralPolicy
from sb3_integral.policies.kinds import is_integral
from sb3_integral.policies.plain import constructor_arguments, parameter_names
from sb3_integral.policies.space_json import space_to_json
from sb3_integral.requirements import require

require("deploy", "safetensors")

from safetensors import SafetensorError, safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

FORMAT = "sb3-integral policy"
"""What the header of a safe file says it is."""

VERSION = 3
"""The version of the format that is read and written."""

NOT_STORED = ("observation_space", "action_space", "lr_schedule")
"""Arguments that the header holds elsewhere, or that only training needs."""

UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, OSError, SafetensorError, Warning),
)
"""What reading, and building what was read, raises where a file is wrong."""

LONGEST_CAUSE = 2000
"""Characters of what is said against a file: it may quote megabytes of the file."""

State = dict[str, Tensor]


class _StayWithoutMemory(TorchFunctionMode):
    """Leave tensors on the meta device, and let checks of their values pass: there are none."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.to:
            return args[0]
        return func is Tensor.__bool__ or func(*args, **(kwargs or {}))


def save_policy(policy: BasePolicy, path: Path | str) -> None:
    """Write a policy to a safe file, atomically.

    Args:
        policy: An integral policy, or the plain kind of one; at its current size.
        path: The file; ``.safetensors`` is the usual ending.

    Raises:
        ValueError: If a safe file cannot hold it: it is of another class, has arguments of one's own,
            or has weights that are NaN or infinite. Nothing is written then.
        OSError: If no file can be written there.
    """
    check_file_target(path)
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in _state(policy).items()}
    _check_finite(tensors)
    text = json.dumps(_content(policy), sort_keys=True, allow_nan=False)
    header = {"format": FORMAT, "version": str(VERSION), "policy": text}
    header["sha256"] = _digest(header, tensors)
    with atomic_file(path) as partial:
        save_file(tensors, partial, metadata=header)
        load_policy(partial)  # what cannot be read is not worth keeping


def load_policy(
    path: Path | str,
    observation_space: spaces.Space[Any] | None = None,
    action_space: spaces.Space[Any] | None = None,
) -> BasePolicy:
    """Read a policy from a safe file; nothing in the file is executed.

    Args:
        path: A file of :func:`save_policy`.
        observation_space: If given, the policy must have been made for it.
        action_space: Likewise.

    Returns:
        The policy on the CPU, in evaluation mode, at the size that it was saved with.

    Raises:
        ValueError: If the file is not whole, was changed, is of another version, is made for other
            spaces, or holds what no policy is made of.
    """
    try:
        header, tensors = _read(Path(path))
    except UNREADABLE as error:
        raise ValueError(f"{path} is not a whole safe file: {_cause(repr(error))}") from error
    _check_header(path, header, tensors)
    try:
        policy = _build(parse_description(header["policy"]), tensors)
    except UNREADABLE as error:
        raise ValueError(f"{path} holds no policy that can be built: {_cause(error)}") from error
    asked = (observation_space, action_space)
    made_for = (policy.observation_space, policy.action_space)
    if any(space is not None and space != other for space, other in zip(asked, made_for, strict=True)):
        wanted = " and ".join(str(space) for space in asked if space is not None)
        raise ValueError(
            f"the policy in {path} was not made for {wanted}, but for {made_for[0]} and {made_for[1]}"
        )
    return policy


def _content(policy: BasePolicy) -> dict[str, Any]:
    """Return what a header says of a policy."""
    names = [name for name, kind in policy_classes().items() if kind is type(policy)]
    if not names:
        raise ValueError(
            f"{type(policy).__name__} cannot be written to a safe file, expected an integral policy "
            f"or a plain one of SB3 or sb3-contrib"
        )
    return {
        "class": names[0],
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "arguments": {
            name: value_to_json(value)
            for name, value in constructor_arguments(policy, type(policy)).items()
            if name not in NOT_STORED
        },
        "sizes": _sizes(policy),
        "sb3_integral": __version__,
    }


def _read(path: Path) -> tuple[dict[str, str], State]:
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        return file.metadata() or {}, {name: file.get_tensor(name) for name in names}


def _check_header(path: Path | str, header: dict[str, str], tensors: State) -> None:
    version = header.get("version", "")
    if header.get("format") != FORMAT or not (version.isascii() and version.isdecimal()):
        raise ValueError(
            f"{path} is not a safe file of a policy, its header has {_cause(sorted(header))}"
        )
    if version != str(VERSION):
        raise ValueError(
            f"{path} is of version {version[:9]} of the format, expected {VERSION}; "
            f"it was not written by sb3-integral {__version__}"
        )
    if header.keys() != {"format", "version", "policy", "sha256"}:
        raise ValueError(f"{path} is not a whole safe file, its header has {_cause(sorted(header))}")
    if header["sha256"] != _digest(header, tensors):
        raise ValueError(f"{path} was changed since it was written: its digest does not match")


def _digest(header: dict[str, str], tensors: State) -> str:
    """Return the SHA-256 of all that a file says, whatever the order and the padding of its bytes."""
    digest = hashlib.sha256()
    parts = [header["format"], header["version"], header["policy"]]
    for name, tensor in sorted(tensors.items()):
        parts += [name, str(tensor.dtype), str(tuple(tensor.shape))]
    digest.update(json.dumps(parts).encode())
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _cause(text: object) -> str:
    line = one_line(text)
    return line if len(line) <= LONGEST_CAUSE else f"{line[:LONGEST_CAUSE]}..."


def _build(content: dict[str, Any], tensors: State) -> BasePolicy:
    known = policy_classes()
    if content["class"] not in known:
        raise ValueError(f"unknown policy {content['class']!r}; known are {', '.join(sorted(known))}")
    policy_class: Any = known[content["class"]]
    is_integral = issubclass(policy_class, IntegralPolicy)
    arguments = {name: value_from_json(value) for name, value in content["arguments"].items()}
    _check_finite(tensors)
    check_arguments(arguments, tensors, is_integral)
    for name in ("observation_space", "action_space"):
        arguments[name] = read_space(content[name], tensors)
    plain_class = policy_class.plain_class() if is_integral else policy_class
    if "lr_schedule" in parameter_names(plain_class):
        arguments["lr_schedule"] = _no_learning_rate
    # The weights are about to be replaced, so they are not made orthogonal first.
    is_orthogonal = arguments.get("ortho_init") is True
    if is_orthogonal:
        arguments["ortho_init"] = False
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"), _StayWithoutMemory():
            _check_tensors(tensors, _state(policy_class(**arguments)))
        policy: BasePolicy = policy_class(**arguments)
    if is_orthogonal:
        setattr(policy, "ortho_init", True)  # noqa: B010
    policy.load_state_dict(policy.state_dict() | tensors)
    if _sizes(policy) != content["sizes"]:
        raise ValueError(f"the sizes are {_sizes(policy)}, expected {content['sizes']}")
    policy.set_training_mode(False)
    policy = policy.to("cpu")
    policy.predict(_zeros(policy.observation_space), deterministic=True)  # SB3 checks few arguments
    return policy


def _zeros(space: spaces.Space[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _zeros(inner) for name, inner in space.items()}
    return np.zeros(space.shape or (), space.dtype)


def _check_tensors(tensors: State, wanted: State) -> None:
    """Check that a file has the tensors that a policy is made of, and no others."""
    missing = sorted(wanted.keys() - tensors.keys())
    if missing:
        raise ValueError(f"tensors are missing: {missing[:9]}")
    for name, tensor in wanted.items():
        found = tensors[name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise ValueError(
                f"{name} is {found.dtype} of shape {tuple(found.shape)}, "
                f"expected {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
    more = sorted(name for name in tensors if name not in wanted and not name.startswith(AXES))
    if more:
        raise ValueError(f"tensors are not known: {more[:9]}")


def _sizes(policy: BasePolicy) -> list[int] | None:
    return list(policy.sizes) if is_integral(policy) else None


def _state(policy: BasePolicy) -> State:
    """Return the state dict with every tensor once: SB3 registers shared extractors several times."""
    seen: dict[int, str] = {}
    return {
        name: tensor
        for name, tensor in policy.state_dict(keep_vars=True).items()
        if seen.setdefault(id(tensor), name) == name
    }


def _check_finite(tensors: State) -> None:
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} has values that are NaN or infinite, expected finite numbers")


def _no_learning_rate(progress_remaining: float) -> float:
    return 0.0
