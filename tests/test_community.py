"""What a project on a forge has beside its code agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sb3_integral import __version__

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github").rglob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_changelog_and_the_citation_have_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", read("CHANGELOG.md"), re.M)
    assert versions[0] == __version__
    assert yaml.safe_load(read("CITATION.cff"))["version"] == __version__


def test_the_changelog_has_the_headings_of_keep_a_changelog() -> None:
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.M)) <= allowed
    assert "## [Unreleased]" in read("CHANGELOG.md")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_and_workflows_are_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_the_workflow_runs_what_main_has_to_pass_on_every_supported_python() -> None:
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert f'requires-python = ">={pythons[0]}"' in read("pyproject.toml")
    assert any(step.get("run") == "bash .ci/run" for step in jobs["test"]["steps"])
    assert any(step.get("run") == "make build" for step in jobs["wheel"]["steps"])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_links_of_the_guides_are_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", read(page))
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
