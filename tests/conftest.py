from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import settings
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from sb3_integral import IntegralActorCriticPolicy

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
