"""The evaluation of one policy at many sizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.evaluation.actors import make_actor
from sb3_integral.evaluation.environments import EnvFactory, evaluation_env
from sb3_integral.evaluation.episodes import (
    MAX_EPISODE_STEPS,
    Episode,
    EpisodeRules,
    episode_seeds,
    evaluating,
    monitored,
    play_vectorized,
)
from sb3_integral.evaluation.workers import play_all
from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.policies.masking import takes_action_masks


class SweepEpisode(NamedTuple):
    """One episode of a sweep; a list of them is a table for ``pandas.DataFrame``.

    Attributes:
        size: The hidden size; the sizes joined by "x" if the hidden layers differ.
        compression: Percentage of the actor's parameters that is removed.
        episode: Number of the episode at this size, from 0.
        episode_return: Sum of rewards.
        length: Number of steps.
    """

    size: int | str
    compression: float
    episode: int
    episode_return: float
    length: int

    @property
    def episode_length(self) -> int:
        """Number of steps, named like ``episode_return``."""
        return self.length


def evaluate_resize_sweep(
    policy: Resizable | BaseAlgorithm,
    env: GymEnv | str | EnvFactory,
    sizes: Sequence[Size],
    n_eval_episodes: int = 15,
    deterministic: bool = True,
    seed: int | None = None,
    warn: bool = True,
    on_size_end: Callable[[], None] | None = None,
    n_workers: int = 1,
    *,
    training_env: VecEnv | None = None,
    max_episode_steps: int = MAX_EPISODE_STEPS,
    use_masking: bool = True,
) -> list[SweepEpisode]:
    """Evaluate a policy at several sizes, with no retraining; it keeps its own size.

    With the id of an environment, or a function that makes one, every episode has its own seed: episode
    i is the same at each size and for each policy, with any number of workers. Episodes are stepped in
    batches by an ordinary policy of each size (``policy.discretize``), and multilayer perceptrons
    without the cost of SB3's ``predict``. Every episode that begins counts, so that short episodes have
    no advantage.

    With an environment, each size is evaluated like SB3's ``evaluate_policy``, which splits the episodes
    evenly between the environments of a vectorised one. These are seeded once for each size, so an
    episode's start depends on the episodes before it. The training environment may be given: its
    statistics are not updated, but its running episodes are lost.

    Args:
        policy: An integral policy, a :class:`~sb3_integral.ResizablePolicy`, or a model with an integral
            policy.
        env: The id of an environment or a function that makes one, which is the fast way; an
            environment, or a vectorised one.
        sizes: The sizes, each an integer or one integer per hidden layer.
        n_eval_episodes: Episodes at each size.
        deterministic: Whether the most likely action is taken, or one is drawn.
        seed: Seeds the environments anew for each size, so that all sizes meet the same episodes.
        warn: Whether to warn of a missing ``Monitor``, as in ``evaluate_policy``.
        on_size_end: Called after each size.
        n_workers: Number of processes that play episodes, one thread each; one is this process. More
            need joblib, and an ``env`` that is an id or a function.
        training_env: The training environment. ``env`` gets the same wrappers (frame stack,
            transposition, normalisation with its statistics). By default that of the model, if a model
            is given.
        max_episode_steps: Steps after which an episode counts as one that never ends.
        use_masking: Whether MaskablePPO's policy is told which actions the environment allows.

    Returns:
        A row per size and episode, in order; ``pandas.DataFrame(rows)`` is the table.

    Raises:
        ValueError: If a size or a number is not a positive integer, the policy can't be resized, the
            environment can't be made or does not fit the policy, or several workers are to share one
            environment. Nothing has run then.
        EndlessEpisodeError: If an episode has more than ``max_episode_steps`` steps; a ValueError.
    """
    if training_env is None and isinstance(policy, BaseAlgorithm):
        training_env = policy.get_env()
    policy = as_resizable(policy)
    n_eval_episodes = as_size(n_eval_episodes, "n_eval_episodes")
    n_workers = as_size(n_workers, "n_workers")
    rules = EpisodeRules(deterministic, max_episode_steps, use_masking)
    all_sizes = [as_sizes(size, len(policy.max_sizes)) for size in sizes]
    wrapped = evaluation_env(policy, env, training_env, use_masking)
    if isinstance(wrapped, VecEnv):
        if n_workers > 1:
            raise ValueError(
                f"{n_workers} workers cannot share {env}, expected an environment's id or a function "
                f"that makes one"
            )
        if warn and not all(monitored(wrapped)):
            warnings.warn(
                "the environment has no Monitor, so that returns and lengths are those that other "
                "wrappers let through",
                stacklevel=2,
            )
    episodes = play_sizes(policy, wrapped, all_sizes, n_eval_episodes, seed, rules, n_workers)
    rows: list[SweepEpisode] = []
    with closing(episodes):
        for size, of_size in zip(all_sizes, episodes, strict=True):
            label = size[0] if len(set(size)) == 1 else "x".join(map(str, size)) or "full"
            compression = policy.compression(size)
            rows += [
                SweepEpisode(label, compression, number, *episode)
                for number, episode in enumerate(of_size)
            ]
            if on_size_end is not None:
                on_size_end()
    return rows


def play_sizes(
    policy: Resizable,
    env: VecEnv | EnvFactory,
    sizes: Sequence[tuple[int, ...]],
    n_episodes: int,
    seed: int | None,
    rules: EpisodeRules,
    n_workers: int = 1,
) -> Generator[list[Episode], None, None]:
    """Play the same episodes at each of several sizes.

    Args:
        policy: Chooses the actions; it has its own size again afterwards.
        env: A result of :func:`~sb3_integral.evaluation.evaluation_env`.
        sizes: The sizes.
        n_episodes: Number of episodes at each size.
        seed: Seeds the episodes of each size.
        rules: How they are played; a policy without action masks is not masked.
        n_workers: Number of processes, if ``env`` is a function.

    Yields:
        The episodes of each size.

    Raises:
        EndlessEpisodeError: If an episode is too long.
    """
    rules = replace(rules, use_masking=rules.use_masking and takes_action_masks(policy))
    if not isinstance(env, VecEnv):
        actors = [make_actor(policy.discretize(size), rules.deterministic) for size in sizes]
        yield from play_all(actors, env, episode_seeds(seed, n_episodes), n_workers, rules)
        return
    with evaluating(env):
        for size in sizes:
            with policy.resized(size):
                if seed is not None:  # SB3 would draw one from NumPy's generator, which training uses
                    env.seed(seed)
                yield play_vectorized(policy, env, n_episodes, rules)
