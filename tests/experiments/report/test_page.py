from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest
import yaml
from PIL import Image

from sb3_integral.experiments.report.page import (
    headline,
    return_table,
    score_table,
    small_size,
    write_page,
)

COMMAND = "sb3-integral run mine/tiny.yml --preset quick"
REFERENCES = {"expert": 500.0, "random": 20.0}
LINE_BREAKER = "</script><script>document.title = 'broken'</script>"


@pytest.fixture
def write(table, content, tmp_path, ignore_progress):
    """Write a page of a table, and return its folder."""

    def write(table=table, *, pictures=True, left_out=()):
        shutil.rmtree(tmp_path / "page", ignore_errors=True)
        folders = {name: tmp_path / name for name in ("report", "figures", "video", "page")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        table.to_csv(folders["report"] / "table.csv", index=False)
        (folders["report"] / "experiment.yml").write_text(yaml.safe_dump(content))
        provenance = {
            "references": {name: {"mean": mean} for name, mean in REFERENCES.items()},
            "python": "3.11",
            "machine": "a machine",
            "versions": {"torch": "2.13"},
            "stage_seconds": {"expert": 100.0, "references": 9.5, "seed-0/demonstrations": 20.0},
        }
        (folders["report"] / "provenance.json").write_text(json.dumps(provenance))
        (folders["figures"] / "left_out.json").write_text(json.dumps(list(left_out)))
        if pictures:
            for place in ("figures/weights.png", "figures/spectrum.png", "video/agents.gif"):
                Image.new("RGB", (30, 20), "red").save(tmp_path / place)
        else:
            (folders["video"] / "no_video.txt").write_text("install libegl1\n")
        needs = (folders["report"], folders["figures"], folders["video"])
        write_page(folders["page"], ignore_progress, *needs, config=content, command=COMMAND)
        return folders["page"]

    return write


# What it comes down to


def test_the_headline_has_the_leader_its_best_rival_and_what_both_are_measured_by(table):
    numbers = {words: number for number, words in headline(table, REFERENCES)}
    assert numbers["score of INN at N = 4, with 88 % removed"] == "0.61"
    assert numbers["score of the best way to resize a plain network there: NN, bicubic"] == "-0.02"
    assert numbers["down to which INN scores 0.95 or more"] == "N = 8"
    assert numbers["average return of INN at N = 16"] == "490"
    assert numbers["the expert's average return"] == "500"


def test_the_headline_is_about_the_full_size_also_where_a_student_grows(table):
    # given a size above the full one, at which the student is bad
    bigger = table[table["n_hidden"] == 16].assign(n_hidden=32, score_mean=0.5, return_mean=100.0)
    # when
    numbers = {words: number for number, words in headline(pd.concat([table, bigger]), REFERENCES)}
    # then
    assert numbers["average return of INN at N = 16"] == "490"
    assert numbers["down to which INN scores 0.95 or more"] == "N = 8"
    assert small_size([100, 200, 150, 20, 10]) == 20
    assert small_size([100, 200]) is None


def test_a_size_that_is_good_below_one_that_is_not_does_not_count(table):
    # given a dip at 8
    dip = (table["column"] == "inn") & (table["n_hidden"] == 8)
    table = table.assign(score_mean=table["score_mean"].mask(dip, 0.5).mask(table["n_hidden"] == 4, 1.0))
    # when, then
    numbers = [number for number, words in headline(table, REFERENCES) if "down to which" in words]
    assert numbers == ["N = 16"]


@pytest.mark.parametrize(
    ("sizes", "small"), [([100, 95, 30, 20, 10, 5], 20), ([16, 4], 4), ([64, 32], 32), ([100], None)]
)
def test_the_small_size_is_the_nearest_to_a_fifth(sizes, small):
    assert small_size(sizes) == small


# The tables


def test_returns_stand_beside_the_papers(table):
    # when
    returns = return_table(table)
    # then
    assert list(returns)[:4] == ["N", "removed %", "INN", "NN, trained at that size"]
    assert list(returns)[-2:] == ["INN, paper", "NN, paper"]
    first, _, last = returns.to_numpy().tolist()
    assert first[:3] == ["16", "0.0", "490.0 ± 12.5"]
    assert first[-2:] == ["450.0 ± 5.0", "440.0 ± 6.0"]
    assert last[-2:] == ["-", "-"]
    assert "-5,000.0 ± 12.5" in last


def test_scores_that_differ_from_the_leaders_are_marked(table):
    scores = score_table(table).iloc[-1]
    assert scores["INN"] == "0.61"
    assert scores["NN, trained at that size"] == "0.83"
    assert scores["NN, bicubic"] == "-0.02 *"


# The page


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.found += [
            value for name, value in attributes if name in ("src", "href", "srcset", "action")
        ]


def test_a_page_needs_no_other_file_and_no_network(write):
    # when
    page = (write() / "index.html").read_text()
    # then
    links = _Links()
    links.feed(page)
    assert len(links.found) == 4
    assert all(link.startswith("data:") for link in links.found)
    assert not re.search(r"@import|url\(", page)
    assert len(page) < 1_000_000
    for said in (COMMAND, "torch", "2.13", "seed-0/demonstrations"):
        assert said in page


@pytest.mark.parametrize(
    "label", [LINE_BREAKER, "<img src=x onerror=alert(1)>", "a & b", "<!--<script>"]
)
def test_a_label_stays_text_wherever_it_stands(write, table, label):
    # given
    plain = (write() / "index.html").read_text(encoding="utf-8")
    # when
    page = (
        write(table.assign(label=table["label"].replace("NN, bicubic", label))) / "index.html"
    ).read_text(encoding="utf-8")
    # then there are as many tags as without it
    for tag in ("<script", "</script", "<img", "<!--"):
        assert page.count(tag) == plain.count(tag)


def test_what_could_not_be_drawn_is_said(write):
    page = (write(pictures=False, left_out=["NN has one hidden layer."]) / "index.html").read_text()
    assert "NN has one hidden layer." in page
    assert "install libegl1" in page
    assert "<img" not in page


def test_pictures_lie_beside_the_page(write):
    names = {path.name for path in write().iterdir()}
    assert names == {"index.html", "weights.png", "spectrum.png", "agents.gif"}


@pytest.fixture
def browser():
    """A real browser without a window, or a reason why the test is skipped."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no browser: on Debian, apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1000,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_page_load_timeout(60)
    yield browser
    browser.quit()


@pytest.mark.slow
def test_a_person_reads_sorts_and_points(write, table, browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 60)

    def all_of(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def cells(column):
        return [
            row.text for row in all_of(f"table.sortable:first-of-type tbody tr td:nth-child({column})")
        ][:3]

    # given a page with a name that could break it
    folder = write(table.replace("NN, bicubic", LINE_BREAKER))  # and two points that lie on each other
    browser.get((folder / "index.html").as_uri())
    wait.until(lambda _: all_of("#chart .mark-symbol path"))
    assert browser.title == "CartPole-v1: one network, resized after training"

    # when a heading is clicked once, and again
    assert cells(1) == ["16", "8", "4"]
    heading = all_of("table.sortable th button")[2]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", heading)
    heading.click()
    ascending = cells(3)
    heading.click()
    descending = cells(3)
    # then rows are in the order of its numbers
    assert ascending == ["300.0 ± 12.5", "480.0 ± 12.5", "490.0 ± 12.5"]
    assert descending == ascending[::-1]
    assert cells(1) == ["16", "8", "4"]

    # when a point is pointed at
    points = [
        point
        for point in all_of("#chart .mark-symbol path[aria-label]")
        if "network: INN;" in point.get_attribute("aria-label")
        and "N: 8;" in point.get_attribute("aria-label")
    ]
    assert len(points) == 1
    browser.execute_script("document.querySelector('#chart').scrollIntoView({block: 'center'})")
    ActionChains(browser).move_to_element(points[0]).perform()
    # then its values are shown
    wait.until(lambda _: all_of("#vg-tooltip-element.visible"))
    (tooltip,) = all_of("#vg-tooltip-element.visible")
    for said in ("INN", "62.5", "480.0", "12.5", "1.00", "-"):
        assert said in tooltip.text

    # then nothing went wrong
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_on_a_phone_by_day_and_by_night(write, browser, scheme):
    # given
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    # when
    browser.get((write() / "index.html").as_uri())
    ink, paper = browser.execute_script(
        "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
    )
    # then only tables scroll sideways, and ink and paper differ as they should
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert abs(brightness[0] - brightness[1]) > 400
    assert (brightness[0] > brightness[1]) == (scheme == "dark")
