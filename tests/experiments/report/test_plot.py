from __future__ import annotations

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest

from sb3_integral.experiments.report.load import Results
from sb3_integral.experiments.report.plot import (
    COLOURS,
    OTHERS_COLOUR,
    curves,
    highlighted_columns,
    plot_results,
)

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def plotted(tmp_path):
    """Plot a table, and return the file's bytes and its picture."""

    def plot(table, **arguments):
        path = tmp_path / "plot.png"
        arguments = {"env": "CartPole-v1", "references": {"expert": 500.0}, **arguments}
        plot_results(path, [Results(table=table, **arguments)])
        return path.read_bytes(), matplotlib.image.imread(path)

    return plot


def has_colour(picture, colour) -> bool:
    distance = np.abs(picture[..., :3] - np.array(matplotlib.colors.to_rgb(colour)))
    return bool((distance.max(axis=2) < 0.01).any())


def without_paper(table):
    return table.assign(**{name: np.nan for name in table if name.startswith("paper_")})


# Which curves stand out


def test_students_and_the_rescaled_baseline_stand_out_in_the_tables_order(table):
    assert list(highlighted_columns(table)) == ["inn", "scratch", "nn_bicubic_rescaled"]


def test_a_student_can_be_called_as_the_papers_figures_are(table):
    # given a student in a column of the name that the paper's columns begin with
    named = table.assign(column=table["column"].replace("scratch", "paper_inn"))
    # when
    drawn = curves(Results("CartPole-v1", named, {}))
    # then
    assert drawn.loc[drawn["column"] == "paper_inn", "mean"].tolist() == [495.0, 490.0, 400.0]
    assert drawn.loc[drawn["role"] == "paper", "column"].tolist() == ["INN, paper", "NN, paper"]


def test_without_it_the_first_baseline_stands_out(table):
    rest = table[table["column"] != "nn_bicubic_rescaled"]
    assert highlighted_columns(rest)["nn_bicubic"] == "NN, bicubic"
    students = table[table["kind"] == "student"]
    assert list(highlighted_columns(students)) == ["inn", "scratch"]


# The plot of one environment


def test_a_plot_is_a_png_with_every_kind_of_curve_on_it(table, plotted):
    # when
    content, picture = plotted(table)

    # then
    assert content.startswith(PNG)
    height, width, _ = picture.shape
    assert width > height > 500
    for colour in (*COLOURS[:3], OTHERS_COLOUR):
        assert has_colour(picture, colour), colour
    assert not has_colour(picture, COLOURS[3])


def test_the_same_table_gives_the_same_bytes_and_another_table_others(table, plotted):
    first, _ = plotted(table)
    second, _ = plotted(table)
    other, _ = plotted(table.assign(return_mean=table["return_mean"] + 10 * table["n_hidden"]))
    assert first == second
    assert first != other


def test_references_and_the_curves_of_the_paper_are_drawn(table, plotted):
    pictures = [
        plotted(table, references={})[0],
        plotted(table)[0],
        plotted(without_paper(table))[0],
    ]
    assert len(set(pictures)) == 3


def test_one_run_without_a_deviation_is_drawn_as_a_line(table, plotted):
    one_run, _ = plotted(table.assign(return_std=np.nan))
    no_deviation, _ = plotted(table.assign(return_std=0.0))
    assert one_run == no_deviation


def test_a_baseline_in_grey_does_not_stretch_the_plot(table, plotted):
    # given a grey curve that fails, and one that fails worse
    grey = (table["column"] == "nn_bicubic") & (table["n_hidden"] == 4)
    bad, worse = (
        table.assign(return_mean=table["return_mean"].mask(grey, value)) for value in (-1e5, -1e7)
    )
    # when
    _, first = plotted(bad)
    _, second = plotted(worse)
    # then all but its own line is as before
    assert (first != second).any(axis=2).mean() < 0.01


def test_no_figure_stays_open(table, plotted, tmp_path):
    before = plt.get_fignums()
    plotted(table)
    plot_results(tmp_path / "all.png", [Results("CartPole-v1", table, {})])
    assert plt.get_fignums() == before


# The plot of several


def test_environments_stand_two_in_a_row(table, tmp_path):
    # given one, two and three of them
    references = {"expert": 500.0, "random": 20.0}
    shapes = []
    for count, measure in ((1, "return"), (2, "score"), (3, "return")):
        # when
        results = [Results(f"Environment {place}", table, references) for place in range(count)]
        plot_results(tmp_path / "all.png", results, measure)
        picture = matplotlib.image.imread(tmp_path / "all.png")
        shapes.append(picture.shape[:2])
        # then
        for colour in (*COLOURS[:3], OTHERS_COLOUR):
            assert has_colour(picture, colour)
    one, two, three = shapes
    assert two[1] == 2 * one[1] == three[1]
    assert two[0] == one[0] < three[0]


def test_a_student_has_one_colour_in_all_environments(table, tmp_path):
    # given an environment without the second student
    other = table[table["column"] != "scratch"]
    # when
    plot_results(tmp_path / "all.png", [Results("a", table, {}), Results("b", other, {})])
    # then its colour is on the left only, and the third is on both sides
    picture = matplotlib.image.imread(tmp_path / "all.png")
    height, width, _ = picture.shape
    above_legend = picture[: int(0.85 * height)]
    left, right = above_legend[:, : width // 2], above_legend[:, width // 2 :]
    assert [has_colour(half, COLOURS[1]) for half in (left, right)] == [True, False]
    assert [has_colour(half, COLOURS[2]) for half in (left, right)] == [True, True]


def test_no_environment_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one experiment"):
        plot_results(tmp_path / "all.png", [])
    assert list(tmp_path.iterdir()) == []
