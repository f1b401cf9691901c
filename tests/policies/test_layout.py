from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from sb3_contrib.common.torch_layers import BatchRenorm1d
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import nn

from sb3_integral.policies.layout import (
    NetworkLayout,
    PolicyLayout,
    dense,
    find_layout,
    replace_submodule,
    submodules,
)
from sb3_integral.policies.registration import KINDS, integral_policies

MakeModel = Callable[..., Any]

ON_POLICY = PolicyLayout(
    actors=(
        NetworkLayout(
            "features_extractor",
            ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"),
            ("action_net",),
        ),
    ),
    critics=(
        NetworkLayout(
            "features_extractor",
            ("mlp_extractor.value_net.0", "mlp_extractor.value_net.2"),
            ("value_net",),
        ),
    ),
)
RECURRENT = PolicyLayout(*(tuple(net._replace(reads="memory") for net in nets) for nets in ON_POLICY))
CRITICS = tuple(
    NetworkLayout(
        "critic.features_extractor",
        (f"critic.{name}.0", f"critic.{name}.2"),
        (f"critic.{name}.4",),
        reads="features and actions",
    )
    for name in ("qf0", "qf1")
)
SQUASHED = PolicyLayout(
    actors=(
        NetworkLayout(
            "actor.features_extractor",
            ("actor.latent_pi.0", "actor.latent_pi.2"),
            ("actor.mu", "actor.log_std"),
        ),
    ),
    critics=CRITICS,
)


def deterministic(critics: int) -> PolicyLayout:
    actors = tuple(
        NetworkLayout(f"{name}.features_extractor", (f"{name}.mu.0", f"{name}.mu.2"), (f"{name}.mu.4",))
        for name in ("actor", "actor_target")
    )
    return PolicyLayout(actors, CRITICS[:critics])


def values(name: str) -> PolicyLayout:
    actors = tuple(
        NetworkLayout(
            f"{name}{suffix}.features_extractor",
            (f"{name}{suffix}.{name}.0", f"{name}{suffix}.{name}.2"),
            (f"{name}{suffix}.{name}.4",),
        )
        for suffix in ("", "_target")
    )
    return PolicyLayout(actors, ())


LAYOUTS: dict[type[BaseAlgorithm], PolicyLayout] = {
    **dict.fromkeys((PPO, A2C, TRPO, MaskablePPO), ON_POLICY),
    RecurrentPPO: RECURRENT,
    **dict.fromkeys((SAC, TQC), SQUASHED),
    TD3: deterministic(2),
    DDPG: deterministic(1),
    DQN: values("q_net"),
    QRDQN: values("quantile_net"),
    ARS: PolicyLayout(
        (NetworkLayout("features_extractor", ("action_net.0", "action_net.2"), ("action_net.4",)),), ()
    ),
}


def layer_names(layout: PolicyLayout) -> list[str]:
    return [name for nets in layout for net in nets for name in (*net.hidden, *net.heads)]


@pytest.mark.parametrize("algorithm", LAYOUTS)
def test_the_layers_of_a_policy_by_name(
    make_model: MakeModel, stock: Callable[..., str], algorithm: type[BaseAlgorithm]
) -> None:
    # when
    policy = make_model(algorithm, stock(algorithm, "IntegralMlpPolicy"), net_arch=[8, 6]).policy
    # then
    layout = find_layout(policy)
    assert layout == LAYOUTS[algorithm]
    for net in (*layout.actors, *layout.critics):
        assert [dense(policy, name).out_features for name in net.hidden] == [8, 6]
        assert all(dense(policy, name).in_features == 6 for name in net.heads)
        assert net.first == net.hidden[:1]


@pytest.mark.parametrize("algorithm", integral_policies())
def test_no_layer_is_forgotten(
    make_model: MakeModel, stock: Callable[..., str], algorithm: type[BaseAlgorithm]
) -> None:
    # when
    policy = make_model(algorithm, stock(algorithm, "IntegralMlpPolicy"), net_arch=[8, 6]).policy
    # then: but for the critics' slow followers, which nobody resizes
    dense_names = [name for name, part in policy.named_modules() if isinstance(part, nn.Linear)]
    assert sorted(layer_names(find_layout(policy))) == sorted(
        name for name in dense_names if not name.startswith("critic_target.")
    )


def test_crossq_normalises_what_its_hidden_layers_write(make_model: MakeModel) -> None:
    # when
    policy = make_model(CrossQ, "MlpPolicy", net_arch=[8, 6]).policy
    # then: the first of its norms reads the observation
    actor = find_layout(policy).actors[0]
    assert actor.hidden == ("actor.latent_pi.1", "actor.latent_pi.4")
    assert actor.norms == tuple(
        (f"actor.latent_pi.{place}", i) for place, i in [(0, -1), (3, 0), (6, 1)]
    )
    actor_input = policy.observation_space.shape[0]
    for name, index in actor.norms:
        norm = policy.get_submodule(name)
        assert isinstance(norm, BatchRenorm1d)
        assert norm.num_features == (8, 6, actor_input)[index]
    without = make_model(CrossQ, "MlpPolicy", net_arch=[8, 6], batch_norm=False).policy
    assert find_layout(without) == SQUASHED


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        pytest.param(algorithm, kind, id=f"{algorithm.__name__}-{kind}")
        for algorithm, kinds in integral_policies().items()
        for kind in KINDS[: len(kinds)]
        if algorithm in (PPO, SAC, TD3, DQN, RecurrentPPO, CrossQ, ARS)
    ],
)
def test_an_integral_policy_has_the_layout_of_the_plain_one(
    make_model: MakeModel, stock: Callable[..., str], algorithm: type[BaseAlgorithm], kind: str
) -> None:
    # when
    integral = make_model(algorithm, kind, net_arch=[8]).policy
    plain = make_model(algorithm, stock(algorithm, kind), net_arch=[8]).policy
    # then
    assert find_layout(integral) == find_layout(plain)
    assert find_layout(integral.discretize(3)) == find_layout(plain)


@pytest.mark.parametrize("algorithm", [PPO, RecurrentPPO])
def test_extractors_that_are_not_shared_are_told_apart(
    make_model: MakeModel, stock: Callable[..., str], algorithm: type[BaseAlgorithm]
) -> None:
    # when
    kind = stock(algorithm, "IntegralMlpPolicy")
    policy = make_model(algorithm, kind, share_features_extractor=False).policy
    # then
    actors, critics = find_layout(policy)
    assert [net.extractor for net in (*actors, *critics)] == [
        "pi_features_extractor",
        "vf_features_extractor",
    ]


@pytest.mark.parametrize(("clip_mean", "head"), [(2.0, "actor.mu.0"), (0.0, "actor.mu")])
@pytest.mark.parametrize("algorithm", [SAC, TQC])
def test_with_gsde_the_mean_alone_reads_the_last_layer(
    make_model: MakeModel, algorithm: type[BaseAlgorithm], clip_mean: float, head: str
) -> None:
    # when
    model = make_model(algorithm, "MlpPolicy", arguments={"use_sde": True}, clip_mean=clip_mean)
    # then
    assert find_layout(model.policy).actors[0].heads == (head,)


def test_an_actor_without_hidden_layers_has_heads_that_read_the_input(make_model: MakeModel) -> None:
    # when
    policy = make_model(PPO, "MlpPolicy", net_arch={"pi": [], "vf": [8]}).policy
    linear = make_model(ARS, "LinearPolicy", observation_space=policy.observation_space).policy
    # then
    actor = find_layout(policy).actors[0]
    assert (actor.hidden, actor.heads, actor.first) == ((), ("action_net",), ("action_net",))
    actor = find_layout(linear).actors[0]
    assert (actor.hidden, actor.heads, actor.first) == ((), ("action_net.0",), ("action_net.0",))


def test_a_policy_of_an_unknown_kind_is_refused() -> None:
    # given
    class Table(BasePolicy):
        def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
            return torch.zeros(len(observation))

    model = ARS("MlpPolicy", "CartPole-v1", device="cpu")
    # when / then
    with pytest.raises(ValueError, match="Table is not a kind of policy"):
        find_layout(Table(model.observation_space, model.action_space))


def test_only_a_dense_layer_is_one(make_policy: Callable[..., Any]) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    # then
    assert dense(policy, "action_net") is policy.action_net
    with pytest.raises(ValueError, match=r"dense layer at mlp_extractor\.policy_net, got Sequential"):
        dense(policy, "mlp_extractor.policy_net")


def test_what_has_two_names_is_found_by_both(make_policy: Callable[..., Any]) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    policy.again = policy.action_net
    # when
    found = dict(submodules(policy, nn.Linear))
    # then
    assert found["again"] is found["action_net"] is policy.action_net
    assert len(found) == len([m for m in policy.modules() if isinstance(m, nn.Linear)]) + 1


@pytest.mark.parametrize("name", ["action_net", "mlp_extractor.policy_net.2"])
def test_a_layer_is_put_in_the_place_of_another(make_policy: Callable[..., Any], name: str) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    names = [other for other, _ in policy.named_modules()]
    layer = nn.Linear(2, 2)
    # when
    replace_submodule(policy, name, layer)
    # then
    assert policy.get_submodule(name) is layer
    assert [other for other, _ in policy.named_modules()] == names
