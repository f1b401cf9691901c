"""The page that moves computes what Gymnasium and the exported actor compute, and people can use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import BasePolicy

from sb3_integral import ResizablePolicy
from sb3_integral.actor import actor_spec
from sb3_integral.actor.torch_module import TorchActor
from sb3_integral.experiments.report.moving import moving_data, render_moving_page
from sb3_integral.imitation import StudentArchitecture

ENVIRONMENTS = ["Acrobot-v1", "CartPole-v1"]
FULL = 100
SIZES = [100, 99, 71, 70, 50, 33, 23, 17, 16, 15, 10, 7, 5]
MOST_BYTES = 1_000_000


def make_student(kind: Any, env: gym.Env[Any, Any], activation: str = "tanh") -> BasePolicy:
    """Make a student of random weights, all of them large, corrections and statistics included."""
    architecture = StudentArchitecture(kind, (FULL, FULL), activation)
    student = architecture.build(env.observation_space, env.action_space, seed=0)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    size = env.observation_space.shape or ()
    student.features_extractor.fit(0.3 + 0.7 * torch.randn(64, *size, generator=generator))
    student.set_training_mode(False)
    return student


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def env(request: pytest.FixtureRequest) -> gym.Env[Any, Any]:
    return gym.make(request.param)


@pytest.fixture(scope="module")
def students(env: gym.Env[Any, Any]) -> tuple[BasePolicy, BasePolicy]:
    return make_student("integral", env), make_student("plain", env)


@pytest.fixture
def page(
    env: gym.Env[Any, Any], students: tuple[BasePolicy, BasePolicy], tmp_path: Path, browser: Any
) -> Path:
    """Write the page and open it."""
    assert env.spec is not None
    data = moving_data(env.spec.id, *students)
    assert data is not None
    path = tmp_path / "moving.html"
    path.write_text(render_moving_page(data), encoding="utf-8")
    browser.get(path.as_uri())
    return path


# It computes what it should


@pytest.mark.slow
def test_each_step_is_gymnasiums(env: gym.Env[Any, Any], page: Path, browser: Any) -> None:
    # given 500 steps of Gymnasium, of random actions
    assert env.spec is not None
    random = np.random.default_rng(3)
    inner: Any = env.unwrapped
    befores, actions, wanted = [], [], []
    inner.reset(seed=1)
    for _ in range(500):
        befores.append([float(value) for value in inner.state])
        actions.append(int(random.integers(env.action_space.n)))  # type: ignore[attr-defined]
        observation, reward, done, _, _ = inner.step(actions[-1])
        state = [float(value) for value in inner.state]
        wanted.append([*state, *map(float, observation), float(reward), float(done)])
        if done:
            inner.reset()
    # when the page makes the same steps from the same states
    got = browser.execute_script(
        """const [id, befores, actions] = arguments, environment = ENVIRONMENTS[id];
        return befores.map((before, i) => {
          const { state, reward, done } = environment.step(before, actions[i]);
          return [...state, ...environment.observe(state), reward, Number(done)];
        });""",
        env.spec.id,
        befores,
        actions,
    )
    # then states, observations, rewards and ends are equal
    np.testing.assert_allclose(got, wanted, rtol=0.0, atol=1e-6)


def episode(env: gym.Env[Any, Any], policy: Any, n_steps: int = 200) -> np.ndarray[Any, Any]:
    """Return the observations of an episode that a policy drives."""
    observation, _ = env.reset(seed=5)
    seen = []
    for _ in range(n_steps):
        seen.append(observation)
        action, _ = policy.predict(observation, deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
    return np.asarray(seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["integral", "bicubic", "bicubic-rescaled"])
def test_each_network_is_the_exported_actor_over_an_episode(
    env: gym.Env[Any, Any],
    students: tuple[BasePolicy, BasePolicy],
    page: Path,
    browser: Any,
    name: str,
) -> None:
    # given
    integral, plain = students
    policy: Any = integral if name == "integral" else ResizablePolicy(plain, name)
    seen = episode(env, policy.discretize(FULL))
    for size in SIZES:
        # when the page and the export compute what the last layer says, and the action
        outputs, actions = browser.execute_script(
            """const [name, size, seen] = arguments;
            const network = new Network(name === "integral" ? DATA.integral : DATA.plain,
              name === "integral" ? sampledLayer
                : (layer, n) => interpolatedLayer(layer, n, name === "bicubic-rescaled"));
            network.setSize(size);
            return [seen.map(observation => network.run(observation)),
                    seen.map(observation => network.act(observation))];""",
            name,
            size,
            seen.tolist(),
        )
        exported = TorchActor(actor_spec(policy, size))
        with torch.no_grad():
            observations = torch.as_tensor(seen)
            wanted = exported(observations).numpy()
            logits = policy.discretize(size).get_distribution(observations).distribution.logits
        # then they agree; of the outputs, a distribution knows the differences
        got = torch.as_tensor(outputs).log_softmax(dim=1)
        np.testing.assert_allclose(got, logits, rtol=1e-5, atol=1e-5)
        assert np.mean(np.asarray(actions) == wanted) == 1.0


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
def test_every_activation_of_students_is_known(activation: str) -> None:
    env = gym.make("CartPole-v1")
    pair = make_student("integral", env, activation), make_student("plain", env, activation)
    data = moving_data("CartPole-v1", *pair)
    assert data is not None
    assert data["integral"]["activation"] == activation
    script = Path(__file__).parents[4] / "sb3_integral/experiments/report/moving/network.js"
    assert f"  {activation}: " in script.read_text(encoding="utf-8")


def test_what_the_page_cannot_show_is_left_out() -> None:
    env = gym.make("CartPole-v1")
    integral, plain = make_student("integral", env), make_student("plain", env)
    even = StudentArchitecture("integral", (FULL, FULL), nested=False)
    small = StudentArchitecture("plain", (FULL, 50))
    spaces = env.observation_space, env.action_space
    assert moving_data("LunarLander-v3", integral, plain) is None
    assert moving_data("CartPole-v1", even.build(*spaces, seed=0), plain) is None
    assert moving_data("CartPole-v1", integral, small.build(*spaces, seed=0)) is None


# A person uses it


def test_it_is_one_small_file(page: Path) -> None:
    assert page.stat().st_size < MOST_BYTES


@pytest.mark.slow
def test_the_slider_is_moved_by_keyboard_and_nothing_is_requested(page: Path, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def text(name: str) -> str:
        return str(browser.find_element(By.ID, name).text)

    browser.refresh()
    wait = WebDriverWait(browser, 60)
    wait.until(lambda _: text("plain-return") != "–")
    # when
    slider = browser.find_element(By.ID, "size")
    slider.send_keys(Keys.ARROW_LEFT)
    # then
    assert text("shown") == "99"
    assert slider.get_attribute("aria-valuetext") == "99 neurons in each hidden layer"
    # when
    slider.send_keys(Keys.HOME)
    # then
    assert text("shown") == "5"
    wait.until(lambda _: browser.find_element(By.ID, "said").get_attribute("textContent")[:2] == "5 ")
    assert [browser.execute_script(f"return agents[{i}].network.size") for i in (0, 1)] == [5, 5]
    assert text("integral-time").endswith(" µs")
    # and it moves, until it is told to pause
    before = text("integral-total")
    wait.until(lambda _: text("integral-total") != before)
    browser.find_element(By.ID, "play").click()
    assert text("play") == "Play"
    # and nothing went wrong, or was asked of anybody
    assert browser.get_log("browser") == []
    requested = [entry["message"] for entry in browser.get_log("performance")]
    urls = [each for each in requested if "Network.requestWillBeSent" in each and '"url":"http' in each]
    assert urls == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_a_phone_by_day_and_by_night(page: Path, browser: Any, scheme: str) -> None:
    def media(features: list[dict[str, str]]) -> None:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    media([{"name": "prefers-color-scheme", "value": scheme}])
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.refresh()
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        colours = browser.execute_script(
            """return ["color", "background-color"].map(name =>
              getComputedStyle(document.body).getPropertyValue(name).match(/\\d+/g).map(Number));"""
        )
        ink, paper = (sum(colour) for colour in colours)
        assert ink < paper if scheme == "light" else ink > paper
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        media([])


@pytest.mark.slow
def test_who_wants_less_motion_gets_none_unasked(page: Path, browser: Any) -> None:
    feature = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.refresh()
    assert browser.execute_script("return playing") is False
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
