"""The way from a trained agent to the smallest file that does the same job."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_integral._version import __version__
from sb3_integral.actor import Notes, example_observation, ordinary_policy
from sb3_integral.actor.normalization import DrawbackWarning
from sb3_integral.actor.quantized import Weights
from sb3_integral.atomic import check_file_target
from sb3_integral.deploy.compress.candidates import candidates
from sb3_integral.deploy.compress.checkpoints import Checkpoints, digest
from sb3_integral.deploy.compress.choosing import choose
from sb3_integral.deploy.compress.comparison import AGENT_EPISODES, BATCH, Comparer
from sb3_integral.deploy.compress.goal import Goal
from sb3_integral.deploy.compress.quantized import compare_file
from sb3_integral.deploy.compress.report import write_report
from sb3_integral.deploy.compress.result import Compressed
from sb3_integral.deploy.compress.teacher import Teacher, read_teacher
from sb3_integral.deploy.compress.teaching import LABELS, Limits, teach
from sb3_integral.deploy.costs import actor_parameters
from sb3_integral.deploy.formats import FileOptions, check_format, write_file
from sb3_integral.deploy.latency import latencies_us, one_thread
from sb3_integral.evaluation import EnvFactory
from sb3_integral.evaluation.environments import Env
from sb3_integral.imitation import StudentArchitecture
from sb3_integral.policies import as_resizable
from sb3_integral.policies.serialization import save_policy

HIDDEN_SIZES = (100, 100)
"""The student's full size, as in the paper."""


def compress(
    agent: BaseAlgorithm | BasePolicy | Path | str,
    env: str | EnvFactory | Env | None = None,
    output: Path | str = "actor.onnx",
    *,
    keep: float | None = None,
    tolerance: float | None = None,
    confidence: float = 0.95,
    max_parameters: int | None = None,
    max_bytes: int | None = None,
    max_macs: int | None = None,
    format: str | None = None,
    name: str = "policy",
    weights: Weights = "float32",
    notes: Notes | None = None,
    folder: Path | str | None = None,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    frames: int = 1,
    max_rounds: int = len(LABELS),
    max_episodes: int = 1000,
    max_seconds: float = math.inf,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda what: None,
) -> Compressed:
    """Write the smallest file found that does what a trained agent does, with a test of that.

    A resizable student is taught by the agent, in DAgger's way, until its full size is as good. Then
    sizes are bisected, those of each layer apart. A size is as good if a one-sided paired test says that
    its mean return is at most the allowed loss below the agent's; both play the same episodes, as many
    as the decision takes. What is finished is kept in ``folder``: called again with the same arguments
    after an interruption, it goes on there, and ends with the same file.

    Args:
        agent: A model of SB3 or sb3-contrib, a policy, or the file or rl-zoo3's folder of one. Zip files
            are pickles, which can run code: give only those that you trust.
        env: The environment: an id, what makes one, or a registered environment. By default the one
            that a model in memory was trained in, or that a folder names.
        output: The file. Its ending says the format: ``.onnx``, ``.h``, ``.zip`` (plain SB3), ``.pt2``
            or ``.safetensors``.
        keep: The share of the agent's mean return above that of random actions that must be kept; 0.98
            by default. If there is a limit and neither this nor ``tolerance`` is given, the best size
            within the limit is written although it keeps less; the result says how much.
        tolerance: How much mean return may be lost; takes the place of ``keep``.
        confidence: The probability that the chosen size is as good as asked.
        max_parameters: Most weights and biases.
        max_bytes: Most bytes that these take in float32.
        max_macs: Most multiply-accumulates for one observation.
        format: The format, where the ending does not say it.
        name: How names in a C header begin.
        weights: How the file keeps its weights: ``int8`` for ONNX and C, ``int4`` or ``q15`` for C.
        notes: What the file says besides.
        folder: For the student, the report and what is not finished; by default beside the file.
        hidden_sizes: The student's full size.
        frames: How many of the last observations the student sees as one, the newest last. A student
            has no memory: for a recurrent agent, or one whose job needs more than the last observation,
            take some. The file then reads that many observations behind each other, of zeros before the
            first one.
        max_rounds: Most rounds of teaching, each with twice the labels of the last.
        max_episodes: Most episodes that one size is tested with; 32 are the least.
        max_seconds: No round of teaching begins after so many seconds.
        seed: Draws everything.
        on_progress: Told what is done next.

    Raises:
        ValueError: If an argument is out of range, or the agent or its environment is not supported.
            Nothing was run then.
        NotAsGoodError: If no size within the limits is as good; a ValueError. No file is written, and
            the folder keeps what was learned.
    """
    began = time.monotonic()
    goal = Goal(keep, tolerance, confidence, max_parameters, max_bytes, max_macs)
    output = Path(output)
    kind = check_format(output, format, weights)
    work = Path(folder) if folder is not None else output.with_name(f"{output.name}-compression")
    if output.resolve().is_relative_to(work.resolve()):
        raise ValueError(f"{output} is in {work}, the folder of the compression; expected another place")
    check_file_target(output)
    teacher = read_teacher(agent, env, frames)
    check_file_target(output, teacher.files)
    notes = replace(notes or Notes(), env_id=teacher.env_name)
    notes.named(teacher.observation_space, teacher.action_space)
    # A student is an actor-critic policy; A2C is the plainest algorithm that has one.
    options = FileOptions(name, weights, notes, algorithm=A2C)
    architecture = StudentArchitecture("integral", tuple(hidden_sizes))
    _check_file(kind, architecture, teacher, output, options)
    limits = Limits(max_rounds, max_seconds)
    compression = _Compression(
        teacher, goal, architecture, limits, max_episodes, seed, kind, output, options, work, on_progress
    )
    return compression.run(began)


@dataclass(frozen=True)
class _Compression:
    """A compression whose arguments were checked; see :func:`compress`."""

    teacher: Teacher
    goal: Goal
    architecture: StudentArchitecture
    limits: Limits
    max_episodes: int
    seed: int
    format: str
    output: Path
    options: FileOptions
    folder: Path
    on_progress: Callable[[str], None]

    def run(self, began: float) -> Compressed:
        """Teach, choose and write, as far as that was not done before; ``began`` is for the report."""
        teacher, goal, on_progress = self.teacher, self.goal, self.on_progress
        checkpoints = Checkpoints(self.folder, _settings(teacher, goal, self.architecture, self.seed))
        comparer = Comparer(teacher, checkpoints, goal.confidence, self.max_episodes, self.seed)
        on_progress("the agent and random actions are measured")
        agent_return = float(np.mean(comparer.agent(AGENT_EPISODES)))
        random_return = float(np.mean(comparer.random(2 * BATCH)))
        allowed = goal.allowed_loss(agent_return, random_return)
        is_good = _full_size_test(comparer, allowed, goal, on_progress)
        taught = teach(
            teacher, self.architecture, checkpoints, is_good, self.limits, self.seed, on_progress
        )
        student: Any = taught.student
        found = candidates(student, taught.demonstrations, goal)
        on_progress(f"{len(found)} sizes are worth a test")
        last = f"student-{taught.rounds - 1}"
        chosen, trials = choose(student, last, found, comparer, allowed, goal, on_progress)
        with student.resized(chosen):
            of_file = compare_file(
                self.format,
                student,
                self.options,
                f"{last} at {chosen}",
                comparer,
                allowed,
                goal,
                self.folder,
                on_progress,
            )
            # Rounded weights lose less where standardisation is not folded into them.
            is_exact = self.options.weights == "float32"
            source = student.discretize() if is_exact else student
            write_file(self.format, source, self.output, self.options)
        save_policy(student, self.folder / "student.safetensors")
        result = Compressed(
            sizes=chosen,
            file=self.output,
            folder=self.folder,
            student=student,
            trials=trials,
            agent_parameters=_agent_parameters(teacher),
            agent_us=_agent_us(teacher),
            agent_return=agent_return,
            random_return=random_return,
            allowed_loss=allowed,
            episodes=comparer.episodes,
            labels=len(taught.demonstrations),
            seconds=time.monotonic() - began,
            of_file=of_file,
        )
        write_report(result, teacher.env_name)
        return result


def _check_file(
    kind: str, architecture: StudentArchitecture, teacher: Teacher, output: Path, options: FileOptions
) -> None:
    """Write an untrained student, so that what a format cannot hold is refused before the work."""
    student = architecture.build(teacher.observation_space, teacher.action_space, seed=0)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DrawbackWarning)  # it is said of the file that stays
        write_file(kind, as_resizable(student).discretize(), Path(folder, output.name), options)


def _settings(
    teacher: Teacher, goal: Goal, architecture: StudentArchitecture, seed: int
) -> dict[str, Any]:
    """Return all that a compression's result depends on."""
    return {
        "version": __version__,
        "agent": digest(teacher.policy),
        "environment": teacher.env_name,
        "hidden_sizes": list(architecture.hidden_sizes),
        "frames": teacher.frames,
        "seed": seed,
        "goal": asdict(goal),
    }


def _full_size_test(
    comparer: Comparer, allowed_loss: float, goal: Goal, on_progress: Callable[[str], None]
) -> Callable[[ActorCriticPolicy, int], bool]:
    """Return whether a round's student, at its full size, is as good as the agent."""

    def is_good(student: ActorCriticPolicy, number: int) -> bool:
        full = as_resizable(student).discretize()
        found = comparer.compare(f"student-{number}", full, allowed_loss, 1.0 - goal.confidence)
        on_progress(
            f"round {number + 1}: the student returns {found.mean:.1f}, the agent "
            f"{found.mean - found.difference:.1f} ({found.verdict}, {len(found.returns)} episodes)"
        )
        return found.verdict == "as good"

    return is_good


def _agent_parameters(teacher: Teacher) -> int:
    """Return how many weights and biases the agent's actor has, or its policy if that is not known."""
    try:
        return actor_parameters(ordinary_policy(teacher.source))
    except ValueError:  # a policy of somebody's own
        return sum(parameter.numel() for parameter in teacher.policy.parameters())


def _agent_us(teacher: Teacher) -> float:
    """Return how long the agent's ``predict`` takes for one observation, in microseconds."""
    policy = teacher.policy
    observation = example_observation(policy.observation_space)
    with one_thread():
        taken = latencies_us(lambda one: policy.predict(one, deterministic=True), observation)
    return float(np.median(taken))
