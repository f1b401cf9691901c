"""The network: one flat parameter, copies, precisions, what eval mode keeps, and torch's compilers."""

import contextlib
import copy
import io
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import (
    Axis,
    IntegralConv2d,
    IntegralLayer,
    IntegralLinear,
    IntegralMLP,
    IntegralNetwork,
)
from sb3_integral.nn.placement import axis_matrices


class TwoHeads(nn.Module):
    """A trunk of two axes, and two heads on the second."""

    def __init__(self, quadrature: str = "trapezoidal") -> None:
        super().__init__()
        first, second = Axis(9), Axis(8, grid_size=6, quadrature=quadrature)
        self.plain = nn.Linear(3, 3)
        self.trunk = nn.Sequential(
            IntegralLinear(3, first), nn.Tanh(), IntegralLinear(first, second), nn.Tanh()
        )
        self.policy = IntegralLinear(second, 2)
        self.value = IntegralLinear(second, 1, bias=False)

    def forward(self, data: torch.Tensor, *, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(self.plain(data))
        return self.policy(features) * scale, self.value(features)


def two_heads(quadrature: str = "trapezoidal") -> IntegralNetwork:
    torch.manual_seed(0)
    return IntegralNetwork(TwoHeads(quadrature))


def mlp() -> IntegralMLP:
    torch.manual_seed(0)
    return IntegralMLP(3, [9, 8], 2, activation_fn=nn.Tanh, grid_size=[9, 6])


def inputs(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).to(dtype)


@torch.no_grad()
def outputs_of(network: nn.Module, data: torch.Tensor | None = None) -> torch.Tensor:
    """Return everything that a network puts out, in the mode it is in, without gradients."""
    out = network(inputs() if data is None else data)
    return out if isinstance(out, torch.Tensor) else torch.cat(out, dim=-1)


@pytest.fixture(params=[two_heads, mlp], ids=["two-heads", "mlp"])
def network(request: pytest.FixtureRequest) -> IntegralNetwork:
    return request.param()


def test_axes_are_found_in_the_order_in_which_data_meets_them() -> None:
    # given
    network = two_heads()
    # then a shared axis once
    assert network.max_sizes == (9, 8)
    assert list(network.axes) == [network.module.trunk[0].out_axis, network.module.policy.in_axis]


def test_all_lambda_are_one_parameter_and_the_rest_stays() -> None:
    # given
    module = TwoHeads()
    layers = [part for part in module.modules() if isinstance(part, IntegralLayer)]
    before = [p.detach().clone() for layer in layers for p in layer.parameters()]
    # when
    network = IntegralNetwork(module)
    # then
    names = {name for name, _ in network.named_parameters()}
    assert names == {"lam_flat", "module.plain.weight", "module.plain.bias"}
    assert torch.equal(network.lam_flat, torch.cat([value.flatten() for value in before]))
    # and each layer still shows its own
    shown = [t for layer in layers for t in (layer.weight, layer.bias) if t is not None]
    for tensor, value in zip(shown, before, strict=True):
        assert torch.equal(tensor, value)


@given(sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)), training=st.booleans())
@settings(max_examples=20, deadline=None)
def test_two_heads_share_a_trunk_at_every_size(sizes: tuple[int, int], training: bool) -> None:
    # given
    network = two_heads("midpoint").train(training)
    # when
    plain = network.discretize(sizes)
    resized = network.resize(sizes)
    # then
    for mine, other in zip(resized(inputs()), plain(inputs()), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs_of(resized), outputs_of(plain), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(resized(inputs(), scale=2.0)[0], 2 * resized(inputs())[0])


def test_discrete_form_is_ordinary_and_independent(network: IntegralNetwork) -> None:
    # given a network at full size, where some samples are the parameters themselves
    plain = network.discretize()
    expected = outputs_of(plain)
    # then
    for part in plain.modules():
        assert not isinstance(part, IntegralLayer | Axis | IntegralNetwork)
        if type(part) is not TwoHeads:
            assert type(part).__module__.startswith("torch.nn.")
    # when either is changed
    before = outputs_of(network)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter += 1
    assert torch.equal(outputs_of(network), before)
    plain = network.discretize()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1
    # then
    assert torch.equal(outputs_of(plain), expected)


def test_discretizing_leaves_the_network_as_it_is(network: IntegralNetwork) -> None:
    # given
    network.eval().resize((4, 7))
    before = outputs_of(network)
    # when
    network.discretize(3)
    # then
    assert network.sizes == (4, 7)
    assert not network.training
    assert torch.equal(outputs_of(network), before)


def test_discrete_form_at_given_points_computes_the_same(network: IntegralNetwork) -> None:
    # given
    network.axes[0].place([0.0, 0.07, 0.1, 0.6, 1.0])
    # when
    plain = network.discretize()
    # then
    torch.testing.assert_close(outputs_of(plain), outputs_of(network))
    assert not network.axes[0].is_even


def test_discretizing_does_not_end_tuning() -> None:
    # given a network whose points are being learned
    network = mlp()
    partition = network.axes[0].start_tuning()
    # when
    network.discretize()
    # then
    assert network.axes[0].partition is partition


def test_single_integral_layer_is_a_network() -> None:
    # given
    axis = Axis(6)
    network = IntegralNetwork(IntegralLinear(axis, 2))
    # then
    plain = network.discretize(4)
    assert type(plain) is nn.Linear
    data = torch.randn(3, 4)
    torch.testing.assert_close(network.resize(4)(data), plain(data))


@pytest.mark.parametrize("placed", [False, True])
def test_state_dict_brings_back_parameters_and_sizes(network: IntegralNetwork, placed: bool) -> None:
    # given
    network.resize((4, 11))
    if placed:
        network.axes[0].place([0.1, 0.2, 0.9])
    expected = outputs_of(network)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    fresh = two_heads() if isinstance(network.module, TwoHeads) else mlp()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.normal_()
    fresh.eval()
    assert not torch.allclose(outputs_of(fresh), expected)
    # when
    fresh.load_state_dict(torch.load(file, weights_only=True))
    # then
    assert fresh.sizes == network.sizes
    assert torch.equal(outputs_of(fresh), expected)
    assert torch.equal(fresh.train()(inputs())[0], network.train()(inputs())[0])


def test_state_dict_may_be_assigned(network: IntegralNetwork) -> None:
    # given
    state = copy.deepcopy(network.resize(5).state_dict())
    fresh = copy.deepcopy(network).eval().resize(3)
    with torch.no_grad():
        fresh.lam_flat.zero_()
    outputs_of(fresh)
    # when
    fresh.load_state_dict(state, assign=True)
    # then
    torch.testing.assert_close(outputs_of(fresh), outputs_of(network))


def deep_copied(network: IntegralNetwork) -> IntegralNetwork:
    return copy.deepcopy(network)


def pickled(network: IntegralNetwork) -> IntegralNetwork:
    return pickle.loads(pickle.dumps(network))


def saved(network: IntegralNetwork) -> IntegralNetwork:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [deep_copied, pickled, saved])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("placed", [False, True], ids=["even", "placed"])
def test_copy_works_and_is_independent(
    network: IntegralNetwork,
    copied: Callable[[IntegralNetwork], IntegralNetwork],
    training: bool,
    placed: bool,
) -> None:
    # given a network that has sampled weights at hand
    network.train(training).resize((4, 7))
    if placed:
        network.axes[1].place([0.0, 0.2, 1.0])
    expected = outputs_of(network)
    # when
    other = copied(network)
    # then
    assert other.sizes == network.sizes
    assert torch.equal(outputs_of(other), expected)
    # when the copy is resized and changed
    other.resize((2, 3))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1
    # then
    assert network.sizes == (4, 3 if placed else 7)
    assert torch.equal(outputs_of(network), expected)
    torch.testing.assert_close(outputs_of(other), outputs_of(other.discretize()))
    # and its layers show its own parameters
    for mine, theirs in zip(other._layers, network._layers, strict=True):
        torch.testing.assert_close(mine.weight, theirs.weight + 1)
    # and it can be trained
    other.train()(inputs())[0].sum().backward()
    assert bool(other.lam_flat.grad.any())
    assert network.lam_flat.grad is None


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_network_works_in_every_precision(
    network: IntegralNetwork, dtype: torch.dtype, tolerance: float, training: bool
) -> None:
    # given a network that has sampled weights of single precision at hand
    network.train(training).resize((5, 12))
    expected = outputs_of(network)
    # when
    converted = network.to(dtype)
    # then
    assert converted.lam_flat.dtype == dtype
    result = outputs_of(converted, inputs(dtype))
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), expected, rtol=tolerance, atol=tolerance)
    assert all(p.dtype == dtype for p in converted.discretize().parameters())
    out = converted.train()(inputs(dtype))
    (out if isinstance(out, torch.Tensor) else out[0]).sum().backward()
    assert converted.lam_flat.grad.dtype == dtype


def test_convolutions_work_in_double_and_brain_float() -> None:
    # given
    torch.manual_seed(0)
    axis = Axis(6)
    network = IntegralNetwork(nn.Sequential(IntegralConv2d(2, axis, 3), IntegralConv2d(axis, 3, 2)))
    data = torch.randn(2, 2, 6, 6)
    expected = network.eval().resize(4)(data).detach()
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 0.1)):
        # when
        result = network.to(dtype)(data.to(dtype))
        # then
        assert result.dtype == dtype
        torch.testing.assert_close(result.float(), expected, rtol=tolerance, atol=tolerance)


def test_mixed_precision_trains_at_a_resized_size() -> None:
    # given
    network = mlp().resize(4)
    network(inputs()).square().sum().backward()
    expected = network.lam_flat.grad.clone()
    network.lam_flat.grad = None
    # when
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(inputs()).square().sum()
    loss.backward()
    # then
    torch.testing.assert_close(network.lam_flat.grad, expected, rtol=0.1, atol=0.1)


OPTIMIZERS: dict[str, Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adam-foreach": lambda p: torch.optim.Adam(p, lr=0.1, foreach=True),
    "adam-fused": lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_what_eval_mode_keeps_does_not_survive_an_optimizer_step(
    network: IntegralNetwork, optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]
) -> None:
    # given a network with sampled weights at hand, and a gradient
    network.resize(4)
    steps = optimizer(network.parameters())
    network(inputs())[0].sum().backward()
    network.eval()
    before = outputs_of(network)
    # when
    steps.step()
    # then
    after = outputs_of(network)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, outputs_of(network.discretize()))


CHANGES: dict[str, Callable[[IntegralNetwork], object]] = {
    "resize": lambda network: network.resize(3),
    "one-axis": lambda network: network.axes[1].resize(2),
    "place": lambda network: network.axes[0].place([0.0, 0.3, 0.4, 1.0]),
    "place-again": lambda network: network.axes[0].place([0.0, 0.1, 0.2, 1.0]),
    "load": lambda network: network.load_state_dict(
        {k: 2 * v if k == "lam_flat" else v for k, v in network.state_dict().items()}
    ),
    "in-place": lambda network: network.lam_flat.detach().mul_(2),
    "new-parameter": lambda network: setattr(
        network, "lam_flat", nn.Parameter(network.lam_flat.detach() * 2)
    ),
    "data-in-place": lambda network: network.lam_flat.data.mul_(2),
    "data": lambda network: setattr(network.lam_flat, "data", network.lam_flat.data * 2),
    "vector": lambda network: nn.utils.vector_to_parameters(
        2 * nn.utils.parameters_to_vector(network.parameters()), network.parameters()
    ),
    "swapped": lambda network: torch.utils.swap_tensors(
        network.lam_flat, nn.Parameter(network.lam_flat.detach() * 2)
    ),
    "numpy": lambda network: np.multiply(
        network.lam_flat.detach().numpy(), 2, out=network.lam_flat.detach().numpy()
    ),
    "layer-weight": lambda network: network._layers[0].weight.detach().mul_(2),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_eval_mode_keeps_does_not_survive_a_change(
    network: IntegralNetwork, change: Callable[[IntegralNetwork], object], training: bool
) -> None:
    # given a network with sampled weights at hand
    network.train(training).resize(4)
    network.axes[0].place([0.0, 0.2, 0.5, 1.0])
    before = outputs_of(network)
    assert torch.equal(outputs_of(network), before)
    # when
    change(network)
    # then
    after = outputs_of(network)
    assert not torch.allclose(after, before)
    fresh = copy.deepcopy(network).train()
    torch.testing.assert_close(after, outputs_of(fresh))
    torch.testing.assert_close(after, outputs_of(network.discretize()))
    # and what layers show is what runs
    both = [each for layer in network._layers for each in (layer.weight, layer.bias)]
    shown = torch.cat([each.flatten() for each in both if each is not None])
    assert torch.equal(shown, network.lam_flat)


@pytest.mark.parametrize("change", ["double", "to", "parent"])
def test_what_eval_mode_keeps_does_not_survive_another_dtype(
    network: IntegralNetwork, change: str
) -> None:
    # given a network inside another module
    parent = nn.ModuleList([network]).eval()
    network.resize(4)
    before = outputs_of(network)
    # when
    {"double": network.double, "to": lambda: network.to(torch.float64), "parent": parent.double}[
        change
    ]()
    # then
    after = outputs_of(network, inputs(torch.float64))
    assert after.dtype == torch.float64
    torch.testing.assert_close(after.float(), before)
    # and back
    parent.float()
    torch.testing.assert_close(outputs_of(network), before)


def test_training_mode_between_evaluations_is_noticed(network: IntegralNetwork) -> None:
    # given
    network.eval().resize(4)
    outputs_of(network)
    # when parameters change without a new version, as the documentation allows before eval()
    network.lam_flat.data.mul_(3)
    nn.ModuleList([network]).eval()
    # then
    torch.testing.assert_close(outputs_of(network), outputs_of(network.discretize()))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_autocast_leaves_nothing_behind(network: IntegralNetwork, training: bool) -> None:
    # given
    network.train(training).resize(4)
    expected = outputs_of(copy.deepcopy(network))
    # when it runs under autocast first
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = outputs_of(network)
    # then
    assert low.dtype == torch.bfloat16
    assert torch.equal(outputs_of(network), expected)
    # and the other way round
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(outputs_of(network), low)


def flat_outputs(
    network: nn.Module, values: dict[str, torch.Tensor], data: torch.Tensor
) -> torch.Tensor:
    out = torch.func.functional_call(network, values, (data,))
    return out if isinstance(out, torch.Tensor) else torch.cat(out, dim=-1)


@pytest.mark.filterwarnings("ignore:`torch.jit.script")  # torch's own derivatives for jacfwd use it
@pytest.mark.parametrize("size", [4, (9, 8), 12], ids=str)
def test_torch_func_transforms_agree_with_autograd(network: IntegralNetwork, size: object) -> None:
    # given
    network.double().resize(size)
    data = inputs(torch.float64)
    values = {name: p.detach() for name, p in network.named_parameters()}

    def loss(values: dict[str, torch.Tensor], data: torch.Tensor) -> torch.Tensor:
        return flat_outputs(network, values, data).square().sum()

    out = network(data)
    out = out if isinstance(out, torch.Tensor) else torch.cat(out, dim=-1)
    (expected,) = torch.autograd.grad(out.square().sum(), network.lam_flat)
    # then
    found = torch.func.grad(loss)(values, data)["lam_flat"]
    torch.testing.assert_close(found, expected)
    # and for each row by itself
    rows = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, data[:, None])["lam_flat"]
    torch.testing.assert_close(rows.sum(0), expected)
    # and derivatives of the outputs
    jacobian = torch.func.jacrev(lambda x: flat_outputs(network, values, x))(data)
    forward = torch.func.jacfwd(lambda x: flat_outputs(network, values, x))(data)
    torch.testing.assert_close(jacobian, forward)
    # and of an ensemble
    stacked = {name: torch.stack([v, 2 * v]) for name, v in values.items()}
    both = torch.func.vmap(lambda v: flat_outputs(network, v, data))(stacked)
    torch.testing.assert_close(both[0], out.detach())
    # and what autograd's own forward mode gives
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(data, torch.ones_like(data))
        tangent = torch.autograd.forward_ad.unpack_dual(flat_outputs(network, values, dual)).tangent
    torch.testing.assert_close(tangent, forward.sum(dim=(2, 3)))


def test_a_network_that_is_built_in_inference_mode_works() -> None:
    # given
    with torch.inference_mode():
        network = mlp().resize(4)
        other = two_heads().resize(4)
        first = outputs_of(network), outputs_of(other)
    # then with and without that mode
    for each, expected in zip((network, other), first, strict=True):
        assert torch.equal(outputs_of(each), expected)
        torch.testing.assert_close(outputs_of(each.discretize()), expected)
        torch.testing.assert_close(outputs_of(copy.deepcopy(each)), expected)


def test_threads_that_run_and_resize_leave_a_network_that_is_right(network: IntegralNetwork) -> None:
    # given
    stop, expected = threading.Event(), {n: outputs_of(network.discretize(n)) for n in range(1, 10)}

    def run() -> int:
        runs = 0
        while not stop.is_set() or not runs:
            with contextlib.suppress(RuntimeError):  # of one whose axes were resized one after the other
                outputs_of(network)
            torch.testing.assert_close(outputs_of(network.discretize(3)), expected[3])
            runs += 1
        return runs

    # when
    with ThreadPoolExecutor(2) as pool:
        runners = [pool.submit(run) for _ in range(2)]
        for turn in range(150):
            network.resize(1 + turn % 9)
        stop.set()
    # then
    assert all(runner.result() for runner in runners)
    for size, wanted in expected.items():
        torch.testing.assert_close(outputs_of(network.resize(size)), wanted)


def test_sizes_together_are_those_one_by_one(network: IntegralNetwork) -> None:
    # given
    sizes = [3, (9, 8), 12]
    # when
    together = network.forward_at_sizes(inputs(), sizes)
    # then
    assert network.sizes == (9, 8)
    for size, output in zip(sizes, together, strict=True):
        got = output if isinstance(output, torch.Tensor) else torch.cat(output, dim=-1)
        torch.testing.assert_close(got.detach(), outputs_of(network.resize(size)))


def test_gradients_flow_in_eval_mode_after_an_evaluation_without(network: IntegralNetwork) -> None:
    # given sampled weights at hand, made without gradients
    network.eval().resize(4)
    expected = outputs_of(network)
    # when
    out = network(inputs())
    out = out if isinstance(out, torch.Tensor) else torch.cat(out, dim=-1)
    out.sum().backward()
    # then
    torch.testing.assert_close(out.detach(), expected)
    assert bool(network.lam_flat.grad.any())


def test_called_with_other_parameters_it_uses_them_each_time(network: IntegralNetwork) -> None:
    # given
    network.eval().resize(4)
    state = network.lam_flat.detach().clone()
    for factor in (1.0, 2.0, 3.0, 4.0, 5.0):
        # when each tensor may take the place in memory that the one before it left
        with torch.no_grad():
            out = torch.func.functional_call(network, {"lam_flat": state * factor}, (inputs(),))
        out = out if isinstance(out, torch.Tensor) else torch.cat(out, dim=-1)
        # then
        other = copy.deepcopy(network)
        with torch.no_grad():
            other.lam_flat.copy_(state * factor)
        torch.testing.assert_close(out, outputs_of(other.discretize()), rtol=1e-4, atol=1e-5)
        del other


def test_inference_mode_and_no_grad_may_alternate(network: IntegralNetwork) -> None:
    # given
    network.eval().resize(4)
    with torch.inference_mode():
        first = network(inputs())
    # then
    again = outputs_of(network)
    first = first if isinstance(first, torch.Tensor) else torch.cat(first, dim=-1)
    assert torch.equal(first, again)
    network(inputs())[0].sum().backward()
    assert bool(network.lam_flat.grad.any())


def test_network_remembers_sizes_without_mixing_them_up(network: IntegralNetwork) -> None:
    # given
    expected = {size: outputs_of(network.discretize(size)) for size in (2, 4, 9)}
    for size in (2, 4, 9, 4, 2, 9):
        # when
        result = outputs_of(network.resize(size))
        # then
        torch.testing.assert_close(result, expected[size])


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize(("backend", "training"), [("eager", True), ("aot_eager", False)])
def test_compiled_network_computes_the_same_and_follows_its_size(backend: str, training: bool) -> None:
    # given
    torch.compiler.reset()
    network = two_heads().train(training).resize(4)
    compiled = torch.compile(network, backend=backend)
    for size in (4, 9):
        # when
        network.resize(size)
        # then
        expected = outputs_of(network.discretize())
        torch.testing.assert_close(outputs_of(compiled), expected)
        out = torch.cat(compiled(inputs()), dim=-1)
        torch.testing.assert_close(out.detach(), expected)
    # and gradients
    out.square().sum().backward()
    gradient, network.lam_flat.grad = network.lam_flat.grad, None
    torch.cat(network(inputs()), dim=-1).square().sum().backward()
    torch.testing.assert_close(gradient, network.lam_flat.grad)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("grad", [False, True], ids=["no-grad", "grad"])
def test_exported_network_computes_the_same(network: IntegralNetwork, warm: bool, grad: bool) -> None:
    # given a resized network in eval mode
    network.eval().resize(4)
    axis_matrices.cache_clear()
    if warm:
        outputs_of(network)
    # when
    with torch.set_grad_enabled(grad):
        program = torch.export.export(network, (inputs(),), strict=False)
    # then
    torch.testing.assert_close(outputs_of(program.module()), outputs_of(network))
    # and the network goes on
    torch.testing.assert_close(outputs_of(network.resize(3)), outputs_of(network.discretize(3)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_network_works_on_cuda(network: IntegralNetwork) -> None:
    # given
    network.eval().resize(4)
    expected = outputs_of(network)
    # when
    moved = network.cuda()
    # then
    torch.testing.assert_close(outputs_of(moved, inputs().cuda()).cpu(), expected, rtol=1e-3, atol=1e-4)
    moved.train()(inputs().cuda())[0].sum().backward()
    assert moved.lam_flat.grad.is_cuda
    plain = moved.discretize(7)
    assert all(parameter.is_cuda for parameter in plain.parameters())
    torch.testing.assert_close(outputs_of(moved.cpu()), expected)


def test_module_without_an_integral_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="found no integral layer in Sequential"):
        IntegralNetwork(nn.Sequential(nn.Linear(3, 4)))


def test_layers_of_different_dtypes_are_refused() -> None:
    # given
    axis = Axis(4)
    layers = IntegralLinear(3, axis), IntegralLinear(axis, 2, dtype=torch.float64)
    # then
    with pytest.raises(ValueError, match=r"must share dtype and device, got .*float32.*float64"):
        IntegralNetwork(nn.Sequential(*layers))


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "a", [3], [3, 3, 3], [3, 0]], ids=str)
def test_wrong_size_is_refused_and_changes_nothing(network: IntegralNetwork, wrong: object) -> None:
    # given
    network.resize((5, 4))
    # when
    for act in (network.resize, network.discretize):
        with pytest.raises(ValueError, match="size must be"):
            act(wrong)
    # then
    assert network.sizes == (5, 4)
