from __future__ import annotations

import json

import pytest

from sb3_integral.experiments.report.load import read_panel


@pytest.fixture
def report(table, tmp_path):
    """A folder with the files of a report."""
    folder = tmp_path / "experiment" / "report"
    folder.mkdir(parents=True)
    table.to_csv(folder / "table.csv", index=False)
    (folder / "experiment.yml").write_text("env: CartPole-v1\n")
    references = {"expert": {"mean": 500.0, "std": 1.0}, "random": {"mean": 20, "std": 2.0}}
    (folder / "provenance.json").write_text(json.dumps({"references": references}))
    return folder


def test_an_experiment_is_read_from_its_folder_or_its_reports(report, table):
    for folder in (report, report.parent):
        panel = read_panel(folder)
        assert panel.title == "CartPole-v1"
        assert panel.references == {"expert": 500.0, "random": 20.0}
        assert panel.table["return_mean"].tolist() == table["return_mean"].tolist()


def test_a_folder_without_one_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"holds no finished experiment, expected .*table\.csv"):
        read_panel(tmp_path)


@pytest.mark.parametrize("name", ["experiment.yml", "provenance.json", "table.csv"])
def test_a_report_that_is_not_whole_is_an_error_that_names_it(report, name):
    (report / name).write_text("")
    with pytest.raises(ValueError, match=r"the report in .*report cannot be read"):
        read_panel(report)


def test_a_table_of_another_form_is_an_error(report):
    (report / "table.csv").write_text("n_hidden,inn_ar\n100,1.0\n")
    with pytest.raises(ValueError, match=r"lacks the columns column, label, kind"):
        read_panel(report)
