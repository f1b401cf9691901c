"""Text files are UTF-8 on every machine, whatever its locale says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for name in ("sb3_integral", "scripts") for path in (ROOT / name).rglob("*.py"))
PROCESSES = ("run", "Popen", "check_output")


def calls_without_an_encoding(source: str) -> Iterator[str]:
    """Find calls that read or write text in the encoding of the locale."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")
        given = {keyword.arg for keyword in node.keywords}
        modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        is_binary = any("b" in str(mode) for mode in modes if set(str(mode)) <= set("rwabx+"))
        opens_text = (
            called[2] == "open" and called[0] not in ("Image", "os", "tarfile") and not is_binary
        )
        talks = called[2] in PROCESSES and given & {"text", "universal_newlines"}
        if (called[2] in ("read_text", "write_text") or opens_text or talks) and "encoding" not in given:
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_is_opened_with_its_encoding(path: Path) -> None:
    assert list(calls_without_an_encoding(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "call",
    ["path.read_text()", "open('a')", "path.open('w')", "subprocess.run(['ls'], text=True)"],
)
def test_calls_that_depend_on_the_locale_are_found(call: str) -> None:
    assert len(list(calls_without_an_encoding(call))) == 1


@pytest.mark.parametrize("call", ["path.open('rb')", "Image.open(path)", "open('a', encoding='ascii')"])
def test_calls_that_do_not_are_left_alone(call: str) -> None:
    assert list(calls_without_an_encoding(call)) == []
