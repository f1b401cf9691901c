"""The files that an ordinary policy can be written as, by their endings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stable_baselines3 import A2C
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor.c_header import export_c
from sb3_integral.actor.onnx_export import export_onnx
from sb3_integral.actor.torch_module import export_torch
from sb3_integral.deploy.plain_sb3 import export_sb3
from sb3_integral.policies.serialization import save_policy

Writer = Callable[[BasePolicy, Path, str], object]

ENDINGS = {".onnx": "onnx", ".h": "c", ".zip": "sb3", ".pt2": "torch", ".safetensors": "safe"}
"""The format of each ending."""

WRITERS: dict[str, Writer] = {
    "onnx": lambda policy, path, name: export_onnx(policy, path),
    "c": lambda policy, path, name: export_c(policy, path, name),
    # A student is an actor-critic policy; A2C is the plainest algorithm that has one.
    "sb3": lambda policy, path, name: export_sb3(policy, path, algorithm=A2C),
    "torch": lambda policy, path, name: export_torch(policy, path),
    "safe": lambda policy, path, name: save_policy(policy, path),
}
"""What writes each format."""


def check_format(path: Path, format: str | None) -> str:
    """Return the format of a file, by its name or as it is given.

    Raises:
        ValueError: If it is not known.
    """
    found = format or ENDINGS.get(path.suffix.lower())
    if found not in WRITERS:
        wanted = " or ".join(ENDINGS)
        raise ValueError(f"{path} ends with no known format, expected {wanted}, or {', '.join(WRITERS)}")
    return found


def write_file(format: str, policy: BasePolicy, path: Path, name: str) -> None:
    """Write an ordinary policy.

    Args:
        format: A key of :data:`WRITERS`.
        policy: The policy.
        path: The file.
        name: How names in a C header begin.
    """
    WRITERS[format](policy, path, name)
