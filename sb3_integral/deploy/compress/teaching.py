"""A student that is taught until its full size is as good as the agent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from sb3_integral.deploy.compress.checkpoints import Checkpoints
from sb3_integral.deploy.compress.teacher import Teacher
from sb3_integral.imitation import CloningConfig, Demonstrations, StudentArchitecture, clone
from sb3_integral.imitation.dagger import labelled_episodes
from sb3_integral.imitation.observations import Observations
from sb3_integral.policies import LogUniformSizes, as_resizable

N_ENVS = 8
"""Environments in which demonstrations are driven side by side."""

LABELS = (5_000, 10_000, 20_000, 40_000, 80_000, 160_000)
"""How many labels the agent has given by the end of each round; each adds the first number at least."""

STEPS = (6_000, 10_000, 16_000, 24_000, 32_000, 40_000)
"""For how many steps the student of each round is trained."""

SMALLEST_DRIVER = 5
"""The smallest size at which a student drives."""


@dataclass(frozen=True)
class Limits:
    """When teaching ends although the student is not as good.

    Args:
        max_rounds: At most so many rounds.
        seconds: No round begins after so many seconds.
    """

    max_rounds: int = len(LABELS)
    seconds: float = math.inf


@dataclass(frozen=True)
class Taught:
    """A student and what it learned from.

    Attributes:
        student: It has its full size.
        demonstrations: Original observations, and the agent's actions.
        rounds: How many rounds it took.
    """

    student: ActorCriticPolicy
    demonstrations: Demonstrations
    rounds: int


def teach(
    teacher: Teacher,
    architecture: StudentArchitecture,
    checkpoints: Checkpoints,
    is_good: Callable[[ActorCriticPolicy, int], bool],
    limits: Limits,
    seed: int,
    on_progress: Callable[[str], None],
) -> Taught:
    """Teach a student in rounds, each with twice the labels, until its full size is as good.

    In the first round the agent drives, and in all others the last student, half of the time at full
    size and half at a random one, since small networks visit other states than large ones. The agent
    labels what they meet. Each round's student is trained anew from all labels.

    Args:
        teacher: The agent and its environments.
        architecture: The student's.
        checkpoints: Where finished rounds are kept.
        is_good: Whether a round's student is as good as the agent.
        limits: When to stop all the same.
        seed: Draws everything.
        on_progress: Told what is done next.
    """
    began = time.monotonic()
    parts: list[Demonstrations] = []
    student: ActorCriticPolicy | None = None
    for number in range(min(limits.max_rounds, len(LABELS))):
        # Whole episodes are driven, which can give more than a round asked for.
        wanted = max(LABELS[number] - sum(map(len, parts)), LABELS[0])
        on_progress(f"round {number + 1}: {wanted:,} observations are labelled")
        parts.append(
            checkpoints.demonstrations(
                f"labels-{number}",
                lambda number=number, wanted=wanted, student=student: _label(  # type: ignore[misc]
                    teacher, student, wanted, number, seed
                ),
            )
        )
        labelled = joined(parts)
        on_progress(f"round {number + 1}: a student learns from {len(labelled):,} observations")
        student = checkpoints.student(
            f"student-{number}",
            lambda number=number, labelled=labelled: _train(  # type: ignore[misc]
                teacher, architecture, labelled, STEPS[number], seed
            ),
        )
        if is_good(student, number) or time.monotonic() - began > limits.seconds:
            break
    assert student is not None
    return Taught(student, labelled, number + 1)


def _label(
    teacher: Teacher, student: ActorCriticPolicy | None, n_labels: int, number: int, seed: int
) -> list[object]:
    rng = np.random.default_rng([seed, number])
    env = teacher.environment(N_ENVS, int(rng.integers(2**31)))
    try:
        if student is None:
            return list(labelled_episodes(None, teacher.source, env, n_labels, None, rng))
        largest = max(as_resizable(student).max_sizes)
        size = LogUniformSizes(min(SMALLEST_DRIVER, largest), largest).draw(rng)
        episodes: list[object] = []
        for driven_at, share in ((None, n_labels // 2), (size, n_labels - n_labels // 2)):
            episodes += labelled_episodes(student, teacher.source, env, share, driven_at, rng, True)
        return episodes
    finally:
        env.close()


def _train(
    teacher: Teacher,
    architecture: StudentArchitecture,
    demonstrations: Demonstrations,
    n_steps: int,
    seed: int,
) -> ActorCriticPolicy:
    student = architecture.build(teacher.observation_space, teacher.action_space, seed)
    config = CloningConfig(seed=seed)
    batch_size = min(config.batch_size, len(demonstrations))
    n_epochs = math.ceil(n_steps / (len(demonstrations) // batch_size))
    return clone(student, demonstrations, config, n_epochs=n_epochs, batch_size=batch_size)


def joined(parts: Sequence[Demonstrations]) -> Demonstrations:
    """Return several sets of demonstrations as one."""

    def all_of(tensors: list[Observations]) -> Observations:
        if isinstance(tensors[0], dict):
            return {key: torch.cat([one[key] for one in tensors]) for key in tensors[0]}  # type: ignore[index]
        undivided: list[Tensor] = tensors  # type: ignore[assignment]
        return torch.cat(undivided)

    return Demonstrations(
        all_of([part.observations for part in parts]),
        torch.cat([part.actions for part in parts]),
        torch.cat([part.returns for part in parts]),
    )
