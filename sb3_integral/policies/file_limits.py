"""What the description of a policy in a file can ask for, measured by the weights in the file.

A file can be wrong on purpose: a few bytes that ask for gigabytes, with a digest that is right. These
checks come before anything is built.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from sb3_integral.policies.space_json import space_from_json

AXES = ("actor_axes.", "critic_axes.")
"""Tensors that say at which points a policy is sampled begin with one of these."""

LONGEST_TEXT = 2**24
"""Characters of the JSON in the largest header that is read."""

DEEPEST_JSON = 12
"""Levels of lists and objects in the JSON of a header; the deepest policy has half as many."""

ALWAYS_ALLOWED = 4096
"""Sizes up to this one are read even if the file is tiny: a small grid can be sampled finely."""

SMALL_SPACE = 2**20
"""Elements of a space that are read even if the file has fewer weights."""

DEEPEST_SCALE = 64
"""The most scale levels that a file can ask for; the smallest scale is then 1/√2⁶⁴."""

KINDS = {"kernel": "matrix", "quadrature": "weights"}
"""Arguments that building does not use, each with the method that its class must have."""

SIZELESS = ("optimizer_kwargs", "renorm_warmup_steps")
"""Arguments whose numbers make nothing larger."""

MODULES = ("n_critics", "n_lstm_layers")
"""Arguments that say how many modules there are, each of which has tensors of its own."""


def parse_description(text: str) -> dict[str, Any]:
    """Read a JSON object that is neither too long nor too deep for what reads it afterwards.

    Raises:
        ValueError: If it is no such object.
        RecursionError: If it is far too deep.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"its description has {len(text)} characters, expected {LONGEST_TEXT} at most")
    content: Any = json.loads(text, parse_constant=_refuse_constant)
    level = [content]
    for _ in range(DEEPEST_JSON):
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level]
        level = [value for part in inner if isinstance(part, list) for value in part]
    if level:
        raise ValueError(f"its description has more than {DEEPEST_JSON} levels")
    if not isinstance(content, dict):
        raise ValueError(f"its description is of type {type(content).__name__}, expected an object")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def check_arguments(
    arguments: Mapping[str, Any], tensors: Mapping[str, Tensor], is_integral: bool
) -> None:
    """Check that no argument asks for more modules than there are tensors, or for larger ones.

    Args:
        arguments: The arguments of the policy's constructor.
        tensors: The tensors in the file.
        is_integral: Whether hidden layers are on axes.

    Raises:
        ValueError: If an argument does.
    """
    for name, method in KINDS.items():
        value = arguments.get(name, "")
        if not isinstance(value, str) and not hasattr(value, method):
            raise ValueError(f"unknown {name} {value!r}")
    n_tensors, widest = len(tensors), _largest(tensors)
    if is_integral:
        # A matrix has as many rows and columns as an axis has points.
        total = sum(tensor.numel() for tensor in tensors.values())
        widest = max(min(widest, math.isqrt(16 * total)), ALWAYS_ALLOWED)
        for name, tensor in tensors.items():
            if name.startswith(AXES) and max(tensor.shape, default=0) > widest:
                raise ValueError(f"{name}: an axis is sampled at more than {widest} points")
    for name, value in arguments.items():
        if name in SIZELESS:
            continue
        limit = n_tensors if name in MODULES else widest
        _check_number(name, value, DEEPEST_SCALE if name == "scale_levels" else limit, n_tensors)


def read_space(content: Any, tensors: Mapping[str, Tensor]) -> spaces.Space[Any]:
    """Read a space that is not larger than the weights which could read it.

    Raises:
        ValueError: If it is larger, or no space.
    """
    space = space_from_json(content, max(SMALL_SPACE, _largest(tensors)))
    parts = space.values() if isinstance(space, spaces.Dict) else ()
    n_images = sum(map(is_image_space, parts))
    if n_images > len(tensors):  # each has convolutions of its own
        raise ValueError(f"{n_images} images need more weights than the file has")
    return space


def _largest(tensors: Mapping[str, Tensor]) -> int:
    return max((tensor.numel() for tensor in tensors.values()), default=0)


def _check_number(name: str, value: Any, largest: int, longest: int) -> None:
    inner = list(value.values()) if isinstance(value, dict) else value
    if isinstance(inner, list | tuple):
        if len(inner) > max(longest, DEEPEST_JSON):
            raise ValueError(f"{name} has {len(inner)} entries, more than the file has weights for")
        for part in inner:
            _check_number(name, part, largest, longest)
    elif isinstance(value, int) and value > max(largest, 1):
        raise ValueError(f"{name}={value!r} asks for more weights than the file has")
