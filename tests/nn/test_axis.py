"""The axis: resizing, placing, what it remembers and what it computes."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_integral.nn import (
    KERNELS,
    QUADRATURES,
    Axes,
    Axis,
    CubicBSpline,
    CubicConvolution,
    GaussLegendre,
    LinearInterpolation,
    LowPass,
    Midpoint,
    Simpson,
    Trapezoidal,
    axis_matrices,
    matrices_at,
)

sizes = st.integers(1, 80)
kernels = st.sampled_from(list(KERNELS.values()))
quadratures = st.sampled_from(list(QUADRATURES.values()))

LIKE = torch.zeros((), dtype=torch.float64)
WRONG_SIZES = [0, -1, 2.5, True, "a"]
WRONG_POINTS = [
    [0.5, 0.2],
    [0.2, 0.2],
    [-0.1, 0.5],
    [0.5, 1.1],
    [],
    [[0.1, 0.2]],
    [0.1, float("nan")],
    [float("nan")],
]


@given(full=sizes, size=sizes, quadrature=quadratures)
@settings(max_examples=20, deadline=None)
def test_resized_axis_is_sampled_at_that_many_points_of_its_quadrature(
    full: int, size: int, quadrature: object
) -> None:
    # given
    axis = Axis(full, quadrature=quadrature)
    # when
    returned = axis.resize(size)
    # then
    assert returned is axis
    assert (axis.size, axis.max_size, axis.grid_size) == (size, full, full)
    assert axis.is_even
    assert torch.equal(axis.points, axis.quadrature.points(size))


def test_axis_has_its_full_size_at_first() -> None:
    # when
    axis = Axis(7, grid_size=3)
    # then
    assert (axis.size, axis.max_size, axis.grid_size) == (7, 7, 3)
    assert axis.is_even
    assert list(axis.parameters()) == []


@pytest.mark.parametrize("quadrature", [Trapezoidal(), Midpoint()], ids=str)
def test_placed_axis_is_sampled_at_the_given_points(quadrature: object) -> None:
    # given
    axis = Axis(9, quadrature=quadrature)
    points = torch.tensor([0.0, 0.1, 0.35, 0.9], dtype=torch.float64)
    # when
    returned = axis.place(points)
    # then
    assert returned is axis
    assert axis.size == 4
    assert not axis.is_even
    assert torch.equal(axis.points, points)
    expected = matrices_at(points, 9, axis.kernel, axis.quadrature)
    for matrix, wanted in zip(axis.matrices(LIKE), expected, strict=True):
        torch.testing.assert_close(matrix, wanted)


def test_placed_axis_does_not_follow_what_happens_to_the_callers_points() -> None:
    # given
    points = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    axis = Axis(5).place(points)
    # when
    points += 1
    # then
    assert axis.points.tolist() == [0.0, 0.5, 1.0]


def test_resizing_a_placed_axis_makes_it_even_again() -> None:
    # given
    axis = Axis(5).place([0.0, 0.1, 1.0])
    # when
    axis.resize(3)
    # then
    assert axis.is_even
    assert axis.points.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("wrong", WRONG_SIZES, ids=repr)
def test_wrong_size_is_refused_and_changes_nothing(wrong: object) -> None:
    # given
    axis = Axis(5).place([0.0, 0.1, 1.0])
    # when
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        axis.resize(wrong)
    # then
    assert axis.points.tolist() == [0.0, 0.1, 1.0]


@pytest.mark.parametrize("wrong", WRONG_SIZES, ids=repr)
def test_axis_is_not_built_with_a_wrong_size(wrong: object) -> None:
    with pytest.raises(ValueError, match="max_size must be an integer of at least 1"):
        Axis(wrong)
    with pytest.raises(ValueError, match="grid_size must be an integer of at least 1"):
        Axis(4, grid_size=wrong)


@pytest.mark.parametrize("wrong", WRONG_POINTS, ids=str)
def test_points_that_do_not_ascend_from_0_to_1_are_refused(wrong: list[float]) -> None:
    # given
    axis = Axis(5).resize(4)
    # when
    with pytest.raises(ValueError, match="points must ascend strictly from 0 to 1"):
        axis.place(wrong)
    # then
    assert axis.is_even
    assert axis.size == 4


@pytest.mark.parametrize("quadrature", [Simpson(), GaussLegendre()], ids=str)
def test_rule_with_points_of_its_own_cannot_be_placed_elsewhere(quadrature: object) -> None:
    # given
    axis = Axis(5, quadrature=quadrature)
    # when
    with pytest.raises(ValueError, match="needs its own points"):
        axis.place([0.0, 0.1, 1.0])
    # then
    assert axis.size == 5
    assert axis.is_even


def test_kernel_and_quadrature_can_be_named() -> None:
    for name, kernel in KERNELS.items():
        assert Axis(4, kernel=name).kernel == kernel
    for name, quadrature in QUADRATURES.items():
        assert Axis(4, quadrature=name).quadrature == quadrature


def test_unknown_kernel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match="unknown kernel 'quintic'; known are b-spline, cubic, cubic-antialiased, linear",
    ):
        Axis(4, kernel="quintic")


def test_unknown_quadrature_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match="unknown quadrature 'euler'; known are gauss-legendre, midpoint, simpson, trapezoidal",
    ):
        Axis(4, quadrature="euler")


@pytest.mark.parametrize("change", ["resize", "place"])
def test_state_dict_brings_back_size_and_points(change: str) -> None:
    # given an axis below its full size
    axis = Axis(9)
    axis.resize(4) if change == "resize" else axis.place([0.05, 0.1, 0.95])
    # when
    fresh = Axis(9)
    fresh.load_state_dict(copy.deepcopy(axis.state_dict()))
    # then
    assert fresh.size == axis.size
    assert fresh.is_even == (change == "resize")
    assert torch.equal(fresh.points, axis.points)


def test_state_dict_of_an_even_axis_makes_a_placed_one_even() -> None:
    # given
    placed = Axis(9).place([0.0, 0.1, 1.0])
    # when
    placed.load_state_dict(Axis(9).resize(6).state_dict())
    # then
    assert placed.is_even
    assert placed.size == 6


@pytest.mark.parametrize(
    "state",
    [torch.tensor(x) for x in (0, -3, 2.5, True, [0.5, 0.1])] + [torch.empty(0, 0), torch.zeros(3, 2)],
    ids=str,
)
def test_state_that_is_no_size_and_no_points_is_refused_and_changes_nothing(state: torch.Tensor) -> None:
    # given
    axis = Axis(5).resize(4)
    # when
    with pytest.raises(RuntimeError, match=r"points: .*(must be an integer|must ascend)"):
        axis.load_state_dict({"points": state})
    # then
    assert (axis.size, axis.is_even) == (4, True)


@pytest.mark.parametrize("grid_size", [None, 5, 12])
def test_state_dict_of_an_axis_at_full_size_is_empty(grid_size: int | None) -> None:
    axis = Axis(9, grid_size=grid_size).resize(3).resize(9)
    assert axis.state_dict() == {}
    # and what is empty is the full size
    assert Axis(9).resize(4).load_state_dict({}).missing_keys == []
    small = Axis(9).resize(4)
    small.load_state_dict({})
    assert small.size == 9


@given(size=sizes)
@settings(max_examples=20, deadline=None)
def test_arithmetic_on_a_state_leaves_its_size_alone(size: int) -> None:
    # given two networks of one size
    states = [Axis(7).resize(size).state_dict() for _ in range(2)]
    changes = [
        {key: (states[0][key] + other) / 2 for key, other in states[1].items()},
        {key: torch.rand_like(value) for key, value in states[0].items()},
        {key: value * float("nan") for key, value in states[0].items()},
        {key: value.half() for key, value in states[0].items()},
    ]
    for state in changes:
        # when
        axis = Axis(7).resize(3)
        axis.load_state_dict(state)
        # then
        assert axis.size == size
        assert axis.is_even


def test_a_size_that_is_read_once_stays_whole() -> None:
    # given
    axis = Axis(8).resize(5)
    placement = axis.placement
    # when another thread resizes in between
    axis.resize(3)
    # then
    assert placement.matrices(LIKE).sampling.shape == (placement.size, 8) == (5, 8)
    assert axis.matrices(LIKE).sampling.shape == (3, 8)


def test_threads_that_resize_leave_sizes_and_matrices_that_agree() -> None:
    # given
    axis, stop = Axis(16), threading.Event()

    def read() -> int:
        seen = 0
        while not stop.is_set() or not seen:
            placement = axis.placement
            sampling = placement.matrices(LIKE).sampling
            assert (16 if sampling is None else len(sampling)) == placement.size
            seen += 1
        return seen

    # when
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for turn in range(300):
            axis.resize(1 + turn % 20)
        stop.set()
    # then
    assert all(reader.result() for reader in readers)
    assert axis.matrices(LIKE).sampling.shape == (axis.size, 16)


@pytest.mark.parametrize("name", ["kernel", "quadrature", "grid_size", "nested", "size"])
def test_what_matrices_depend_on_cannot_be_changed_behind_their_back(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Axis(8), name, 3)


@given(size=sizes)
@settings(max_examples=20, deadline=None)
def test_matrices_are_the_identity_at_equal_grid_and_size(size: int) -> None:
    for kernel in (CubicConvolution(), LinearInterpolation(), LowPass()):
        assert tuple(Axis(size, kernel=kernel).matrices(LIKE)) == (None, None)


def test_matrices_are_not_the_identity_where_kernel_or_points_are_not() -> None:
    # when
    smooth, inner = Axis(6, kernel=CubicBSpline()), Axis(6, quadrature=Midpoint())
    # then
    for axis in (smooth, inner):
        assert all(matrix is not None for matrix in axis.matrices(LIKE))


@given(size=sizes, grid=sizes, kernel=kernels, quadrature=quadratures)
@settings(max_examples=25, deadline=None)
def test_matrices_are_the_kernels_and_weigh_samples_against_nodes(
    size: int, grid: int, kernel: object, quadrature: object
) -> None:
    # given
    axis = Axis(size, grid_size=grid, kernel=kernel, quadrature=quadrature)
    eye = torch.eye(size).double()
    # when
    sampling, integration = (eye if m is None else m for m in axis.matrices(LIKE))
    # then
    points = axis.quadrature.points(size)
    expected = axis.kernel.matrix(points, grid)
    assert sampling.shape == (size, grid)
    torch.testing.assert_close(sampling, expected, rtol=0, atol=1e-9)
    # and a stored value is λ times its node's trapezoidal weight
    nodes = Trapezoidal().weights(Trapezoidal().points(grid))
    torch.testing.assert_close(
        nodes[:, None] * integration,
        expected.T * axis.quadrature.weights(points),
        rtol=0,
        atol=1e-9,
    )


def test_matrices_of_a_size_are_computed_once() -> None:
    # given two axes alike
    one, other = Axis(8).resize(5), Axis(8).resize(5)
    # when
    first = one.matrices(LIKE)
    one.resize(3)
    again = one.resize(5).matrices(LIKE)
    # then
    assert again is first
    assert other.matrices(LIKE) is first
    assert one.resize(3).matrices(LIKE) is not first


def test_matrices_of_given_points_are_kept_until_other_points_are_given() -> None:
    # given
    axis = Axis(8).place([0.0, 0.3, 1.0])
    first = axis.matrices(LIKE)
    # then
    assert axis.matrices(LIKE) is first
    # when
    axis.place([0.0, 0.4, 1.0])
    # then
    assert not torch.equal(axis.matrices(LIKE).sampling, first.sampling)


def test_matrices_follow_dtype_and_device() -> None:
    # given
    axis = Axis(8).resize(5)
    # then
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert all(m.dtype == dtype for m in axis.matrices(torch.zeros((), dtype=dtype)))
    assert all(m.device.type == "meta" for m in axis.matrices(torch.zeros((), device="meta")))
    placed = Axis(8).place([0.0, 0.3, 1.0])
    for dtype in (torch.float32, torch.float64):
        assert all(m.dtype == dtype for m in placed.matrices(torch.zeros((), dtype=dtype)))


def test_axis_matrices_are_the_same_object_for_the_same_arguments() -> None:
    # given
    arguments = (5, 8, CubicConvolution(a=-0.5), Midpoint(), torch.float64, torch.device("cpu"))
    # when
    first = axis_matrices(*arguments)
    # then
    assert axis_matrices(*arguments) is first
    assert axis_matrices(6, *arguments[1:]) is not first


def test_repr_tells_the_sizes() -> None:
    assert repr(Axis(8, grid_size=6).resize(5)) == "Axis(size=5, max_size=8, grid_size=6)"


def test_axis_of_one_sample_cannot_be_tuned() -> None:
    with pytest.raises(ValueError, match="at least 2 points"):
        Axis(5).resize(1).start_tuning()


def test_points_are_parameters_only_while_they_are_tuned() -> None:
    # given
    axis = Axis(8).resize(5)
    even = axis.points
    # when
    partition = axis.start_tuning()
    # then
    assert list(axis.parameters()) == list(partition.parameters())
    assert axis.placement.is_learned
    torch.testing.assert_close(axis.points.detach(), even)
    assert all(matrix.requires_grad for matrix in axis.matrices(LIKE))
    # when the first gap has grown
    with torch.no_grad():
        partition.log_gaps[0] += 1
    learned = axis.points.detach()
    returned = axis.stop_tuning()
    # then
    assert returned is axis
    assert list(axis.parameters()) == []
    assert float(axis.points[1]) > 0.4
    assert torch.equal(axis.points, learned)


def test_stopping_what_was_not_started_changes_nothing() -> None:
    assert Axis(8).resize(5).stop_tuning().is_even


def three_axes() -> Axes:
    return Axes(
        [Axis(8).resize(6), Axis(9).place([0.0, 0.2, 1.0]), Axis(5, quadrature="gauss-legendre")]
    )


def test_axes_are_resized_together_or_one_by_one() -> None:
    # given
    axes = three_axes()
    assert axes.sizes == (6, 3, 5)
    assert axes.max_sizes == (8, 9, 5)
    # when
    axes.resize(4)
    # then
    assert axes.sizes == (4, 4, 4)
    # when
    axes.resize([1, 20, 3])
    # then
    assert axes.sizes == (1, 20, 3)
    assert axes.max_sizes == (8, 9, 5)


@pytest.mark.parametrize("wrong", [*WRONG_SIZES, [4, 4], [4, 4, 4, 4], [4, 4, 0], [4, 4, 2.5]], ids=str)
def test_axes_are_not_resized_in_part(wrong: object) -> None:
    # given
    axes = three_axes()
    # when
    with pytest.raises(ValueError, match="must be"):
        axes.resize(wrong)
    # then
    assert axes.sizes == (6, 3, 5)
    assert not axes[1].is_even


def state_of(axes: Axes) -> list[tuple[bool, list[float]]]:
    return [(axis.is_even, axis.points.tolist()) for axis in axes]


def test_resized_axes_are_what_they_were_after_the_block() -> None:
    # given
    axes = three_axes()
    before = state_of(axes)
    # when
    with axes.resized((2, 7, 3)):
        # then
        assert axes.sizes == (2, 7, 3)
        assert axes[1].is_even
    assert state_of(axes) == before


def test_resized_axes_are_what_they_were_after_an_exception() -> None:
    # given
    axes = three_axes()
    before = state_of(axes)
    # when
    with pytest.raises(RuntimeError, match="inside"), axes.resized(2):
        raise RuntimeError("inside")
    # then
    assert state_of(axes) == before


def test_resized_blocks_nest() -> None:
    # given
    axes = three_axes()
    # when
    with axes.resized(2):
        with axes.resized((3, 4, 5)):
            assert axes.sizes == (3, 4, 5)
        # then
        assert axes.sizes == (2, 2, 2)
    assert axes.sizes == (6, 3, 5)


def test_wrong_size_of_a_block_changes_nothing() -> None:
    # given
    axes = three_axes()
    before = state_of(axes)
    # when
    with pytest.raises(ValueError, match="must be an integer"), axes.resized(0):
        pass
    # then
    assert state_of(axes) == before


def test_axes_are_modules_in_order() -> None:
    # given
    axes = three_axes()
    # then
    assert isinstance(axes, nn.ModuleList)
    assert [axis.max_size for axis in axes] == [8, 9, 5]
