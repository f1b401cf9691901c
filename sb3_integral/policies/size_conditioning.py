"""What a policy learns for each size of its actor beside the actor: values, and how far it explores.

The return differs from size to size. A critic that does not know the size takes these differences for
good and bad actions. And a small network, whose mean action is less exact, may have to explore more.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_integral.nn import Axes
from sb3_integral.nn.scale import hat_functions, scale_nodes
from sb3_integral.policies.layout import dense, find_layout, optimizers, replace_submodule

SMALLEST = 1 / 16
"""The smallest scale with a code of its own, as a fraction of full size."""


class SizeCode:
    """The actor's size as a few numbers that are linear between certain sizes, and zero at full size.

    Args:
        axes: The actor's axes.
    """

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self._full = max(axes.max_sizes)
        self._nodes = scale_nodes(self._full, math.ceil(2 * math.log2(1 / SMALLEST)))
        table = torch.zeros(self._full + 1, len(self._nodes))
        for size in range(1, self._full + 1):
            for node, value in hat_functions(self._nodes, size / self._full):
                table[size, node] = value
        self._table = table

    def __len__(self) -> int:
        """Return the number of numbers."""
        return len(self._nodes)

    def of_batch(self, values: Tensor) -> Tensor | None:
        """Return the code of each sample's size, or that of the current size; None for full size.

        Args:
            values: The batch; says dtype, device and the number of samples. Shape: (batch, ...).

        Returns:
            Shape: (batch, code), or (code,) for the current size.
        """
        mixed = next(iter(self.axes)).mixed
        if mixed is not None and mixed.sizes is not None:
            sizes = mixed.sizes_of(len(values)).clamp(max=self._full)
            return self._table[sizes].to(values)
        code = self.current()
        return None if code is None else code.to(values)

    def current(self) -> Float[Tensor, " code"] | None:
        """Return the code of the axes' current size; None for full size.

        Layers of different sizes count as one of the geometric mean of their scales.
        """
        pairs = list(zip(self.axes.sizes, self.axes.max_sizes, strict=True))
        if all(size == largest for size, largest in pairs):
            return None
        scale = math.prod(size / largest for size, largest in pairs) ** (1 / len(pairs))
        code = torch.zeros(len(self))
        for node, value in hat_functions(self._nodes, scale):
            code[node] = value
        return code


class SizedLinear(nn.Linear):
    """A dense layer whose bias depends on the actor's size.

    Attributes:
        by_size: What is added to the bias, linear in the code. Shape: (code, out).
    """

    by_size: nn.Parameter
    _code: tuple[SizeCode]  # a tuple: the code's axes belong to the policy

    @classmethod
    def from_linear(cls, linear: nn.Linear, code: SizeCode) -> SizedLinear:
        """Return a layer that shares a dense layer's parameters, and computes the same at first."""
        layer = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        layer.weight, layer.bias = linear.weight, linear.bias
        layer.by_size = nn.Parameter(linear.weight.new_zeros(len(code), linear.out_features))
        layer._code = (code,)
        return layer

    def forward(self, input: Float[Tensor, "batch in"]) -> Float[Tensor, "batch out"]:
        """Apply the layer."""
        output = F.linear(input, self.weight, self.bias)
        code = self._code[0].of_batch(input)
        return output if code is None else output + code @ self.by_size

    def current_bias(self) -> Tensor:
        """Return the bias at the actor's current size."""
        code = self._code[0].current()
        return self.bias if code is None else self.bias + code.to(self.by_size) @ self.by_size


def tell_critics(policy: BasePolicy, code: SizeCode) -> None:
    """Have a policy's critics, and their targets, know the actor's size.

    Args:
        policy: Changed in place. A critic of another kind than dense layers stays as it is.
        code: The size.

    Raises:
        ValueError: If a critic is integral.
    """
    for net in find_layout(policy).critics:
        for name in net.first:
            owner, _, rest = name.partition(".")
            for each in (owner, f"{owner}_target"):
                if hasattr(policy, each):
                    _tell(policy, f"{each}.{rest}", code)


def _tell(policy: BasePolicy, name: str, code: SizeCode) -> None:
    linear = dense(policy, name)
    if type(linear) is not nn.Linear:
        raise ValueError(f"expected a critic of ordinary layers at {name}, got {linear!r}")
    layer = SizedLinear.from_linear(linear, code)
    layer.by_size.requires_grad_(linear.weight.requires_grad)
    replace_submodule(policy, name, layer)
    train_with(policy, linear.weight, layer.by_size)


def train_with(policy: BasePolicy, neighbour: Tensor, new: nn.Parameter) -> None:
    """Have the optimizers that train a parameter train a new one too."""
    for optimizer in optimizers(policy):
        groups = optimizer.param_groups
        if any(parameter is neighbour for group in groups for parameter in group["params"]):
            optimizer.add_param_group({"params": [new]})
