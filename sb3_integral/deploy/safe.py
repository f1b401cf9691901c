"""Policies in files that hold numbers and text, and nothing that could be executed.

A safe file is one of safetensors, with this in its header: ``format``, ``version``, ``policy`` (JSON:
the policy's class by name, its spaces, its arguments, its sizes, and the versions that wrote it) and
``sha256``, a digest of all that and of every tensor. It holds every function on its λ grid, so the
policy can still be resized when it is read.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import stable_baselines3
import torch
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from torch import Tensor

from sb3_integral._version import __version__
from sb3_integral.atomic import atomic_file, check_file_target
from sb3_integral.deploy.constructor_json import policy_classes, value_from_json, value_to_json
from sb3_integral.policies import IntegralPolicy
from sb3_integral.policies.plain import constructor_arguments, parameter_names
from sb3_integral.policies.space_json import space_from_json, space_to_json

FORMAT = "sb3-integral policy"
"""What the header of a safe file says it is."""

VERSION = 1
"""The newest version of the format that is read, and the one that is written."""

LARGEST_SIZE = 2**16
"""No axis in a file is sampled at more points."""

UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, RecursionError, MemoryError, OSError, SafetensorError),
)
"""What reading, and building what was read, raises where a file is wrong."""


def save_policy(policy: BasePolicy, path: Path | str) -> None:
    """Write a policy to a safe file, atomically.

    Args:
        policy: An integral policy, or the plain kind of one; at the size in force.
        path: The file; ``.safetensors`` is the usual ending.

    Raises:
        ValueError: If a safe file cannot hold it: it is of another class, has arguments of one's own,
            or has weights that are NaN or infinite. Nothing is written then.
    """
    check_file_target(path)
    names = [name for name, kind in policy_classes().items() if kind is type(policy)]
    if not names:
        raise ValueError(
            f"a {type(policy).__name__} cannot be written to a safe file, expected an integral policy "
            f"or a plain one of SB3 or sb3-contrib"
        )
    content = {
        "class": names[0],
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "arguments": {name: value_to_json(value) for name, value in _arguments(policy).items()},
        "sizes": _sizes(policy),
        "versions": {
            "sb3_integral": __version__,
            "stable_baselines3": stable_baselines3.__version__,
            "torch": str(torch.__version__),
        },
    }
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in _state(policy).items()}
    _check_finite(tensors)
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    header = {"format": FORMAT, "version": str(VERSION), "policy": text}
    header["sha256"] = _digest(header, tensors)
    with atomic_file(path) as partial:
        save_file(tensors, partial, metadata=header)


def load_policy(
    path: Path | str,
    observation_space: spaces.Space[Any] | None = None,
    action_space: spaces.Space[Any] | None = None,
) -> BasePolicy:
    """Read a policy from a safe file, or a student's; nothing in the file is executed.

    Args:
        path: A file of :func:`save_policy`, or one of
            :func:`~sb3_integral.imitation.students.save_student`, which needs both spaces.
        observation_space: If given, the file must be made for it.
        action_space: Likewise.

    Returns:
        The policy on the CPU, in evaluation mode, at the size that it was saved with.

    Raises:
        ValueError: If the file is not whole, was changed, is of a newer version, is made for other
            spaces, or holds what no policy is made of.
    """
    path = Path(path)
    try:
        header, tensors = _read(path)
    except UNREADABLE as error:
        raise ValueError(f"{path} is not a whole safe file: {error!r}") from error
    if header.get("format") != FORMAT and "architecture" in header:
        return _load_student(path, observation_space, action_space)
    _check_header(path, header, tensors)
    try:
        policy = _build(json.loads(header["policy"]), tensors)
    except UNREADABLE as error:
        raise ValueError(f"{path} holds no policy that can be built: {error}") from error
    for wanted, got in (
        (observation_space, policy.observation_space),
        (action_space, policy.action_space),
    ):
        if wanted is not None and wanted != got:
            raise ValueError(f"the policy in {path} was made for {got}, not for {wanted}")
    return policy


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        return file.metadata() or {}, {name: file.get_tensor(name) for name in names}


def _check_header(path: Path, header: dict[str, str], tensors: dict[str, Tensor]) -> None:
    if header.get("format") != FORMAT or not header.get("version", "").isdecimal():
        raise ValueError(f"{path} is not a safe file of a policy, its header has {sorted(header)}")
    if int(header["version"]) > VERSION:
        raise ValueError(
            f"{path} is of version {header['version']} of the format, expected at most {VERSION}; "
            f"it was written by a newer sb3-integral than {__version__}"
        )
    if header.keys() != {"format", "version", "policy", "sha256"}:
        raise ValueError(f"{path} is not a whole safe file, its header has {sorted(header)}")
    if header["sha256"] != _digest(header, tensors):
        raise ValueError(f"{path} was changed since it was written: its digest does not match")


def _digest(header: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of all that a file says, whatever the order and the padding of its bytes."""
    digest = hashlib.sha256()
    parts = [header["format"], header["version"], header["policy"]]
    for name, tensor in sorted(tensors.items()):
        parts += [name, str(tensor.dtype), str(tuple(tensor.shape))]
    digest.update(json.dumps(parts).encode())
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _build(content: dict[str, Any], tensors: dict[str, Tensor]) -> BasePolicy:
    known = policy_classes()
    if content["class"] not in known:
        raise ValueError(f"unknown policy {content['class']!r}; known are {', '.join(sorted(known))}")
    policy_class = known[content["class"]]
    observation_space, action_space = (
        space_from_json(content[name]) for name in ("observation_space", "action_space")
    )
    arguments = {name: value_from_json(value) for name, value in content["arguments"].items()}
    _check_finite(tensors)
    _check_widths(arguments, observation_space, tensors)
    if issubclass(policy_class, IntegralPolicy):
        takes_rate = "lr_schedule" in parameter_names(policy_class.plain_class())
    else:
        takes_rate = "lr_schedule" in parameter_names(policy_class)
    if takes_rate:
        arguments["lr_schedule"] = _no_learning_rate
    with torch.random.fork_rng(devices=[]):
        policy = policy_class(
            observation_space=observation_space, action_space=action_space, **arguments
        )
    _fill(policy, tensors)
    if _sizes(policy) != content["sizes"]:
        raise ValueError(f"the sizes are {_sizes(policy)}, expected {content['sizes']}")
    policy.set_training_mode(False)
    return policy.to("cpu")


def _check_widths(
    arguments: dict[str, Any], observation_space: spaces.Space[Any], tensors: dict[str, Tensor]
) -> None:
    """Check that the weights of the layers could be in the file, before they are allocated."""
    elements = max((tensor.numel() for tensor in tensors.values()), default=0)
    arch: Any = arguments.get("net_arch")
    grid: Any = arguments.get("grid_size")
    nets = list(arch.values()) if isinstance(arch, dict) else [arch]
    if grid is not None:
        actor = arch["pi"] if isinstance(arch, dict) else arch
        nets += [[grid] * len(actor) if isinstance(grid, int) else grid]
        nets = [net for net in nets if net is not actor]
    is_flat = not isinstance(observation_space, spaces.Dict) and not is_image_space(observation_space)
    for widths in nets:
        products = [a * b for a, b in pairwise(widths or [])]
        if widths and is_flat and "lstm_hidden_size" not in arguments:
            products.append(get_flattened_obs_dim(observation_space) * widths[0])
        if len(widths or []) > len(tensors) or max(products, default=0) > elements:
            raise ValueError(f"layers of {widths} have more weights than the file")


def _fill(policy: BasePolicy, tensors: dict[str, Tensor]) -> None:
    """Put tensors into a policy.

    Raises:
        ValueError: If they are not those that it has.
    """
    wanted = _state(policy)
    if tensors.keys() != wanted.keys():
        missing, more = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
        raise ValueError(f"tensors are missing: {missing}, or not known: {more}")
    for name, tensor in tensors.items():
        if name.endswith("_extra_state"):
            if tensor.numel() > LARGEST_SIZE or (not tensor.dim() and int(tensor) > LARGEST_SIZE):
                raise ValueError(f"an axis is sampled at more than {LARGEST_SIZE} points")
            continue
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}, "
                f"expected {wanted[name].dtype} of shape {tuple(wanted[name].shape)}"
            )
    policy.load_state_dict(policy.state_dict() | tensors)


def _load_student(
    path: Path,
    observation_space: spaces.Space[Any] | None,
    action_space: spaces.Space[Any] | None,
) -> BasePolicy:
    if observation_space is None or action_space is None:
        raise ValueError(
            f"{path} is a student's file, which does not hold its spaces; "
            f"expected the environment's observation_space and action_space"
        )
    from sb3_integral.imitation.students import load_student

    return load_student(path, observation_space, action_space)


def _arguments(policy: BasePolicy) -> dict[str, Any]:
    if isinstance(policy, IntegralPolicy):
        arguments = policy._get_constructor_parameters()
    else:
        arguments = constructor_arguments(policy, type(policy))
    left_out = ("observation_space", "action_space", "lr_schedule")
    return {name: value for name, value in arguments.items() if name not in left_out}


def _sizes(policy: BasePolicy) -> list[int] | None:
    return list(policy.sizes) if isinstance(policy, IntegralPolicy) else None


def _state(policy: BasePolicy) -> dict[str, Tensor]:
    """Return the state dict with every tensor once: SB3 registers shared extractors several times."""
    seen: dict[int, str] = {}
    state = {}
    for name, tensor in policy.state_dict().items():
        if tensor.numel() and seen.setdefault(tensor.data_ptr(), name) != name:
            continue
        state[name] = tensor
    return state


def _check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} has values that are NaN or infinite, expected finite numbers")


def _no_learning_rate(progress_remaining: float) -> float:
    return 0.0
