from __future__ import annotations

import importlib
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_integral.experiments.engine.versions import (
    differences,
    local_sources,
    versions_of,
    versions_of_modules,
)


@pytest.fixture
def modules(tmp_path, monkeypatch) -> Path:
    """A folder with a module, one that it imports, a package, and a module that nobody needs."""
    (tmp_path / "local_walker.py").write_text("import json\nimport torch\nimport local_helper\n")
    (tmp_path / "local_helper.py").write_text("SPEED = 1\n")
    (tmp_path / "local_other.py").write_text("")
    package = tmp_path / "local_package"
    package.mkdir()
    (package / "__init__.py").write_text("from local_package import body\n")
    (package / "body.py").write_text("from local_helper import SPEED\n")
    (package / "body.xml").write_text("<mujoco/>")
    (package / "training.log").write_text("a log")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_versions_are_those_of_installed_distributions():
    assert versions_of(["numpy", "no-such-package"]) == {"numpy": metadata.version("numpy")}


def test_a_local_module_is_known_by_its_code_and_by_what_it_imports(modules):
    found = versions_of_modules(["local_walker.deeper"])
    assert set(found) == {"code of local_walker", "code of local_helper", "torch"}
    assert found["torch"] == metadata.version("torch")


@pytest.mark.parametrize(
    ("file", "is_changed"),
    [
        ("local_helper.py", True),
        ("local_package/__init__.py", True),
        ("local_package/body.py", True),
        ("local_package/body.xml", True),
        ("local_package/training.log", False),
        ("local_package/runs/stage.json", False),
        ("local_package/.venv/lib/other.py", False),
        ("local_other.py", False),
        ("local_walker.py", False),
    ],
)
def test_a_change_of_any_file_behind_a_package_is_seen(modules, file, is_changed):
    before = versions_of_modules(["local_package"])
    (modules / file).parent.mkdir(parents=True, exist_ok=True)
    with (modules / file).open("a") as text:
        text.write("\n# changed\n")
    assert (versions_of_modules(["local_package"]) != before) is is_changed


def test_the_same_code_in_another_folder_is_the_same(modules, tmp_path_factory, monkeypatch):
    before = versions_of_modules(["local_package"])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name, path in local_sources(["local_package"]).items():
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (elsewhere / name).write_bytes(path.read_bytes())
    assert not (elsewhere / "local_package" / "training.log").exists()
    monkeypatch.setattr(sys, "path", [str(elsewhere), *(p for p in sys.path if p != str(modules))])
    importlib.invalidate_caches()
    assert versions_of_modules(["local_package"]) == before


def test_a_module_that_is_not_python_or_not_there_is_no_error(modules):
    (modules / "local_helper.py").write_text("this is no Python (\n")
    assert "code of local_helper" in versions_of_modules(["local_walker"])
    assert versions_of_modules(["no_such_module_anywhere"]) == {}


versions = st.dictionaries(st.sampled_from(["torch", "numpy", "code of mine"]), st.sampled_from("123"))


@given(before=versions, now=versions)
def test_differences_are_told_exactly_where_there_are_some(before, now):
    told = differences(before, now)
    changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    assert len(told) == len(changed)
    assert all(any(name in line for line in told) for name in changed)


def test_differences_are_told_in_words():
    before, now = {"torch": "1", "code of mine": "a"}, {"torch": "2", "code of mine": "b", "box2d": "3"}
    assert differences(before, now) == [
        "box2d is 3, was not installed",
        "the code of mine changed",
        "torch is 2, was 1",
    ]
