"""An MLP at several sizes at once: what size by size gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sb3_integral.nn import Axes, Axis, IntegralLinear, run_at_sizes


def _mlp(
    nested: bool = True, levels: int = 3, bias: bool = True, dtype: torch.dtype = torch.float64
) -> tuple[list[nn.Module], Axes]:
    torch.manual_seed(0)
    axes = Axes([Axis(8, nested=nested), Axis(6, nested=nested)])
    first, second = axes
    layers = [
        IntegralLinear(3, first, bias=bias, dtype=dtype),
        IntegralLinear(first, second, bias=bias, dtype=dtype),
        IntegralLinear(second, 2, bias=bias, dtype=dtype),
    ]
    for layer in layers:
        if levels:
            for parameter in layer.add_scale_corrections(levels).parameters():
                nn.init.normal_(parameter)
    return [layers[0], nn.Tanh(), layers[1], nn.ReLU(), layers[2]], axes


def _size_by_size(
    modules: list[nn.Module], axes: Axes, sizes: list[int], inputs: Tensor
) -> list[Tensor]:
    outputs = []
    for size in sizes:
        with axes.resized(size):
            outputs.append(nn.Sequential(*modules)(inputs))
    return outputs


def _assert_equal(got: Tensor, expected: Tensor) -> None:
    assert torch.equal(got, expected)


def _parameters(modules: list[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_outputs_and_gradients_are_those_of_size_by_size(
    sizes: list[int], bias: bool, dtype: torch.dtype
) -> None:
    modules, axes = _mlp(bias=bias, dtype=dtype)
    inputs = torch.randn(7, 3, dtype=dtype)
    targets = [torch.randn(7, 2, dtype=dtype) for _ in sizes]
    parameters = _parameters(modules)

    def losses(outputs: list[Tensor]) -> Tensor:
        first, *others = [nn.functional.mse_loss(o, t) for o, t in zip(outputs, targets, strict=True)]
        total = first
        for other in others:
            total = total + other
        return total

    ours = losses(run_at_sizes(inputs, modules, axes, sizes))
    expected = losses(_size_by_size(modules, axes, sizes, inputs))

    # a size alone takes the same steps; a stack of several adds up in another order
    assert_same = torch.testing.assert_close if len(sizes) > 1 else _assert_equal
    assert_same(ours, expected)
    pairs = zip(
        torch.autograd.grad(ours, parameters, allow_unused=True),
        torch.autograd.grad(expected, parameters, allow_unused=True),
        strict=True,
    )
    for got, wanted in pairs:
        assert (got is None) == (wanted is None)
        if got is not None:
            assert_same(got, wanted)
    assert axes.sizes == (8, 6)


def test_sizes_may_differ_from_layer_to_layer() -> None:
    modules, axes = _mlp()
    inputs = torch.randn(4, 3, dtype=torch.float64)

    (output,) = run_at_sizes(inputs, modules, axes, [(5, 2)])

    with axes.resized((5, 2)):
        assert torch.equal(output, nn.Sequential(*modules)(inputs))


def test_gradients_of_inputs_and_of_gradients() -> None:
    modules, axes = _mlp(levels=1)
    modules[3] = nn.Tanh()  # ReLU has no second derivative to check
    names = [name for name, _ in nn.Sequential(*modules).named_parameters()]
    inputs = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    class Run(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.all = nn.Sequential(*modules)

        def forward(self, values: Tensor) -> tuple[Tensor, ...]:
            return tuple(run_at_sizes(values, tuple(self.all), axes, [3, 6, 2]))

    run = Run()

    def function(values: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        given_tensors = {f"all.{name}": t for name, t in zip(names, tensors, strict=True)}
        return torch.func.functional_call(run, given_tensors, (values,))  # type: ignore[no-any-return]

    arguments = (inputs, *[p.detach().clone().requires_grad_() for p in _parameters(modules)])
    assert torch.autograd.gradcheck(function, arguments)
    assert torch.autograd.gradgradcheck(function, arguments)


@pytest.mark.parametrize("what", ["even partitions", "a hook", "beyond the grid"])
def test_what_is_no_such_mlp_is_run_size_by_size(what: str) -> None:
    modules, axes = _mlp(nested=what != "even partitions", levels=0)
    sizes = [3, 12] if what == "beyond the grid" else [3, 5]
    seen: list[int] = []
    if what == "a hook":
        modules[1].register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    inputs = torch.randn(4, 3, dtype=torch.float64)

    outputs = run_at_sizes(inputs, modules, axes, sizes)

    assert seen == (sizes if what == "a hook" else [])
    for output, expected in zip(outputs, _size_by_size(modules, axes, sizes, inputs), strict=True):
        assert torch.equal(output, expected)


def test_activations_that_are_not_zero_at_zero_run_side_by_side_too() -> None:
    modules, axes = _mlp()
    modules[1] = nn.Softplus()
    inputs = torch.randn(4, 3, dtype=torch.float64)
    outputs = run_at_sizes(inputs, modules, axes, [5, 3, 2])
    torch.testing.assert_close(outputs, _size_by_size(modules, axes, [5, 3, 2], inputs))


def test_a_wrong_size_is_refused_and_the_axes_keep_theirs() -> None:
    modules, axes = _mlp()
    with pytest.raises(ValueError, match="at least 1, got 0"):
        run_at_sizes(torch.randn(4, 3, dtype=torch.float64), modules, axes, [3, 0])
    assert axes.sizes == (8, 6)


@pytest.mark.parametrize("is_small", [True, False])
def test_a_weight_function_sees_the_weight_of_each_size(is_small: bool) -> None:
    # given
    modules, axes = _mlp(dtype=torch.float32)
    sizes, inputs, seen = [2, 5, 3] if is_small else [8], torch.randn(7, 3), []

    def function(weight: Tensor) -> Tensor:
        seen.append(tuple(weight.shape))
        return weight / weight.detach().abs().max()

    for layer in (modules[0], modules[2], modules[4]):
        layer.weight_function = function  # type: ignore[assignment]

    # when
    outputs = run_at_sizes(inputs, modules, axes, sizes)

    # then
    assert sorted(seen) == sorted(
        shape for size in sizes for shape in ((size, 3), (min(size, 8), size), (2, size))
    )
    for got, wanted in zip(outputs, _size_by_size(modules, axes, sizes, inputs), strict=True):
        torch.testing.assert_close(got, wanted)
