"""What may be passed as a size."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_integral.nn import as_size, as_sizes
from sb3_integral.nn.sizes import format_sizes, parse_size, parse_sizes

positive = st.integers(1, 10**6)

WRONG = [0, -1, 2.5, 3.0, True, False, "a", "3", b"3", None, [3], (3,), np.array([3, 4]), np.bool_(True)]


@given(size=positive)
@settings(max_examples=20, deadline=None)
def test_positive_integer_of_any_kind_is_a_size(size: int) -> None:
    for value in (size, np.int64(size), torch.tensor(size)):
        # when
        result = as_size(value)
        # then
        assert result == size
        assert type(result) is int


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_no_positive_integer_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="breadth must be an integer of at least 1, got"):
        as_size(wrong, "breadth")


@given(size=positive, count=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_one_size_serves_every_layer(size: int, count: int) -> None:
    assert as_sizes(size, count) == (size,) * count


@given(sizes=st.lists(positive, max_size=6))
@settings(max_examples=20, deadline=None)
def test_one_size_per_layer_is_kept_in_order(sizes: list[int]) -> None:
    for value in (sizes, tuple(sizes), [np.int32(size) for size in sizes]):
        assert as_sizes(value, len(sizes)) == tuple(sizes)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_sizes_is_refused_with_both_numbers(count: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"({count}), got 2 of them: [4, 5]")):
        as_sizes([4, 5], count)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "a", None], ids=repr)
def test_one_wrong_size_among_right_ones_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        as_sizes([4, wrong], 2)


@pytest.mark.parametrize("text", ["34", b"34"])
def test_text_is_not_taken_for_a_sequence(text: object) -> None:
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        as_sizes(text, 2)


@given(st.lists(st.integers(1, 999), min_size=1, max_size=4))
def test_every_notation_of_a_size_is_read_as_it_is_printed(sizes):
    expected = sizes[0] if len(sizes) == 1 else tuple(sizes)
    printed = format_sizes(sizes)
    for text in (printed, printed.replace(" ", ""), printed.replace("x", "×"), f" {printed.upper()} "):
        assert parse_size(text) == expected
        assert parse_sizes(f"{text}, {text}") == [expected, expected]
    assert parse_size(",".join(map(str, sizes))) == expected


@pytest.mark.parametrize("text", ["", "x", "8x", "8,,5", "0", "-3", "2.5", "two", "8 5", "8x0"])
def test_what_is_no_size_is_an_error_that_shows_it(text):
    with pytest.raises(ValueError, match="a size is a number of at least 1") as error:
        parse_size(text)
    assert repr(text) in str(error.value)
