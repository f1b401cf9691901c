from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral import ResizablePolicy
from sb3_integral.policies import Resizable, as_resizable
from sb3_integral.policies.layout import dense, find_layout
from sb3_integral.resize import RESIZE_METHODS, DenseLayer

MakePolicy = Callable[..., Any]
Outputs = Callable[[ActorCriticPolicy, Tensor], Tensor]

METHODS = ("bicubic", "bicubic-rescaled", "integral")
"""Those that give any size, larger ones too, and read no more than the weights as they stand."""


def actor_modules(policy: BasePolicy) -> list[nn.Linear]:
    """Return the actor's dense layers, first to last, its heads at the end."""
    net = find_layout(policy).actors[0]
    return [dense(policy, name) for name in (*net.hidden, *net.heads)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("actions", ["discrete", "box"])
def test_at_full_size_it_is_the_policy(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, method: str, actions: str
) -> None:
    # given
    policy = make_policy(actions, ActorCriticPolicy)
    # when
    resizable = ResizablePolicy(policy, method)
    # then
    assert resizable.sizes == resizable.max_sizes == (16, 12)
    assert torch.equal(outputs(resizable.policy, observations), outputs(policy, observations))
    actions_, _ = resizable.predict(observations.numpy(), deterministic=True)
    np.testing.assert_array_equal(actions_, policy.predict(observations.numpy(), deterministic=True)[0])


@pytest.mark.parametrize("method", METHODS)
@given(sizes=st.tuples(st.integers(1, 24), st.integers(1, 24)))
def test_each_size_is_made_anew_and_the_policy_never_changes(
    make_policy: MakePolicy,
    outputs: Outputs,
    observations: Tensor,
    method: str,
    sizes: tuple[int, int],
) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    state = {key: value.clone() for key, value in policy.state_dict().items()}
    resizable = ResizablePolicy(policy, method)
    random_state = torch.get_rng_state()
    # when
    returned = resizable.resize([2, 3]).resize(sizes)
    # then
    assert returned is resizable
    assert (resizable.sizes, resizable.max_sizes) == (sizes, (16, 12))
    assert tuple(m.out_features for m in actor_modules(resizable.policy)[:-1]) == sizes
    direct = ResizablePolicy(policy, method).discretize(sizes)
    assert torch.equal(outputs(resizable.policy, observations), outputs(direct, observations))
    # and back
    resizable.resize([16, 12])
    assert torch.equal(outputs(resizable.policy, observations), outputs(policy, observations))
    # and the policy is as it was
    assert resizable.full_policy is policy
    assert all(torch.equal(value, state[key]) for key, value in policy.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_done_to_the_resized_policy_does_not_reach_the_wrapped_one(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, method: str
) -> None:
    # given
    policy = make_policy("box", ActorCriticPolicy)
    policy.set_training_mode(True)
    before = outputs(policy, observations)
    # when
    resizable = ResizablePolicy(policy, method)
    with torch.no_grad():
        for parameter in resizable.policy.parameters():
            parameter.zero_()
    # then
    assert torch.equal(outputs(policy, observations), before)
    assert policy.training
    assert not resizable.policy.training


def test_the_critic_stays_at_full_size(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    policy = make_policy("discrete", ActorCriticPolicy)
    # when
    small = ResizablePolicy(policy).discretize(4)
    # then
    assert torch.equal(outputs(small, observations)[:, -1], outputs(policy, observations)[:, -1])
    assert not torch.allclose(outputs(small, observations)[:, 0], outputs(policy, observations)[:, 0])


@pytest.mark.parametrize(("method", "rescaled"), [("bicubic", False), ("bicubic-rescaled", True)])
def test_bicubic_is_torchs_and_rescaling_is_by_the_inputs_that_are_left(
    make_policy: MakePolicy, method: str, rescaled: bool
) -> None:
    # given
    policy = make_policy("discrete", ActorCriticPolicy)
    features = (5, 8, 3, 3)
    # when
    resized = actor_modules(ResizablePolicy(policy, method).discretize([8, 3]))
    # then
    factors = (1.0, 16 / 8, 12 / 3) if rescaled else (1.0, 1.0, 1.0)
    for i, (layer, new) in enumerate(zip(actor_modules(policy), resized, strict=True)):
        shape = (features[i + 1], features[i])
        image = layer.weight.detach()[None, None]
        expected = F.interpolate(image, shape, mode="bicubic", antialias=True)[0, 0]
        torch.testing.assert_close(new.weight.detach(), expected * factors[i])


@given(sizes=st.tuples(st.integers(1, 24), st.integers(1, 24)))
def test_integral_is_what_an_integral_policy_of_these_weights_does(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor, sizes: tuple[int, int]
) -> None:
    # given: of the same seed, and so of the same weights
    plain, integral = make_policy("box", ActorCriticPolicy), make_policy("box")
    # when
    resized = ResizablePolicy(plain, "integral").resize(sizes)
    # then
    torch.testing.assert_close(
        outputs(resized.policy, observations), outputs(integral.resize(sizes), observations)
    )


def test_a_method_of_ones_own_can_be_passed(make_policy: MakePolicy) -> None:
    # given
    def first_neurons(layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        features = [layers[0].weight.shape[1], *sizes, layers[-1].weight.shape[0]]
        return [
            DenseLayer(weight[: features[i + 1], : features[i]], bias[: features[i + 1]])
            for i, (weight, bias) in enumerate(layers)
        ]

    policy = make_policy("discrete", ActorCriticPolicy)
    # when
    small = ResizablePolicy(policy, first_neurons).discretize([4, 3])
    # then
    weights = [m.weight for m in actor_modules(policy)]
    for module, expected in zip(
        actor_modules(small), [weights[0][:4], weights[1][:3, :4], weights[2][:, :3]], strict=True
    ):
        assert torch.equal(module.weight, expected)


def test_discretize_gives_an_ordinary_policy_and_keeps_the_size(
    make_policy: MakePolicy, outputs: Outputs, observations: Tensor
) -> None:
    # given
    resizable = ResizablePolicy(make_policy("box", ActorCriticPolicy)).resize([5, 7])
    # when
    other, same = resizable.discretize(3), resizable.discretize()
    # then
    assert type(other) is type(same) is ActorCriticPolicy
    assert resizable.sizes == (5, 7)
    assert [m.out_features for m in actor_modules(other)] == [3, 3, 2]
    assert torch.equal(outputs(same, observations), outputs(resizable.policy, observations))


def test_compression_is_that_of_an_integral_policy_of_the_same_sizes(make_policy: MakePolicy) -> None:
    # given
    resizable = ResizablePolicy(make_policy("box", ActorCriticPolicy))
    integral = make_policy("box")
    # then
    assert resizable.compression() == 0.0
    assert resizable.compression([4, 3]) == integral.compression([4, 3]) > 0.0
    assert resizable.resize([4, 3]).compression() == integral.compression([4, 3])


def test_a_bad_size_is_refused_and_the_size_stays(
    make_policy: MakePolicy, bad_size: tuple[Any, str, str]
) -> None:
    # given
    size, value, expected = bad_size
    resizable = ResizablePolicy(make_policy("discrete", ActorCriticPolicy)).resize([5, 6])
    in_force = resizable.policy
    # when / then
    for change in (resizable.resize, resizable.discretize, resizable.compression):
        with pytest.raises(ValueError, match="got") as caught:
            change(size)
        assert value in str(caught.value)
        assert expected in str(caught.value)
    assert resizable.sizes == (5, 6)
    assert resizable.policy is in_force


def test_a_method_that_fails_leaves_size_and_policy_as_they_were(make_policy: MakePolicy) -> None:
    # given
    def only_full(layers: Sequence[DenseLayer], sizes: Sequence[int]) -> list[DenseLayer]:
        if sizes[0] != 16:
            raise RuntimeError("cannot do that")
        return list(layers)

    resizable = ResizablePolicy(make_policy("discrete", ActorCriticPolicy), only_full)
    in_force = resizable.policy
    # when / then
    with pytest.raises(RuntimeError, match="cannot do that"):
        resizable.resize(4)
    assert resizable.sizes == (16, 12)
    assert resizable.policy is in_force


def test_an_unknown_method_is_named_with_the_known_ones(make_policy: MakePolicy) -> None:
    with pytest.raises(ValueError, match="'lanczos'") as caught:
        ResizablePolicy(make_policy("discrete", ActorCriticPolicy), "lanczos")
    assert all(name in str(caught.value) for name in RESIZE_METHODS)


def test_an_integral_policy_is_refused(make_policy: MakePolicy) -> None:
    with pytest.raises(ValueError, match="IntegralActorCriticPolicy resizes itself"):
        ResizablePolicy(make_policy())


def test_a_model_in_place_of_its_policy_is_refused() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    with pytest.raises(ValueError, match=r"model\.policy.*got PPO"):
        ResizablePolicy(model)


def test_a_policy_with_noise_as_wide_as_its_last_layer_is_refused(make_policy: MakePolicy) -> None:
    policy = make_policy("box", ActorCriticPolicy, use_sde=True, net_arch=[8])
    with pytest.raises(ValueError, match="use_sde=True"):
        ResizablePolicy(policy)


def test_what_can_be_resized_is_told_from_what_cannot(make_policy: MakePolicy) -> None:
    # given
    plain = make_policy("discrete", ActorCriticPolicy)
    # then
    assert isinstance(make_policy(), Resizable)
    assert isinstance(ResizablePolicy(plain), Resizable)
    assert not isinstance(plain, Resizable)
    assert not isinstance(nn.Linear(2, 2), Resizable)


# ---------------------------------------------------------------- of every algorithm

ALGORITHMS = [
    *(PPO, A2C, TRPO, DQN, SAC, TD3, DDPG, QRDQN, TQC, MaskablePPO, RecurrentPPO),
    ARS,
]
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


@pytest.fixture
def make_plain(
    make_model: Callable[..., Any], stock: Callable[..., str]
) -> Callable[[type[BaseAlgorithm]], Any]:
    """Make a model with a plain policy that has trained a little."""

    def make(algorithm: type[BaseAlgorithm], kind: str = "IntegralMlpPolicy", **kwargs: Any) -> Any:
        if algorithm is RecurrentPPO:
            kwargs["lstm_hidden_size"] = 8
        kwargs = {"net_arch": [16, 12], **kwargs}
        return make_model(algorithm, stock(algorithm, kind), **kwargs).learn(24)

    return make


@pytest.mark.parametrize("method", METHODS)
@every_algorithm
def test_every_plain_policy_is_itself_at_full_size_and_acts_at_others(
    make_plain: Callable[..., Any],
    head_outputs: Callable[..., Tensor],
    observe: Callable[..., Any],
    algorithm: type[BaseAlgorithm],
    method: str,
) -> None:
    # given
    model = make_plain(algorithm)
    policy = model.policy
    state = {name: value.clone() for name, value in policy.state_dict().items()}
    full = head_outputs(policy, model)
    policy.set_training_mode(True)
    random_state = torch.get_rng_state()
    # when
    resizable = ResizablePolicy(policy, method)
    # then
    assert isinstance(resizable, Resizable)
    assert resizable.sizes == resizable.max_sizes == (16, 12)
    assert resizable.compression() == 0.0
    assert type(resizable.policy) is type(policy)
    assert resizable.policy is not policy
    assert torch.equal(head_outputs(resizable.policy, model), full)
    # and at other sizes it is another, ordinary policy
    for sizes in [(7, 5), (1, 1), (20, 30)]:
        resizable.resize(sizes)
        assert resizable.sizes == sizes
        assert tuple(m.out_features for m in actor_modules(resizable.policy)[:2]) == sizes
        outputs = head_outputs(resizable.policy, model)
        assert outputs.shape == full.shape
        assert outputs.isfinite().all()
        assert not torch.equal(outputs, full)
        if sizes != (20, 30):
            assert 0.0 < resizable.compression() < 100.0
        actions, _ = resizable.predict(observe(model), deterministic=True)
        assert all(model.action_space.contains(action) for action in actions)
    assert (
        resizable.compression([1, 1]) > resizable.compression([7, 5]) > resizable.compression([15, 12])
    )
    # and the policy is as it was
    assert torch.equal(head_outputs(resizable.resize([16, 12]).policy, model), full)
    assert resizable.full_policy is policy
    assert policy.training
    assert all(torch.equal(value, state[name]) for name, value in policy.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


@every_algorithm
def test_integral_sampling_of_every_plain_policy_is_that_of_the_integral_policy(
    make_plain: Callable[..., Any],
    make_model: Callable[..., Any],
    head_outputs: Callable[..., Tensor],
    algorithm: type[BaseAlgorithm],
) -> None:
    # given
    model = make_plain(algorithm)
    kwargs = {"lstm_hidden_size": 8} if algorithm is RecurrentPPO else {}
    integral = make_model(algorithm, "IntegralMlpPolicy", net_arch=[16, 12], **kwargs)
    integral.set_parameters(model.get_parameters(), exact_match=False)
    # when
    resized = ResizablePolicy(model.policy, "integral").resize([7, 5])
    # then
    torch.testing.assert_close(
        head_outputs(resized.policy, model),
        head_outputs(integral.policy.resize([7, 5]), model),
        rtol=1e-4,
        atol=1e-5,
    )
    assert resized.compression() == integral.policy.compression()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", [SAC, TQC])
def test_two_heads_are_resized_each_as_if_it_were_alone(
    make_plain: Callable[..., Any], algorithm: type[BaseAlgorithm], method: str
) -> None:
    # given
    policy = make_plain(algorithm).policy
    hidden = [DenseLayer(m.weight.detach(), m.bias.detach()) for m in actor_modules(policy)[:2]]
    # when
    resized = ResizablePolicy(policy, method).discretize([7, 5])
    # then: along what they read, and so not across the actions of one another
    for name in ("actor.mu", "actor.log_std"):
        head, small = dense(policy, name), dense(resized, name)
        alone = RESIZE_METHODS[method](
            [*hidden, DenseLayer(head.weight.detach(), head.bias.detach())], [7, 5]
        )[-1]
        torch.testing.assert_close(small.weight.detach(), alone.weight)
        assert torch.equal(small.bias, head.bias)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", [DQN, QRDQN, TD3])
def test_what_follows_the_actor_is_resized_with_it(
    make_plain: Callable[..., Any], algorithm: type[BaseAlgorithm], method: str
) -> None:
    # given
    policy = make_plain(algorithm).policy
    # when
    small = ResizablePolicy(policy, method).discretize([7, 5])
    # then
    online, target = find_layout(small).actors
    for ours, theirs in zip(
        (*online.hidden, *online.heads), (*target.hidden, *target.heads), strict=True
    ):
        assert dense(small, ours).weight.shape == dense(small, theirs).weight.shape
        # of weights of its own
        assert not torch.equal(dense(small, ours).weight, dense(small, theirs).weight)


@pytest.mark.parametrize("algorithm", [SAC, TD3, TQC, RecurrentPPO])
def test_critics_and_memory_stay_as_they_were(
    make_plain: Callable[..., Any], algorithm: type[BaseAlgorithm]
) -> None:
    # given
    policy = make_plain(algorithm).policy
    # when
    small = ResizablePolicy(policy).discretize([7, 5])
    # then
    state = small.state_dict()
    kept = [
        name
        for name in policy.state_dict()
        if name.startswith(
            ("critic.", "critic_target.", "lstm_", "mlp_extractor.value_net", "value_net")
        )
    ]
    assert kept
    assert all(torch.equal(state[name], policy.state_dict()[name]) for name in kept)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [(PPO, "IntegralCnnPolicy"), (DQN, "IntegralCnnPolicy"), (SAC, "IntegralCnnPolicy"),
     (PPO, "IntegralMultiInputPolicy"), (TD3, "IntegralMultiInputPolicy")],
)  # fmt: skip
def test_behind_images_the_hidden_layers_are_resized(
    make_plain: Callable[..., Any],
    head_outputs: Callable[..., Tensor],
    algorithm: type[BaseAlgorithm],
    kind: str,
    method: str,
) -> None:
    # given
    name = "features_dim" if kind == "IntegralCnnPolicy" else "cnn_output_dim"
    model = make_plain(algorithm, kind, features_extractor_kwargs={name: 16})
    policy = model.policy
    # when
    resizable = ResizablePolicy(policy, method)
    # then
    assert resizable.max_sizes == (16, 12)
    assert torch.equal(head_outputs(resizable.policy, model), head_outputs(policy, model))
    assert head_outputs(resizable.resize([7, 5]).policy, model).isfinite().all()
    assert 0.0 < resizable.compression() < 100.0
    extractor = find_layout(policy).actors[0].extractor
    ours = resizable.policy.get_submodule(extractor).state_dict()
    for key, value in policy.get_submodule(extractor).state_dict().items():
        assert torch.equal(ours[key], value)


def test_a_memory_goes_on_from_one_step_to_the_next(
    make_plain: Callable[..., Any], observe: Callable[..., Any]
) -> None:
    # given
    model = make_plain(RecurrentPPO)
    resizable = ResizablePolicy(model.policy).resize([7, 5])
    observations = observe(model)
    # when
    first, state = resizable.predict(observations, deterministic=True)
    second, _ = resizable.predict(observations, state, np.zeros(3, dtype=bool), deterministic=True)
    again, _ = resizable.predict(observations, state, np.ones(3, dtype=bool), deterministic=True)
    # then
    assert state is not None
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(first, again, rtol=1e-5, atol=1e-6)


def test_masks_forbid_actions_at_every_size(
    make_model: Callable[..., Any], observe: Callable[..., Any]
) -> None:
    # given
    model = make_model(MaskablePPO, "IntegralMlpPolicy", net_arch=[16, 12])
    observations = observe(model)
    for sizes in [(16, 12), (7, 5)]:
        model.policy.resize(sizes)
        for policy in (model.policy, model.policy.discretize()):
            for action in range(3):
                # when
                masks = np.arange(3)[None].repeat(len(observations), axis=0) == action
                actions, _ = policy.predict(observations, action_masks=masks)
                # then
                assert (actions == action).all()


def test_masks_forbid_actions_of_a_resized_plain_policy(
    make_plain: Callable[..., Any], observe: Callable[..., Any]
) -> None:
    # given
    model = make_plain(MaskablePPO)
    resizable: Any = ResizablePolicy(model.policy).resize([7, 5])
    observations = observe(model)
    masks = np.array([[False, True, False]] * len(observations))
    # when
    actions, _ = resizable.predict(observations, action_masks=masks)
    # then
    assert (actions == 1).all()


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TQC, RecurrentPPO])
def test_gsde_of_any_algorithm_is_refused(
    make_model: Callable[..., Any], stock: Callable[..., str], algorithm: type[BaseAlgorithm]
) -> None:
    kind = stock(algorithm, "IntegralMlpPolicy")
    model = make_model(algorithm, kind, arguments={"use_sde": True}, net_arch=[8])
    with pytest.raises(ValueError, match="use_sde=True cannot be resized"):
        ResizablePolicy(model.policy)


def test_crossq_is_refused_but_for_one_without_norms(make_plain: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="normalises its hidden layers cannot be resized"):
        ResizablePolicy(make_plain(CrossQ).policy)
    resizable = ResizablePolicy(make_plain(CrossQ, batch_norm=False).policy).resize([7, 5])
    assert resizable.sizes == (7, 5)


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC, TD3, MaskablePPO, RecurrentPPO, CrossQ, ARS])
def test_an_integral_policy_of_any_algorithm_is_refused(
    make_model: Callable[..., Any], algorithm: type[BaseAlgorithm]
) -> None:
    policy = make_model(algorithm, "IntegralMlpPolicy", net_arch=[8]).policy
    with pytest.raises(ValueError, match=f"{type(policy).__name__} resizes itself"):
        ResizablePolicy(policy)
    # and so is a wrapper, which is no policy
    wrapper: Any = ResizablePolicy(make_model(PPO, "MlpPolicy", net_arch=[8]).policy)
    with pytest.raises(ValueError, match="got ResizablePolicy"):
        ResizablePolicy(wrapper)


def test_what_is_no_policy_is_refused() -> None:
    for value in (None, nn.Linear(2, 2), "MlpPolicy"):
        with pytest.raises(ValueError, match=r"expected a policy of SB3 \(model\.policy\)"):
            ResizablePolicy(value)  # type: ignore[arg-type]


def resizable_of_kind(make_policy: MakePolicy, kind: str) -> Any:
    if kind == "integral":
        return make_policy("box")
    return ResizablePolicy(make_policy("box", ActorCriticPolicy))


@pytest.mark.parametrize("kind", ["integral", "plain"])
def test_a_size_of_a_block_is_gone_after_it(
    make_policy: MakePolicy, observations: Tensor, kind: str
) -> None:
    # given
    resizable = resizable_of_kind(make_policy, kind).resize([9, 5])
    before = resizable.predict(observations.numpy(), deterministic=True)[0]
    # when
    with resizable.resized([3, 2]) as inside:
        assert inside is resizable
        assert resizable.sizes == (3, 2)
        small = resizable.predict(observations.numpy(), deterministic=True)[0]
    # then
    assert resizable.sizes == (9, 5)
    after = resizable.predict(observations.numpy(), deterministic=True)[0]
    np.testing.assert_array_equal(after, before)
    assert not np.allclose(small, before)


@pytest.mark.parametrize("kind", ["integral", "plain"])
def test_a_size_of_a_block_is_gone_after_an_error(make_policy: MakePolicy, kind: str) -> None:
    # given
    resizable = resizable_of_kind(make_policy, kind).resize(7)
    # when
    with contextlib.suppress(KeyError), resizable.resized(3):
        resizable.resize(2)
        raise KeyError
    # then
    assert resizable.sizes == (7, 7)
    # and a size that is wrong changes nothing
    with pytest.raises(ValueError, match="got 0"), resizable.resized(0):
        pass
    assert resizable.sizes == (7, 7)


def test_what_resizes_itself_is_resizable_as_it_is(make_policy: MakePolicy) -> None:
    integral, wrapper = (resizable_of_kind(make_policy, kind) for kind in ("integral", "plain"))
    assert as_resizable(integral) is integral
    assert as_resizable(wrapper, "svd") is wrapper


def test_the_policy_of_a_model_is_resizable(make_model: Callable[..., Any]) -> None:
    # given
    integral, plain = (make_model(PPO, kind) for kind in ("IntegralMlpPolicy", "MlpPolicy"))
    # when
    wrapper: Any = as_resizable(plain, "bicubic-rescaled")
    # then
    assert as_resizable(integral) is integral.policy
    assert wrapper.full_policy is plain.policy
    assert wrapper.method == RESIZE_METHODS["bicubic-rescaled"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (lambda model: model, "ActorCriticPolicy"),
        (lambda _: "a policy", "str"),
        (lambda _: None, "NoneType"),
    ],
)
def test_what_cannot_be_resized_is_named(
    make_model: Callable[..., Any], source: Callable[[Any], Any], name: str
) -> None:
    model = make_model(PPO, "MlpPolicy")
    with pytest.raises(ValueError, match=f"^{name} cannot be resized, expected an integral policy"):
        as_resizable(source(model))
