from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from sb3_integral.cli.app import app

TABLE = """column,label,kind,n_hidden,compression_pct,n_runs,return_mean,return_std,score_mean,\
score_iqm,score_low,score_high,welch_p,paper_inn_mean,paper_inn_std,paper_nn_mean,paper_nn_std,paper_welch_p
inn,INN,student,16,0.0,2,490,5,1,1,0.9,1.1,,,,,,
inn,INN,student,4,80.0,2,400,5,0.8,0.8,0.7,0.9,,,,,,
"""


def invoke(*arguments):
    return CliRunner().invoke(
        app, ["figure", *map(str, arguments)], env={"TERM": "dumb", "COLUMNS": "200"}
    )


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "table.csv").write_text(TABLE)
    (folder / "experiment.yml").write_text("env: CartPole-v1\n")
    references = {"expert": {"mean": 500.0}, "random": {"mean": 20.0}}
    (folder / "provenance.json").write_text(json.dumps({"references": references}))
    return folder


def test_experiments_are_drawn_in_one_picture(results, tmp_path):
    # when
    pictures = []
    for options in ([], ["--score"]):
        output = tmp_path / "pictures" / "fig3.png"
        result = invoke(results, results, "-o", output, *options)
        assert result.exit_code == 0, result.output
        assert str(output) in result.stdout
        pictures.append(output.read_bytes())
    # then
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0] != pictures[1]


def test_what_cannot_be_drawn_is_an_error_and_writes_nothing(results, tmp_path):
    for arguments, said in (
        ([results, tmp_path / "nowhere"], "nowhere holds no finished experiment"),
        ([results, "-o", tmp_path / "fig3.pdf"], "expected a file that ends in .png"),
    ):
        result = invoke("-o", tmp_path / "fig3.png", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert invoke().exit_code == 2
