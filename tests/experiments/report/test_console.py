"""The table as people read it."""

from __future__ import annotations

import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from sb3_integral.experiments.report.console import console_table
from sb3_integral.experiments.report.markdown import markdown_report
from sb3_integral.experiments.report.over_sizes import mean_over_sizes
from sb3_integral.experiments.report.tables import (
    Column,
    Scale,
    best_baselines,
    build_table,
    paper_table,
    with_scores,
)

COLUMNS = [
    Column("inn", "INN", "student"),
    Column("one_size", "INN, one size", "student"),
    Column("nn_bicubic", "NN, bicubic", "baseline"),
    Column("nn_prune_l2", "NN, prune l2", "baseline"),
    Column("nn_svd", "NN, svd", "baseline"),
]
SCALE = Scale(-500.0, -80.0, "nn_bicubic")
RETURNS = {
    "inn": [-80.0, -80.0, -82.0],
    "one_size": [-81.0, -120.0, -410.0],
    "nn_bicubic": [-80.0, -110.0, -500.0],
    "nn_prune_l2": [-80.0, -100.0, -480.0],
    "nn_svd": [-80.0, -130.0, -90.0],
}
SIZES = (100, 30, 5)


def make_runs(columns: list[Column] = COLUMNS) -> pd.DataFrame:
    """Three runs that lie 2 apart; svd at size 5 removes less than the others."""
    rows = []
    for column in columns:
        for size, mean in zip(SIZES, RETURNS[column.name], strict=True):
            compression = {100: 0.0, 30: 88.9, 5: 99.2}[size]
            if column.name == "nn_svd" and size == 5:
                compression = 95.0
            for seed, offset in enumerate((-2.0, 0.0, 2.0)):
                rows.append((column.name, seed, size, compression, 30, mean + offset, 1.0))
    names = ["column", "seed", "n_hidden", "compression_pct", "n_episodes", "return_mean", "return_std"]
    return with_scores(pd.DataFrame(rows, columns=names), SCALE)


def make_table(env_id: str = "Acrobot-v1", columns: list[Column] = COLUMNS) -> pd.DataFrame:
    return build_table(make_runs(columns), columns, paper_table(env_id))


def report_of(
    columns: list[Column] = COLUMNS, heading: str = "Acrobot-v1", table: pd.DataFrame | None = None
) -> str:
    over_sizes = mean_over_sizes(make_runs(columns), columns)
    table = make_table(columns=columns) if table is None else table
    return markdown_report(table, over_sizes, SCALE, heading, "Three runs.")


def printed(table: pd.DataFrame, width: int) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    console.print(console_table(table, "Acrobot-v1: average return", width))
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


def cells(markdown: str) -> list[list[list[str]]]:
    """Return the cells of each table in a Markdown text."""
    blocks = [block for block in markdown.split("\n\n") if block.startswith("|")]
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for block in blocks
    ]


# The best baseline


def test_the_best_baseline_of_a_row_is_named_if_it_is_as_small_as_the_row_says():
    shown = ("short_label", "return_mean", "return_std")
    best = {
        size: tuple(row[name] for name in shown) for size, row in best_baselines(make_table()).items()
    }
    assert best[100][0] == ""  # at full size all are the same network
    assert best[30] == ("prune l2", -100.0, 2.0)
    assert best[5] == ("prune l2", -480.0, 2.0)  # svd is better, and larger


def test_baselines_of_two_networks_keep_the_networks_name():
    columns = [*COLUMNS[:3], Column("nn_prune_l2", "narrow NN, prune l2", "baseline")]
    assert best_baselines(make_table(columns=columns))[30]["short_label"] == "narrow NN, prune l2"


def test_an_experiment_without_plain_networks_has_no_best_baseline():
    assert best_baselines(make_table(columns=COLUMNS[:2])) == {}


# The terminal


def test_a_wide_terminal_shows_deviations_and_p_values():
    lines = printed(make_table(), 160)
    row = next(line for line in lines if line.strip().startswith("30 "))
    said = ["88.9", "-82 ± 17", "-495 ± 11", "-80.0 ± 2.0", "-120.0 ± 2.0", "1.6e-05"]
    said += ["-110.0 ± 2.0", "-100.0 ± 2.0", "prune l2"]
    places = [row.index(text) for text in said]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("width", "has_std", "has_p", "has_paper"),
    [
        (160, True, True, True),
        (105, True, False, True),
        (80, False, False, True),
        (62, False, False, False),
    ],
)
def test_it_shows_what_fits(width, has_std, has_p, has_paper):
    lines = printed(make_table(), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert ("-120.0 ± 2.0" in text) is has_std
    assert ("e-05" in text) is has_p
    assert ("-495" in text) is has_paper
    assert all(text.count(mean) >= 1 for mean in ("-80.0", "-120.0", "-110.0", "-100.0", "prune l2"))
    assert "…" not in text
    rows = [line for line in lines if line.strip().startswith(("100 ", "30 ", "5 "))]
    assert len(rows) == len(SIZES)


def test_without_baselines_or_paper_their_columns_are_left_out():
    text = "\n".join(printed(make_table("CartPole-v1", COLUMNS[:2]), 100))
    assert "paper" not in text
    assert "best" not in text


@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb", "TTY_COMPATIBLE": "1"}])
def test_what_does_not_fit_is_several_tables(environment, monkeypatch):
    # given more students than a terminal is wide
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    columns = [Column(f"inn_{n}", f"corrections of the output alone {n}", "student") for n in range(9)]
    RETURNS.update({column.name: [-80.0, -100.0, -300.0] for column in columns})
    # when
    lines = printed(make_table("CartPole-v1", [*columns, *COLUMNS[2:]]), 80)
    # then
    assert max(map(len, lines)) <= 80
    assert "…" not in "\n".join(lines)
    assert sum(line.strip().startswith("30 ") for line in lines) > 1
    words = {word for line in lines for word in line.split()}
    assert {"corrections", "output", "alone", "bicubic", "best", "prune"} <= words


def test_words_of_headings_stay_whole():
    lines = printed(
        make_table("Acrobot-v1", [COLUMNS[0], Column("nn_svd", "NN, activations", "baseline")]), 80
    )
    assert any("activations" in line for line in lines)


def test_labels_cannot_move_the_cursor():
    columns = [Column("inn", "\x1b[2Jgone\nnext", "student"), *COLUMNS[2:]]
    text = "\n".join(printed(make_table(columns=columns), 160))
    assert "\x1b" not in text
    assert r"\x1b[2Jgone\nnext" in text


# Markdown


def test_every_column_is_in_every_table():
    # when
    text = report_of()
    students, baselines, student_scores, scores, over_sizes, p_values, _ = cells(text)
    # then
    paper = ["N", "removed %", "INN, paper", "NN, paper"]
    assert students[0] == [*paper, "INN", "INN, one size"]
    assert baselines[0] == [*paper, "NN, bicubic", "NN, prune l2", "NN, svd"]
    assert student_scores[0] == [*paper[:2], "INN", "INN, one size"]
    assert scores[0] == [*paper[:2], "NN, bicubic", "NN, prune l2", "NN, svd"]
    assert p_values[0] == [*paper[:2], *(column.label for column in COLUMNS[1:])]
    assert [row[0] for row in over_sizes[2:]] == [column.label for column in COLUMNS]
    assert all(len(block) == 2 + len(SIZES) for block in (students, baselines, scores, p_values))
    assert text.startswith("# Acrobot-v1\n\nThree runs.\n\n")


def test_people_read_rounded_numbers_beside_the_papers():
    text = report_of()
    students, _, student_scores, scores, over_sizes, p_values, _ = cells(text)
    assert students[3] == ["30", "88.9", "-82 ± 17", "-495 ± 11", "-80.0 ± 2.0", "-120.0 ± 2.0"]
    # 0 at -500 and 1 at -80, so 2 is 0.005 and -120 is 380 of 420.
    assert student_scores[3][3] == "0.90 [0.90, 0.91]"
    assert scores[4][2] == "0.00 [-0.00, 0.00]".replace("-0.00", "0.00")
    # of twelve p-values, the others of which are larger
    assert p_values[2][3:] == ["1.0e+00 (1.0e+00)"] * 3
    assert "Holm's correction for all 12 p-values of this table. Where that is below 0.05," in text
    # -81, -120 and -410 are scores of 419, 380 and 90 of 420, and the leader has 420, 420 and 418
    assert over_sizes[3][:3] == ["INN, one size", "0.706", "0.293"]
    assert over_sizes[2][1:] == ["0.998", "-", "-"]
    assert re.fullmatch(r"\[0\.2\d\d, 0\.\d{3}\]", over_sizes[3][3])
    assert "0 is -500.0, the return of random actions; 1 is -80.0, that of NN, bicubic" in text


def test_what_is_larger_than_its_row_says_is_told():
    *_, removed = cells(report_of())
    assert removed[0] == ["N", "removed %", "NN, svd"]
    assert removed[4] == ["5", "99.2", "95.0"]
    assert len(cells(report_of(COLUMNS[:4]))) == 6


def test_what_does_not_exist_is_a_dash():
    table = make_table().assign(welch_p=np.nan, welch_p_holm=np.nan, score_iqm=np.nan)
    _, _, student_scores, _, _, p_values, _ = cells(report_of(table=table))
    assert student_scores[2][2:] == ["-", "-"]
    assert p_values[2][2:] == ["-"] * 4


def test_labels_cannot_break_a_table():
    # given
    columns = [Column("inn", "a|b\nc | d", "student"), Column("nn_bicubic", "<b>&\x1b|", "baseline")]
    # when
    text = report_of(columns, "a\n# b|")
    # then every row has as many cells as its heading
    for block in (block for block in text.split("\n\n") if block.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "\x1b" not in text
    assert "<b>" not in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == [r"# a\\n# b\|"]
