"""What kernels promise: a partition of unity, what each reproduces, and agreement with torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sb3_integral.nn import (
    KERNELS,
    CubicBSpline,
    CubicConvolution,
    Kernel,
    LinearInterpolation,
    LowPass,
    Trapezoidal,
)

EVERY_KERNEL = {
    **KERNELS,
    "keys": CubicConvolution(a=-0.5),
    "linear-antialiased": LowPass(LinearInterpolation()),
}
INTERPOLATING = [CubicConvolution(), CubicConvolution(a=-0.5), LinearInterpolation(), LowPass()]

grids = st.integers(1, 60)
sizes = st.integers(1, 90)
seeds = st.integers(0, 2**32 - 1)


def random_points(seed: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, dtype=torch.float64, generator=generator).sort().values


def nodes_of(grid: int) -> torch.Tensor:
    return torch.linspace(0, 1, grid, dtype=torch.float64)


def interior(points: torch.Tensor, grid: int) -> torch.Tensor:
    """Choose the points with two nodes on either side, where no border is repeated."""
    position = points * (grid - 1)
    return points[(position >= 1) & (position <= grid - 2)]


@pytest.mark.parametrize("kernel", EVERY_KERNEL.values(), ids=EVERY_KERNEL)
@given(seed=seeds, grid=grids, size=sizes)
@settings(max_examples=25, deadline=None)
def test_basis_functions_sum_to_one_everywhere(kernel: Kernel, seed: int, grid: int, size: int) -> None:
    # given points anywhere, both ends among them
    points = torch.cat([torch.zeros(1), random_points(seed, size), torch.ones(1)]).double()
    # when
    matrix = kernel.matrix(points, grid)
    # then
    assert matrix.shape == (size + 2, grid)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(size + 2).double())


@pytest.mark.parametrize("kernel", INTERPOLATING, ids=str)
@given(grid=grids)
@settings(max_examples=20, deadline=None)
def test_interpolating_kernel_gives_each_node_its_own_coefficient(kernel: Kernel, grid: int) -> None:
    # when it is evaluated at the nodes themselves
    matrix = kernel.matrix(nodes_of(grid), grid)
    # then
    torch.testing.assert_close(matrix, torch.eye(grid).double(), rtol=0, atol=1e-9)


@given(seed=seeds, grid=st.integers(2, 60), slope=st.floats(-5, 5), offset=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_linear_kernel_reproduces_straight_lines(
    seed: int, grid: int, slope: float, offset: float
) -> None:
    # given
    points = random_points(seed, 30)
    # when
    values = LinearInterpolation().matrix(points, grid) @ (slope * nodes_of(grid) + offset)
    # then
    torch.testing.assert_close(values, slope * points + offset, rtol=0, atol=1e-12)


@given(seed=seeds, grid=st.integers(4, 60), c=st.tuples(*[st.floats(-5, 5)] * 3))
@settings(max_examples=25, deadline=None)
def test_keys_kernel_reproduces_quadratics_in_the_interior(
    seed: int, grid: int, c: tuple[float, float, float]
) -> None:
    # given
    points = interior(random_points(seed, 60), grid)
    # when
    nodes = nodes_of(grid)
    values = CubicConvolution(a=-0.5).matrix(points, grid) @ (c[0] + c[1] * nodes + c[2] * nodes**2)
    # then
    torch.testing.assert_close(values, c[0] + c[1] * points + c[2] * points**2, rtol=0, atol=1e-11)


@given(seed=seeds, grid=st.integers(4, 60), slope=st.floats(-5, 5), offset=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_b_spline_reproduces_straight_lines_in_the_interior(
    seed: int, grid: int, slope: float, offset: float
) -> None:
    # given
    points = interior(random_points(seed, 60), grid)
    # when
    values = CubicBSpline().matrix(points, grid) @ (slope * nodes_of(grid) + offset)
    # then
    torch.testing.assert_close(values, slope * points + offset, rtol=0, atol=1e-12)


def test_b_spline_at_a_node_weighs_three_neighbours_one_four_one() -> None:
    # when
    matrix = CubicBSpline().matrix(nodes_of(6), 6)
    # then the border is repeated at the ends
    sixths = torch.zeros(6, 6).double()
    for node in range(6):
        for neighbour, weight in ((node - 1, 1), (node, 4), (node + 1, 1)):
            sixths[node, min(max(neighbour, 0), 5)] += weight
    torch.testing.assert_close(matrix * 6, sixths)


@given(seed=seeds, grid=grids)
@settings(max_examples=20, deadline=None)
def test_b_spline_is_never_negative(seed: int, grid: int) -> None:
    # when
    matrix = CubicBSpline().matrix(random_points(seed, 50), grid)
    # then up to rounding
    assert float(matrix.min()) >= -1e-15


def test_cubic_kernel_halfway_between_nodes_has_torchs_weights() -> None:
    # when
    matrix = CubicConvolution().matrix(torch.tensor([0.5], dtype=torch.float64), 4)
    # then
    expected = torch.tensor([[-0.09375, 0.59375, 0.59375, -0.09375]], dtype=torch.float64)
    torch.testing.assert_close(matrix, expected)


@given(seed=seeds, rows=st.integers(2, 40), columns=st.integers(2, 40), height=sizes, width=sizes)
@settings(max_examples=25, deadline=None)
def test_cubic_kernel_is_torchs_bicubic_interpolation(
    seed: int, rows: int, columns: int, height: int, width: int
) -> None:
    # given a matrix, and a size below or above its own (torch puts a lone sample at the border)
    height, width = max(height, 2), max(width, 2)
    weight = torch.randn(
        rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    rule, kernel = Trapezoidal(), CubicConvolution()
    # when
    left = kernel.matrix(rule.points(height), rows)
    right = kernel.matrix(rule.points(width), columns)
    # then
    expected = F.interpolate(
        weight[None, None], size=(height, width), mode="bicubic", align_corners=True
    )
    torch.testing.assert_close(left @ weight @ right.T, expected[0, 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [17, 9, 5])
def test_low_pass_removes_an_alternating_function_that_plain_sampling_aliases(size: int) -> None:
    # given a function that the samples only ever meet at its crests: an even number of nodes apart
    grid = 33
    alternating = torch.tensor([1.0, -1.0] * 17, dtype=torch.float64)[:grid]
    points = Trapezoidal().points(size)
    # when
    plain = CubicConvolution().matrix(points, grid) @ alternating
    filtered = LowPass(CubicConvolution()).matrix(points, grid) @ alternating
    # then what was a constant is gone; at the ends half a triangle leaves some of it
    torch.testing.assert_close(plain, torch.ones(size).double())
    torch.testing.assert_close(filtered[1:-1], torch.zeros(size - 2).double(), rtol=0, atol=1e-12)
    assert float(filtered.abs().max()) < 0.34


@pytest.mark.parametrize("kernel", [CubicConvolution(), LinearInterpolation(), CubicBSpline()], ids=str)
@given(grid=grids, more=st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_low_pass_changes_nothing_at_the_grids_size_and_above(
    kernel: Kernel, grid: int, more: int
) -> None:
    # given
    points = Trapezoidal().points(grid + more)
    # then
    assert torch.equal(LowPass(kernel).matrix(points, grid), kernel.matrix(points, grid))


@pytest.mark.parametrize("kernel", EVERY_KERNEL.values(), ids=EVERY_KERNEL)
@given(seed=seeds, grid=st.integers(2, 12), size=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_derivative_with_respect_to_the_points_is_right(
    kernel: Kernel, seed: int, grid: int, size: int
) -> None:
    # given points that stay clear of the nodes, where a hat has no derivative
    generator = torch.Generator().manual_seed(seed)
    gap = torch.randint(grid - 1, (size,), generator=generator)
    offset = 0.1 + 0.8 * torch.rand(size, dtype=torch.float64, generator=generator)
    points = ((gap + offset) / (grid - 1)).requires_grad_()
    # then
    assert torch.autograd.gradcheck(lambda p: kernel.matrix(p, grid), points)


@pytest.mark.parametrize("kernel", EVERY_KERNEL.values(), ids=EVERY_KERNEL)
def test_grid_of_one_node_is_a_constant(kernel: Kernel) -> None:
    # when
    matrix = kernel.matrix(random_points(0, 7), 1)
    # then
    assert torch.equal(matrix, torch.ones(7, 1).double())


@pytest.mark.parametrize("kernel", EVERY_KERNEL.values(), ids=EVERY_KERNEL)
def test_matrix_has_the_dtype_of_the_points(kernel: Kernel) -> None:
    assert kernel.matrix(random_points(0, 7).float(), 5).dtype == torch.float32


def test_kernels_are_values() -> None:
    # given two of the same parameter, and one of another
    one, same, other = CubicConvolution(a=-0.5), CubicConvolution(a=-0.5), CubicConvolution()
    # then
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert LowPass(one) == LowPass(same) != LowPass(other)


def test_what_can_be_named_is_a_kernel() -> None:
    assert set(KERNELS) == {"cubic", "linear", "b-spline", "cubic-antialiased"}
    assert all(isinstance(kernel, Kernel) for kernel in KERNELS.values())
