"""The site builds without a warning, has no dead link, and people can read and search it."""

from __future__ import annotations

import functools
import http.server
import importlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["", "actor", "deploy", "evaluation", "imitation", "nn", "policies", "resize"]
MAIN_PAGES = [
    *("index.html", "get-started.html", "make-small.html", "train.html", "reproduce.html"),
    *("training.html", "limits.html", "api/nn.html", "api/deploy.html"),
]
BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [BIN / "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_its_packages_page(site: Path, package: str) -> None:
    module = importlib.import_module(f"sb3_integral.{package}" if package else "sb3_integral")
    text = (site / "api" / f"{package or 'index'}.html").read_text(encoding="utf-8")
    anchors = {anchor.rpartition(".")[2] for anchor in re.findall(r'id="(sb3_integral[\w.]*)"', text)}
    assert sorted(set(module.__all__) - anchors - {"__version__"}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_used_in_a_program_of_its_page(package: str) -> None:
    # the programs are run by test_documentation.py
    module = importlib.import_module(f"sb3_integral.{package}" if package else "sb3_integral")
    text = (ROOT / "docs" / "api" / f"{package or 'index'}.md").read_text(encoding="utf-8")
    programs = re.sub(
        r"^(?:from .*|#.*)$",
        "",
        "".join(re.findall(r"```(?:python|text)\n(.*?)```", text, re.S)),
        flags=re.M,
    )
    assert [name for name in module.__all__ if not re.search(rf"\b{name}\b", programs)] == []


def test_no_link_is_dead(address: str) -> None:
    done = subprocess.run(
        [BIN / "linkchecker", "--no-warnings", "--no-status", f"{address}index.html"],
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-3000:]
    (pages,) = re.findall(r"(\d+) text", done.stdout)
    assert int(pages) > 25


def test_no_role_of_sphinx_is_shown(site: Path) -> None:
    for path in sorted((site / "api").glob("*.html")):
        assert re.findall(r":(?:class|func|meth|data|mod):", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_ask_nobody_else(site: Path, address: str, browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("performance")
    try:
        for path in sorted(site.rglob("*.html")):
            browser.get(address + path.relative_to(site).as_posix())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    requested = "\n".join(entry["message"] for entry in browser.get_log("performance"))
    hosts = set(re.findall(r'"Network\.requestWillBeSent".*?"url":"(https?://[^/"]+)', requested))
    assert hosts == {address.rstrip("/")}


def test_a_reader_finds_what_they_search(address: str, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.set_window_size(1280, 900)
    browser.get(address + "index.html")
    field = browser.find_element(By.CSS_SELECTOR, ".md-search__input")
    field.send_keys("VecNormalize")
    wait = WebDriverWait(browser, 60)
    wait.until(
        lambda _: (
            "faq.html"
            in "".join(
                link.get_attribute("href")
                for link in browser.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
            )
        )
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_from_reading(
    address: str, browser: Any, serious_findings: Callable[[Any], list[str]], scheme: str, width: int
) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address + "index.html")
    browser.execute_script("localStorage.clear()")
    found = {}
    for page in [*MAIN_PAGES, "moving/acrobot.html"]:
        browser.get(address + page)
        found[page] = serious_findings(browser)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert not any(found.values()), found
