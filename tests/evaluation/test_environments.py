"""Environments wrapped for evaluation as the training environment is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_maskable
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    sync_envs_normalization,
)

from sb3_integral import ResizablePolicy, ResizeSweepCallback, evaluate_resize_sweep
from sb3_integral.deploy import DrivingPredictor, smallest_size
from sb3_integral.evaluation import evaluation_env
from sb3_integral.evaluation.actors import ROWS, make_actor
from sb3_integral.evaluation.environments import OneOfVec, env_factory
from sb3_integral.evaluation.episodes import MAX_EPISODE_STEPS, EndlessEpisodeError, episode_seeds
from sb3_integral.policies.vec_wrappers import vec_wrappers


class Steps(gym.Env[Any, Any]):
    """Observations of any space, reward 1, and an end after some steps; only legal actions."""

    def __init__(
        self,
        observation_space: spaces.Space[Any] | None = None,
        action_space: spaces.Space[Any] | None = None,
        steps: int = 7,
    ) -> None:
        self.observation_space = observation_space or spaces.Box(-2.0, 2.0, (3,))
        self.action_space = action_space or spaces.Discrete(2)
        self.steps = steps

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.count += 1
        return self.observation_space.sample(), 1.0, self.count >= self.steps, False, {}


class Masked(Steps):
    """Ends at once, with reward -1, after a forbidden action; what is allowed changes at each step."""

    def __init__(self, action_space: spaces.Space[Any] | None = None) -> None:
        super().__init__(action_space=action_space or spaces.Discrete(4))

    def action_masks(self) -> Any:
        rng = np.random.default_rng(self.count)
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return np.concatenate([np.arange(n) == rng.integers(n) for n in self.action_space.nvec])
        if isinstance(self.action_space, spaces.MultiBinary):
            bits = rng.integers(2, size=self.action_space.n)
            return np.stack([bits == 0, bits == 1], axis=1)
        return np.arange(4) == rng.integers(4)

    def step(self, action: Any) -> Any:
        masks, chosen = np.ravel(self.action_masks()), []
        sizes = getattr(self.action_space, "nvec", [2] * len(np.ravel(action)))
        if isinstance(self.action_space, spaces.Discrete):
            sizes = [4]
        start = 0
        for size, one in zip(sizes, np.ravel(action), strict=True):
            chosen.append(masks[start + int(one)])
            start += size
        observation, _, over, truncated, info = super().step(action)
        return observation, 1.0 if all(chosen) else -1.0, over or not all(chosen), truncated, info


def box_image() -> spaces.Box:
    return spaces.Box(0, 255, (36, 36, 3), np.uint8)


def ppo(venv: Any, policy: str = "IntegralMlpPolicy", **arguments: Any) -> PPO:
    arguments = {"net_arch": [8, 8], **arguments}
    return PPO(policy, venv, n_steps=16, batch_size=16, n_epochs=1, seed=0, policy_kwargs=arguments)


# ---------------------------------------------------------------- action masks


SPACES = [spaces.Discrete(4), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)]


def masked_model(space: spaces.Space[Any], name: str = "IntegralMlpPolicy") -> MaskablePPO:
    return MaskablePPO(
        name, Masked(space), n_steps=16, batch_size=16, seed=0, policy_kwargs={"net_arch": [8, 8]}
    )


class Make:
    """Makes a masked environment, in workers too."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space

    def __call__(self) -> Masked:
        return Masked(self.space)


def masker(space: spaces.Space[Any]) -> gym.Env[Any, Any]:
    return ActionMasker(Steps(action_space=space), Masked.action_masks)  # type: ignore[arg-type]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("kind", ["factory", "environment", "vectorised", "masker", "training"])
def test_a_masked_policy_takes_allowed_actions_only(
    space: spaces.Space[Any], deterministic: bool, kind: str
) -> None:
    # given
    model = masked_model(space)
    envs: dict[str, Any] = {
        "factory": Make(space),
        "environment": Masked(space),
        "vectorised": DummyVecEnv([Make(space), Make(space)]),
        "masker": partial(masker, space),
        "training": model.get_env(),
    }
    # when
    rows = evaluate_resize_sweep(model.policy, envs[kind], [8, 3], 4, deterministic, seed=0, warn=False)
    # then
    assert [row.episode_return for row in rows] == [7.0] * 8


def test_a_plain_masked_policy_is_masked_too_by_any_number_of_workers() -> None:
    policy = ResizablePolicy(masked_model(SPACES[0], "MlpPolicy").policy, "bicubic")
    for workers in (1, 2):
        rows = evaluate_resize_sweep(policy, Make(SPACES[0]), [8, 3], 3, seed=0, n_workers=workers)
        assert [row.episode_return for row in rows] == [7.0] * 6


def test_masked_episodes_are_those_of_sb3_contrib() -> None:
    model = masked_model(SPACES[0])
    rows = evaluate_resize_sweep(model.policy, Masked(), [8], 3, seed=0)
    expected, lengths = evaluate_maskable(model, Monitor(Masked()), 3, return_episode_rewards=True)
    assert [row.episode_return for row in rows] == expected
    assert [row.length for row in rows] == lengths


def test_an_environment_without_masks_is_refused_unless_told_otherwise() -> None:
    model = masked_model(SPACES[0])
    for env in (lambda: Steps(action_space=SPACES[0]), Steps(action_space=SPACES[0])):
        with pytest.raises(ValueError, match="no method action_masks"):
            evaluate_resize_sweep(model.policy, env, [8], 1)
        rows = evaluate_resize_sweep(model.policy, env, [8], 1, use_masking=False)
        assert len(rows) == 1


def test_masks_go_through_callback_search_and_driving() -> None:
    # given
    model = masked_model(SPACES[0])
    callback = ResizeSweepCallback(Masked, [8, 4], eval_freq=16, n_eval_episodes=2)
    # then
    model.learn(16, callback=callback)
    assert [row["episode_return"] for row in callback.rows] == [7.0] * 4
    found = smallest_size(model.policy, Masked(), 1.0, return_range=(6, 8), sizes=[4], max_episodes=8)
    assert found.full.mean_return == 7.0
    driver: Any = DrivingPredictor(model.policy, 1e9, [8, 4])
    assert evaluate_maskable(driver, Monitor(Masked()), 2, return_episode_rewards=True)[0] == [7.0] * 2


# ---------------------------------------------------------------- wrappers


def frames(venv: Any) -> VecFrameStack:
    return VecFrameStack(venv, 3)


CHAINS: dict[str, tuple[Callable[[], gym.Env[Any, Any]], Callable[[Any], Any], str]] = {
    "nothing": (Steps, lambda venv: venv, "IntegralMlpPolicy"),
    "normalised": (Steps, VecNormalize, "IntegralMlpPolicy"),
    "stacked": (Steps, frames, "IntegralMlpPolicy"),
    "stacked, normalised": (Steps, lambda venv: VecNormalize(frames(venv)), "IntegralMlpPolicy"),
    "normalised, stacked": (Steps, lambda venv: frames(VecNormalize(venv)), "IntegralMlpPolicy"),
    "checked, normalised": (Steps, lambda venv: VecNormalize(VecCheckNan(venv)), "IntegralMlpPolicy"),
    "one of a dictionary": (
        lambda: Steps(spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Box(-1, 1, (3,)))),
        lambda venv: VecExtractDictObs(venv, "b"),
        "IntegralMlpPolicy",
    ),
    "a dictionary": (
        lambda: Steps(spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=box_image())),
        lambda venv: VecNormalize(frames(venv), norm_obs_keys=["a"]),
        "IntegralMultiInputPolicy",
    ),
    "images": (lambda: Steps(box_image()), lambda venv: venv, "IntegralCnnPolicy"),
    "stacked images": (lambda: Steps(box_image()), frames, "IntegralCnnPolicy"),
}


@pytest.fixture(params=list(CHAINS))
def chain(request: pytest.FixtureRequest) -> Any:
    """Return what makes an environment, a model trained in it, and the same wrappers around another."""
    make, wrap, policy = CHAINS[request.param]
    features = {"IntegralCnnPolicy": "features_dim", "IntegralMultiInputPolicy": "cnn_output_dim"}
    extractor = {"features_extractor_kwargs": {features[policy]: 16}} if policy in features else {}
    model = ppo(wrap(make_vec_env(make, 2, seed=0)), policy, **extractor).learn(32)
    reference = PPO._wrap_env(wrap(make_vec_env(make, 1)))
    sync_envs_normalization(model.get_env(), reference)
    for wrapper in vec_wrappers(reference):
        if isinstance(wrapper, VecNormalize):
            wrapper.training = wrapper.norm_reward = False
    return make, model, reference


@pytest.mark.parametrize("kind", ["factory", "environment", "vectorised", "wrapped already"])
def test_an_evaluation_environment_gets_the_training_wrappers(chain: Any, kind: str) -> None:
    # given
    make, model, reference = chain
    given: Any = (
        make if kind == "factory" else make() if kind == "environment" else make_vec_env(make, 1)
    )
    if kind == "wrapped already":
        given = evaluation_env(model.policy, given, model.get_env())
    # when
    env: Any = evaluation_env(model.policy, given, model.get_env())
    venv = env().venv if kind == "factory" and isinstance(env(), OneOfVec) else env
    if kind == "factory" and not isinstance(venv, VecEnv):
        venv = DummyVecEnv([env])
    # then
    venv.seed(3)
    reference.seed(3)
    seen, expected = venv.reset(), reference.reset()
    for step in range(9):  # past the end of an episode
        for got, want in zip(_arrays(seen), _arrays(expected), strict=True):
            np.testing.assert_array_equal(got, want)
        actions = np.array([step % 2])
        (seen, rewards, dones, _), (expected, wanted, ends, _) = (
            venv.step(actions),
            reference.step(actions),
        )
        assert rewards == wanted == 1.0
        assert dones == ends
    # and it can be swept
    rows = evaluate_resize_sweep(model, given, [8, 4], 3, seed=0)
    assert [(row.episode_return, row.length) for row in rows] == [(7.0, 7)] * 6


def _arrays(observation: Any) -> list[Any]:
    return list(observation.values()) if isinstance(observation, dict) else [observation]


def test_the_callback_sweeps_whatever_the_training_environment_is_wrapped_in(chain: Any) -> None:
    make, model, _ = chain
    callback = ResizeSweepCallback(make, [8, 4], eval_freq=16, n_eval_episodes=2)
    model.learn(32, callback=callback)
    assert [row["length"] for row in callback.rows] == [7] * 4


def test_wrapped_episodes_are_the_same_for_any_number_of_workers() -> None:
    # given
    model = ppo(VecNormalize(frames(make_vec_env("CartPole-v1", 2, seed=0)))).learn(64)
    arguments: Any = (model, "CartPole-v1", [8, 4], 18)
    # then
    alone = evaluate_resize_sweep(*arguments, seed=3)
    assert evaluate_resize_sweep(*arguments, seed=3, n_workers=2) == alone
    # and each is what the policy does in the training environment's wrappers
    venv: Any = evaluation_env(model.policy, gym.make("CartPole-v1"), model.get_env())
    venv.seed(episode_seeds(3, 18)[4])
    observation, steps, over = venv.reset(), 0, False
    while not over:
        observation, _, (over,), _ = venv.step(model.predict(observation, deterministic=True)[0])
        steps += 1
    assert alone[4].length == steps


def test_images_are_transposed_where_only_the_policy_is_known() -> None:
    extractor = {"features_extractor_kwargs": {"features_dim": 16}}
    policy = ppo(Steps(box_image()), "IntegralCnnPolicy", **extractor).policy
    venv = DummyVecEnv([lambda: Steps(box_image())])
    for env in (lambda: Steps(box_image()), Steps(box_image()), venv):
        rows = evaluate_resize_sweep(policy, env, [8], 2, warn=False)
        assert [row.length for row in rows] == [7, 7]


class Unknown(VecEnvWrapper):
    """A wrapper that nobody knows."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()


@pytest.mark.parametrize(
    ("wrap", "evaluated", "message"),
    [
        (Unknown, Steps, "wrapped in Unknown, which can't be put around"),
        (frames, lambda: VecNormalize(make_vec_env(Steps)), r"\['VecNormalize'\].*\['VecFrameStack'\]"),
        (lambda venv: venv, lambda: Steps(spaces.Box(-1, 1, (4,))), "observation_space is"),
        (lambda venv: venv, lambda: Steps(action_space=spaces.Discrete(3)), "action_space is"),
        (lambda venv: venv, lambda: "Nowhere-v0", "Nowhere-v0"),
        (lambda venv: venv, lambda: "nowhere:CartPole-v1", "nowhere:CartPole-v1"),
        (lambda venv: venv, lambda: dict, "a function that makes an environment"),
    ],
)
def test_what_cannot_be_wrapped_is_said_when_training_starts(
    wrap: Any, evaluated: Any, message: str
) -> None:
    # given
    model = ppo(wrap(make_vec_env(Steps)))
    callback = ResizeSweepCallback(evaluated(), [8])
    # then
    with pytest.raises(ValueError, match=message):
        model.learn(16, callback=callback)
    assert model.num_timesteps == 0


def test_the_training_environment_itself_is_no_evaluation_environment() -> None:
    model = ppo(VecNormalize(make_vec_env(Steps)))
    with pytest.raises(ValueError, match="is the training environment, expected another"):
        model.learn(16, callback=ResizeSweepCallback(model.get_env(), [8]))


def test_a_wrapper_that_nobody_knows_can_be_there_already() -> None:
    model = ppo(Unknown(make_vec_env(Steps)))
    callback = ResizeSweepCallback(Unknown(make_vec_env(Steps)), [8], eval_freq=16, n_eval_episodes=1)
    model.learn(16, callback=callback)
    assert len(callback.rows) == 1


def test_an_environment_that_cannot_be_made_is_an_error_of_one_line() -> None:
    def broken() -> gym.Env[Any, Any]:
        raise OSError("no display")

    gym.register("Broken-v0", broken)
    try:
        with pytest.raises(ValueError, match="cannot make the environment 'Broken-v0': no display"):
            env_factory("Broken-v0")()
    finally:
        del gym.registry["Broken-v0"]


def test_an_id_can_name_its_module() -> None:
    with env_factory("gymnasium.envs:CartPole-v1")() as env:
        assert env.spec is not None
        assert env.spec.id == "CartPole-v1"


# ---------------------------------------------------------------- what is left as it was


def everything(venv: VecEnv) -> list[Any]:
    """Return what evaluation must not change, of all wrappers."""
    kept: list[Any] = []
    for part in vec_wrappers(venv):
        if isinstance(part, VecNormalize):
            for rms in (part.obs_rms, part.ret_rms) if part.norm_obs else (part.ret_rms,):
                kept += [rms.mean.copy(), rms.var.copy(), rms.count]  # type: ignore[union-attr]
            kept += [part.returns.copy(), part.training, part.norm_reward, part.get_original_obs()]
        elif isinstance(part, VecFrameStack):
            kept.append(part.stacked_obs.stacked_obs.copy())
        elif isinstance(part, VecMonitor):
            kept += [part.episode_count, part.episode_returns.copy(), part.episode_lengths.copy()]
    for env in venv.unwrapped.envs:  # type: ignore[attr-defined]
        monitor: Any = env
        kept += [list(monitor.episode_returns), monitor.total_steps, monitor.allow_early_resets]
    return kept


@pytest.mark.parametrize(
    "wrap",
    [
        VecNormalize,
        lambda venv: frames(VecNormalize(venv)),
        lambda venv: VecNormalize(frames(VecCheckNan(venv))),
        lambda venv: VecNormalize(VecNormalize(venv, norm_obs=False)),
    ],
)
@pytest.mark.parametrize("how", ["sweep", "search", "sweep that fails", "callback of another model"])
def test_evaluation_in_the_training_environment_leaves_its_wrappers_alone(
    wrap: Any, how: str, tmp_path: Any
) -> None:
    # given
    def make(name: str) -> Any:
        return Monitor(Steps(), str(tmp_path / name))

    venv = wrap(DummyVecEnv([partial(make, name) for name in ("a", "b")]))
    model = ppo(venv).learn(24)
    log = [file.read_text(encoding="utf-8") for file in sorted(tmp_path.iterdir())]
    before = everything(venv)
    # when
    if how == "search":
        smallest_size(model.policy, model.get_env(), 1.0, sizes=[4], max_episodes=8)
    elif how == "sweep":
        rows = evaluate_resize_sweep(model.policy, model.get_env(), [8, 4], 3)
        assert [row.episode_return for row in rows] == [7.0] * 6
    elif how == "sweep that fails":
        with pytest.raises(EndlessEpisodeError):
            evaluate_resize_sweep(model.policy, model.get_env(), [8], 3, max_episode_steps=3)
    else:
        trainer = type("Trainer", (), {"policy": model.policy, "logger": model.logger})()
        ResizeSweepCallback(venv, [8, 4], n_eval_episodes=1).for_trainer(trainer)()
    # then
    for value, old in zip(everything(venv), before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert [file.read_text(encoding="utf-8") for file in sorted(tmp_path.iterdir())] == log
    # and training goes on with it
    model.learn(16)
    venv.close()


@pytest.mark.parametrize("fails", [False, True])
def test_a_vec_monitor_keeps_its_counts_and_log(fails: bool, tmp_path: Any) -> None:
    # given
    venv = VecNormalize(VecMonitor(DummyVecEnv([Steps, Steps]), str(tmp_path / "log")))
    model = ppo(venv).learn(24)
    inner: Any = venv.venv
    before = (inner.episode_count, inner.episode_lengths.tolist(), venv.obs_rms.count, venv.training)
    # when
    if fails:
        with pytest.raises(EndlessEpisodeError):
            evaluate_resize_sweep(model, venv, [8], 3, max_episode_steps=3)
    else:
        rows = evaluate_resize_sweep(model, venv, [8], 3)
        assert [row.length for row in rows] == [7] * 3
    # then
    after = (inner.episode_count, inner.episode_lengths.tolist(), venv.obs_rms.count, venv.training)
    assert after == before
    venv.close()


def test_statistics_reach_an_evaluation_environment_but_not_the_other_way_round() -> None:
    # given
    trained = VecNormalize(make_vec_env(Steps, 2, seed=0))
    own = VecNormalize(make_vec_env(Steps, 1))
    model = ppo(trained).learn(32)
    count = trained.obs_rms.count
    # when
    evaluate_resize_sweep(model, own, [8], 2)
    # then
    assert own.obs_rms.count == count == trained.obs_rms.count
    assert own.training
    assert own.norm_reward
    np.testing.assert_array_equal(own.obs_rms.mean, trained.obs_rms.mean)


# ---------------------------------------------------------------- episodes that do not end


class LosesLives(gym.Wrapper[Any, Any, Any, Any]):
    """Says after every second step that it is over, and goes on, as Atari games do after a lost life."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.over = terminated or truncated
        self.last = observation
        self.count = getattr(self, "count", 0) + 1
        return observation, reward, terminated or self.count % 2 == 0, truncated, info

    def reset(self, **kwargs: Any) -> Any:
        if kwargs.get("seed") is None and not getattr(self, "over", True):
            return self.last, {}
        return self.env.reset(**kwargs)


class StopsEarly(gym.Wrapper[Any, Any, Any, Any]):
    """Ends each episode after three steps."""

    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = self.env.step(action)
        return observation, reward, self.env.unwrapped.count == 3, truncated, info  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (lambda: TimeLimit(Monitor(Steps(steps=10**9)), 5), 5),
        (lambda: TimeLimit(Monitor(TimeLimit(Monitor(Steps(steps=10**9)), 9)), 5), 5),
        (lambda: StopsEarly(Monitor(Steps(steps=10**9))), 3),
        (lambda: LosesLives(Monitor(Steps())), 7),
        (lambda: Monitor(Steps(), allow_early_resets=False), 7),
    ],
    ids=["time limit", "two monitors", "a wrapper", "lives", "no early resets"],
)
@pytest.mark.parametrize("kind", ["factory", "environment", "vectorised", "normalised"])
def test_an_episode_ends_where_it_ends_inside_or_outside_of_its_monitor(
    make: Any, length: int, kind: str
) -> None:
    # given
    policy = ppo(Steps()).policy
    envs: dict[str, Any] = {"factory": make}
    if kind != "factory":
        envs = {"environment": make(), "vectorised": DummyVecEnv([make, make])}
        envs["normalised"] = VecNormalize(DummyVecEnv([make]))
    # when
    rows = evaluate_resize_sweep(policy, envs[kind], [8, 4], 3, seed=0, max_episode_steps=20)
    # then
    assert [(row.episode_return, row.episode_length) for row in rows] == [(float(length), length)] * 6


@pytest.mark.parametrize("kind", ["factory", "environment", "vectorised", "no monitor"])
def test_an_episode_without_an_end_is_an_error_that_names_the_limit(kind: str) -> None:
    # given
    policy = ppo(Steps()).policy
    envs: dict[str, Any] = {
        "factory": lambda: Steps(steps=8),
        "environment": Steps(steps=8),
        "vectorised": make_vec_env(lambda: Steps(steps=8), 2),
        "no monitor": DummyVecEnv([lambda: Steps(steps=8)]),
    }
    # then
    rows = evaluate_resize_sweep(policy, envs[kind], [8], 2, warn=False, max_episode_steps=8)
    assert [row.length for row in rows] == [8, 8]
    with pytest.raises(EndlessEpisodeError, match="max_episode_steps=7"):
        evaluate_resize_sweep(policy, envs[kind], [8], 2, warn=False, max_episode_steps=7)
    with pytest.raises(EndlessEpisodeError, match="max_episode_steps=7"):
        smallest_size(policy, envs[kind], 1.0, sizes=[4], max_episode_steps=7)
    assert policy.sizes == (8, 8)


def test_a_worker_reports_an_episode_without_an_end() -> None:
    policy = ppo("CartPole-v1").policy
    with pytest.raises(EndlessEpisodeError, match="max_episode_steps=3"):
        evaluate_resize_sweep(policy, "CartPole-v1", [8], 2, n_workers=2, max_episode_steps=3)


def test_training_goes_on_after_an_evaluation_without_an_end() -> None:
    callback = ResizeSweepCallback(Steps, [8], eval_freq=16, n_eval_episodes=1, max_episode_steps=5)
    with pytest.warns(UserWarning, match=r"after 16 steps was given up.*max_episode_steps=5"):
        model = ppo(Steps()).learn(16, callback=callback)
    assert model.num_timesteps == 16
    assert callback.rows == []


@pytest.mark.parametrize("limit", [0, -1, 1.5, True])
def test_a_bad_limit_is_refused(limit: Any) -> None:
    policy = ppo(Steps()).policy
    with pytest.raises(ValueError, match="max_episode_steps must be an integer of at least 1"):
        evaluate_resize_sweep(policy, Steps, [8], max_episode_steps=limit)
    with pytest.raises(ValueError, match="max_episode_steps must be an integer of at least 1"):
        ResizeSweepCallback(Steps, [8], max_episode_steps=limit)


def test_a_monitor_in_another_process_that_lets_no_episode_begin_is_refused() -> None:
    venv = SubprocVecEnv([lambda: Monitor(Steps(), allow_early_resets=False)])
    try:
        with pytest.raises(ValueError, match="allow_early_resets=False"):
            evaluate_resize_sweep(ppo(Steps()).policy, venv, [8], 1)
    finally:
        venv.close()


# ---------------------------------------------------------------- odd policies


@pytest.mark.parametrize("arguments", [{"squash_output": True, "use_sde": True}, {"net_arch": [8]}])
def test_the_fast_way_and_sb3_take_the_same_actions(arguments: dict[str, Any]) -> None:
    # given an environment whose return is the sum of its actions
    class Sum(Steps):
        def step(self, action: Any) -> Any:
            observation, _, terminated, truncated, info = super().step(action)
            return observation, float(np.sum(action)), terminated, truncated, info

    make = partial(Sum, action_space=spaces.Box(-3.0, 5.0, (2,)))
    env = make()
    policy = ActorCriticPolicy(env.observation_space, env.action_space, lambda _: 1e-3, **arguments)
    by_numpy = make_actor(policy)
    # then
    observation, _ = env.reset(seed=0)
    for row in range(ROWS):
        by_numpy.observe(row, observation)
    expected, _ = policy.predict(observation, deterministic=True)
    for action in by_numpy.act():
        np.testing.assert_allclose(action, expected, rtol=1e-5)


def test_returns_are_those_of_sb3_whatever_is_normalised() -> None:
    model = ppo(VecNormalize(make_vec_env("CartPole-v1", 2, seed=0), norm_obs=False)).learn(64)
    rows = evaluate_resize_sweep(model, model.get_env(), [8], 4, seed=1)
    model.get_env().seed(1)  # type: ignore[union-attr]
    expected = evaluate_policy(model, model.get_env(), 4, return_episode_rewards=True)  # type: ignore[arg-type]
    assert [row.episode_return for row in rows] == expected[0]
    assert MAX_EPISODE_STEPS > 500
