"""A trainable partition keeps its ends and its order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral.nn import Axis, TrainablePartition, Trapezoidal


def partition_of(*points: float) -> TrainablePartition:
    return TrainablePartition(torch.tensor(points, dtype=torch.float64))


@given(inner=st.lists(st.floats(0.01, 0.99), max_size=20, unique_by=lambda x: round(x, 4)))
@settings(max_examples=25, deadline=None)
def test_partition_starts_at_the_points_it_is_given(inner: list[float]) -> None:
    # given
    points = [0.0, *sorted(inner), 1.0]
    # when
    start = partition_of(*points)()
    # then
    expected = torch.tensor(points, dtype=torch.float64)
    torch.testing.assert_close(start.detach(), expected, rtol=0, atol=1e-6)


@given(
    log_gaps=st.lists(st.floats(-12, 12), min_size=1, max_size=40),
    ends=st.sampled_from([(0.0, 1.0), (0.1, 0.8), (0.0, 0.3)]),
)
@settings(max_examples=60, deadline=None)
def test_points_ascend_between_fixed_ends_whatever_the_parameters(
    log_gaps: list[float], ends: tuple[float, float]
) -> None:
    # given
    points = ends[0] + Trapezoidal().points(len(log_gaps) + 1) * (ends[1] - ends[0])
    partition = TrainablePartition(points)
    # when
    with torch.no_grad():
        partition.log_gaps.copy_(torch.tensor(log_gaps))
    # then
    moved = partition().detach()
    assert bool((moved.diff() > 0).all())
    assert float(moved[0]) == ends[0]
    assert float(moved[-1]) == pytest.approx(ends[1], abs=1e-12)


@given(log_gaps=st.lists(st.floats(-200, 200), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_axis_keeps_learned_points_however_far_they_moved(log_gaps: list[float]) -> None:
    # given an axis whose points were pushed together
    axis = Axis(64).resize(len(log_gaps) + 1)
    partition = axis.start_tuning()
    with torch.no_grad():
        partition.log_gaps.copy_(torch.tensor(log_gaps))
    # when
    axis.stop_tuning()
    # then
    assert axis.size == len(log_gaps) + 1
    assert float(axis.points[-1]) <= 1
    assert bool((axis.points.diff() > 0).all())


def test_points_are_differentiable_in_the_parameters() -> None:
    # given
    partition = partition_of(0.1, 0.2, 0.6, 0.9)

    # when
    def points(log_gaps: torch.Tensor) -> torch.Tensor:
        moved: torch.Tensor = torch.func.functional_call(partition, {"log_gaps": log_gaps}, ())
        return moved

    # then
    start = partition.log_gaps.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(points, start)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_points_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 points, got {count}"):
        partition_of(*[0.5] * count)
