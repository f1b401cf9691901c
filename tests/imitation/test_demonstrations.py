from __future__ import annotations

import dataclasses
import json
import shutil

import datasets
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from imitation.data import rollout, serialize
from imitation.data.types import TrajectoryWithRew

from sb3_integral.imitation import Demonstrations, load_demonstrations, save_episodes

FILES = ("data-00000-of-00001.arrow", "dataset_info.json", "state.json", "sb3_integral.json")
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))


def spoiled(episode: TrajectoryWithRew, field: str, step: int, value: float) -> TrajectoryWithRew:
    values = np.array(getattr(episode, field), dtype=np.float32)
    values[step] = value
    return dataclasses.replace(episode, **{field: values})


def assert_same(demonstrations: Demonstrations, episodes: list[TrajectoryWithRew]) -> None:
    """They hold what imitation itself makes of the episodes, in its dtypes."""
    expected = rollout.flatten_trajectories(episodes)
    np.testing.assert_array_equal(demonstrations.observations.numpy(), expected.obs, strict=True)
    np.testing.assert_array_equal(demonstrations.actions.numpy(), expected.acts, strict=True)
    returns = [episode.rews.sum() for episode in episodes]
    np.testing.assert_allclose(demonstrations.returns.numpy(), returns, rtol=1e-5)


@st.composite
def episode_sets(draw) -> list[TrajectoryWithRew]:
    """Episodes of any lengths, observation shape, action shape and dtypes that spaces can have."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    observation = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    action = draw(st.sampled_from([(), (1,), (2,), (2, 3)]))
    observation_dtype = draw(st.sampled_from([np.float32, np.float64, np.uint8]))
    action_dtype = draw(st.sampled_from([np.float32, np.int64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return [
        TrajectoryWithRew(
            obs=rng.integers(0, 255, (length + 1, *observation)).astype(observation_dtype),
            acts=rng.integers(0, 9, (length, *action)).astype(action_dtype),
            infos=None,
            terminal=bool(rng.integers(2)),
            rews=rng.normal(size=length),
        )
        for length in lengths
    ]


def test_imitation_reads_the_episodes_that_were_saved(task):
    loaded = serialize.load(task.folder)
    assert len(loaded) == len(task.episodes)
    for read, episode in zip(loaded, task.episodes, strict=True):
        # imitation hands every fraction out as float64, whatever it was.
        np.testing.assert_array_equal(read.obs, episode.obs)
        np.testing.assert_array_equal(read.acts, episode.acts)
        np.testing.assert_array_equal(read.rews, episode.rews)
        assert read.terminal == episode.terminal


def test_transitions_and_returns_are_those_of_imitation(task):
    assert_same(task.demonstrations, task.episodes)


def test_episodes_that_imitation_saved_are_read_too(task, tmp_path):
    serialize.save(tmp_path / "plain", task.episodes)
    assert_same(load_demonstrations(tmp_path / "plain"), task.episodes)


@given(episodes=episode_sets())
@settings(deadline=None, max_examples=25)
def test_whatever_is_saved_is_loaded(fresh_folder, episodes):
    with fresh_folder() as folder:
        save_episodes(episodes, folder / "episodes")
        assert_same(load_demonstrations(folder / "episodes"), episodes)
        assert [path.name for path in folder.iterdir()] == ["episodes"]


def test_saving_again_replaces_what_was_there(task, tmp_path):
    # given
    path = tmp_path / "episodes"
    save_episodes(task.episodes, path)

    # when
    save_episodes(task.episodes[:1], path)

    # then
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)
    assert_same(load_demonstrations(path), task.episodes[:1])


@pytest.mark.parametrize("set_is_there", [False, True])
def test_saving_into_a_folder_with_other_files_leaves_all_as_it_was(task, tmp_path, set_is_there):
    # given
    path = tmp_path / "episodes"
    if set_is_there:
        save_episodes(task.episodes, path)
    path.mkdir(exist_ok=True)
    (path / "notes.txt").write_text("mine", encoding="utf-8")
    before = sorted(path.iterdir())

    # when / then
    with pytest.raises(FileExistsError, match="episodes"):
        save_episodes(task.episodes[:1], path)
    assert sorted(path.iterdir()) == before
    assert [file.name for file in tmp_path.iterdir()] == ["episodes"]


def test_progress_bars_are_as_before_saving(task, tmp_path):
    for enabled in (True, False):
        (datasets.enable_progress_bars if enabled else datasets.disable_progress_bars)()
        try:
            save_episodes(task.episodes[:1], tmp_path / "episodes")
            assert datasets.are_progress_bars_disabled() is not enabled
        finally:
            datasets.enable_progress_bars()


# Numbers that are not finite


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize(("field", "name"), [("obs", "observations"), ("acts", "actions")])
def test_saving_a_number_that_is_not_finite_writes_nothing(pendulum, tmp_path, field, name, value):
    # given the second of two episodes with such a number in it
    episodes = [pendulum.episodes[0], spoiled(pendulum.episodes[1], field, 7, value)]

    # when
    expected = f"{name} of demonstrations must be finite numbers, got .*{value}.* at transition"
    with pytest.raises(ValueError, match=expected):
        save_episodes(episodes, tmp_path / "episodes")

    # then
    assert list(tmp_path.iterdir()) == []


def test_saving_a_number_that_is_not_finite_keeps_what_was_there(pendulum, tmp_path):
    path = tmp_path / "episodes"
    save_episodes(pendulum.episodes, path)
    with pytest.raises(ValueError, match="finite"):
        save_episodes([spoiled(pendulum.episodes[0], "obs", 0, np.nan)], path)
    assert_same(load_demonstrations(path), pendulum.episodes)
    assert [file.name for file in tmp_path.iterdir()] == ["episodes"]


def test_saving_no_episodes_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="got no episodes, expected at least one"):
        save_episodes([], tmp_path / "episodes")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize(("field", "name"), [("obs", "observations"), ("acts", "actions")])
def test_loading_a_number_that_is_not_finite_says_where_it_is(pendulum, tmp_path, field, name, value):
    # given episodes of 200 steps that imitation wrote, which does not check them
    episodes = [pendulum.episodes[0], spoiled(pendulum.episodes[1], field, 7, value)]
    serialize.save(tmp_path / "episodes", episodes)

    # when, then
    with pytest.raises(ValueError, match=rf"^{name} .* got .*{value}.* at transition 207$"):
        load_demonstrations(tmp_path / "episodes")


@given(
    numbers=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=st.just(0)),
    value=st.sampled_from(NOT_FINITE),
    data=st.data(),
)
@settings(deadline=None, max_examples=25)
def test_demonstrations_name_the_first_transition_that_is_not_finite(numbers, value, data):
    spoilt = data.draw(st.lists(st.integers(0, len(numbers) - 1), min_size=1))
    numbers[spoilt, data.draw(st.integers(0, numbers.shape[1] - 1))] = value
    bad, good = torch.from_numpy(numbers), torch.zeros(len(numbers))
    for name, arguments in (("observations", (bad, good)), ("actions", (good, bad))):
        with pytest.raises(ValueError, match=rf"^{name} .* at transition {min(spoilt)}$"):
            Demonstrations(*arguments, torch.zeros(1))


def test_demonstrations_without_a_transition_are_an_error():
    with pytest.raises(ValueError, match="without a transition, expected at least one"):
        Demonstrations(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0))


# Files that are cut, damaged or not there


@pytest.mark.parametrize("name", FILES)
@given(kept=st.floats(0.0, 1.0, exclude_max=True))
@settings(deadline=None, max_examples=12)
def test_a_cut_file_is_an_error_that_names_it(cart_pole, fresh_folder, name, kept):
    with fresh_folder() as folder:
        # given a set of which one file was cut
        path = shutil.copytree(cart_pole.folder, folder / "episodes")
        whole = (path / name).read_bytes()
        cut = whole[: int(kept * len(whole))]
        (path / name).write_bytes(cut)
        before = {file.name: file.read_bytes() for file in path.iterdir()}

        # when
        with pytest.raises(ValueError, match=name) as error:
            load_demonstrations(path)

        # then the error says what is wrong, and the folder is as it was
        assert ("damaged" if name == FILES[-1] else "was cut or changed") in str(error.value)
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before


@pytest.mark.parametrize("name", FILES[:3])
def test_a_missing_file_is_an_error_that_names_it(cart_pole, tmp_path, name):
    path = shutil.copytree(cart_pole.folder, tmp_path / "episodes")
    (path / name).unlink()
    with pytest.raises(ValueError, match=f"{name} was cut or changed"):
        load_demonstrations(path)


@pytest.mark.parametrize("name", FILES[:3])
@given(kept=st.floats(0.0, 1.0, exclude_max=True))
@settings(deadline=None, max_examples=12)
def test_a_cut_file_of_imitation_never_gives_other_transitions(cart_pole, fresh_folder, name, kept):
    with fresh_folder() as folder:
        # given a cut set that has nothing to say how large its files were
        path = folder / "episodes"
        shutil.copytree(cart_pole.folder, path)
        (path / FILES[-1]).unlink()
        whole = (path / name).read_bytes()
        (path / name).write_bytes(whole[: int(kept * len(whole))])

        # when
        refused, loaded = None, None
        try:
            loaded = load_demonstrations(path)
        except ValueError as error:
            refused = str(error)

        # then it is refused by name, or only the mark of the end was lost
        if loaded is None:
            assert str(path) in refused or "without a transition" in refused
        else:
            assert_same(loaded, cart_pole.episodes)


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"sha256": 3}', "no JSON", ""])
def test_a_damaged_manifest_is_an_error_that_names_it(cart_pole, tmp_path, manifest):
    path = shutil.copytree(cart_pole.folder, tmp_path / "episodes")
    (path / FILES[-1]).write_text(manifest)
    with pytest.raises(
        ValueError, match=rf"{FILES[-1]} is damaged or of an older version, expected the digests"
    ):
        load_demonstrations(path)


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no folder, expected one of episodes"):
        load_demonstrations(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_an_error_that_names_it(tmp_path):
    (tmp_path / "episodes.npz").write_text("")
    with pytest.raises(ValueError, match=r"episodes\.npz is no folder, expected"):
        load_demonstrations(tmp_path / "episodes.npz")


def test_a_folder_without_episodes_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} is no complete set of demonstrations, expected"):
        load_demonstrations(tmp_path)


def saved_columns(path, **columns) -> None:
    dataset = datasets.Dataset.from_dict(columns)
    datasets.disable_progress_bars()
    try:
        dataset.save_to_disk(str(path))
    finally:
        datasets.enable_progress_bars()


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"text": ["a"]}, r"columns \['acts', 'obs', 'rews'\] are missing"),
        ({"obs": [[[0.0]]], "acts": [[0]]}, r"columns \['rews'\] are missing"),
        (
            {"obs": [[[0.0], [1.0]]], "acts": [[0, 1]], "rews": [[1.0, 1.0]]},
            "do not have one observation more than actions",
        ),
        (
            {"obs": [[[0.0], [1.0, 2.0]]], "acts": [[0]], "rews": [[1.0]]},
            r"steps differ in shape: lengths \[1, 2\]",
        ),
        ({"obs": [1.0], "acts": [0], "rews": [1.0]}, "no complete set"),
    ],
    ids=["other columns", "no rewards", "lengths", "ragged", "no episodes"],
)
def test_a_set_of_something_else_is_an_error_that_says_what(tmp_path, columns, cause):
    saved_columns(tmp_path / "other", **columns)
    with pytest.raises(ValueError, match=cause) as error:
        load_demonstrations(tmp_path / "other")
    assert str(tmp_path / "other") in str(error.value)


def test_infos_are_never_decoded(tmp_path):
    # given a set whose infos make a folder when they are decoded, as imitation does on access
    path, made = tmp_path / "episodes", tmp_path / "made"
    call = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(made)]}]}
    saved_columns(
        path,
        obs=[np.zeros((2, 1), np.float32)],
        acts=[np.zeros(1, np.int64)],
        rews=[np.ones(1)],
        terminal=[True],
        infos=[[json.dumps(call)]],
    )

    # when it is loaded here
    load_demonstrations(path)

    # then the folder is not made, though it is as soon as imitation is asked for the infos
    assert not made.exists()
    list(serialize.load(path)[0].infos)
    assert made.exists()


# Spaces


def test_demonstrations_fit_the_spaces_they_come_from(task):
    task.demonstrations.check_spaces(task.observation_space, task.action_space)


def test_observations_of_another_shape_are_an_error(task):
    width = task.observation_space.shape[0]
    other = spaces.Box(-1.0, 1.0, (width + 3,))
    expected = rf"observations of demonstrations have shape \({width},\), expected \({width + 3},\)"
    with pytest.raises(ValueError, match=expected):
        task.demonstrations.check_spaces(other, task.action_space)


def test_actions_of_another_shape_are_an_error(cart_pole, pendulum):
    with pytest.raises(ValueError, match=r"actions of demonstrations have shape \(\), expected \(1,\)"):
        cart_pole.demonstrations.check_spaces(cart_pole.observation_space, pendulum.action_space)
    with pytest.raises(ValueError, match=r"actions of demonstrations have shape \(1,\), expected \(\)"):
        pendulum.demonstrations.check_spaces(pendulum.observation_space, cart_pole.action_space)


@given(n=st.integers(1, 9), actions=st.lists(st.integers(-3, 12), min_size=1, max_size=20))
@settings(deadline=None, max_examples=40)
def test_discrete_actions_are_in_range_or_an_error_that_names_the_range(n, actions):
    demonstrations = Demonstrations(torch.zeros(len(actions), 2), torch.tensor(actions), torch.zeros(1))
    observation_space, action_space = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(n)
    if set(actions) <= set(range(n)):
        demonstrations.check_spaces(observation_space, action_space)
    else:
        expected = f"range from {min(actions)} to {max(actions)}, expected 0 to {n - 1}"
        with pytest.raises(ValueError, match=expected):
            demonstrations.check_spaces(observation_space, action_space)
