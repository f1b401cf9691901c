from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sb3_integral.cli.app import app

TABLE = """column,label,kind,n_hidden,compression_pct,n_runs,return_mean,return_std,score_mean,\
score_iqm,score_low,score_high,welch_p,paper_inn_mean,paper_inn_std,paper_nn_mean,paper_nn_std,paper_welch_p
inn,INN,student,16,0.0,2,490,5,1,1,0.9,1.1,,,,,,
inn,INN,student,4,80.0,2,400,5,0.8,0.8,0.7,0.9,,,,,,
"""


ROOT = Path(__file__).parents[2]


def invoke(*arguments, command="figure"):
    return CliRunner().invoke(
        app, [command, *map(str, arguments)], env={"TERM": "dumb", "COLUMNS": "200"}
    )


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "table.csv").write_text(TABLE)
    (folder / "experiment.yml").write_text("env: CartPole-v1\n")
    references = {"expert": {"mean": 500.0}, "random": {"mean": 20.0}}
    (folder / "provenance.json").write_text(json.dumps({"references": references}))
    (folder / "runs.csv").write_text("column,seed,n_hidden,score\ninn,0,16,1.0\ninn,0,4,0.8\n")
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


@pytest.mark.parametrize("name", ["table.csv", "runs.csv", "experiment.yml", "provenance.json"])
def test_a_picture_does_not_replace_what_it_is_drawn_from(results, tmp_path, name):
    (tmp_path / "fig3.png").symlink_to(results / name)
    before = (results / name).read_bytes()
    result = invoke(results, "-o", tmp_path / "fig3.png")
    assert result.exit_code == 1
    assert "which is read, expected another file to write" in result.stderr
    assert (results / name).read_bytes() == before


@pytest.mark.parametrize("command", ["figure", "show"])
def test_the_kept_results_of_the_project_are_read_as_the_help_says(command, tmp_path, monkeypatch):
    # given what a shell makes of results/*
    monkeypatch.chdir(ROOT)
    everything = sorted(path for path in Path("results").iterdir())
    output = () if command == "show" else ("-o", tmp_path / "fig3.png")
    # when
    result = invoke(*everything, *output, command=command)
    # then what holds no experiment is told, a line each
    assert result.exit_code == 0, result.output
    left_out = [line for line in result.stderr.splitlines() if "left out" in line]
    assert len(left_out) == len(result.stderr.splitlines())
    assert "results/fig3.png holds no finished experiment, left out" in left_out
    if command == "show":
        for name in ("Acrobot-v1", "Ant-v4", "HalfCheetah-v4", "LunarLander-v3"):
            assert f"{name}: average return" in result.stdout
        assert "interquartile mean of scores" in result.stdout
        assert "  results/acrobot/table.md\n" in result.stdout
    else:
        assert (tmp_path / "fig3.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["figure", "show"])
@pytest.mark.parametrize("name", ["table.csv", "provenance.json", "experiment.yml"])
def test_a_report_that_cannot_be_read_is_one_line(results, tmp_path, command, name):
    (results / name).write_bytes(b"\xff\xfe[")
    output = () if command == "show" else ("-o", tmp_path / "fig3.png")
    result = invoke(results, *output, command=command)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"error: the report in {results} cannot be read" in result.stderr
    assert result.stdout == ""


def test_runs_that_cannot_be_read_are_one_line(results, tmp_path):
    (results / "runs.csv").unlink()
    result = invoke(results, results, command="show")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "runs.csv" in result.stderr


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_tables_are_printed_where_the_locale_knows_ascii_only(results, locale):
    # given a label that ASCII has not
    text = (results / "table.csv").read_text(encoding="utf-8")
    (results / "table.csv").write_text(text.replace("INN", "Größe λ"), encoding="utf-8")
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONWARNINGS": "ignore"}
    # when
    done = subprocess.run(
        [sys.executable, "-m", "sb3_integral", "show", results], capture_output=True, env=environment
    )
    # then
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("ascii")
    assert "490.0 +- 5.0" in text
    assert "Gr??e lambda" in text


def test_a_name_of_a_folder_cannot_move_the_cursor(tmp_path):
    result = invoke(tmp_path / "\x1b[2Jgone", command="show")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert r"\x1b[2Jgone" in result.output
