from __future__ import annotations

import json

import pytest

from sb3_integral import escaping
from sb3_integral.experiments.report.load import load_all_results, load_results


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
        results = load_results(folder)
        assert results.env == "CartPole-v1"
        assert results.references == {"expert": 500.0, "random": 20.0}
        assert results.table["return_mean"].tolist() == table["return_mean"].tolist()


def test_a_folder_without_one_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"holds no finished experiment, expected .*table\.csv"):
        load_results(tmp_path)


@pytest.mark.parametrize("name", ["experiment.yml", "provenance.json", "table.csv"])
def test_a_report_that_is_not_whole_is_an_error_that_names_it(report, name):
    (report / name).write_text("")
    with pytest.raises(ValueError, match=r"the report in .*report cannot be read"):
        load_results(report)


def test_a_table_of_another_form_is_an_error(report):
    (report / "table.csv").write_text("n_hidden,inn_ar\n100,1.0\n")
    with pytest.raises(ValueError, match=r"lacks the columns column, label, kind"):
        load_results(report)


def test_labels_come_back_as_they_were(report, table):
    # given labels that pandas would take for a missing value, a number or a formula
    labels = {"INN": "NA", "NN, bicubic": "=1+1", "NN, bicubic rescaled": "007"}
    table = table.assign(label=table["label"].replace(labels))
    table.assign(label=table["label"].map(escaping.csv)).to_csv(report / "table.csv", index=False)
    # when, then
    assert load_results(report).table["label"].tolist() == table["label"].tolist()
    assert ",'=1+1," in (report / "table.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: text.index("scratch") + 30],
        lambda text: "\n".join(text.splitlines()[:-1]),
        lambda text: text.replace("490.0", "many"),
        lambda text: text.replace(",16,", ",16.5,"),
        lambda text: text.replace(",8,", ",16,"),
        lambda text: text.splitlines()[0],
    ],
    ids=["half", "a row less", "a word", "half a neuron", "twice", "no row"],
)
def test_a_damaged_table_is_an_error_that_names_it(report, damage):
    path = report / "table.csv"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=r"the report in .*report cannot be read"):
        load_results(report)


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"references": 3}', "[" * 100_000])
def test_a_damaged_provenance_is_an_error_that_names_the_report(report, content):
    (report / "provenance.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"the report in .*report cannot be read"):
        load_results(report)


def test_what_else_a_pattern_names_is_left_out(report, tmp_path):
    # given a picture, results of another kind, and a run that is not finished
    (tmp_path / "fig3.png").write_bytes(b"")
    other, unfinished = tmp_path / "mnist", tmp_path / "unfinished" / "expert"
    for folder in (other, unfinished):
        folder.mkdir(parents=True)
    (other / "table.csv").write_text("width,accuracy\n", encoding="utf-8")
    everything = sorted(tmp_path.iterdir())
    # when
    results, left_out = load_all_results(everything)
    # then
    assert [each.folder for each in results] == [report]
    assert left_out == [path for path in everything if path != report.parent]


def test_a_folder_that_is_not_there_is_never_left_out(report, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere holds no finished experiment"):
        load_all_results([report, tmp_path / "nowhere"])
    with pytest.raises(ValueError, match=r"holds no finished experiment"):
        load_all_results([tmp_path])
