"""Episodes of many actors, played by worker processes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch

from sb3_integral.evaluation.actors import Actor
from sb3_integral.evaluation.environments import Env, EnvFactory, FromSpec, open_environments
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, Episode, blocks, play
from sb3_integral.requirements import require


def play_all(
    actors: Sequence[Actor],
    factory: EnvFactory,
    seeds: Sequence[int],
    n_workers: int = 1,
    max_episode_steps: int = MAX_EPISODE_STEPS,
    use_masking: bool = False,
) -> Generator[list[Episode], None, None]:
    """Play the same episodes with each of several actors.

    What comes out depends on ``n_workers`` in no bit.

    Args:
        actors: What acts.
        factory: Makes an environment.
        seeds: Of each actor's episodes.
        n_workers: Processes; one is this one.
        max_episode_steps: Most steps of an episode.
        use_masking: Whether actors are told which actions the environments allow.

    Raises:
        EndlessEpisodeError: If an episode has more steps.

    Yields:
        The episodes of each actor, as soon as they and those of all before are there.
    """
    shares = blocks(seeds)
    tasks = [(actor, share) for actor in actors for share in shares]
    play_share = partial(play, max_episode_steps=max_episode_steps, use_masking=use_masking)
    if n_workers == 1:
        with open_environments(factory, len(shares[0])) as envs:
            yield from _grouped((play_share(actor, envs, share) for actor, share in tasks), len(shares))
        return
    require("experiments", "joblib")
    from joblib import Parallel, delayed

    # What an id makes can be kept for the next sweep too; what a function makes may be of this one only.
    key = factory if isinstance(factory, FromSpec) else uuid.uuid4().hex
    played = Parallel(n_workers, return_as="generator", max_nbytes=None)(
        delayed(_play_in_worker)((key, len(shares[0])), factory, partial(play_share, actor), share)
        for actor, share in tasks
    )
    yield from _grouped(played, len(shares))


def _grouped(played: Iterator[list[Episode]], n_shares: int) -> Iterator[list[Episode]]:
    while True:
        episodes: list[Episode] = []
        for number in range(n_shares):
            share = next(played, None)
            if share is None:
                assert number == 0
                return
            episodes += share
        yield episodes


class _Kept:
    """Environments that a worker keeps from one task to the next: making one can take long."""

    key: object = None
    envs: Sequence[Env] = ()
    context: AbstractContextManager[Sequence[Env]] | None = None


def _play_in_worker(
    key: tuple[object, int],
    factory: EnvFactory,
    play_share: Callable[[Sequence[Env], Sequence[int]], list[Episode]],
    seeds: Sequence[int],
) -> list[Episode]:
    if _Kept.key != key:
        torch.set_num_threads(1)
        if _Kept.context is not None:
            _Kept.context.__exit__(None, None, None)
        _, n_envs = _Kept.key = key
        _Kept.context = open_environments(factory, n_envs)
        _Kept.envs = _Kept.context.__enter__()
    return play_share(_Kept.envs, seeds)
