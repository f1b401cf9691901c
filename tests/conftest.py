from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import shape_checks
import torch
from gymnasium import spaces
from hypothesis import settings
from hypothesis import strategies as st
from sb3_contrib import QRDQN, TQC, CrossQ, MaskablePPO
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import Tensor, nn

from sb3_integral import IntegralActorCriticPolicy
from sb3_integral.policies import IntegralMultiInputActorCriticPolicy, StandardizeExtractor

shape_checks.install(["sb3_integral.nn", "sb3_integral.actor"])
settings.register_profile("suite", max_examples=20, deadline=None, derandomize=True)
settings.load_profile("suite")

OBSERVATION_SPACE = spaces.Box(-10.0, 10.0, (5,), np.float32)
ACTION_SPACES: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_policy() -> Callable[..., Any]:
    """Make a policy of given weights: large ones, as SB3's first action layer gives next to nothing."""

    def make(
        actions: str = "discrete",
        policy_class: type[ActorCriticPolicy] = IntegralActorCriticPolicy,
        seed: int = 0,
        **kwargs: Any,
    ) -> ActorCriticPolicy:
        kwargs = {"net_arch": {"pi": [16, 12], "vf": [10]}, **kwargs}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = policy_class(OBSERVATION_SPACE, ACTION_SPACES[actions], lambda _: 3e-4, **kwargs)
            with torch.no_grad():
                for parameter in policy.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))
        policy.set_training_mode(False)
        return policy

    return make


@pytest.fixture(scope="session")
def observations() -> Tensor:
    return 2.0 * torch.randn(32, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def outputs() -> Callable[[ActorCriticPolicy, Tensor], Tensor]:
    """Compute all that a policy says of observations: its distribution's parameters and its values."""

    def compute(policy: ActorCriticPolicy, observations: Tensor) -> Tensor:
        with torch.no_grad():
            distribution = policy.get_distribution(observations)
            values = policy.predict_values(observations)
        inner = distribution.distribution
        if isinstance(distribution, DiagGaussianDistribution):
            return torch.cat([inner.mean, inner.stddev, values], dim=1)
        return torch.cat([inner.logits, values], dim=1)

    return compute


@pytest.fixture(
    params=[
        (0, "0", "integer of at least 1"),
        (-1, "-1", "integer of at least 1"),
        (2.5, "2.5", "integer of at least 1"),
        (8.0, "8.0", "integer of at least 1"),
        (True, "True", "integer of at least 1"),
        ("8", "'8'", "integer of at least 1"),
        ([8, 0], "0", "integer of at least 1"),
        ([8, 2.5], "2.5", "integer of at least 1"),
        ([False, 8], "False", "integer of at least 1"),
        ([8, "8"], "'8'", "integer of at least 1"),
        ([8], "[8]", "one per hidden layer (2)"),
        ([8, 7, 6], "[8, 7, 6]", "one per hidden layer (2)"),
        ([], "[]", "one per hidden layer (2)"),
    ],
    ids=lambda case: repr(case[0]),
)
def bad_size(request: pytest.FixtureRequest) -> tuple[object, str, str]:
    """Give a size that two hidden layers cannot have, and what an error has to say of it."""
    return request.param


# ---------------------------------------------------------------- policies of every shape

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU, nn.LeakyReLU, nn.GELU)
VECTORS = (
    spaces.Box(-1.0, 1.0, (4,)),
    spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    spaces.Box(np.array([-1.0, 0.0, -np.inf]), np.array([1.0, np.inf, 2.5]), dtype=np.float64),
    spaces.MultiBinary(5),
)
OTHERS = (
    spaces.Discrete(4, start=2),
    spaces.MultiDiscrete([3, 2]),
    spaces.Dict({"b": spaces.Box(-1.0, 1.0, (2,)), "a": spaces.Discrete(3)}),
)
ACTIONS = (
    spaces.Box(-1.0, 1.0, (2,)),
    spaces.Box(np.float32([-2.0, -0.1, 0.0]), np.float32([0.5, 0.1, 3.0])),
    spaces.Box(-1.0, 1.0, (2, 2)),
    spaces.Discrete(5),
    spaces.MultiDiscrete([2, 4]),
    spaces.MultiBinary(3),
)


class AnySpaces(gym.Env[Any, Any]):
    """Random observations, ten to an episode."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), False, self.steps == 10, {}


@pytest.fixture(scope="session")
def enlarge() -> Callable[[nn.Module], None]:
    """Make weights large: SB3's first action layer gives next to nothing."""

    def add(policy: nn.Module) -> None:
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))

    return add


@pytest.fixture(scope="session")
def draw_policy(enlarge: Callable[[nn.Module], None]) -> Callable[..., Any]:
    """Draw an integral actor-critic policy from all that it can be made of, at some size."""

    def drawn(data: st.DataObject, observations: tuple[spaces.Space[Any], ...] = VECTORS) -> Any:
        arch = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=3), label="net_arch")
        space = data.draw(st.sampled_from(observations), label="observation_space")
        arguments: dict[str, Any] = {
            "net_arch": {"pi": arch, "vf": []},
            "activation_fn": data.draw(st.sampled_from(ACTIVATIONS), label="activation_fn"),
            "kernel": data.draw(st.sampled_from(["cubic", "linear", "b-spline", "cubic-antialiased"])),
            "quadrature": data.draw(st.sampled_from(["trapezoidal", "midpoint", "simpson"])),
            "grid_size": data.draw(st.none() | st.integers(2, 24), label="grid_size"),
        }
        standardize = data.draw(st.booleans(), label="standardize") and isinstance(space, spaces.Box)
        arguments["features_extractor_class"] = StandardizeExtractor if standardize else FlattenExtractor
        policy_class = IntegralActorCriticPolicy
        if isinstance(space, spaces.Dict):
            policy_class = IntegralMultiInputActorCriticPolicy
            del arguments["features_extractor_class"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(data.draw(st.integers(0, 99), label="seed"))
            policy = policy_class(space, data.draw(st.sampled_from(ACTIONS)), lambda _: 0.0, **arguments)
        enlarge(policy)
        if standardize:
            generator = torch.Generator().manual_seed(1)
            sample = 3.0 + 2.0 * torch.randn(50, *space.shape, generator=generator)
            policy.features_extractor.fit(sample)
        policy.set_training_mode(False)
        sizes = [data.draw(st.integers(1, 24), label="size") for _ in arch]
        return policy.resize(sizes)

    return drawn


@pytest.fixture(scope="session")
def observe() -> Callable[[Any], Any]:
    """Return four observations of a space, always the same."""

    def samples_of(space: spaces.Space[Any]) -> Any:
        space.seed(3)
        samples = [space.sample() for _ in range(4)]
        if isinstance(space, spaces.Dict):
            return {name: np.stack([sample[name] for sample in samples]) for name in space}
        return np.stack(samples)

    return samples_of


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Check actions; choices may differ only where they are as good, which random weights rule out."""

    def check(got: Any, wanted: Any, tolerance: float = 1e-5) -> None:
        assert np.shape(got) == np.shape(wanted)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)

    return check


@pytest.fixture(scope="session")
def make_model(enlarge: Callable[[nn.Module], None]) -> Callable[..., BaseAlgorithm]:
    """Make a small integral model of any algorithm."""

    def make(
        algorithm: type[BaseAlgorithm],
        kind: str = "IntegralMlpPolicy",
        observation_space: spaces.Space[Any] = VECTORS[0],
        action_space: spaces.Space[Any] | None = None,
        arguments: dict[str, Any] | None = None,
        **policy_kwargs: Any,
    ) -> BaseAlgorithm:
        discrete = issubclass(algorithm, (DQN, QRDQN, MaskablePPO))
        action_space = action_space or ACTIONS[3 if discrete else 1]
        arguments = {**(arguments or {}), "policy_kwargs": {"net_arch": [12, 10], **policy_kwargs}}
        if issubclass(algorithm, (DQN, SAC, TD3, QRDQN, TQC, CrossQ)):
            arguments.update(buffer_size=50, learning_starts=10, batch_size=8)
        model = algorithm(kind, AnySpaces(observation_space, action_space), seed=0, **arguments)
        enlarge(model.policy)
        model.policy.set_training_mode(False)
        return model

    return make


@pytest.fixture(scope="session")
def make_normalize() -> Callable[..., VecNormalize]:
    """Make statistics that are far from those of nothing."""

    def make(space: spaces.Space[Any], clip_obs: float = 10.0) -> VecNormalize:
        venv = DummyVecEnv([lambda: AnySpaces(space, ACTIONS[0])])
        normalize = VecNormalize(venv, clip_obs=clip_obs)
        random = np.random.default_rng(0)
        rms = normalize.obs_rms
        for own in rms.values() if isinstance(rms, dict) else [rms]:
            own.mean = random.normal(size=own.mean.shape)
            own.var = random.uniform(0.2, 4.0, size=own.var.shape)
        normalize.training = False
        return normalize

    return make


@pytest.fixture(scope="session")
def student() -> ActorCriticPolicy:
    """A student with standardised observations, as cloning makes them."""
    from sb3_integral.imitation.students import StudentArchitecture

    policy = StudentArchitecture("integral", (12, 10)).build(VECTORS[0], ACTIONS[1], seed=0)
    policy.features_extractor.fit(2.0 + torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))
    policy.set_training_mode(False)
    return policy


# ---------------------------------------------------------------- pages in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser without a window, or a reason why the test is skipped."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no browser: on Debian, apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(60)
    yield browser
    browser.quit()


@pytest.fixture
def as_shown_on(browser: Any) -> Iterator[Callable[[int, str], None]]:
    """Make the browser as wide as a device, by day or by night, until the test ends."""

    def show(width: int, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    yield show
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="session")
def serious_findings() -> Callable[[Any], list[str]]:
    """Say what axe-core finds on the page in a browser that keeps people from using it.

    The path of axe-core's script is in the variable AXE; ``npm install axe-core`` brings it.
    """
    script = os.environ.get("AXE")
    if script is None:
        pytest.skip("AXE does not name axe-core's script: npm install axe-core")

    def find(browser: Any) -> list[str]:
        browser.execute_script(Path(script).read_text(encoding="utf-8"))
        found = browser.execute_async_script(
            """const done = arguments[0];
            axe.run(document, { resultTypes: ["violations"] }).then(found => done(found.violations));"""
        )
        return [
            f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    return find
