"""A compression from end to end, on agents that are trained here."""

from __future__ import annotations

import ctypes
import itertools
import json
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

import sb3_integral
from sb3_integral.actor import Notes
from sb3_integral.actor.normalization import DrawbackWarning
from sb3_integral.deploy import OnnxPolicy
from sb3_integral.deploy.compress import Compressed, Goal, NotAsGoodError
from sb3_integral.policies.serialization import load_policy

SMALL: dict[str, Any] = {"hidden_sizes": (16, 16), "max_rounds": 1, "max_episodes": 32}


class Follow(gym.Env[Any, Any]):
    """Each step is rewarded if the action follows from the observation."""

    def __init__(
        self, action_space: spaces.Space[Any], is_dict: bool = False, is_parity: bool = False
    ) -> None:
        self.is_parity = is_parity
        vector = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.is_dict = is_dict
        self.observation_space = spaces.Dict({"a": vector, "b": vector}) if is_dict else vector
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def _observe(self) -> Any:
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"a": self.seen, "b": -self.seen} if self.is_dict else self.seen

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        first = np.asarray(action, dtype=float).reshape(-1)[0]
        wanted = (self.seen[0] > 0) != (self.is_parity and self.seen[1] > 0)
        reward = 1.0 - min(1.0, abs(float(first) - float(wanted)))
        self.steps += 1
        return self._observe(), reward, False, self.steps >= 20, {}


class SignsDiffer(BasePolicy):
    """Acts as :class:`Follow` with parity rewards it."""

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        positive = observation > 0
        return (positive[:, 0] != positive[:, 1]).long()


def agent_for(env: Any, policy: str = "MlpPolicy", n_steps: int = 4_000) -> PPO:
    return PPO(policy, env, n_steps=128, batch_size=64, seed=0, device="cpu").learn(n_steps)


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "ppo.zip"
    agent_for("CartPole-v1", n_steps=6_000).save(path)
    return path


@pytest.fixture(scope="module")
def compressed(cartpole: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    header = tmp_path_factory.mktemp("compressed") / "actor.h"
    return sb3_integral.compress(cartpole, "CartPole-v1", header, keep=0.8, **SMALL)


@pytest.mark.slow
def test_an_agent_becomes_a_c_header_that_acts_as_its_student(
    compressed: Compressed, tmp_path: Path
) -> None:
    # Given a compression to a C header
    result = compressed
    # Then it is smaller and as good, by the paired test
    assert result.chosen.comparison.verdict == "as good"
    assert result.chosen.costs.parameters < result.agent_parameters
    assert result.kept(result.chosen.comparison)[0] > 0.8
    # And the compiled header acts as the student of that size does
    shutil.copyfile(result.file, tmp_path / "actor.h")
    (tmp_path / "actor.c").write_text(
        '#include "actor.h"\nint act(const float *seen);\n'
        "int act(const float *seen) { return policy_act(seen); }\n"
    )
    library = tmp_path / "actor.so"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, str(tmp_path / "actor.c"), "-o", str(library), "-lm"], check=True)
    act = ctypes.CDLL(str(library)).act
    act.argtypes = [np.ctypeslib.ndpointer(np.float32)]
    student: Any = load_policy(result.folder / "student.safetensors")
    student.resize(result.sizes)
    rng = np.random.default_rng(0)
    for _ in range(50):
        observation = rng.uniform(-1, 1, 4).astype(np.float32)
        assert act(observation) == student.predict(observation, deterministic=True)[0]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_from_reading_the_report(
    compressed: Compressed,
    browser: Any,
    as_shown_on: Any,
    serious_findings: Any,
    width: int,
    scheme: str,
) -> None:
    as_shown_on(width, scheme)
    browser.get((compressed.folder / "report.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert serious_findings(browser) == []


@pytest.mark.slow
def test_an_interrupted_compression_goes_on_and_ends_with_the_same_file(
    cartpole: Path, tmp_path: Path
) -> None:
    # Given one that is never interrupted
    whole = sb3_integral.compress(cartpole, "CartPole-v1", tmp_path / "whole.h", keep=0.8, **SMALL)

    # And one that is interrupted each time that it says what it does next
    class InterruptedHereError(Exception):
        pass

    told = 0

    def interrupt(_what: str) -> None:
        nonlocal told
        told += 1
        raise InterruptedHereError

    settings = {"keep": 0.8, "folder": tmp_path / "folder", **SMALL}
    for limit in range(1, 5):
        calls = itertools.count()

        def after(what: str, limit: int = limit, calls: itertools.count[int] = calls) -> None:
            if next(calls) == limit:
                interrupt(what)

        with pytest.raises(InterruptedHereError):
            sb3_integral.compress(
                cartpole, "CartPole-v1", tmp_path / "part.h", on_progress=after, **settings
            )
    # When it goes on
    part = sb3_integral.compress(cartpole, "CartPole-v1", tmp_path / "part.h", **settings)
    # Then
    assert told == 4
    assert part.sizes == whole.sizes
    assert part.file.read_bytes() == whole.file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "is_dict"),
    [
        (spaces.Box(-1.0, 3.0, (2,), np.float32), False),
        (spaces.MultiDiscrete([2, 3]), False),
        (spaces.MultiBinary(2), False),
        (spaces.Discrete(2), True),
    ],
    ids=["box", "multi-discrete", "multi-binary", "dict"],
)
def test_every_space_of_students_is_compressed(
    space: spaces.Space[Any], is_dict: bool, tmp_path: Path
) -> None:
    # Given
    agent = agent_for(Follow(space, is_dict), "MultiInputPolicy" if is_dict else "MlpPolicy")
    # When
    result = sb3_integral.compress(
        agent, lambda: Follow(space, is_dict), tmp_path / "actor.onnx", keep=0.5, **SMALL
    )
    # Then the file acts in the environment as the table says
    assert result.chosen.comparison.verdict == "as good"
    actor = OnnxPolicy(result.file)
    env = Follow(space, is_dict)
    observation, _ = env.reset(seed=0)
    student: Any = result.student
    for _ in range(20):
        action = actor.predict(observation, deterministic=True)[0]
        with student.resized(result.sizes):
            expected = student.predict(observation, deterministic=True)[0]
        np.testing.assert_allclose(action, expected, atol=1e-4)
        observation, *_ = env.step(action)


@pytest.mark.slow
def test_the_student_of_a_normalised_and_stacked_agent_sees_raw_observations(tmp_path: Path) -> None:
    # Given
    space = spaces.Discrete(2)
    venv = VecFrameStack(VecNormalize(DummyVecEnv([lambda: Follow(space)])), 2)
    agent = agent_for(venv)
    before = venv.venv.obs_rms.count  # type: ignore[attr-defined]
    # When
    result = sb3_integral.compress(
        agent, lambda: Follow(space), tmp_path / "actor.zip", keep=0.5, **SMALL
    )
    # Then
    plain = A2C.load(result.file)
    assert plain.observation_space == spaces.Box(-1.0, 1.0, (4,), np.float32)
    assert result.chosen.comparison.verdict == "as good"
    assert venv.venv.obs_rms.count == before  # type: ignore[attr-defined]


class Echo(Follow):
    """Rewards the sign of the observation before."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        before = getattr(self, "before", 0.0)
        self.before = self.seen[0]
        self.steps += 1
        return self._observe(), float(action == (before > 0)), False, self.steps >= 20, {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.before = 0.0
        return super().reset(seed=seed)


class Remembers(BasePolicy):
    """Acts as :class:`Echo` rewards it; its state is the observation before."""

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        raise NotImplementedError

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        observation = np.atleast_2d(observation)
        if state is None:
            state = (np.zeros(len(observation)),)
        before = np.where(episode_start, 0.0, state[0])
        return (before > 0).astype(int), (observation[:, 0].copy(),)


@pytest.mark.slow
def test_a_student_with_frames_does_the_job_of_an_agent_with_a_memory(tmp_path: Path) -> None:
    # given an agent that remembers, and the same with normalised observations
    space = spaces.Discrete(2)
    agent = Remembers(Echo(space).observation_space, space)
    settings = {**SMALL, "keep": 0.8}
    # when a student sees one observation, then it can't do the job
    with pytest.raises(NotAsGoodError):
        sb3_integral.compress(agent, lambda: Echo(space), tmp_path / "one.onnx", **settings)
    # when it sees two, then it can, and its file reads both
    result = sb3_integral.compress(
        agent, lambda: Echo(space), tmp_path / "two.onnx", frames=2, **settings
    )
    assert result.chosen.comparison.verdict == "as good"
    actor = OnnxPolicy(result.file)
    newest = np.array([-0.9, 0.0], np.float32)
    actions = [
        actor.predict(np.concatenate([[before, 0.0], newest]).astype(np.float32))[0]
        for before in (0.9, -0.9)
    ]
    assert actions == [1, 0]


def test_what_does_not_fit_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    space = spaces.Discrete(2)
    agent = agent_for("CartPole-v1", n_steps=256)
    with pytest.raises(ValueError, match="frames must be an integer of at least 1"):
        sb3_integral.compress(agent, output=tmp_path / "a.h", frames=0, **SMALL)
    notes = Notes(action_names=["left"])
    with pytest.raises(ValueError, match="expected 2 action names, got 1"):
        sb3_integral.compress(agent, output=tmp_path / "a.h", notes=notes, **SMALL)
    with pytest.raises(ValueError, match="sb3 has weights of float32, got int8"):
        sb3_integral.compress(agent, output=tmp_path / "a.zip", weights="int8", **SMALL)
    env = gym.wrappers.TransformObservation(Follow(space), lambda _: 1, spaces.Discrete(3))
    with pytest.raises(ValueError, match="only Box observations can be stacked"):
        sb3_integral.compress(
            PPO("MlpPolicy", env, device="cpu"), lambda: env, tmp_path / "b.h", frames=2, **SMALL
        )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "weights"), [("a.h", "q15"), ("a.h", "int8"), ("a.onnx", "int8")])
def test_a_file_with_quantised_weights_is_compared_as_it_is(
    cartpole: Path, tmp_path: Path, name: str, weights: Any
) -> None:
    # when
    heard = pytest.warns(DrawbackWarning) if name == "a.onnx" else nullcontext()
    with heard:
        result = sb3_integral.compress(
            cartpole, "CartPole-v1", tmp_path / name, keep=0.5, weights=weights, **SMALL
        )
    # then what is said of it is what the file earned
    assert result.of_file is not None
    assert result.of_file.verdict == "as good"
    assert f"keeps {result.kept(result.of_file)[0]:.1%}" in str(result)
    written = json.loads((result.folder / "result.json").read_text())
    assert written["quantized_file"]["verdict"] == "as good"


class Images(Follow):
    """The same, seen in the brightness of an image."""

    def __init__(self) -> None:
        super().__init__(spaces.Discrete(2))
        self.observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

    def _observe(self) -> Any:
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return np.full((36, 36, 1), 127.0 * (1.0 + self.seen[0]), np.uint8)


def test_what_a_format_can_not_hold_is_refused_before_the_work(tmp_path: Path) -> None:
    # given an agent that sees images, which C headers do not read
    agent = PPO("CnnPolicy", Images(), device="cpu")
    # when, then
    with pytest.raises(ValueError, match="vectors that dense layers read"):
        sb3_integral.compress(agent, Images, tmp_path / "a.h", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_each_round_has_new_labels_however_long_the_episodes_are(tmp_path: Path) -> None:
    # given episodes so long that the first round has more labels than the second asks for
    class Long(Follow):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, *_, info = super().step(action)
            return observation, reward, False, self.steps >= 1_300, info

    space = spaces.Discrete(2)
    agent = SignsDiffer(Follow(space).observation_space, space)
    told: list[str] = []
    # when there is a second round
    result = sb3_integral.compress(
        agent,
        lambda: Long(space, is_parity=True),
        tmp_path / "actor.h",
        **{**SMALL, "hidden_sizes": (1,), "max_rounds": 2},
        max_bytes=1000,
        on_progress=told.append,
    )
    # then it adds labels
    assert "round 2: 5,000 observations are labelled" in told
    assert result.labels > 2 * 8 * 1_300


@pytest.mark.slow
def test_nothing_is_written_where_no_size_is_as_good(tmp_path: Path) -> None:
    # Given an agent whose job a student of one neuron cannot do: whether signs differ
    space = spaces.Discrete(2)
    env = Follow(space, is_parity=True)
    agent = SignsDiffer(env.observation_space, space)
    # When, Then
    with pytest.raises(NotAsGoodError, match="its mean return is"):
        sb3_integral.compress(
            agent,
            lambda: Follow(space, is_parity=True),
            tmp_path / "actor.h",
            **{**SMALL, "hidden_sizes": (1,)},
            keep=0.9,
        )
    assert not (tmp_path / "actor.h").exists()


@pytest.mark.slow
def test_with_a_limit_alone_the_best_size_within_it_is_written_and_its_loss_is_said(
    tmp_path: Path,
) -> None:
    # given the same job, and a limit but no demand
    space = spaces.Discrete(2)
    agent = SignsDiffer(Follow(space).observation_space, space)
    # when
    result = sb3_integral.compress(
        agent,
        lambda: Follow(space, is_parity=True),
        tmp_path / "actor.h",
        **{**SMALL, "hidden_sizes": (1,)},
        max_bytes=1000,
    )
    # then there is a file, and no claim that it is as good
    assert result.file.is_file()
    assert result.chosen.comparison.verdict == "worse"
    assert result.kept(result.chosen.comparison)[0] < 0.98
    assert "worse" in str(result)


def test_a_model_in_memory_knows_its_environment(tmp_path: Path) -> None:
    agent = agent_for("CartPole-v1", n_steps=256)
    result = sb3_integral.compress(agent, output=tmp_path / "actor.h", tolerance=400, **SMALL)
    assert result.file.is_file()


def test_limits_that_no_size_meets_are_refused(cartpole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="above a limit"):
        sb3_integral.compress(
            cartpole, "CartPole-v1", tmp_path / "actor.h", max_bytes=8, keep=0.8, **SMALL
        )
    assert not (tmp_path / "actor.h").exists()


def test_a_folder_with_other_settings_is_refused(cartpole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "compression.json").write_text(json.dumps({"seed": 1}))
    with pytest.raises(ValueError, match="made with another"):
        sb3_integral.compress(cartpole, "CartPole-v1", tmp_path / "a.h", folder=folder, **SMALL)
    # A folder of somebody else is none either
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        sb3_integral.compress(cartpole, "CartPole-v1", tmp_path / "a.h", folder=other, **SMALL)
    assert (other / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", "3", "[1]", "{"])
def test_a_folder_whose_settings_are_somebody_elses_is_refused(
    cartpole: Path, tmp_path: Path, text: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "compression.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"compression\.json was not written by a comp|made with another"
    ):
        sb3_integral.compress(cartpole, "CartPole-v1", tmp_path / "a.h", folder=folder, **SMALL)
    assert (folder / "compression.json").read_text() == text


@pytest.mark.parametrize("alias", ["itself", "link", "hard link", "in the folder"])
def test_the_agent_and_what_is_kept_are_not_replaced_by_the_file(
    cartpole: Path, tmp_path: Path, alias: str
) -> None:
    # given
    agent = tmp_path / "ppo.zip"
    shutil.copy(cartpole, agent)
    output = agent if alias == "itself" else tmp_path / "small.zip"
    if alias == "link":
        output.symlink_to(agent)
    elif alias == "hard link":
        output.hardlink_to(agent)
    elif alias == "in the folder":
        output = tmp_path / "folder" / "small.zip"
    # when / then
    with pytest.raises(
        ValueError, match=r"which is read, expected another|the folder of the compression"
    ):
        sb3_integral.compress(agent, "CartPole-v1", output, folder=tmp_path / "folder", **SMALL)
    assert agent.read_bytes() == cartpole.read_bytes()
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 1.0}, "keep must be between 0 and 1"),
        ({"tolerance": 0.0}, "tolerance must be a positive number"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"max_bytes": 0}, "max_bytes must be a positive number"),
    ],
)
def test_goals_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Goal(**arguments)


def test_an_unknown_ending_is_refused_before_anything_is_run(cartpole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no known format"):
        sb3_integral.compress(cartpole, "CartPole-v1", tmp_path / "actor.exe", **SMALL)
    assert list(tmp_path.iterdir()) == []
