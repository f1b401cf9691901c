from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_integral.actor import actor_spec
from sb3_integral.actor import onnx_export as module
from sb3_integral.actor.torch_module import TorchActor
from sb3_integral.deploy import (
    DrawbackWarning,
    OnnxPolicy,
    compare_rewards,
    export_onnx,
    export_torch,
    observations_of,
    quantize_onnx,
)


@given(data=st.data())
@settings(max_examples=4)
def test_onnx_acts_as_predict_does(
    data: st.DataObject,
    draw_policy: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given
    policy = draw_policy(data)
    # when
    actor = OnnxPolicy(export_onnx(policy, tmp_path_factory.mktemp("onnx") / "actor.onnx"))
    # then for batches of any size, and for one observation
    assert actor.observation_space == policy.observation_space
    assert actor.action_space == policy.action_space
    seen = observe(policy.observation_space)
    for observation in (seen, seen[:1], seen[0]):
        got, wanted = (one.predict(observation, deterministic=True)[0] for one in (actor, policy))
        agree(got, wanted)
        assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(actor.act(seen[1]), actor.predict(seen[1])[0])
    np.testing.assert_array_equal(actor.act(seen[2]), actor.predict(seen[2])[0])


def test_images_dictionaries_and_normalisation_are_kept(
    make_model: Callable[..., Any],
    make_normalize: Callable[..., Any],
    observe: Callable[..., Any],
    agree: Callable[..., None],
    tmp_path: Path,
) -> None:
    # given a model of images and of clipped vectors
    space = spaces.Dict(
        {
            "vector": spaces.Box(-1.0, 1.0, (4,)),
            "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
            "choice": spaces.Discrete(3),
        }
    )
    kwargs = {"features_extractor_kwargs": {"cnn_output_dim": 8}}
    model = make_model(SAC, "IntegralMultiInputPolicy", space, **kwargs)
    normalize = make_normalize(spaces.Dict({"vector": space["vector"]}), clip_obs=0.5)
    # when
    actor = OnnxPolicy(export_onnx(model, tmp_path / "actor.onnx", 8, normalize))
    # then
    seen = observe(space)
    vector = normalize.normalize_obs({"vector": seen["vector"]})["vector"]
    wanted = model.policy.resize(8).predict({**seen, "vector": vector}, deterministic=True)[0]
    agree(actor.predict(seen)[0], wanted)
    one = {name: value[0] for name, value in seen.items()}
    agree(actor.predict(one)[0], wanted[0])
    with pytest.raises(ValueError, match="expected a dictionary with"):
        actor.predict(seen["vector"])
    with pytest.raises(ValueError, match="single arrays"):
        actor.act(seen["vector"][0])


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An actor of a Q-network for CartPole."""
    model = DQN("IntegralMlpPolicy", "CartPole-v1", seed=0, buffer_size=10)
    return export_onnx(model, tmp_path_factory.mktemp("cartpole") / "actor.onnx", size=16)


def test_sb3_evaluates_it_and_int8_earns_what_it_earns(cartpole: Path, tmp_path: Path) -> None:
    # given
    actor = OnnxPolicy(cartpole)
    env = make_vec_env("CartPole-v1", 2)
    mean, _ = evaluate_policy(actor, env, 2)
    assert mean > 0
    # when
    seen = observations_of(actor, env, 50)
    with pytest.warns(UserWarning, match=r"the int8 form has \d+ bytes and takes"):
        static = quantize_onnx(cartpole, tmp_path / "static.onnx", seen)
    with pytest.warns(UserWarning, match=r"the float32 form has \d+ bytes and takes"):
        dynamic = quantize_onnx(cartpole, tmp_path / "dynamic.onnx")
    assert static.stat().st_size > cartpole.stat().st_size, "the warning is not true"
    # then they are other files with the same meaning
    assert seen.shape == (50, 4)
    actors = {"float": actor, "static": OnnxPolicy(static), "dynamic": OnnxPolicy(dynamic)}
    assert len({path.read_bytes() for path in (cartpole, static, dynamic)}) == 3
    for one in actors.values():
        assert np.mean(one.predict(seen)[0] == actor.predict(seen)[0]) > 0.8
    # and what they earn is measured from the same seed
    earned = compare_rewards(actors, env, 3)
    assert [own.name for own in earned] == list(actors)
    assert earned[0].change == earned[0].standard_error == 0.0
    for own in earned:
        assert len(own.returns) == 3
        assert own.change == pytest.approx(own.mean - earned[0].mean)
    again = compare_rewards({"float": actor}, env, 3)
    assert again[0].returns == earned[0].returns


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_the_int8_form_does_not_replace_what_it_is_made_of(
    cartpole: Path, tmp_path: Path, link: str | None
) -> None:
    target = cartpole if link is None else tmp_path / "int8.onnx"
    if link is not None:
        getattr(target, link)(cartpole)
    before = cartpole.read_bytes()
    with pytest.raises(ValueError, match="which is read, expected another file to write"):
        quantize_onnx(cartpole, target)
    assert cartpole.read_bytes() == before
    assert target.samefile(cartpole)


def test_observations_that_say_nothing_of_ranges_are_refused(cartpole: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    for bad, said in (
        (np.zeros((0, 4)), "no observations"),
        (np.full((3, 4), np.nan), "NaN or infinite"),
        (np.zeros((3, 5)), "Unexpected observation shape"),
    ):
        with pytest.raises(ValueError, match=said):
            quantize_onnx(cartpole, target, bad)
    with pytest.raises(ValueError, match="expected an actor and an episode"):
        compare_rewards({}, make_vec_env("CartPole-v1", 1))
    assert not list(tmp_path.iterdir())


def test_what_is_no_actor_is_refused(cartpole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not an actor that this library exported"):
        OnnxPolicy(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(cartpole.read_bytes()[:500])
    with pytest.raises(ValueError, match="is not a"):
        OnnxPolicy(broken)


def test_a_file_that_acts_otherwise_is_not_written(
    student: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a program of another actor
    other = TorchActor(actor_spec(student, 3))
    export = module.exported_program
    monkeypatch.setattr(module, "exported_program", lambda actor: export(other))
    # when / then
    with pytest.raises(ValueError, match="onnxruntime gives"):
        export_onnx(student, tmp_path / "actor.onnx", 6)
    assert not list(tmp_path.iterdir())


def test_files_hold_nothing_of_the_machine_that_wrote_them(student: Any, tmp_path: Path) -> None:
    onnx, program = tmp_path / "actor.onnx", tmp_path / "actor.pt2"
    export_onnx(student, onnx)
    export_torch(student, program)
    contents = [onnx.read_bytes()]
    with zipfile.ZipFile(program) as archive:
        contents += [archive.read(name) + name.encode() for name in archive.namelist()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DrawbackWarning)
        contents.append(quantize_onnx(onnx, tmp_path / "int8.onnx").read_bytes())
    machine = ("site-packages", str(Path.cwd()), str(tmp_path), "sb3_integral/", "File ", ".partial")
    for content in contents:
        assert [word for word in machine if word.encode() in content] == []
    # and the same policy gives the same file
    again = export_onnx(student, tmp_path / "again.onnx").read_bytes()
    assert again == onnx.read_bytes()


def test_parts_of_a_dictionary_may_have_any_name(
    make_model: Any, make_normalize: Any, observe: Any, agree: Any, tmp_path: Path
) -> None:
    # given names that torch's or onnxruntime's graphs use themselves
    names = ("action", "observation_action", "linear", "input", "x y", "value_1", "é", "self")
    space = spaces.Dict({name: spaces.Box(-1.0, 1.0, (2,)) for name in names})
    model = make_model(PPO, "IntegralMultiInputPolicy", space)
    normalize = make_normalize(space)
    seen = observe(space)
    wanted = model.predict(normalize.normalize_obs(seen), deterministic=True)[0]
    # when
    actor = OnnxPolicy(export_onnx(model, tmp_path / "actor.onnx", normalize=normalize))
    program = export_torch(model, tmp_path / "actor.pt2", normalize=normalize).module()
    # then
    agree(actor.predict(seen)[0], wanted)
    agree(program({name: torch.from_numpy(own) for name, own in seen.items()}).numpy(), wanted)
    inputs = {own.name for own in actor.session.get_inputs()}
    assert inputs == {*names, "observation_action_"} - {"action"}
