"""Weights that are sampled at once: the results are those of the layers one by one."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sb3_integral.nn import Axis, IntegralLinear, IntegralMLP, IntegralNetwork

ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid]


def mlp(activation_fn: type[nn.Module] = nn.Tanh) -> IntegralMLP:
    torch.manual_seed(0)
    return IntegralMLP(3, [6, 5], 2, activation_fn=activation_fn, grid_size=[7, 5]).double()


def without_biases() -> IntegralNetwork:
    torch.manual_seed(0)
    axis = Axis(6)
    layers = [IntegralLinear(3, axis, bias=False), nn.ReLU(), IntegralLinear(axis, 2, bias=False)]
    return IntegralNetwork(nn.Sequential(*layers)).double()


def step_by_step(network: IntegralNetwork) -> IntegralNetwork:
    """Return a copy that is watched, and whose layers sample their weights themselves."""
    slow = copy.deepcopy(network)
    next(iter(slow.module.children())).register_forward_hook(lambda *_: None)
    slow.forward = slow.module.__call__  # type: ignore[method-assign]
    return slow


def batch(rows: int = 4) -> Tensor:
    return torch.randn(rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def steps_of(output: Tensor) -> set[torch.autograd.graph.Node]:
    steps, seen = [output.grad_fn], set()
    while steps:
        step = steps.pop()
        if step is not None:
            seen.add(step)
            steps += [before for before, _ in step.next_functions]
    return seen


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 12),
    rows=st.integers(0, 9),
    activation_fn=st.sampled_from(ACTIVATIONS),
    training=st.booleans(),
)
def test_outputs_and_gradients_are_those_of_the_layers_one_by_one(
    size: int, rows: int, activation_fn: type[nn.Module], training: bool
) -> None:
    # given
    fused = mlp(activation_fn).train(training).resize(size)
    slow = step_by_step(fused)
    inputs = [batch(rows).requires_grad_() for _ in range(2)]
    # when
    outputs = [network(data) for network, data in zip((fused, slow), inputs, strict=True)]
    for output in outputs:
        output.square().sum().backward()
    # then
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(fused.lam_flat.grad, slow.lam_flat.grad)


@pytest.mark.parametrize("activation_fn", ACTIVATIONS)
@pytest.mark.parametrize("size", [5, 9])
def test_first_and_second_derivatives_are_right(activation_fn: type[nn.Module], size: int) -> None:
    # given
    network = mlp(activation_fn).resize(size)
    data, flat = batch(2).requires_grad_(), network.lam_flat.detach().clone().requires_grad_()

    def called(data: Tensor, flat: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(network, {"lam_flat": flat}, (data,))
        return result

    # then
    assert torch.autograd.gradcheck(called, (data, flat))
    assert torch.autograd.gradgradcheck(called, (data, flat))


def test_layers_without_biases_are_sampled_too() -> None:
    network = without_biases().resize(4)
    slow = step_by_step(network)
    for each in (network, slow):
        each(batch()).sum().backward()
    torch.testing.assert_close(network.lam_flat.grad, slow.lam_flat.grad)


def test_all_sizes_are_sampled_in_one_step_of_autograd() -> None:
    network = IntegralMLP(3, [6, 6], 2, nested=True, scale_levels=2).double()
    outputs = network.forward_at_sizes(batch(), [2, 3, 5])
    sampling = {
        step
        for output in outputs
        for step in steps_of(output)
        if type(step).__name__ == "_FusedSamplingBackward"
    }
    assert len(sampling) == 1


def test_more_small_sizes_take_no_more_steps_of_autograd() -> None:
    # given
    network = IntegralMLP(3, [6, 6], 2, nested=True, scale_levels=2).double()
    # when
    few, many = (
        {step for output in network.forward_at_sizes(batch(), sizes) for step in steps_of(output)}
        for sizes in ([2, 3], [2, 3, 4, 5, 6, 3])
    )
    # then
    assert len(few) == len(many)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no-grad"])
def test_hooks_on_any_part_see_what_they_expect(training: bool, grad: bool) -> None:
    for index in range(5):
        # given
        network = mlp().train(training).resize(4)
        seen: list[tuple[int, ...]] = []
        part = list(network.module.children())[index]
        hook = part.register_forward_hook(lambda _, __, out, seen=seen: seen.append(tuple(out.shape)))
        # when
        with torch.set_grad_enabled(grad):
            network(batch())
            hook.remove()
            network(batch())
        # then
        assert seen == [(4, 2 if index == 4 else 4)]


def test_a_backward_hook_is_called() -> None:
    network, seen = mlp(), []
    list(network.module.children())[2].register_full_backward_hook(lambda *_: seen.append(True))
    network(batch()).sum().backward()
    assert seen == [True]


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no-grad"])
def test_a_module_that_was_exchanged_is_what_runs(grad: bool) -> None:
    # given
    network = mlp(nn.Tanh).eval()
    with torch.set_grad_enabled(grad):
        network(batch())
        # when
        network.module.register_module("1", nn.ELU())
        # then
        exchanged = network.discretize()
        torch.testing.assert_close(network(batch()), exchanged(batch()))


@pytest.mark.parametrize("shape", [(3,), (2, 4, 3), (0, 3)], ids=str)
def test_inputs_of_any_number_of_dimensions_work(shape: tuple[int, ...]) -> None:
    network = mlp().resize(4)
    data = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(network(data), network.discretize()(data))


def test_a_wrong_dtype_raises_what_torch_raises() -> None:
    with pytest.raises(RuntimeError, match="same dtype"):
        mlp()(batch().float())


def test_autocast_lowers_the_precision() -> None:
    network = mlp().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(batch().float()).dtype == torch.bfloat16


def test_changing_a_saved_tensor_before_the_backward_pass_raises() -> None:
    # given
    network = mlp()
    loss = network(batch()).sum()
    # when
    with torch.no_grad():
        network.lam_flat.add_(1.0)
    # then
    with pytest.raises(RuntimeError, match=r"modified (by an )?inplace"):
        loss.backward()
