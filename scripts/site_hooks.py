"""What MkDocs does not do by itself: links out of docs/, tables of results/, and the pages that move."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from sb3_integral.experiments.report.moving import render_moving_page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/sb3-integral/sb3-integral/blob/main/"
LINK = re.compile(r"\]\(\.\./([^)\s#]+)")
TABLE = re.compile(r"^<!-- (scores|returns) of (.+?): (.+?) at (.+?) -->$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures of results/ to which pages link."""
    linked: set[str] = set()
    for page in files.documentation_pages():
        linked.update(LINK.findall(page.content_string))
    for name in sorted(linked):
        if name.endswith((".png", ".gif")):
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of docs/ into links to the repository, and marks of tables into tables."""

    def target(match: re.Match[str]) -> str:
        name = match[1]
        if (DOCS / name).exists():  # a page's in a folder of docs/
            return match[0]
        if name.endswith((".png", ".gif")):
            return f"]({name}"
        if not (ROOT / name).exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {name}, which is not there")
        return f"]({REPOSITORY}{name}"

    return TABLE.sub(_table, LINK.sub(target, markdown))


def on_post_build(config: MkDocsConfig) -> None:
    """Write the pages that move."""
    folder = Path(config["site_dir"]) / "moving"
    folder.mkdir(exist_ok=True)
    for source in sorted((DOCS / "moving").glob("*.json")):
        page = render_moving_page(json.loads(source.read_text(encoding="utf-8")))
        (folder / f"{source.stem}.html").write_text(page, encoding="utf-8")


def _table(mark: re.Match[str]) -> str:
    """Return a Markdown table: a row for each environment and column, a column for each size."""
    what, environments, labels, sizes = mark[1], *(group.split(", ") for group in mark.groups()[1:])
    lines = [["environment", "", *(f"N = {size}" for size in sizes)], ["---"] * (2 + len(sizes))]
    for environment in environments:
        folder = ROOT / "results" / environment
        name = yaml.safe_load((folder / "experiment.yml").read_text(encoding="utf-8"))["env"]
        with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
            rows = {(row["label"], row["n_hidden"]): row for row in csv.DictReader(file)}
        for label in (each.replace(";", ",") for each in labels):
            cells = [_cell(rows[label, size], what) for size in sizes]
            lines.append([name, f"**{label}**" if label == "INN" else label, *cells])
            name = ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: dict[str, str], what: str) -> str:
    if what == "scores":
        return f"{round(float(row['score_mean']), 2) + 0.0:.2f}"  # what is rounded to zero has no sign
    mean, deviation = float(row["return_mean"]), float(row["return_std"])
    digits = 0 if abs(mean) >= 1000 else 1
    return f"{mean:,.{digits}f} ± {deviation:,.{digits}f}"
