"""Recurrent policies are exported as they are, with their state, and act as ``predict`` does."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO

from sb3_integral.actor import actor_spec, quickest_actor
from sb3_integral.actor.torch_module import RecurrentActor, TorchActor
from sb3_integral.deploy import OnnxPolicy, export_c, export_onnx, export_torch, quantize_onnx
from sb3_integral.evaluation.actors import PredictActor, make_actor

COMPILER = shutil.which("cc")
VECTOR = spaces.Box(-1.0, 1.0, (4,))
STEPS = 12
KINDS = {
    "plain": {},
    "two layers": {"n_lstm_layers": 2},
    "shared": {"shared_lstm": True, "enable_critic_lstm": False},
    "neither": {"enable_critic_lstm": False},
    "without biases": {"lstm_kwargs": {"bias": False}},
}
ACTIONS = {
    "box": spaces.Box(np.float32([-2.0, -0.1]), np.float32([0.5, 0.1])),
    "one": spaces.Discrete(5),
    "bits": spaces.MultiBinary(3),
}


@pytest.fixture(scope="module")
def make(make_model: Callable[..., Any]) -> Callable[..., Any]:
    def model(kind: str = "plain", action: str = "box", **given: Any) -> Any:
        arguments = {"lstm_hidden_size": 7, **KINDS[kind], **given}
        return make_model(RecurrentPPO, action_space=ACTIONS[action], **arguments)

    return model


def episode(policy: Any, batch: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations, where episodes start, and what ``predict`` does, step by step."""
    rng = np.random.default_rng(0)
    shape = STEPS, batch, *policy.observation_space.shape
    seen = rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    starts = rng.random((STEPS, batch)) < 0.3
    starts[0] = True
    state, wanted = None, []
    for observation, start in zip(seen, starts, strict=True):
        action, state = policy.predict(observation, state, start, deterministic=True)
        wanted.append(action)
    return seen, starts, np.stack(wanted)


@pytest.mark.parametrize(("kind", "action"), [("two layers", "box"), ("shared", "one")])
def test_onnx_acts_over_episodes_as_predict_does(
    kind: str, action: str, make: Any, tmp_path: Path
) -> None:
    # given
    model = make(kind, action)
    actor = OnnxPolicy(export_onnx(model, tmp_path / "actor.onnx"))
    assert actor.is_recurrent
    for batch in (1, 3):
        seen, starts, wanted = episode(model.policy, batch)
        # when
        state, got = None, []
        for observation, start in zip(seen, starts, strict=True):
            done, state = actor.predict(observation, state, start)
            got.append(done)
        # then
        np.testing.assert_allclose(np.stack(got), wanted, atol=1e-5)
    # and a single observation without a batch
    single, state = actor.predict(seen[0, 0])
    assert single.shape == ACTIONS[action].shape
    assert state is not None


def test_onnx_and_torch_take_dictionaries_and_sizes(
    make_model: Any, observe: Any, tmp_path: Path
) -> None:
    space = spaces.Dict({"hidden": VECTOR, "x": spaces.Discrete(3)})
    model = make_model(RecurrentPPO, "IntegralMultiInputPolicy", space, lstm_hidden_size=6)
    actor = OnnxPolicy(export_onnx(model, tmp_path / "actor.onnx", 5))
    plain, seen, starts = model.policy.discretize(5), observe(space), np.ones(4, bool)
    state = wanted_state = None
    for _ in range(2):
        wanted, wanted_state = plain.predict(seen, wanted_state, starts, deterministic=True)
        got, state = actor.predict(seen, state, starts)
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        starts = np.zeros(4, bool)
    np.testing.assert_allclose(state[0], wanted_state[0], atol=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_torch_acts_over_episodes_as_predict_does(kind: str, make: Any) -> None:
    model = make(kind)
    seen, starts, wanted = episode(model.policy, 3)
    actor = RecurrentActor(actor_spec(model))
    hidden, cell, _ = actor.start(3)
    for observation, start, action in zip(seen, starts, wanted, strict=True):
        got, hidden, cell = actor(torch.from_numpy(observation), hidden, cell, torch.from_numpy(start))
        np.testing.assert_allclose(got.numpy(), action, atol=1e-5)


def test_a_program_of_torch_takes_and_gives_the_state(make: Any, tmp_path: Path) -> None:
    model = make("two layers")
    program = export_torch(model, tmp_path / "actor.pt2").module()
    seen, starts, wanted = episode(model.policy, 3)
    state = torch.zeros(2, 2, 3, 7).unbind()
    for observation, start, action in zip(seen, starts, wanted, strict=True):
        got, *state = program(torch.from_numpy(observation), *state, torch.from_numpy(start))
        np.testing.assert_allclose(got.numpy(), action, atol=1e-5)


@pytest.fixture(scope="module")
def act_in_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Compile a recurrent header and let it act over an episode."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")

    def actions(header: Path, space: spaces.Space[Any], seen: np.ndarray, starts: np.ndarray) -> Any:
        folder = tmp_path_factory.mktemp("c")
        number = "float" if isinstance(space, spaces.Box) else "int"
        call = "policy_act(observation, &memory, action)"
        if isinstance(space, spaces.Discrete):
            call = "action[0] = policy_act(observation, &memory)"
        head = f"int act(const float *observation, {number} *action, int start)"
        (folder / "act.c").write_text(
            f'#include "{header}"\nstatic struct policy_memory memory;\n{head};\n{head}\n{{\n'
            f"    if (start)\n        policy_reset(&memory);\n    {call};\n"
            f"    return policy_selftest();\n}}\n"
        )
        warnings = ("-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion", "-Wdouble-promotion")
        command = [COMPILER, "-std=c99", "-O2", "-shared", "-fPIC", *warnings, "act.c", "-o", "act.so"]
        subprocess.run([*command, "-lm"], cwd=folder, check=True)
        act = ctypes.CDLL(str(folder / "act.so")).act
        rows = []
        for observation, start in zip(seen, starts, strict=True):
            row = np.zeros(space.shape, np.float32 if number == "float" else np.int32)
            pointers = [ctypes.c_void_p(own.ctypes.data) for own in (observation, row)]
            assert act(*pointers, int(start)) == 0
            rows.append(row)
        return np.stack(rows)

    return actions


@pytest.mark.parametrize("action", list(ACTIONS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_c_acts_over_episodes_as_predict_does(
    kind: str, action: str, make: Any, act_in_c: Callable[..., Any], tmp_path: Path
) -> None:
    model = make(kind, action)
    seen, starts, wanted = episode(model.policy)
    header = export_c(model, tmp_path / "policy.h")
    got = act_in_c(header, ACTIONS[action], seen[:, 0], starts[:, 0])
    np.testing.assert_allclose(got, wanted[:, 0], atol=1e-5)


def test_c_normalises_what_a_memory_reads(
    make: Any, make_normalize: Any, act_in_c: Callable[..., Any], tmp_path: Path
) -> None:
    model, normalize = make("two layers"), make_normalize(VECTOR, clip_obs=0.7)
    seen, starts, _ = episode(model.policy)
    state, wanted = None, []
    for observation, start in zip(seen, starts, strict=True):
        normalized = normalize.normalize_obs(observation)
        action, state = model.policy.resize(6).predict(normalized, state, start, deterministic=True)
        wanted.append(action[0])
    header = export_c(model, tmp_path / "policy.h", size=6, normalize=normalize)
    got = act_in_c(header, model.action_space, seen[:, 0], starts[:, 0])
    np.testing.assert_allclose(got, np.stack(wanted), atol=1e-5)


def test_a_large_part_of_the_action_is_what_is_remembered(make: Any) -> None:
    policy = make().policy
    seen = np.zeros((1, 4), np.float32)
    _, state = policy.predict(np.ones((1, 4), np.float32), deterministic=True)
    first, again = (policy.predict(seen, own, deterministic=True)[0] for own in (None, state))
    assert np.abs(first - again).max() > 1e-3


def test_what_has_no_place_for_a_memory_says_so(make: Any, tmp_path: Path) -> None:
    policy = make().policy
    for act in (lambda: quickest_actor(policy), lambda: TorchActor(actor_spec(policy))):
        with pytest.raises(ValueError, match="is recurrent, expected a policy without memory"):
            act()
    assert isinstance(make_actor(policy.discretize()), PredictActor)
    with pytest.raises(ValueError, match="recurrent policy has weights of float32, got q15"):
        export_c(policy, tmp_path / "a.h", weights="q15")
    exact = export_onnx(policy, tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="recurrent actor, expected one without memory for int8"):
        quantize_onnx(exact, tmp_path / "b.onnx")
    with pytest.raises(ValueError, match="expected predict for dictionaries and states"):
        OnnxPolicy(exact).act(np.zeros(4))
    assert [own.name for own in tmp_path.iterdir()] == ["a.onnx"]
