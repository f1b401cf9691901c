"""The files that a policy can be written as, by their names and endings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_integral.actor import Notes, Source, fold_normalization
from sb3_integral.actor.c_header import export_c
from sb3_integral.actor.onnx_export import export_onnx, quantize_onnx
from sb3_integral.actor.onnx_policy import OnnxPolicy
from sb3_integral.actor.quantized import Weights, check_weights
from sb3_integral.actor.torch_module import export_torch
from sb3_integral.deploy.plain_sb3 import export_sb3
from sb3_integral.policies.kinds import policy_of_sb3
from sb3_integral.policies.serialization import save_policy

ENDINGS = {".onnx": "onnx", ".h": "c", ".zip": "sb3", ".pt2": "torch", ".safetensors": "safe"}
"""The format of each ending."""

WEIGHTS: dict[str, tuple[Weights, ...]] = {
    "c": ("float32", "int8", "int4", "q15"),
    "onnx": ("float32", "int8"),
}
"""How a format can keep weights; others have float32 only."""


@dataclass(frozen=True)
class FileOptions:
    """What a file is besides its policy.

    Attributes:
        name: How names in a C header begin.
        weights: How weights are kept.
        notes: What the file says besides.
        normalize: Statistics that the policy was trained with.
        algorithm: Whose model a policy alone becomes for plain SB3.
        observe: Gives observations of an actor, from which the ranges of int8 ONNX are taken; without
            it they are taken from each batch.
    """

    name: str = "policy"
    weights: Weights = "float32"
    notes: Notes | None = None
    normalize: VecNormalize | None = None
    algorithm: type[BaseAlgorithm] | None = None
    observe: Callable[[OnnxPolicy], Any] | None = None


def check_format(path: Path, format: str | None, weights: str = "float32") -> str:
    """Return the format of a file, by its name or as it is given.

    Raises:
        ValueError: If it is not known, or has no such weights.
    """
    found = format or ENDINGS.get(path.suffix.lower())
    if found not in WRITERS:
        wanted = " or ".join(ENDINGS)
        raise ValueError(f"{path} ends with no known format, expected {wanted}, or {', '.join(WRITERS)}")
    check_weights(weights)
    known = WEIGHTS.get(found, ("float32",))
    if weights not in known:
        raise ValueError(f"{found} has weights of {' or '.join(known)}, got {weights}")
    return found


def write_file(format: str, source: Source, path: Path, options: FileOptions) -> str:
    """Write a policy at its size, and return in words what was written.

    Args:
        format: What :func:`check_format` gave.
        source: A model, or a policy.
        path: The file.
        options: What it is besides.
    """
    return WRITERS[format](source, path, options)


def _write_c(source: Source, path: Path, options: FileOptions) -> str:
    export_c(source, path, options.name, None, options.normalize, options.weights, options.notes)
    weights = "" if options.weights == "float32" else f" and weights of {options.weights}"
    return f"a C99 header with {options.name}_act{weights}"


def _write_onnx(source: Source, path: Path, options: FileOptions) -> str:
    if options.weights == "float32":
        export_onnx(source, path, None, options.normalize, options.notes)
        return "an ONNX actor, checked in onnxruntime"
    with tempfile.TemporaryDirectory() as folder:
        exact = export_onnx(source, Path(folder) / "exact.onnx", None, options.normalize, options.notes)
        seen = None if options.observe is None else options.observe(OnnxPolicy(exact))
        quantize_onnx(exact, path, seen)
    if seen is None:
        return "an ONNX actor in int8 with dynamic ranges (--env calibrates static ones)"
    rows = len(next(iter(seen.values())) if isinstance(seen, dict) else seen)
    return f"an ONNX actor in int8, calibrated on {rows} observations"


def _write_sb3(source: Source, path: Path, options: FileOptions) -> str:
    model = export_sb3(source, path, normalize=options.normalize, algorithm=options.algorithm)
    raw = " on raw observations, not clipped as VecNormalize does"
    return f"a model of {type(model).__name__} for plain SB3{'' if options.normalize is None else raw}"


def _write_torch(source: Source, path: Path, options: FileOptions) -> str:
    export_torch(source, path, None, options.normalize, options.notes)
    return "a program for torch.export.load"


def _write_safe(source: Source, path: Path, options: FileOptions) -> str:
    policy = fold_normalization(policy_of_sb3(source), options.normalize)
    save_policy(policy, path)
    return f"a safe file of the policy {type(policy).__name__}"


WRITERS: dict[str, Callable[[Source, Path, FileOptions], str]] = {
    "sb3": _write_sb3,
    "onnx": _write_onnx,
    "torch": _write_torch,
    "c": _write_c,
    "safe": _write_safe,
}
"""What writes each format, and says in words what it wrote."""
