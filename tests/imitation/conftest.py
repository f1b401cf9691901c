from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium import spaces
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.env_util import make_vec_env

from sb3_integral.imitation import Demonstrations, collect_episodes, load_demonstrations, save_episodes


class Task(NamedTuple):
    """Real demonstrations of one environment, in all their forms."""

    episodes: list[TrajectoryWithRew]
    folder: Path
    demonstrations: Demonstrations
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]


def balance_cart_pole(observation: np.ndarray, state: Any, dones: Any) -> tuple[np.ndarray, None]:
    return (observation @ [0.1, 0.3, 1.0, 1.0] > 0).astype(np.int64), None


def hold_pendulum(observation: np.ndarray, state: Any, dones: Any) -> tuple[np.ndarray, None]:
    cos, sin, speed = observation.T
    torque = np.clip(-8.0 * np.arctan2(sin, cos) - 2.0 * speed, -2.0, 2.0)
    return torque[:, None].astype(np.float32), None


def swing_acrobot(observation: np.ndarray, state: Any, dones: Any) -> tuple[np.ndarray, None]:
    return np.where(observation[:, 5] > 0, 2, 0), None


EXPERTS = {
    "CartPole-v1": balance_cart_pole,
    "Pendulum-v1": hold_pendulum,
    "Acrobot-v1": swing_acrobot,
}


@pytest.fixture(scope="session")
def experts() -> dict[str, Callable[..., tuple[np.ndarray, None]]]:
    """Controllers that solve an environment, as callables that imitation's rollout takes."""
    return EXPERTS


@pytest.fixture(scope="session")
def make_task(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Task]:
    made: dict[str, Task] = {}

    def make(env_id: str) -> Task:
        if env_id not in made:
            venv = make_vec_env(env_id, 2, seed=0)
            episodes = collect_episodes(EXPERTS[env_id], venv, 3, np.random.default_rng(0))
            folder = tmp_path_factory.mktemp(env_id) / "episodes"
            save_episodes(episodes, folder)
            demonstrations = load_demonstrations(folder)
            made[env_id] = Task(
                episodes, folder, demonstrations, venv.observation_space, venv.action_space
            )
        return made[env_id]

    return make


@pytest.fixture(scope="session")
def cart_pole(make_task: Callable[[str], Task]) -> Task:
    """Discrete actions."""
    return make_task("CartPole-v1")


@pytest.fixture(scope="session")
def pendulum(make_task: Callable[[str], Task]) -> Task:
    """Continuous actions."""
    return make_task("Pendulum-v1")


@pytest.fixture(scope="session", params=["CartPole-v1", "Pendulum-v1"])
def task(request: pytest.FixtureRequest, make_task: Callable[[str], Task]) -> Task:
    return make_task(request.param)


@pytest.fixture(scope="session")
def fresh_folder() -> Callable[[], AbstractContextManager[Path]]:
    """An empty folder for each example of a property; ``tmp_path`` is one for all of them."""

    @contextmanager
    def fresh() -> Iterator[Path]:
        with TemporaryDirectory() as name:
            yield Path(name)

    return fresh
