from __future__ import annotations

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sb3_integral.experiments.plot import plot_reward_against_size

PNG = b"\x89PNG\r\n\x1a\n"
LABELS = {"inn": "INN", "nn": "NN, bicubic"}


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n_hidden": [100, 50, 5],
            "inn_ar": [490.0, 480.0, 300.0],
            "inn_std": [5.0, 10.0, 80.0],
            "nn_ar": [490.0, 200.0, 10.0],
            "nn_std": [5.0, 90.0, 1.0],
        }
    )


@pytest.fixture
def plotted(tmp_path):
    """Plot a table, and return the file's bytes and its picture."""

    def plot(table, labels=LABELS, **arguments):
        path = tmp_path / "plot.png"
        arguments = {"title": "CartPole-v1", "references": {"expert": 500.0}, **arguments}
        plot_reward_against_size(path, table, labels, **arguments)
        return path.read_bytes(), matplotlib.image.imread(path)

    return plot


def test_a_plot_is_a_png_with_something_on_it(table, plotted):
    # when
    content, picture = plotted(table)

    # then
    assert content.startswith(PNG)
    height, width, _ = picture.shape
    assert width > height > 500
    colours = np.unique(picture[..., :3].reshape(-1, 3), axis=0)
    for colour in ("#0072B2", "#D55E00"):
        rgb = np.array(matplotlib.colors.to_rgb(colour))
        assert np.abs(colours - rgb).max(axis=1).min() < 0.01, colour


def test_the_same_table_gives_the_same_bytes_and_another_table_others(table, plotted):
    first, _ = plotted(table)
    second, _ = plotted(table)
    other, _ = plotted(table.assign(nn_ar=[490.0, 480.0, 470.0]))
    assert first == second
    assert first != other


def test_references_and_the_curves_of_the_paper_are_drawn(table, plotted):
    paper = {f"paper_{name}": 100.0 for name in ("inn_ar", "inn_std", "nn_ar", "nn_std")}
    pictures = [
        plotted(table, references={})[0],
        plotted(table)[0],
        plotted(table.assign(**paper))[0],
    ]
    assert len(set(pictures)) == 3


def test_one_run_without_a_deviation_is_drawn_as_a_line(table, plotted):
    one_run, _ = plotted(table.assign(inn_std=np.nan, nn_std=np.nan))
    no_deviation, _ = plotted(table.assign(inn_std=0.0, nn_std=0.0))
    assert one_run == no_deviation


def test_no_figure_stays_open(table, plotted):
    before = plt.get_fignums()
    plotted(table)
    assert plt.get_fignums() == before
