"""The evaluation of one policy at many sizes."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_integral.evaluation.actors import Actor, make_actor
from sb3_integral.evaluation.environments import (
    Env,
    EnvFactory,
    FromSpec,
    evaluation_env,
    open_environments,
)
from sb3_integral.evaluation.episodes import (
    MAX_EPISODE_STEPS,
    Episode,
    EpisodeRules,
    blocks,
    episode_seeds,
    evaluating,
    monitored,
    play,
    play_vectorized,
)
from sb3_integral.mujoco_warnings import SHOWN, show_mujoco_warnings_once
from sb3_integral.nn import Size, as_size, as_sizes
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.policies.masking import takes_action_masks
from sb3_integral.requirements import require

Sizes = tuple[int, ...]


class SweepEpisode(NamedTuple):
    """One episode of a sweep.

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

    With an id or a function, every episode has its own seed: episode i is the same at each size and for
    each policy, with any number of workers, and every episode that begins counts. An environment is
    evaluated as by SB3's ``evaluate_policy`` and is seeded once for each size. If it is the training
    environment, its statistics stay, but its running episodes are lost.

    Args:
        policy: An integral policy, a :class:`~sb3_integral.ResizablePolicy`, or a model of the former.
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
        training_env: ``env`` gets its wrappers and statistics; by default that of a model.
        max_episode_steps: Steps after which an episode counts as one that never ends.
        use_masking: Whether MaskablePPO's policy is told which actions the environment allows.

    Returns:
        A row per size and episode, in order; ``pandas.DataFrame(rows)`` is the table.

    Raises:
        ValueError: If a size or a number is not a positive integer, the policy can't be resized, the
            environment can't be made or does not fit the policy, or is one for several workers.
        EndlessEpisodeError: If an episode has more than ``max_episode_steps`` steps; a ValueError.
    """
    player = SizePlayer.from_env(
        policy, env, training_env, EpisodeRules(deterministic, max_episode_steps, use_masking)
    )
    n_eval_episodes = as_size(n_eval_episodes, "n_eval_episodes")
    all_sizes = [as_sizes(size, len(player.policy.max_sizes)) for size in sizes]
    _check_sharing(player.env, as_size(n_workers, "n_workers"), warn)
    episodes = player.play(all_sizes, n_eval_episodes, seed, n_workers)
    rows: list[SweepEpisode] = []
    with closing(episodes):
        for size, of_size in zip(all_sizes, episodes, strict=True):
            rows += _rows(player.policy, size, of_size)
            if on_size_end is not None:
                on_size_end()
    return rows


def _check_sharing(env: VecEnv | EnvFactory, n_workers: int, warn: bool) -> None:
    if not isinstance(env, VecEnv):
        return
    if n_workers > 1:
        raise ValueError(
            f"{n_workers} workers cannot share {env}, expected an environment's id or a function "
            f"that makes one"
        )
    if warn and not all(monitored(env)):
        warnings.warn(
            "the environment has no Monitor, so that returns and lengths are those that other "
            "wrappers let through",
            stacklevel=3,
        )


def _rows(policy: Resizable, size: Sizes, episodes: Sequence[Episode]) -> list[SweepEpisode]:
    label = size[0] if len(set(size)) == 1 else "x".join(map(str, size)) or "full"
    compression = policy.compression(size)
    return [SweepEpisode(label, compression, i, *episode) for i, episode in enumerate(episodes)]


@dataclass(frozen=True)
class SizePlayer:
    """Plays episodes of one policy at several sizes, in a result of :func:`evaluation_env`."""

    policy: Resizable
    env: VecEnv | EnvFactory
    rules: EpisodeRules

    @classmethod
    def from_env(
        cls,
        policy: Resizable | BaseAlgorithm,
        env: GymEnv | str | EnvFactory,
        training_env: VecEnv | None,
        rules: EpisodeRules,
    ) -> SizePlayer:
        """Wrap the environment for a policy."""
        if training_env is None and isinstance(policy, BaseAlgorithm):
            training_env = policy.get_env()
        resizable = as_resizable(policy)
        wrapped = evaluation_env(resizable, env, training_env, rules.use_masking)
        use_masking = rules.use_masking and takes_action_masks(resizable)
        return cls(resizable, wrapped, replace(rules, use_masking=use_masking))

    def play(
        self, sizes: Sequence[Sizes], n_episodes: int, seed: int | None, n_workers: int = 1
    ) -> Generator[list[Episode], None, None]:
        """Play the same episodes at each size, and yield them size by size.

        The policy has its own size again afterwards.

        Raises:
            EndlessEpisodeError: If an episode is too long.
        """
        policy, env, rules = self.policy, self.env, self.rules
        if not isinstance(env, VecEnv):
            actors = [make_actor(policy.discretize(size), rules.deterministic) for size in sizes]
            yield from play_all(actors, env, episode_seeds(seed, n_episodes), n_workers, rules)
            return
        with evaluating(env):
            for size in sizes:
                with policy.resized(size):
                    if seed is not None:  # SB3 would draw it from NumPy's generator, as training does
                        env.seed(seed)
                    yield play_vectorized(policy, env, n_episodes, rules)


def play_all(
    actors: Sequence[Actor],
    factory: EnvFactory,
    seeds: Sequence[int],
    n_workers: int,
    rules: EpisodeRules,
) -> Generator[list[Episode], None, None]:
    """Play the same episodes with each of several actors; how many workers there are changes nothing."""
    shares = blocks(seeds)
    tasks = [(actor, share) for actor in actors for share in shares]
    if n_workers == 1:
        with open_environments(factory, len(shares[0])) as envs:
            yield from _grouped((play(actor, envs, share, rules) for actor, share in tasks), len(shares))
        return
    require("experiments", "joblib")
    from joblib import Parallel, delayed

    # Environments of an id can serve the next sweep too; a function may make others next time.
    key = factory if isinstance(factory, FromSpec) else uuid.uuid4().hex
    played = Parallel(n_workers, return_as="generator", max_nbytes=None)(
        delayed(_play_in_worker)((key, len(shares[0])), factory, actor, share, rules, SHOWN)
        for actor, share in tasks
    )
    yield from _grouped(played, len(shares))


def _grouped(played: Iterable[list[Episode]], n_shares: int) -> Iterable[list[Episode]]:
    return (list(chain(*shares)) for shares in zip(*[iter(played)] * n_shares, strict=True))


class _Opened:
    """The environments of a worker, which serve several tasks because making one can take long."""

    key: object = None
    envs: Sequence[Env] = ()
    context: AbstractContextManager[Sequence[Env]] | None = None


def _play_in_worker(
    key: tuple[object, int],
    factory: EnvFactory,
    actor: Actor,
    seeds: Sequence[int],
    rules: EpisodeRules,
    shown_warnings: set[str],
) -> list[Episode]:
    show_mujoco_warnings_once(shown_warnings)
    # Whoever started this process has made such an environment too, and shown Gymnasium's warning of it.
    warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
    if _Opened.key != key:
        torch.set_num_threads(1)
        if _Opened.context is not None:
            _Opened.context.__exit__(None, None, None)
        _, n_envs = _Opened.key = key
        _Opened.context = open_environments(factory, n_envs)
        _Opened.envs = _Opened.context.__enter__()
    return play(actor, _Opened.envs, seeds, rules)
