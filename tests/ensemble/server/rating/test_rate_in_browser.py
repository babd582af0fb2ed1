"""Two raters rate three clips in a browser, and the loop of commands closes."""

import re

import pandas as pd
import pytest
from browser import PHONE, serving, shot, sideways_scroll
from commands import call
from listening_pages import app_of, write_plan

from base_models.clips.ratings import read_ratings

# The pages forbid ``eval``, and with it Playwright's ``wait_for_function``.
HEARD = "#next:enabled"


@pytest.fixture
def site(tmp_path):
    """A listening test of three clips at an address, and its store."""
    with app_of(tmp_path) as (app, store), serving(app) as address:
        yield address, store


def join(page, address, code):
    page.goto(f"{address}/rate?rater={code}")
    page.get_by_role("button", name="Start").click()
    # The last thing that the script of the page does.
    page.wait_for_selector("#play:enabled")


def at(page, title):
    page.get_by_role("heading", name=title, exact=True).wait_for()


def listen(page):
    page.wait_for_selector("#play:enabled")
    page.keyboard.press("Space")
    page.wait_for_selector(HEARD)


def rate_by_keys(page, mi, ta):
    """Hear the clip, answer both questions and go on, without a mouse."""
    listen(page)
    page.keyboard.press(str(mi))
    page.keyboard.press(str(ta))
    page.keyboard.press("Enter")


def test_two_raters_at_once_with_and_without_a_mouse(open_page, site):
    address, store = site
    anna = open_page()
    bob = open_page(viewport=PHONE, color_scheme="dark", has_touch=True)
    join(anna, address, "anna")
    join(bob, address, "bob")
    shot(anna, "rate-clip")
    for number in range(1, 4):
        at(anna, f"Clip {number} of 3")
        at(bob, f"Clip {number} of 3")
        assert sideways_scroll(bob) == 0
        rate_by_keys(anna, 5, number)
        bob.get_by_role("button", name="Play", exact=True).click()
        bob.wait_for_selector(HEARD)
        for group, text in (("impression", "3"), ("match", "4")):
            question = bob.get_by_role("group", name=re.compile(group))
            question.locator("label", has_text=text).click()
        bob.get_by_role("button", name="Next").click()
    at(anna, "All clips are rated")
    at(bob, "All clips are rated")

    anna.goto(f"{address}/rate/progress?key={store.key}")
    assert "6 of 6 answers; 2 raters so far" in anna.inner_text("main")
    with anna.expect_download() as download:
        anna.get_by_role("link", name="Download").click()
    table = pd.read_csv(download.value.path())
    of_anna = table[table["rater_id"] == "anna"]
    assert of_anna["mi"].tolist() == [5, 5, 5]
    assert sorted(of_anna["ta"]) == [1, 2, 3]
    assert (
        table.loc[table["rater_id"] == "bob", ["mi", "ta"]].to_numpy().tolist()
        == [[3, 4]] * 3
    )
    assert (table["listened_seconds"] > 0.1).all()
    assert (table["plays"] == 1).all()


def test_nothing_can_be_rated_before_the_clip_was_heard(open_page, site):
    page = open_page()
    join(page, site[0], "anna")
    assert page.get_by_role("radio").first.is_disabled()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    assert "Listen first" in page.get_by_role("alert").inner_text()
    listen(page)
    page.keyboard.press("Enter")
    assert "Still to answer: How good" in page.get_by_role("alert").inner_text()
    assert site[1].next_position(site[1].rater(_cookie(page))) == 1


def _cookie(page):
    return next(each["value"] for each in page.context.cookies())


def test_what_is_heard_twice_counts_once_and_plays_are_counted(open_page, site):
    address, store = site
    page = open_page()
    join(page, address, "anna")
    listen(page)
    page.get_by_role("button", name="Play again").wait_for()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause").wait_for()
    page.keyboard.press("4")
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    at(page, "Clip 2 of 3")
    answer = store.place(store.rater(_cookie(page)), 1).answer
    assert answer.plays == 2
    assert 0.1 < answer.listened_seconds <= 0.65


def test_an_answer_is_corrected_and_another_browser_goes_on(open_page, site):
    address, store = site
    page = open_page()
    join(page, address, "anna")
    rate_by_keys(page, 1, 1)
    at(page, "Clip 2 of 3")
    page.reload()
    at(page, "Clip 2 of 3")
    shot(page, "rate-second")
    page.get_by_role("link", name="Back").click()
    at(page, "Clip 1 of 3")
    first = page.get_by_role("group", name=re.compile("impression"))
    assert first.get_by_role("radio", name="1 Bad").is_checked()
    first.locator("label", has_text="5").click()
    page.get_by_role("button", name="Save").click()
    at(page, "Clip 2 of 3")

    other = open_page()
    join(other, address, "ANNA")
    at(other, "Clip 2 of 3")
    assert store.place(store.rater(_cookie(other)), 1).answer.ratings == {
        "mi": 5.0,
        "ta": 1.0,
    }


def test_a_clip_that_cannot_be_judged_is_said_and_passed(open_page, site):
    address, store = site
    page = open_page()
    join(page, address, "anna")
    page.get_by_role("button", name="I cannot judge it").click()
    at(page, "Clip 2 of 3")
    page.get_by_role("button", name="It does not play").click()
    at(page, "Clip 3 of 3")
    page.get_by_role("link", name="Pause").click()
    at(page, "Pause")
    shot(page, "rate-pause")
    page.get_by_role("link", name="Go on").click()
    at(page, "Clip 3 of 3")
    rater = store.rater(_cookie(page))
    statuses = [store.place(rater, n).answer.status for n in (1, 2)]
    assert statuses == ["cannot_judge", "broken"]


def test_an_answer_waits_while_the_server_is_away(open_page, site):
    page = open_page(expected="ERR_INTERNET_DISCONNECTED|Failed to load")
    join(page, site[0], "anna")
    listen(page)
    page.keyboard.press("4")
    page.keyboard.press("2")
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "NOT SAVED: the server cannot be reached" in alert.inner_text()
    shot(page, "rate-not-saved")
    page.context.set_offline(False)
    page.get_by_role("button", name="Next").click()
    at(page, "Clip 2 of 3")


def test_keys_can_be_turned_off(open_page, site):
    page = open_page()
    join(page, site[0], "anna")
    page.get_by_label("Use these keys").uncheck()
    page.reload()
    assert not page.get_by_label("Use these keys").is_checked()
    page.keyboard.press("Space")
    assert page.evaluate("document.querySelector('#sound').paused")


def test_a_slider_is_rated_by_number_or_by_hand(open_page, tmp_path):
    with app_of(tmp_path, scale="0-100") as (app, store), serving(app) as address:
        page = open_page(viewport=PHONE)
        join(page, address, "anna")
        listen(page)
        assert sideways_scroll(page) == 0
        page.get_by_role("button", name="Next").click()
        assert "Still to answer" in page.get_by_role("alert").inner_text()
        page.get_by_role("spinbutton").first.fill("71")
        slider = page.get_by_role("slider", name=re.compile("match"))
        slider.focus()
        page.keyboard.press("ArrowRight")
        shot(page, "rate-slider")
        page.get_by_role("button", name="Next").click()
        at(page, "Clip 2 of 3")
        answer = store.place(store.rater(_cookie(page)), 1).answer
        assert answer.ratings == {"mi": 71.0, "ta": 51.0}


def test_predicted_planned_rated_and_powered(open_page, tmp_path):
    """predict_mos → rate_less --plan → serve_mos --rate → export → rate_less."""
    write_plan(tmp_path, 6)
    scores = pd.read_csv(tmp_path / "plan.csv")
    scores["mi"] = [2.0, 3.0, 3.5, 2.5, 3.2, 4.0]
    scores.to_csv(tmp_path / "scores.csv", index=False)
    planned = call(
        "rate_less",
        tmp_path / "scores.csv",
        *("--aspects", "mi", "--plan", "--budget", 4, "-o", tmp_path / "plan.csv"),
    )
    assert planned[0] == 0, planned
    with app_of(tmp_path, aspects=("mi",)) as (app, _), serving(app) as address:
        for code, ratings in (("anna", (2, 3, 4, 4)), ("bob", (1, 3, 5, 4))):
            page = open_page()
            join(page, address, code)
            for number, rating in enumerate(ratings, start=1):
                at(page, f"Clip {number} of 4")
                listen(page)
                page.keyboard.press(str(rating))
                page.keyboard.press("Enter")
            at(page, "All clips are rated")
        # The ratings can be had while the server runs.
        exported = call(
            "serve_mos",
            *("--export-ratings", tmp_path / "ratings.sqlite"),
            *("-o", tmp_path / "ratings.csv"),
        )
        assert exported[0] == 0, exported
    assert len(read_ratings(tmp_path / "ratings.csv", ["mi"])) == 8
    code, _, said = call(
        "rate_less",
        tmp_path / "scores.csv",
        tmp_path / "ratings.csv",
        *("-o", tmp_path / "means.csv"),
    )
    assert code == 0, said
    means = pd.read_csv(tmp_path / "means.csv").set_index("system")
    assert means.loc[["oldest", "newest"], "rated_clips"].tolist() == [2, 2]
    assert means.loc["oldest", "ratings"] == 4
