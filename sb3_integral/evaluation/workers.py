"""Episodes of several actors, played in worker processes."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import chain

import torch

from sb3_integral.evaluation.actors import Actor
from sb3_integral.evaluation.environments import Env, EnvFactory, FromSpec, open_environments
from sb3_integral.evaluation.episodes import Episode, EpisodeRules, blocks, play
from sb3_integral.requirements import require


def play_all(
    actors: Sequence[Actor],
    factory: EnvFactory,
    seeds: Sequence[int],
    n_workers: int = 1,
    rules: EpisodeRules = EpisodeRules(),
) -> Generator[list[Episode], None, None]:
    """Play the same episodes with each of several actors, and yield them actor by actor.

    The result does not depend on the number of workers; one is this process.

    Raises:
        EndlessEpisodeError: If an episode is too long.
    """
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
        delayed(_play_in_worker)((key, len(shares[0])), factory, actor, share, rules)
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
) -> list[Episode]:
    if _Opened.key != key:
        torch.set_num_threads(1)
        if _Opened.context is not None:
            _Opened.context.__exit__(None, None, None)
        _, n_envs = _Opened.key = key
        _Opened.context = open_environments(factory, n_envs)
        _Opened.envs = _Opened.context.__enter__()
    return play(actor, _Opened.envs, seeds, rules)
