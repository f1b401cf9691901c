"""DAgger: the expert labels the states that the student visits, in imitation's rollout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from imitation.data import rollout
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_integral.imitation.cloning import CloningConfig, train
from sb3_integral.imitation.demonstrations import Demonstrations
from sb3_integral.imitation.original_env import OriginalEnv
from sb3_integral.imitation.policy_callables import expert_actions, student_actions
from sb3_integral.imitation.training_sizes import check_largest, size_per_layer
from sb3_integral.nn import as_size
from sb3_integral.policies import SizeDistribution
from sb3_integral.policies.kinds import is_integral
from sb3_integral.policies.masking import action_masks, has_action_masks


class Aggregated(NamedTuple):
    """The result of DAgger.

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
    config: CloningConfig = CloningConfig(),
    *,
    n_rounds: int = 10,
    epochs_per_round: int = 4,
    rollout_sizes: SizeDistribution | None = None,
    on_round_end: Callable[[int], None] | None = None,
    **settings: Any,
) -> Aggregated:
    """Train a student on the states that it visits itself, labelled by the expert.

    The expert drives in the first round, the student in all others (Ross et al. 2011, with their
    parameter-free schedule of the mixture). After each round the student is cloned from all labels so
    far; observations are standardised by the statistics of the first round. Masks and ``VecNormalize``
    are treated as in :func:`~sb3_integral.imitation.stream_episodes`.

    Args:
        policy: The student, plain or integral; trained in place.
        expert: An SB3 policy or algorithm, or a callable, as imitation's ``rollout`` takes it.
        venv: The expert's environment; seed it before. A round drives a whole episode in each of its
            copies at least, so take few of them.
        n_labels: How many labels the student learns from. Whole episodes are driven, so the expert is
            asked for some more.
        config: How the student is cloned. Its passes are those after the last round. Batches are
            smaller while there are fewer labels than one holds.
        n_rounds: Rounds, each of an equal share of the labels.
        epochs_per_round: Passes over the labels after each round but the last.
        rollout_sizes: Draw the size at which an integral student drives a round; its full size where
            None. Small networks visit states that large ones do not.
        on_round_end: Called with the number of labels so far.
        **settings: Fields of the configuration, in place of its own.

    Raises:
        ValueError: If a number is not positive, if a size is larger than the student, or if the expert's
            actions do not fit the student.
    """
    n_labels, n_rounds = as_size(n_labels, "n_labels"), as_size(n_rounds, "n_rounds")
    config = dataclasses.replace(config, **settings)
    if is_integral(policy) and rollout_sizes is not None:
        check_largest(rollout_sizes, policy.max_sizes)
    rng = np.random.default_rng(config.seed)
    env = OriginalEnv(venv)
    episodes: list[TrajectoryWithRew] = []
    for number in range(n_rounds):
        wanted = n_labels * (number + 1) // n_rounds - sum(map(len, episodes))
        if wanted > 0:
            size = None if rollout_sizes is None else rollout_sizes.draw(rng)
            student = None if number == 0 else policy
            episodes += labelled_episodes(student, expert, env, wanted, size, rng)
        if on_round_end is not None:
            on_round_end(min(n_labels, sum(map(len, episodes))))
        demonstrations = Demonstrations.from_episodes(episodes, n_labels)
        in_this_round = dataclasses.replace(
            config,
            n_epochs=epochs_per_round if number + 1 < n_rounds else config.n_epochs,
            batch_size=min(config.batch_size, len(demonstrations)),
            seed=int(rng.integers(2**31)),
        )
        train(policy, demonstrations, in_this_round, begin=number == 0)
    return Aggregated(policy, demonstrations)


def labelled_episodes(
    student: ActorCriticPolicy | None,
    expert: rollout.AnyPolicy,
    env: OriginalEnv,
    n_labels: int,
    size: int | None,
    rng: np.random.Generator,
    deterministic: bool = False,
) -> list[TrajectoryWithRew]:
    """Have episodes driven by a student, or by the expert if there is none, and labelled.

    Args:
        student: Drives; None stands for the expert.
        expert: Labels, with its most likely actions.
        env: Where.
        n_labels: At least so many; episodes are driven to their end.
        size: At which an integral student drives; None is its full size.
        rng: Draws the student's actions and orders the episodes.
        deterministic: Whether the student takes its most likely actions, or draws them.
    """
    driven: VecEnv = env if student is None else _DrivenByStudent(env, student, deterministic)
    with ExitStack() as stack:
        stack.enter_context(env.frozen())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(int(rng.integers(2**31)))
        if is_integral(student) and size is not None:
            stack.enter_context(student.resized(size_per_layer(size, student.max_sizes)))
        act = expert_actions(expert, env, deterministic=True)
        until = rollout.make_min_timesteps(n_labels)
        return list(rollout.generate_trajectories(act, driven, until, rng))


class _DrivenByStudent(VecEnvWrapper):
    """Takes the student's actions in place of those that it is given, which are labels."""

    def __init__(self, env: OriginalEnv, student: ActorCriticPolicy, deterministic: bool) -> None:
        super().__init__(env)
        self._student = student
        self._deterministic = deterministic
        self._has_masks = has_action_masks(env)

    def reset(self) -> VecEnvObs:
        self._observations = self.venv.reset()
        return self._observations

    def step_async(self, actions: np.ndarray) -> None:
        masks = action_masks(self.venv) if self._has_masks else None
        self.venv.step_async(
            student_actions(self._student, self._observations, masks, self._deterministic)
        )

    def step_wait(self) -> VecEnvStepReturn:
        self._observations, rewards, dones, infos = self.venv.step_wait()
        return self._observations, rewards, dones, infos
