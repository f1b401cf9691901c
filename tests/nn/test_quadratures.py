"""What quadratures promise: weights that sum to 1, and convergence of the order they claim."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral.nn import (
    QUADRATURES,
    GaussLegendre,
    Midpoint,
    Quadrature,
    Simpson,
    Trapezoidal,
)

seeds = st.integers(0, 2**32 - 1)

every_quadrature = pytest.mark.parametrize("quadrature", QUADRATURES.values(), ids=QUADRATURES)


def integral(quadrature: Quadrature, size: int, f: Callable[[torch.Tensor], torch.Tensor]) -> float:
    points = quadrature.points(size)
    return float(quadrature.weights(points) @ f(points))


def wave(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x) * torch.cos(3 * x)


# The antiderivative is exp(x) (cos 3x + 3 sin 3x) / 10.
WAVE_INTEGRAL = (math.e * (math.cos(3) + 3 * math.sin(3)) - 1) / 10


def measured_order(quadrature: Quadrature, size: int, finer: int, gaps_are_cells: bool) -> float:
    """Return by which power of the gap the error shrinks from one size to a finer one."""
    errors = [abs(integral(quadrature, n, wave) - WAVE_INTEGRAL) for n in (size, finer)]
    gaps = [n if gaps_are_cells else n - 1 for n in (size, finer)]
    return math.log(errors[0] / errors[1]) / math.log(gaps[1] / gaps[0])


@every_quadrature
@pytest.mark.parametrize("size", range(1, 41))
def test_weights_sum_to_one(quadrature: Quadrature, size: int) -> None:
    # given
    points = quadrature.points(size)
    # when
    weights = quadrature.weights(points)
    # then
    assert weights.shape == (size,)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
    assert bool((weights > 0).all())


@every_quadrature
@pytest.mark.parametrize("size", range(1, 41))
def test_points_ascend_within_the_unit_interval_and_are_symmetric(
    quadrature: Quadrature, size: int
) -> None:
    # when
    points = quadrature.points(size)
    # then
    assert points.dtype == torch.float64
    assert points.shape == (size,)
    assert bool((points.diff() > 0).all())
    assert float(points[0]) >= 0
    torch.testing.assert_close(points + points.flip(0), torch.ones(size).double())


@pytest.mark.parametrize(("size", "finer"), [(20, 40), (41, 81), (50, 133)])
def test_trapezoidal_rule_is_of_order_two(size: int, finer: int) -> None:
    assert measured_order(Trapezoidal(), size, finer, False) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(("size", "finer"), [(20, 40), (41, 81), (50, 133)])
def test_midpoint_rule_is_of_order_two(size: int, finer: int) -> None:
    assert measured_order(Midpoint(), size, finer, True) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(("size", "finer"), [(41, 81), (51, 151)])
def test_simpsons_rule_is_of_order_four_at_odd_sizes(size: int, finer: int) -> None:
    assert measured_order(Simpson(), size, finer, False) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(("size", "finer"), [(40, 80), (80, 160)])
def test_simpsons_rule_is_of_order_four_at_even_sizes(size: int, finer: int) -> None:
    assert measured_order(Simpson(), size, finer, False) == pytest.approx(4, abs=0.35)


@pytest.mark.parametrize("size", range(3, 20))
def test_simpsons_rule_is_exact_on_cubics_at_every_size(size: int) -> None:
    assert integral(Simpson(), size, lambda x: 4 * x**3 - 3 * x**2 + 1) == pytest.approx(1, abs=1e-14)


def test_simpsons_rule_has_its_known_weights() -> None:
    # when
    five, four = (Simpson().weights(Simpson().points(size)) for size in (5, 4))
    # then
    torch.testing.assert_close(five * 12, torch.tensor([1, 4, 2, 4, 1]).double())
    torch.testing.assert_close(four * 8, torch.tensor([1, 3, 3, 1]).double())


def test_gauss_legendre_converges_spectrally() -> None:
    # when
    errors = [abs(integral(GaussLegendre(), n, torch.exp) - (math.e - 1)) for n in (2, 4, 6, 12)]
    # then two more points win digits, not a factor
    assert errors[1] < errors[0] * 1e-3
    assert errors[2] < errors[1] * 1e-4
    assert errors[3] < 1e-12


@given(size=st.integers(1, 25), power=st.integers(0, 49))
@settings(max_examples=25, deadline=None)
def test_gauss_legendre_is_exact_on_polynomials_up_to_its_degree(size: int, power: int) -> None:
    # given
    degree = min(power, 2 * size - 1)
    # then
    assert integral(GaussLegendre(), size, lambda x: x**degree) == pytest.approx(
        1 / (degree + 1), rel=1e-12
    )


def test_gauss_legendre_is_not_exact_beyond_its_degree() -> None:
    assert abs(integral(GaussLegendre(), 3, lambda x: x**6) - 1 / 7) > 1e-4


@every_quadrature
def test_single_sample_stands_in_the_middle_and_weighs_all(quadrature: Quadrature) -> None:
    # given
    points = quadrature.points(1)
    # then
    assert points.tolist() == [0.5]
    assert quadrature.weights(points).tolist() == [1.0]


@pytest.mark.parametrize("quadrature", [Simpson(), GaussLegendre()], ids=str)
@pytest.mark.parametrize("points", [[0.1, 0.5, 0.8], [0.0, 0.4, 1.0], [0.2, 0.9], [0.3]], ids=str)
def test_rule_with_points_of_its_own_refuses_others(quadrature: Quadrature, points: list[float]) -> None:
    with pytest.raises(ValueError, match="needs its own points"):
        quadrature.weights(torch.tensor(points, dtype=torch.float64))


@pytest.mark.parametrize("quadrature", [Trapezoidal(), Midpoint()], ids=str)
def test_sample_at_given_points_weighs_what_is_nearest_to_it(quadrature: Quadrature) -> None:
    # given a partition with margins at both ends
    points = torch.tensor([0.1, 0.3, 0.9], dtype=torch.float64)
    # when
    weights = quadrature.weights(points)
    # then
    torch.testing.assert_close(weights, torch.tensor([0.2, 0.4, 0.4]).double())


@given(seed=seeds, inner=st.integers(0, 30), slope=st.floats(-5, 5), offset=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_trapezoids_over_any_partition_are_exact_on_straight_lines(
    seed: int, inner: int, slope: float, offset: float
) -> None:
    # given any partition with both ends
    generator = torch.Generator().manual_seed(seed)
    between = torch.rand(inner, dtype=torch.float64, generator=generator).sort().values
    points = torch.cat([torch.zeros(1), between, torch.ones(1)]).double()
    # when
    value = Trapezoidal().weights(points) @ (slope * points + offset)
    # then
    assert float(value) == pytest.approx(slope / 2 + offset, abs=1e-12)


@pytest.mark.parametrize("quadrature", [Trapezoidal(), Midpoint()], ids=str)
def test_weights_are_differentiable_in_the_points(quadrature: Quadrature) -> None:
    # given
    points = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64, requires_grad=True)
    # then
    assert torch.autograd.gradcheck(quadrature.weights, points)


def test_quadratures_are_values_that_can_be_named() -> None:
    assert set(QUADRATURES) == {"trapezoidal", "midpoint", "simpson", "gauss-legendre"}
    assert all(isinstance(quadrature, Quadrature) for quadrature in QUADRATURES.values())
    assert Trapezoidal() == Trapezoidal() != Midpoint()
    assert hash(Simpson()) == hash(Simpson())
