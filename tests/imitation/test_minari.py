from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imitation.data.types import DictObs, TrajectoryWithRew

from sb3_integral.imitation import load_demonstrations, save_episodes

if sys.version_info < (3, 11):
    pytest.skip("Minari needs Python 3.11", allow_module_level=True)

import h5py
from minari import create_dataset_from_buffers, list_local_datasets, load_dataset
from minari.data_collector import EpisodeBuffer

from sb3_integral.imitation.minari import read_minari, write_minari

# Minari warns of all that its own function is not told.
SAYS_LITTLE = pytest.mark.filterwarnings("ignore:.*(is set to|env_spec is) None:UserWarning")

NOT_FINITE = (np.nan, np.inf, -np.inf)


class Still(gym.Env[Any, Any]):
    """An environment of any spaces, without a registered id."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = observation_space
        self.action_space = action_space


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps its data sets."""
    path = tmp_path / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(path))
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_same(read: list[TrajectoryWithRew], written: list[TrajectoryWithRew]) -> None:
    assert len(read) == len(written)
    for here, there in zip(read, written, strict=True):
        for name in ("obs", "acts", "rews"):
            got, expected = getattr(here, name), getattr(there, name)
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected, strict=True)
        assert here.terminal == there.terminal


def episode(space: spaces.Space[Any], actions: spaces.Space[Any], length: int) -> TrajectoryWithRew:
    return TrajectoryWithRew(
        obs=np.stack([np.asarray(space.sample()) for _ in range(length + 1)]),
        acts=np.stack([np.asarray(actions.sample()) for _ in range(length)]),
        infos=None,
        terminal=bool(length % 2),
        rews=np.random.default_rng(length).normal(size=length),
    )


# Round trips


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_demonstrations_come_back_as_they_were(
    make_task: Callable[[str], Any], env_id: str, folder: Path, tmp_path: Path
) -> None:
    # given
    episodes = make_task(env_id).episodes

    # when
    dataset = write_minari(
        episodes, "tests/expert-v0", env_id, algorithm_name="by hand", author="A", description="Three."
    )

    # then
    assert_same(read_minari("tests/expert-v0"), episodes)
    assert_same(read_minari(dataset), episodes)

    # then what was read can be kept as demonstrations
    save_episodes(read_minari(dataset), tmp_path / "episodes")
    kept = load_demonstrations(tmp_path / "episodes")
    np.testing.assert_array_equal(kept.actions, np.concatenate([e.acts for e in episodes]))

    # then Minari itself knows all of it, and the environment can be made again
    assert list(list_local_datasets()) == ["tests/expert-v0"]
    opened = load_dataset("tests/expert-v0")
    assert opened.total_episodes == len(episodes)
    assert opened.total_steps == sum(map(len, episodes))
    assert opened.storage.metadata["author"] == {"A"}
    assert opened.storage.metadata["algorithm_name"] == "by hand"
    env = opened.recover_environment()
    assert env.observation_space == opened.observation_space
    assert env.action_space == opened.action_space
    for here, there in zip(opened.iterate_episodes(), episodes, strict=True):
        assert not here.terminations[:-1].any()
        assert not here.truncations[:-1].any()
        assert here.terminations[-1] == there.terminal
        assert here.truncations[-1] != there.terminal


SPACES: list[spaces.Space[Any]] = [
    spaces.Box(-1.0, 1.0, (3,), np.float32),
    spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    spaces.Box(0, 255, (3, 40, 40), np.uint8),
    spaces.Discrete(5),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiBinary(4),
]


@given(
    observation_space=st.sampled_from(SPACES),
    action_space=st.sampled_from([SPACES[0], *SPACES[3:]]),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_is_read(
    fresh_folder: Callable[[], Any],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    lengths: list[int],
) -> None:
    with fresh_folder() as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(path))
        episodes = [episode(observation_space, action_space, length) for length in lengths]
        written = write_minari(episodes, "any-v3", Still(observation_space, action_space))
        assert_same(read_minari("any-v3"), episodes)
        assert written.observation_space == observation_space
        assert files(path) == ["any-v3/data/main_data.hdf5", "any-v3/data/metadata.json"]


def test_images_lose_nothing() -> None:
    # given observations that Minari would compress as pictures
    space = spaces.Box(0, 255, (48, 64, 3), np.uint8)
    images = [episode(space, spaces.Discrete(2), 4)]
    # when, then
    write_minari(images, "images-v0", Still(space, spaces.Discrete(2)))
    assert_same(read_minari("images-v0"), images)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
@SAYS_LITTLE
def test_what_others_wrote_with_minari_is_read(data_format: str) -> None:
    # given a set with infos, of which an episode was cut by a time limit and one was not
    space, actions = spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(2)
    episodes = [episode(space, actions, length) for length in (5, 4)]
    buffers = [
        EpisodeBuffer(
            observations=list(e.obs),
            actions=list(e.acts),
            rewards=e.rews.tolist(),
            terminations=[False] * (len(e) - 1) + [e.terminal],
            truncations=[False] * (len(e) - 1) + [not e.terminal],
            infos={"speed": np.zeros((len(e) + 1, 2))},
        )
        for e in episodes
    ]
    create_dataset_from_buffers(
        "others-v0",
        buffers,
        observation_space=space,
        action_space=actions,
        data_format=data_format,
    )
    # when, then
    assert_same(read_minari("others-v0"), episodes)
    assert all(read.infos is None for read in read_minari("others-v0"))
    kept = load_dataset("others-v0").filter_episodes(lambda e: bool(e.terminations[-1]))
    assert_same(read_minari(kept), episodes[:1])


# What cannot be written


@pytest.fixture
def episodes(make_task: Callable[[str], Any]) -> list[TrajectoryWithRew]:
    made: list[TrajectoryWithRew] = make_task("CartPole-v1").episodes
    return made


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize(("field", "name"), [("obs", "observations"), ("rews", "rewards")])
def test_a_number_that_is_not_finite_is_an_error_and_writes_nothing(
    episodes: list[TrajectoryWithRew], folder: Path, value: float, field: str, name: str
) -> None:
    # given
    values = getattr(episodes[1], field).copy()
    values[7] = value
    spoilt = dataclasses.replace(episodes[1], **{field: values})

    # when, then
    with pytest.raises(ValueError, match=rf"{name} of demonstrations must be finite numbers, got"):
        write_minari([episodes[0], spoilt], "tests/expert-v0", "CartPole-v1")
    assert files(folder) == []
    assert list(list_local_datasets()) == []


def test_episodes_of_another_environment_are_an_error_and_write_nothing(
    episodes: list[TrajectoryWithRew], folder: Path
) -> None:
    shape = r"observations of demonstrations have shape \(4,\), expected \(6,\)"
    with pytest.raises(ValueError, match=shape):
        write_minari(episodes, "expert-v0", "Acrobot-v1")
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    with pytest.raises(ValueError, match="actions of demonstrations range from 0 to 1, expected 0 to 0"):
        write_minari(episodes, "expert-v0", Still(space, spaces.Discrete(1)))
    with pytest.raises(ValueError, match="id of one, got 'CartPole-v99'"):
        write_minari(episodes, "expert-v0", "CartPole-v99")
    assert files(folder) == []


def test_observations_that_are_no_arrays_are_an_error(
    episodes: list[TrajectoryWithRew], folder: Path
) -> None:
    pair = spaces.Tuple([spaces.Box(-1.0, 1.0, (2,))])
    with pytest.raises(ValueError, match=r"must be arrays, .* got the space Tuple"):
        write_minari(episodes, "expert-v0", Still(pair, spaces.Discrete(2)))
    dictionary = spaces.Dict({"position": spaces.Box(-1.0, 1.0, (2,))})
    with pytest.raises(ValueError, match=r"have observations, expected observations\['position'\] for"):
        write_minari(episodes, "expert-v0", Still(dictionary, spaces.Discrete(2)))
    wrapped = DictObs({"position": np.zeros((3, 2))})
    spoilt = TrajectoryWithRew(wrapped, np.zeros(2, int), None, True, np.zeros(2))
    with pytest.raises(ValueError, match="obs of episode 1 must be an array, got DictObs"):
        write_minari([episodes[0], spoilt], "expert-v0", "CartPole-v1")
    with pytest.raises(ValueError, match="got no episode, expected at least one"):
        write_minari([], "expert-v0", "CartPole-v1")
    assert files(folder) == []


@pytest.mark.parametrize(
    "dataset_id", ["", "expert", "expert-v", "../expert-v0", "/expert-v0", "a b-v0"]
)
def test_what_is_no_id_is_an_error(
    episodes: list[TrajectoryWithRew], tmp_path: Path, dataset_id: str
) -> None:
    before = files(tmp_path)
    for call in (
        lambda: write_minari(episodes, dataset_id, "CartPole-v1"),
        lambda: read_minari(dataset_id),
    ):
        with pytest.raises(ValueError, match="is no id of a Minari data set, expected"):
            call()
    assert files(tmp_path) == before


def test_a_data_set_is_not_replaced(episodes: list[TrajectoryWithRew], folder: Path) -> None:
    write_minari(episodes[:1], "expert-v0", "CartPole-v1")
    with pytest.raises(ValueError, match="there is a Minari data set 'expert-v0' already"):
        write_minari(episodes, "expert-v0", "CartPole-v1")
    assert_same(read_minari("expert-v0"), episodes[:1])


def test_writing_that_fails_leaves_nothing(
    episodes: list[TrajectoryWithRew], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a disk that is full after the first episode
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    # when
    with pytest.raises(OSError, match="No space left"):
        write_minari(episodes, "tests/expert-v0", "CartPole-v1")
    # then
    assert files(folder) == []
    assert list(list_local_datasets()) == []


# What cannot be read


def test_a_data_set_that_is_not_there_is_an_error_that_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(
        ValueError, match="there is no Minari data set 'D4RL/door/human-v2' here"
    ) as error:
        read_minari("D4RL/door/human-v2")
    assert "`minari download D4RL/door/human-v2`" in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["main_data.hdf5", "metadata.json"])
def test_a_cut_file_is_an_error_that_names_the_data_set(
    episodes: list[TrajectoryWithRew], folder: Path, name: str, kept: float
) -> None:
    write_minari(episodes, "expert-v0", "CartPole-v1")
    file = folder / "expert-v0" / "data" / name
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="the Minari data set 'expert-v0' is damaged"):
        read_minari("expert-v0")


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminations"])
def test_lengths_that_do_not_fit_are_an_error_that_names_the_episode(
    episodes: list[TrajectoryWithRew], folder: Path, key: str
) -> None:
    # given a set of which the second episode lacks a step of something
    write_minari(episodes, "expert-v0", "CartPole-v1")
    with h5py.File(folder / "expert-v0" / "data" / "main_data.hdf5", "a") as file:
        array = file["episode_1"][key]
        array.resize(len(array) - 1, axis=0)
    # when, then
    with pytest.raises(ValueError, match="episode 1 of the Minari data set 'expert-v0' has"):
        read_minari("expert-v0")


def test_numbers_that_are_not_finite_are_an_error(
    episodes: list[TrajectoryWithRew], folder: Path
) -> None:
    write_minari(episodes, "expert-v0", "CartPole-v1")
    with h5py.File(folder / "expert-v0" / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"]["observations"][3, 1] = np.nan
    with pytest.raises(ValueError, match=r"observations of demonstrations .* at transition 3$"):
        read_minari("expert-v0")


IMAGE_AND_VECTOR = spaces.Dict(
    {"image": spaces.Box(0, 255, (48, 64, 3), np.uint8), "a b": spaces.Box(-1.0, 1.0, (2,))}
)


def episode_of_dictionaries(length: int) -> TrajectoryWithRew:
    samples = [IMAGE_AND_VECTOR.sample() for _ in range(length + 1)]
    observations = {key: np.stack([sample[key] for sample in samples]) for key in IMAGE_AND_VECTOR}
    plain = episode(spaces.Discrete(2), spaces.Discrete(2), length)
    return dataclasses.replace(plain, obs=DictObs(observations))


def assert_same_dictionaries(read: list[TrajectoryWithRew], written: list[TrajectoryWithRew]) -> None:
    assert len(read) == len(written)
    for here, there in zip(read, written, strict=True):
        assert set(here.obs.keys()) == set(there.obs.keys())
        for key in there.obs.unwrap():
            np.testing.assert_array_equal(here.obs.get(key), there.obs.get(key), strict=True)
        np.testing.assert_array_equal(here.acts, there.acts, strict=True)


def test_dictionaries_of_images_and_vectors_come_back_as_they_were(tmp_path: Path) -> None:
    # given
    written = [episode_of_dictionaries(length) for length in (3, 2)]
    # when
    write_minari(written, "dict-v0", Still(IMAGE_AND_VECTOR, spaces.Discrete(2)))
    # then
    assert_same_dictionaries(read_minari("dict-v0"), written)
    save_episodes(read_minari("dict-v0"), tmp_path / "episodes")
    kept = load_demonstrations(tmp_path / "episodes").observations
    for key in IMAGE_AND_VECTOR:
        np.testing.assert_array_equal(kept[key], np.concatenate([e.obs.get(key)[:-1] for e in written]))


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
@SAYS_LITTLE
def test_dictionaries_that_others_wrote_are_read(data_format: str) -> None:
    written = [episode_of_dictionaries(4)]
    buffer = EpisodeBuffer(
        observations=written[0].obs.unwrap(),
        actions=written[0].acts,
        rewards=written[0].rews,
        terminations=np.zeros(4, bool),
        truncations=np.arange(4) == 3,
    )
    create_dataset_from_buffers(
        "dict-v0",
        [buffer],
        observation_space=IMAGE_AND_VECTOR,
        action_space=spaces.Discrete(2),
        data_format=data_format,
        jpeg_encoding=False,
    )
    assert_same_dictionaries(read_minari("dict-v0"), written)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Dict({"d": spaces.Dict({"e": SPACES[0]})}), "must be arrays, .* got the space Dict"),
        (spaces.Dict({"t": spaces.Text(3)}), "must be arrays, .* got the space Text"),
        (spaces.Dict({"a/b": SPACES[0]}), r"takes no keys with a slash, got \['a/b'\]"),
    ],
)
def test_dictionaries_of_something_else_are_an_error(
    folder: Path, space: spaces.Space[Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        write_minari([episode_of_dictionaries(2)], "dict-v0", Still(space, spaces.Discrete(2)))
    assert files(folder) == []


def test_metadata_of_an_unknown_name_is_an_error(folder: Path) -> None:
    still = Still(IMAGE_AND_VECTOR, spaces.Discrete(2))
    with pytest.raises(TypeError, match=r"expected metadata named algorithm_name, .* got autor"):
        write_minari([episode_of_dictionaries(2)], "dict-v0", still, autor="A")
    assert files(folder) == []


def test_nothing_that_a_file_names_is_run(
    episodes: list[TrajectoryWithRew], folder: Path, tmp_path: Path
) -> None:
    # given a set that leaves its spaces to an environment, of which making would make a folder
    write_minari(episodes, "expert-v0", "CartPole-v1")
    file = folder / "expert-v0" / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    spec = json.loads(metadata["env_spec"])
    spec.update(entry_point="os:makedirs", kwargs={"name": str(tmp_path / "made")})
    metadata["env_spec"] = json.dumps(spec)
    del metadata["observation_space"]
    file.write_text(json.dumps(metadata))

    # when, then
    with pytest.raises(ValueError, match="its metadata does not say what its spaces are"):
        read_minari("expert-v0")
    assert not (tmp_path / "made").exists()
