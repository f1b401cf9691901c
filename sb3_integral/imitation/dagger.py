"""DAgger: the expert labels the states that the student visits, by imitation's collector."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import torch
from imitation.algorithms.dagger import InteractiveTrajectoryCollector
from imitation.data import rollout
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sb3_integral.imitation.cloning import clone
from sb3_integral.imitation.demonstrations import Demonstrations, no_progress_bars
from sb3_integral.nn import as_size
from sb3_integral.policies import IntegralPolicy, SizeDistribution


class Aggregated(NamedTuple):
    """What DAgger came to.

    Attributes:
        policy: The student.
        demonstrations: The states that were visited, with the expert's actions.
    """

    policy: ActorCriticPolicy
    demonstrations: Demonstrations


def dagger(
    policy: ActorCriticPolicy,
    expert: rollout.AnyPolicy,
    venv: VecEnv,
    n_labels: int,
    *,
    n_rounds: int = 10,
    n_epochs: int = 4,
    final_epochs: int = 30,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    random_sizes: SizeDistribution | bool = True,
    rollout_sizes: SizeDistribution | None = None,
    seed: int = 0,
    on_round_end: Callable[[int], None] | None = None,
) -> Aggregated:
    """Train a student on the states that it visits itself, labelled by the expert.

    The expert drives in the first round, the student in all others (Ross et al. 2011, with their
    parameter-free schedule of the mixture). After each round the student is cloned from all that was
    labelled so far, by :func:`~sb3_integral.imitation.clone`.

    Args:
        policy: The student, plain or integral; trained in place.
        expert: What imitation's ``rollout`` takes: an SB3 policy or algorithm, or a callable.
        venv: Gives raw observations; seed it before. A round drives a whole episode in each of its
            copies at least, so take few of them.
        n_labels: How many actions the expert is asked for and the student learns from. Whole episodes
            are driven, so that some more are asked for in the last round, and left out.
        n_rounds: Rounds, each of an equal share of the labels.
        n_epochs: Passes over the labels after each round but the last.
        final_epochs: Passes after the last.
        batch_size: Transitions in a step.
        learning_rate: Adam's.
        random_sizes: As for ``clone``.
        rollout_sizes: Draw the size at which an integral student drives a round; its full size where
            None. Small networks visit states that large ones do not.
        seed: Of every random choice but the environments'.
        on_round_end: Called with the number of labels so far.

    Raises:
        ValueError: If a number is not positive, or if the expert's actions do not fit the student.
    """
    n_labels, n_rounds = as_size(n_labels, "n_labels"), as_size(n_rounds, "n_rounds")
    rng = np.random.default_rng(seed)
    episodes: list[TrajectoryWithRew] = []
    for number in range(n_rounds):
        wanted = n_labels * (number + 1) // n_rounds - sum(map(len, episodes))
        if wanted > 0:
            size = None if rollout_sizes is None else rollout_sizes.draw(rng)
            episodes += _labelled(policy, expert, venv, wanted, number == 0, size, rng)
        if on_round_end is not None:
            on_round_end(min(n_labels, sum(map(len, episodes))))
        demonstrations = _first(episodes, n_labels)
        clone(
            policy,
            demonstrations,
            n_epochs=n_epochs if number + 1 < n_rounds else final_epochs,
            batch_size=min(batch_size, len(demonstrations.observations)),
            learning_rate=learning_rate,
            random_sizes=random_sizes,
            seed=int(rng.integers(2**31)),
        )
    return Aggregated(policy, demonstrations)


def _labelled(
    policy: ActorCriticPolicy,
    expert: rollout.AnyPolicy,
    venv: VecEnv,
    n_labels: int,
    expert_drives: bool,
    size: int | None,
    rng: np.random.Generator,
) -> Sequence[TrajectoryWithRew]:
    """Have episodes driven and labelled; the student has its own size again afterwards."""
    with ExitStack() as stack:
        if isinstance(policy, IntegralPolicy) and size is not None:
            stack.enter_context(policy.resized(size))
        with tempfile.TemporaryDirectory() as folder, no_progress_bars():
            collector = InteractiveTrajectoryCollector(
                venv=venv,
                get_robot_acts=lambda observations: policy.predict(observations)[0],
                beta=1.0 if expert_drives else 0.0,
                save_dir=folder,
                rng=rng,
            )
            until = rollout.make_min_timesteps(n_labels)
            return rollout.generate_trajectories(
                expert,
                collector,
                until,
                rng,
                # imitation has callables decide for themselves.
                deterministic_policy=isinstance(expert, BaseAlgorithm | BasePolicy),
            )


def _first(episodes: Sequence[TrajectoryWithRew], n_labels: int) -> Demonstrations:
    """Return the first labels of episodes."""

    def tensor(parts: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.concatenate(parts)[:n_labels])

    return Demonstrations(
        observations=tensor([np.asarray(episode.obs)[:-1] for episode in episodes]),
        actions=tensor([episode.acts for episode in episodes]),
        returns=torch.tensor([float(episode.rews.sum()) for episode in episodes]),
    )
