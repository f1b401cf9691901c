from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor, nn

from sb3_integral.nn.axis import Axis
from sb3_integral.nn.caching import ordinary_tensors
from sb3_integral.nn.linear import IntegralLinear
from sb3_integral.nn.network import IntegralNetwork
from sb3_integral.nn.placement import axis_matrices
from sb3_integral.nn.quadratures import QUADRATURES, _legendre


@pytest.fixture(autouse=True)
def _nothing_is_kept_yet() -> Iterator[None]:
    axis_matrices.cache_clear()
    _legendre.cache_clear()
    yield
    axis_matrices.cache_clear()
    _legendre.cache_clear()


def network(axis: Axis) -> IntegralNetwork:
    torch.manual_seed(0)
    return IntegralNetwork(
        nn.Sequential(IntegralLinear(3, axis), nn.Tanh(), IntegralLinear(axis, 2))
    ).eval()


@pytest.mark.parametrize("quadrature", QUADRATURES)
@pytest.mark.parametrize("size", [4, 9])
@pytest.mark.parametrize("grad", [False, True], ids=["no-grad", "grad"])
def test_an_export_that_comes_first_leaves_nothing_behind(
    quadrature: str, size: int, grad: bool
) -> None:
    # given a network that never ran, as no other of its kind
    exported = network(Axis(9, quadrature=quadrature)).resize(size)
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    # when
    with torch.set_grad_enabled(grad):
        program = torch.export.export(exported, (x,), strict=False)
    # then it, the next one and what was exported say the same, with values
    later = network(Axis(9, quadrature=quadrature)).resize(size)(x)
    assert type(later) is Tensor
    torch.testing.assert_close(exported(x), later)
    torch.testing.assert_close(program.module()(x), later)


def test_points_of_ones_own_are_kept_as_well() -> None:
    # given
    exported = network(Axis(9))
    exported.axes[0].place([0.1, 0.4, 0.9])
    x = torch.ones(2, 3)
    # when
    program = torch.export.export(exported, (x,), strict=False)
    # then
    after = exported(x)
    assert type(after) is Tensor
    torch.testing.assert_close(program.module()(x), after)


@pytest.mark.parametrize("around", [nullcontext(), torch.inference_mode(), torch.no_grad()])
def test_what_is_kept_can_be_differentiated_through(around: AbstractContextManager[None]) -> None:
    # given
    with around, ordinary_tensors():
        kept = torch.eye(2)
    # when
    weight = torch.ones(2, requires_grad=True)
    (kept @ weight).sum().backward()
    # then
    assert not kept.is_inference()
    torch.testing.assert_close(weight.grad, torch.ones(2))
