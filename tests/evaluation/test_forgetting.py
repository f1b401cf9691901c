"""The measures of forgetting, against cases computed by hand."""

from __future__ import annotations

import pytest

from sb3_integral.evaluation.forgetting import average_accuracy, backward_transfer

THREE = [[1.0], [0.5, 0.8], [0.2, 0.6, 0.9]]


def test_the_average_accuracy_is_over_all_tasks_after_the_last():
    assert average_accuracy(THREE) == pytest.approx((0.2 + 0.6 + 0.9) / 3)
    assert average_accuracy([[1.0], [0.25, 0.75]]) == 0.5


def test_the_backward_transfer_is_what_the_last_task_left_of_the_earlier_ones():
    # task 0 fell from 1.0 to 0.2, and task 1 from 0.8 to 0.6
    assert backward_transfer(THREE) == pytest.approx((-0.8 - 0.2) / 2)


def test_what_is_learned_in_between_plays_no_part():
    assert backward_transfer([[1.0], [-7.0, 0.8], [0.2, 0.6, 0.9]]) == backward_transfer(THREE)


def test_the_backward_transfer_is_positive_where_a_later_task_helps():
    assert backward_transfer([[0.25], [0.5, 1.0]]) == 0.25


@pytest.mark.parametrize("measure", [average_accuracy, backward_transfer])
def test_one_task_has_nothing_to_forget(measure):
    with pytest.raises(ValueError, match="at least two tasks, got 1"):
        measure([[1.0]])


@pytest.mark.parametrize("measure", [average_accuracy, backward_transfer])
def test_rows_have_a_score_for_each_task_learned_so_far(measure):
    with pytest.raises(ValueError, match=r"1 to 2 of them, got \[2, 2\]"):
        measure([[1.0, 0.0], [0.5, 1.0]])
