"""The layers of a policy's actor made integral, on axes that they share."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence

from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN
from torch import nn

from sb3_integral.nn import Axes, Axis, IntegralConv2d, IntegralLayer, IntegralLinear
from sb3_integral.policies.layout import (
    NetworkLayout,
    dense,
    exchange_layers,
    find_gsde,
    find_layout,
    optimizers,
    replace_submodule,
    submodules,
)
from sb3_integral.policies.noise import AxisNoise

NewAxis = Callable[..., Axis]
"""Creates an axis from its size and, optionally, its number of λ nodes."""

IntegralNorm = Callable[[nn.Module, Axis], nn.Module]
"""Returns a normalisation layer on the axis of the layer before it."""


def make_actor_integral(
    policy: BasePolicy, new_axis: NewAxis, integral_norm: IntegralNorm, grids: Sequence[int] | None
) -> Axes:
    """Convert a policy's actor to integral layers. Its parameters are kept if ``grids`` is None.

    The actor's target networks use the same axes. So do critics that share its features extractor.

    Args:
        policy: A plain policy, changed in place.
        new_axis: Makes each axis.
        integral_norm: Makes each normalisation layer integral.
        grids: Number of λ nodes of each hidden layer; None for the hidden sizes.

    Returns:
        The axes of channels, features and hidden layers, in this order.

    Raises:
        ValueError: If the policy explores with gSDE and its partitions nest, or if a normalisation layer
            cannot be on an axis.
    """
    layout = find_layout(policy)
    sizes = [dense(policy, name).out_features for name in layout.actors[0].hidden]
    if grids is not None:
        _move_to_grids(policy, layout.actors, grids)
    hidden = [new_axis(*pair) for pair in zip(sizes, sizes if grids is None else grids, strict=True)]
    is_shared = getattr(policy, "share_features_extractor", False)
    critics = layout.critics if is_shared else ()
    extractors = [net.extractor for net in layout.actors]
    if is_shared and hasattr(policy, "critic_target"):
        extractors.append("critic_target.features_extractor")
    reads_features = all(net.reads == "features" for net in (*layout.actors, *critics))
    channels, features = _make_extractors_integral(policy, extractors, new_axis, reads_features)
    for net in layout.actors:
        make_network_integral(policy, net, features, hidden, integral_norm)
    if features is not None:
        for name in (name for net in critics for name in net.first):
            _make_dense_integral(policy, name, features, None)
    _put_noise_on(policy, hidden[-1] if hidden else features)
    return Axes([*channels, *([] if features is None else [features]), *hidden])


def make_network_integral(
    policy: BasePolicy,
    net: NetworkLayout,
    in_axis: Axis | None,
    hidden: Sequence[Axis],
    integral_norm: IntegralNorm,
) -> None:
    """Make a network's dense layers integral.

    Args:
        policy: The policy, changed in place.
        net: Its network.
        in_axis: The axis of the features; None where they are discrete.
        hidden: The axis of each hidden layer.
        integral_norm: Makes each normalisation layer integral.
    """
    before = in_axis
    for name, axis in zip(net.hidden, hidden, strict=True):
        _make_dense_integral(policy, name, before, axis)
        before = axis
    for name in net.heads:
        _make_dense_integral(policy, name, before, None)
    for name, index in net.norms:
        if index >= 0:  # the others normalise the input, which is discrete
            norm = integral_norm(policy.get_submodule(name), hidden[index])
            replace_submodule(policy, name, norm)


def add_scale_corrections(policy: BasePolicy, levels: int | Sequence[int], n_actors: int) -> None:
    """Add scale corrections to the integral layers, and register them with the optimizers.

    Args:
        policy: The policy, changed in place.
        levels: How far below full size they reach: one number, or one for each layer of the actor.
        n_actors: The actor, and each of its target networks.

    Raises:
        ValueError: If there are not as many numbers as layers.
    """
    layers = [layer for _, layer in submodules(policy, IntegralLayer)]
    each = [levels] * len(layers) if isinstance(levels, int) else [*levels] * n_actors
    if len(each) != len(layers):
        raise ValueError(
            f"scale_levels must be one number, or one for each layer of the actor "
            f"({len(layers) // n_actors}), got {levels!r}"
        )
    added: dict[int, list[nn.Parameter]] = {}
    for layer, layer_levels in zip(layers, each, strict=True):
        if not layer.has_corrections and layer_levels != 0:
            added[id(layer.weight)] = list(layer.add_scale_corrections(layer_levels).parameters())
    for optimizer in optimizers(policy):
        trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
        new = [p for weight in trained for p in added.get(weight, [])]
        if new:
            optimizer.add_param_group({"params": new})


def _make_dense_integral(
    policy: BasePolicy, name: str, in_axis: Axis | None, out_axis: Axis | None
) -> None:
    layer = IntegralLinear.from_linear(dense(policy, name), in_axis, out_axis)
    replace_submodule(policy, name, layer)


def _put_noise_on(policy: BasePolicy, axis: Axis | None) -> None:
    """Convert the gSDE distribution, if there is one, to the axis that it reads."""
    gsde = find_gsde(policy)
    if gsde is None or axis is None:
        return
    if axis.nested:
        raise ValueError("use_sde=True needs ascending partitions, expected nested=False")
    setattr(gsde.owner, "action_dist", AxisNoise.from_plain(gsde.distribution, axis))  # noqa: B010


def _make_extractors_integral(
    policy: BasePolicy, names: Sequence[str], new_axis: NewAxis, features_are_axis: bool
) -> tuple[list[Axis], Axis | None]:
    """Make the CNNs among the actor's extractors integral, all on the same axes.

    Returns:
        The axes of channels, and that of the features if they are one.
    """
    channels: list[Axis] = []
    features: Axis | None = None
    for name in names:
        extractor = policy.get_submodule(name)
        if isinstance(extractor, CombinedExtractor):
            cnns = [part for part in extractor.extractors.values() if isinstance(part, NatureCNN)]
            features_are_axis = False  # they are concatenated with others
        else:
            cnns = [extractor] if isinstance(extractor, NatureCNN) else []
        if not channels:
            convolutions = [part for cnn in cnns for part in cnn.cnn if isinstance(part, nn.Conv2d)]
            channels = [new_axis(convolution.out_channels) for convolution in convolutions]
            if cnns and features_are_axis:
                features = new_axis(cnns[0].features_dim)
        remaining = iter(channels)
        for cnn in cnns:
            if not isinstance(cnn.cnn[0], IntegralConv2d):  # an extractor may have several names
                _make_cnn_integral(cnn, remaining, features)
    return channels, features


def _make_cnn_integral(cnn: NatureCNN, channels: Iterator[Axis], features: Axis | None) -> None:
    before: Axis | None = None
    for index, module in enumerate(cnn.cnn):
        if isinstance(module, nn.Conv2d):
            axis = next(channels)
            cnn.cnn[index] = IntegralConv2d.from_conv(module, before, axis)
            before = axis
    assert before is not None
    linear = cnn.linear[0]
    assert isinstance(linear, nn.Linear)
    pixels = linear.in_features // before.grid_size
    cnn.linear[0] = IntegralLinear.from_linear(linear, before, features, in_repeat=pixels)


def _move_to_grids(policy: BasePolicy, actors: Sequence[NetworkLayout], grids: Sequence[int]) -> None:
    """Replace an actor's layers by new ones of the grids' sizes, initialised as in SB3."""
    layers: dict[str, nn.Module] = {}
    names = [(*net.hidden, *net.heads) for net in actors]
    for index, targets in enumerate(zip(*names, strict=True)):
        is_head = index >= len(grids)
        old = dense(policy, targets[0])
        new = nn.Linear(
            grids[min(index, len(grids)) - 1] if index and grids else old.in_features,
            old.out_features if is_head else grids[index],
            bias=old.bias is not None,
        )
        if getattr(policy, "ortho_init", False):
            policy.init_weights(new, gain=0.01 if is_head else math.sqrt(2))
        layers |= {name: copy.deepcopy(new) for name in targets}
    gsde = find_gsde(policy)
    others = {}
    if gsde is not None and grids:
        own_name = gsde.log_std.rpartition(".")[2]
        old_log_std: nn.Parameter = getattr(gsde.owner, own_name)
        log_std = nn.Parameter(old_log_std.detach()[:1].repeat(grids[-1], 1))
        setattr(gsde.owner, own_name, log_std)
        others[id(old_log_std)] = log_std
        gsde.distribution.latent_sde_dim = grids[-1]
        gsde.distribution.sample_weights(log_std)
    exchange_layers(policy, layers, others)
