"""Text from users shows as it is, whatever it holds, and does nothing else."""

from __future__ import annotations

import json
import re

import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral import escaping

TEXTS = st.text(
    st.characters(codec="utf-8") | st.sampled_from("|=+-@\t\r\n\x1b\x9b<>&$_*`\\'\u2028\u202e")
)


@given(TEXTS)
def test_a_terminal_gets_one_line_of_printable_characters(text):
    assert escaping.one_line(text).isprintable()


@given(TEXTS)
def test_lines_stay_lines_and_hold_nothing_else_that_moves_the_cursor(text):
    shown = escaping.lines(text)
    assert all(line.isprintable() for line in shown.split("\n"))


def test_printable_text_stays_as_it_is():
    assert escaping.one_line("NN, λ = 3 ± 1 (“é”)") == "NN, λ = 3 ± 1 (“é”)"
    assert escaping.one_line("\x1b[31mred\n") == r"\x1b[31mred\n"


@given(TEXTS)
def test_a_cell_of_markdown_cannot_end_the_cell_or_begin_a_tag(text):
    shown = escaping.markdown(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(\\\\)*\|", shown)
    assert "<" not in shown
    assert ">" not in shown


@given(TEXTS)
def test_a_cell_of_csv_is_no_formula_and_is_read_back(text):
    cell = escaping.csv(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert escaping.from_csv(cell) == text


@given(TEXTS | st.text("*/?\\\n"))
def test_a_comment_in_c_stays_one_comment_on_one_line(text):
    shown = escaping.c_comment(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert not any(mark in shown for mark in ("*/", "/*", "??"))
    assert shown.startswith('"')
    assert shown.endswith('"')


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_json_in_a_script_cannot_end_the_script(content):
    shown = escaping.script(content)
    assert not set("<>&") & set(shown)
    assert json.loads(shown) == content


@pytest.mark.parametrize("label", ["$x_$", "$\\frac$", "_hidden", "a|b", "50 $ and 60 $", "\x00", "\n"])
def test_a_plot_shows_every_label(label):
    # given
    figure, axes = plt.subplots()
    axes.plot([0, 1], label=escaping.matplotlib(label))
    # when
    texts = axes.legend().get_texts()
    figure.canvas.draw()
    plt.close(figure)
    # then
    assert [text.get_text().strip().replace("\\$", "$") for text in texts] == [
        escaping.one_line(label).strip()
    ]
