from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from sb3_integral.experiments.report.moving import MOVING, write_moving_page
from sb3_integral.experiments.report.page import (
    NO_MOVING,
    headline,
    return_table,
    score_table,
    small_size,
    write_page,
)
from sb3_integral.experiments.report.roughness import ROUGHNESS, write_roughness
from sb3_integral.imitation import StudentArchitecture

COMMAND = "sb3-integral run mine/tiny.yml --preset quick"
REFERENCES = {"expert": 500.0, "random": 20.0}
LINE_BREAKER = "</script><script>document.title = 'broken'</script>"


@pytest.fixture
def write(table, over_sizes, content, tmp_path, ignore_progress):
    """Write a page of a table, and return its folder."""

    def write(table=table, *, pictures=True, left_out=(), moving=None):
        shutil.rmtree(tmp_path / "page", ignore_errors=True)
        folders = {name: tmp_path / name for name in ("report", "figures", "video", "page")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        table.to_csv(folders["report"] / "table.csv", index=False)
        of_table = over_sizes.assign(label=table["label"].unique())
        of_table.to_csv(folders["report"] / "over_sizes.csv", index=False)
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
            write_roughness(folders["figures"] / ROUGHNESS, {"INN": torch.ones(3, 4)})
        else:
            (folders["video"] / "no_video.txt").write_text("install libegl1\n")
        needs = (folders["report"], folders["figures"], folders["video"], moving)
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


def test_scores_that_differ_from_the_leaders_after_the_correction_are_marked(table):
    # given p-values of 0.04 before it, and of 0.2 after it, where they are not 0.01 and 0.04
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
    for said in ("Mean over sizes", "INN minus it", "How rough they are"):
        assert said in page
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
    assert "How rough they are" not in page


def test_pictures_lie_beside_the_page(write):
    names = {path.name for path in write().iterdir()}
    assert names == {"index.html", "weights.png", "spectrum.png", "agents.gif"}


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
    browser.set_window_size(1000, 900)
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
def test_a_page_is_readable_on_a_phone_by_day_and_by_night(write, browser, as_shown_on, scheme):
    # given
    as_shown_on(390, scheme)
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


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_from_reading_a_page(
    write, moving, browser, as_shown_on, serious_findings, width, scheme
):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    as_shown_on(width, scheme)
    browser.get((write(moving=moving) / "index.html").as_uri())
    WebDriverWait(browser, 60).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, "#chart .mark-symbol path")
    )
    assert serious_findings(browser) == []


# What moves


@pytest.fixture
def moving(save_students, ignore_progress, tmp_path):
    """Let the stage write the page that moves, and return its folder."""
    folder = tmp_path / "moving"
    folder.mkdir()
    students = save_students(
        "CartPole-v1", *(StudentArchitecture(kind) for kind in ("integral", "plain"))
    )
    write_moving_page(folder, ignore_progress, students, env_id="CartPole-v1")
    return folder


def test_students_that_cannot_be_shown_are_said_to_be_left_out(
    write, save_students, ignore_progress, tmp_path
):
    # given students of different widths
    folder = tmp_path / "moving"
    folder.mkdir()
    wide, narrow = StudentArchitecture("integral", (16, 16)), StudentArchitecture("plain", (8, 8))
    students = save_students("CartPole-v1", wide, narrow)
    # when
    write_moving_page(folder, ignore_progress, students, env_id="CartPole-v1")
    page = (write(moving=folder) / "index.html").read_text(encoding="utf-8")
    # then
    assert list(folder.iterdir()) == []
    assert NO_MOVING in page
    assert "<iframe" not in page


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_size_is_dragged_in_the_page_of_a_run(write, moving, browser, as_shown_on, width):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    # given
    as_shown_on(width, "light")
    for log in ("browser", "performance"):  # of other tests
        browser.get_log(log)
    folder = write(moving=moving)
    browser.get((folder / "index.html").as_uri())
    frame = browser.find_element(By.TAG_NAME, "iframe")
    # then all of it is seen, and nothing scrolls inside
    WebDriverWait(browser, 60).until(
        lambda _: browser.execute_script(
            """const [frame] = arguments, { offsetHeight, scrollWidth } = frame.contentDocument.body;
            return frame.clientHeight === offsetHeight && scrollWidth <= frame.clientWidth;""",
            frame,
        )
    )
    # when the slider is moved by keyboard
    browser.switch_to.frame(frame)
    browser.find_element(By.ID, "size").send_keys(Keys.HOME)
    # then both networks are as small, and have moved
    assert browser.find_element(By.ID, "shown").text == "5"
    assert [browser.execute_script(f"return agents[{i}].network.size") for i in (0, 1)] == [5, 5]
    WebDriverWait(browser, 60).until(
        lambda _: browser.find_element(By.ID, "integral-total").text not in ("0", "")
    )
    browser.switch_to.default_content()
    # and the page is there alone, too, and asks nobody
    assert (folder / MOVING).read_bytes() == (moving / MOVING).read_bytes()
    assert browser.get_log("browser") == []
    requested = [entry["message"] for entry in browser.get_log("performance")]
    assert [each for each in requested if "requestWillBeSent" in each and '"url":"http' in each] == []


def test_a_page_shows_what_is_left_of_earlier_tasks_where_there_are_some(write, content, tmp_path):
    # given
    assert "earlier tasks" not in (write() / "index.html").read_text(encoding="utf-8")
    content["then"] = ["a:<Second>-v0", "Third-v0"]
    Image.new("RGB", (30, 20), "red").save(tmp_path / "report" / "forgetting.png")
    # when
    page = write()
    # then
    text = (page / "index.html").read_text(encoding="utf-8")
    assert "Learned in this order: CartPole-v1, then a:&lt;Second&gt;-v0, then Third-v0." in text
    assert (page / "forgetting.png").is_file()
