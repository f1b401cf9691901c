"""A file with quantised weights, compared with the agent as it is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_integral.actor import NumpyActor, Source, actor_spec
from sb3_integral.actor.normalization import DrawbackWarning
from sb3_integral.actor.onnx_policy import OnnxPolicy
from sb3_integral.deploy.compress.comparison import Comparer, Comparison
from sb3_integral.deploy.compress.goal import Goal
from sb3_integral.deploy.compress.result import NotAsGoodError
from sb3_integral.deploy.formats import FileOptions, write_file
from sb3_integral.evaluation.actors import Actor, MlpActor, PredictActor


def compare_file(
    kind: str,
    policy: Source,
    options: FileOptions,
    name: str,
    comparer: Comparer,
    allowed_loss: float,
    goal: Goal,
    folder: Path,
    on_progress: Callable[[str], None],
) -> Comparison | None:
    """Compare the arithmetic of a file with that of the agent; None where weights stay float32.

    Args:
        kind: The format.
        policy: The student at the chosen size.
        options: How its file is written.
        name: The name of the policy among what was played.
        comparer: Compares with the agent.
        allowed_loss: How much mean return may be lost.
        goal: Its confidence is that of the test.
        folder: For a file that is tried.
        on_progress: Told what was found.

    Raises:
        NotAsGoodError: If the file is not as good, and the goal requires it.
    """
    weights = options.weights
    if weights == "float32":
        return None
    found = comparer.compare(
        f"{name} with {weights}",
        _actor(kind, policy, options, folder),
        allowed_loss,
        1.0 - goal.confidence,
    )
    text = (
        f"with {weights} weights: mean return {found.mean:.1f} over {len(found.returns)} episodes, "
        f"{found.verdict}"
    )
    on_progress(text)
    if found.verdict != "as good" and goal.is_required:
        raise NotAsGoodError(
            f"{text}, though the size is as good with float32; expected float32, or a lower keep",
            found,
        )
    return found


def _actor(kind: str, policy: Source, options: FileOptions, folder: Path) -> Actor:
    if kind != "onnx":
        spec = actor_spec(policy, folded=False)
        quantized = NumpyActor(spec, options.weights)
        return MlpActor(quantized, spec.observation_space)
    path = folder / "quantized.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DrawbackWarning)  # it is said of the file that stays
        write_file(kind, policy, path, options)
    in_onnxruntime: Any = OnnxPolicy(path)
    return PredictActor(in_onnxruntime)
