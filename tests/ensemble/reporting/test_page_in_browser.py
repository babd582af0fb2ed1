"""A page in a real browser: on a screen, on a phone, in the dark, and on paper."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from browser import DESKTOP, PHONE, shot, sideways_scroll
from report_pages import HOSTILE, PROVENANCE, sections

from ensemble.reporting.page import notebook_frame, page
from ensemble.reporting.page_audio import PageAudio
from ensemble.reporting.style.tokens import DARK, LIGHT

WITH_PICTURES = True
NAMES = ("alpha", "beta", "gamma", *HOSTILE)
SIZES = {"desktop": DESKTOP, "phone": PHONE}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A short clip per system."""
    folder = tmp_path_factory.mktemp("a folder with clips")
    time = np.arange(24_000) / 24_000
    paths = [folder / f"clip {k}.wav" for k in range(len(NAMES))]
    for path in paths:
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * 440 * time), 24_000)
    return paths


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, clips):
    """The address of the page by how it has its sound."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for mode in ("link", "embed", "none"):
        path = folder / f"{mode}.html"
        audio = PageAudio(mode, folder)
        source = page("Report", sections(NAMES, clips), PROVENANCE, audio)
        path.write_text(source, encoding="utf-8")
        found[mode] = path.as_uri()
    return found


def rgb(colour):
    parts = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return f"rgb({parts[0]}, {parts[1]}, {parts[2]})"


def style_of(shown, selector, name):
    script = "([s, n]) => getComputedStyle(document.querySelector(s))[n]"
    return shown.evaluate(script, [selector, name])


def first_cells(shown, table=0):
    """Names of the rows of a table, as they stand."""
    heads = shown.locator("table").nth(table).locator("tbody th")
    return [text.strip() for text in heads.all_inner_texts()]


def numbers(shown):
    cells = shown.locator("table").first.locator("tbody td:nth-child(2)")
    return [float(text.split()[0]) for text in cells.all_inner_texts()]


@pytest.mark.parametrize("size", SIZES)
def test_only_tables_scroll_sideways(open_page, addresses, size):
    shown = open_page(viewport=SIZES[size])
    shown.goto(addresses["link"])
    assert sideways_scroll(shown) == 0
    board = shown.locator(".wide").nth(1)
    wider = board.evaluate("it => it.scrollWidth - it.clientWidth")
    assert (wider > 0) == (size == "phone")
    # The region can be reached and moved by keyboard alone.
    board.focus()
    shown.keyboard.press("ArrowRight")
    if wider:
        shown.wait_for_function(
            "() => document.querySelectorAll('.wide')[1].scrollLeft > 0"
        )
    shot(shown, f"report-{size}")


@pytest.mark.parametrize("size", SIZES)
def test_the_summary_is_seen_first_and_contents_open_by_keyboard(
    open_page, addresses, size
):
    shown = open_page(viewport=SIZES[size])
    shown.goto(addresses["none"])
    # Of a screen, the title and the folded contents take less than a third.
    top = shown.locator("h2").first.bounding_box()["y"]
    assert top < SIZES[size]["height"] / 3

    links = shown.locator("nav.contents a")
    assert not links.first.is_visible()
    shown.locator("nav.contents summary").focus()
    shown.keyboard.press("Enter")
    assert links.first.is_visible()
    assert sideways_scroll(shown) == 0
    shot(shown, f"contents-{size}")

    links.last.click()
    target = links.last.get_attribute("href")
    assert shown.locator(target).is_visible()
    assert shown.evaluate("() => location.hash") == target


def test_pictures_stand_in_rows_of_four_two_or_one(open_page, addresses):
    shown = open_page()
    shown.goto(addresses["none"])
    for width, n_columns in ((1280, 4), (800, 2), (390, 1)):
        shown.set_viewport_size({"width": width, "height": 900})
        lefts = shown.locator("figure").evaluate_all(
            "all => all.map(it => Math.round(it.getBoundingClientRect().left))"
        )
        assert len(lefts) == 4
        assert len(set(lefts)) == n_columns


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system(open_page, addresses, scheme):
    shown = open_page(color_scheme=scheme)
    shown.goto(addresses["none"])
    tokens = DARK if scheme == "dark" else LIGHT
    assert style_of(shown, "body", "backgroundColor") == rgb(tokens["page"])
    assert style_of(shown, "body", "color") == rgb(tokens["text"])
    assert style_of(shown, "svg.chart text", "fill") == rgb(tokens["text"])
    assert style_of(shown, "svg.chart path[clip-path]", "fill") in (
        rgb(tokens["blue"]),
        "none",
    )
    assert style_of(shown, ".strip .d", "fill") == rgb(tokens["blue"])
    shot(shown, f"report-{scheme}")


def test_tables_are_sorted_by_keyboard(open_page, addresses):
    shown = open_page()
    shown.goto(addresses["none"])
    before = first_cells(shown)
    head = shown.locator("th[data-column='1']").first
    button = head.locator("button")
    assert head.get_attribute("aria-sort") is None

    button.focus()
    shown.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert numbers(shown) == sorted(numbers(shown))
    assert first_cells(shown) != before
    shown.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers(shown) == sorted(numbers(shown), reverse=True)
    # Another column is sorted instead, and not besides.
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert shown.locator("th[data-column='2']").first.get_attribute("aria-sort")
    shown.keyboard.press("Enter")
    shown.keyboard.press("Enter")
    assert first_cells(shown) == before


def test_texts_are_sorted_as_texts_and_numbers_in_them_as_numbers(open_page, addresses):
    shown = open_page()
    shown.goto(addresses["none"])
    shown.locator("table").nth(1).locator("button", has_text="model").click()
    assert first_cells(shown, table=1)[:3] == [f"base_model_{k}" for k in range(3)]
    shown.locator("table").nth(1).locator("button", has_text="model").click()
    assert first_cells(shown, table=1)[0] == "base_model_59"


def test_without_scripts_the_page_is_whole(open_page, addresses):
    shown = open_page(java_script_enabled=False)
    shown.goto(addresses["none"])
    assert shown.locator("th button").count() == 0
    assert shown.locator("table").count() == 2
    assert "mi [95" in shown.locator("thead").first.inner_text()


@pytest.mark.parametrize("mode", ["link", "embed"])
def test_players_play(open_page, addresses, mode):
    shown = open_page()
    shown.goto(addresses[mode])
    state = shown.locator("audio").first.evaluate(
        """async (audio) => {
            const before = audio.readyState;
            audio.load();
            await audio.play();
            return [before, audio.readyState, audio.duration, audio.error];
        }"""
    )
    before, ready, seconds, error = state
    # Nothing is read before someone wants to hear it.
    assert before == 0
    assert ready >= 2
    assert seconds == pytest.approx(1, abs=0.15)
    assert error is None
    names = shown.locator("audio").evaluate_all(
        "all => all.map(it => it.getAttribute('aria-label'))"
    )
    assert names[:3] == ["alpha", "beta", "gamma"]


def test_the_skip_link_comes_first_and_is_seen_then(open_page, addresses):
    shown = open_page()
    shown.goto(addresses["none"])
    shown.keyboard.press("Tab")
    skip = shown.locator(".skip")
    assert skip.evaluate("it => it === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    shown.keyboard.press("Enter")
    assert shown.evaluate("() => document.activeElement.id") == "main"


def test_paper_has_every_row_and_column_and_the_heads_on_each_page(
    open_page, addresses, tmp_path
):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    shown = open_page()
    shown.goto(addresses["link"])
    shown.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "report.pdf", "-"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [int(k) for k in re.findall(r"base_model_(\d+)", text)]
    assert rows == list(range(60))
    # Of the board's last row, its last column.
    assert "0.759" in text
    pages_of_board = [part for part in text.split("\f") if "base_model_" in part]
    assert len(pages_of_board) > 1
    for part in pages_of_board:
        assert part.count("KTAU") == 2
        assert part.count("model") > part.count("base_model_")
    assert "(on screen)" in text
    assert PROVENANCE.data_hash in "".join(text.split())


def test_a_page_in_a_notebook_leaves_the_notebook_as_it_is(open_page, tmp_path):
    source = page("Report", sections())
    notebook = tmp_path / "notebook.html"
    notebook.write_text(
        '<!doctype html><html lang="en"><title>notebook</title><table><tr><td>1'
        f"</td></tr></table>{notebook_frame(source)}</html>",
        encoding="utf-8",
    )
    shown = open_page(color_scheme="dark")
    shown.goto(notebook.as_uri())
    assert style_of(shown, "body", "backgroundColor") == "rgba(0, 0, 0, 0)"
    assert style_of(shown, "td", "textAlign") != "right"
    inside = shown.frame_locator("iframe")
    assert inside.locator("h1").inner_text() == "Report"
    assert inside.locator("th button").count() > 5
