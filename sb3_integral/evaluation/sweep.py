"""One policy evaluated at many sizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.evaluation.actors import make_actor
from sb3_integral.evaluation.environments import EnvFactory, evaluation_env
from sb3_integral.evaluation.episodes import (
    MAX_EPISODE_STEPS,
    Episode,
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
        size: The hidden size; the sizes joined by "x" where the hidden layers differ.
        compression: Percentage of the actor's parameters that is gone.
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
    """Evaluate a policy at several sizes, with no retraining; it keeps the size it came with.

    Given the id of an environment, or a function that makes one, every episode starts from a seed of its
    own: episode i is the same at each size and for each policy, and the table of a seed is the same
    whatever the number of workers. Episodes are stepped as batches by an ordinary policy of each size
    (``policy.discretize``), a multilayer perceptron without the cost of SB3's ``predict``. Every episode
    that was begun counts, so that short ones are not favoured.

    Given an environment, each size is evaluated as ``evaluate_policy`` of SB3 does it, which shares out
    the episodes of a vectorised environment evenly. Its environments are seeded once for each size, so
    an episode's start depends on the episodes before it. The distribution of returns is the same, but
    not the episodes. The training environment may be given: its statistics are not updated, but the
    episodes that run in it are lost.

    Args:
        policy: An integral policy, a :class:`~sb3_integral.ResizablePolicy`, or a model with an integral
            policy.
        env: The id of an environment or a function that makes one, which is the fast way; an
            environment, or a vectorised one.
        sizes: The sizes, each an integer or one integer per hidden layer.
        n_eval_episodes: Episodes at each size.
        deterministic: Whether the most likely action is taken, or one drawn.
        seed: Seeds the environments anew for each size, so that all sizes meet the same episodes.
        warn: As in ``evaluate_policy``: whether to warn of a missing ``Monitor``.
        on_size_end: Called after each size.
        n_workers: Processes that play episodes, one thread each; one is this process. More need joblib,
            and an ``env`` that they can make themselves.
        training_env: The environment that the policy was trained in. What it is wrapped in (frame stack,
            transposition, normalisation) is put around ``env`` too, with its statistics. By default that
            of the model, if a model is given.
        max_episode_steps: Steps after which an episode is taken for one that never ends.
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
    max_episode_steps = as_size(max_episode_steps, "max_episode_steps")
    all_sizes = [as_sizes(size, len(policy.max_sizes)) for size in sizes]
    use_masking = use_masking and takes_action_masks(policy)
    wrapped = evaluation_env(policy, env, training_env, use_masking)
    if not isinstance(wrapped, VecEnv):
        actors = [make_actor(policy.discretize(size), deterministic) for size in all_sizes]
        seeds = episode_seeds(seed, n_eval_episodes)
        episodes = play_all(actors, wrapped, seeds, n_workers, max_episode_steps, use_masking)
    elif n_workers > 1:
        raise ValueError(
            f"{n_workers} workers cannot share {env}, expected the id of an environment or a function "
            f"that makes one"
        )
    else:
        if warn and not all(monitored(wrapped)):
            warnings.warn(
                "the environment has no Monitor, so that returns and lengths are those that other "
                "wrappers let through",
                stacklevel=2,
            )
        arguments = (n_eval_episodes, deterministic, max_episode_steps, use_masking)
        episodes = _in_vec_env(policy, wrapped, all_sizes, seed, *arguments)

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


def _in_vec_env(
    policy: Resizable,
    venv: VecEnv,
    sizes: Sequence[tuple[int, ...]],
    seed: int | None,
    *arguments: Any,
) -> Generator[list[Episode], None, None]:
    """Yield the episodes of each size; the arguments are those of :func:`play_vectorized`."""
    with evaluating(venv):
        for size in sizes:
            with policy.resized(size):
                if seed is not None:  # SB3 would draw one from NumPy's generator, which training shares
                    venv.seed(seed)
                yield play_vectorized(policy, venv, *arguments)
