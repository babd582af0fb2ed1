"""The page in a real browser: drop a file, see scores, compare, download."""

import pandas as pd
import pytest
from browser import PHONE, serving, shot, sideways_scroll

from ensemble.server.application import create_app
from ensemble.server.settings import ServerSettings


@pytest.fixture
def address(make_intake):
    intake = make_intake(clips=3)
    settings = ServerSettings(limits=intake.limits)
    with serving(create_app(settings, intake=intake)) as address:
        yield address


# Files from elsewhere, as a drop hands them to the page.
DROP = """async (urls) => {
  const data = new DataTransfer();
  for (const [name, text] of urls) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    data.items.add(new File([bytes], name));
  }
  document.dispatchEvent(new DragEvent("dragover", {dataTransfer: data}));
  document.dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
}"""


def test_clips_are_dropped_scored_compared_and_downloaded(
    open_page, address, clips, tmp_path
):
    import base64

    page = open_page()
    page.goto(address)
    shot(page, "score-empty")
    files = []
    for k in range(2):
        with open(clips["audio"][k], "rb") as file:
            files.append([f"c{k}.wav", base64.b64encode(file.read()).decode()])
    page.evaluate(DROP, files)
    assert page.locator("#said").inner_text() == "2 clips chosen."
    page.get_by_label("c0.wav").fill("slow piano")
    page.get_by_label("Prompt of all these clips").fill("fast drums")
    page.get_by_label("Draw what the scores rest on").check()
    page.get_by_role("button", name="Score").click()
    page.wait_for_selector("ol.clips", timeout=60_000)
    shot(page, "score-result")
    assert "2 of 2 clips have scores" in page.inner_text("main")
    assert "Prompt: slow piano" in page.inner_text("main")
    assert "Prompt: fast drums" in page.inner_text("main")
    scores = page.locator("dd.score").all_inner_texts()
    assert len(scores) == 4

    page.locator("summary").first.click()
    picture = page.locator("img.map").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete", arg=picture.element_handle())
    assert picture.evaluate("image => image.naturalWidth") > 100
    duration = "audio => new Promise(done => { const look = () => audio.duration"
    duration += " ? done(audio.duration) : setTimeout(look, 50); look(); })"
    seconds = page.locator("audio").first.evaluate(duration)
    assert seconds == pytest.approx(0.5, abs=0.05)

    with page.expect_download() as download:
        page.get_by_role("link", name="Download as csv").click()
    download.value.save_as(tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["clip_id"].tolist() == ["c0", "c1"]
    assert [f"{score:.2f}" for score in table[["mi", "ta"]].stack()] == scores

    page.get_by_role("button", name="Compare").click()
    page.wait_for_selector(".pair")
    shot(page, "score-pair")
    assert "the chance that listeners rate it higher" in page.inner_text("main")
    page.go_back()
    page.get_by_role("button", name="Delete clips and scores now").click()
    page.wait_for_selector("#files")


def test_a_refusal_is_said_beside_the_form_with_what_was_chosen_kept(
    open_page, address, tmp_path
):
    (tmp_path / "clips.zip").write_bytes(b"PK\x03\x04" + b"0" * 99)
    page = open_page(expected="status of 415")
    page.goto(address)
    page.set_input_files("#files", str(tmp_path / "clips.zip"))
    page.get_by_role("button", name="Score").click()
    problem = page.get_by_role("alert")
    problem.wait_for()
    assert "clips.zip is a ZIP archive; unpack it" in problem.inner_text()
    assert page.url.rstrip("/") == address
    shot(page, "score-refused")


def test_too_many_clips_are_said_before_they_are_sent(open_page, address, clips):
    page = open_page()
    page.goto(address)
    page.set_input_files("#files", clips["audio"][:4].tolist())
    assert "At most 3 clips" in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_a_phone_and_works_by_keyboard_alone(
    open_page, address, clips, scheme
):
    page = open_page(viewport=PHONE, color_scheme=scheme)
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.set_input_files("#files", clips["audio"][:2].tolist())
    shot(page, f"score-chosen-phone-{scheme}")
    assert sideways_scroll(page) <= 0
    page.get_by_role("button", name="Score").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("ol.clips", timeout=60_000)
    shot(page, f"score-result-phone-{scheme}")
    assert sideways_scroll(page) <= 0
    page.get_by_role("button", name="Compare").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".pair")
    shot(page, f"score-pair-phone-{scheme}")
    assert sideways_scroll(page) <= 0
    page.goto(f"{address}/api")
    assert sideways_scroll(page) <= 0


def test_the_form_works_without_script(open_page, address, clips):
    page = open_page(java_script_enabled=False)
    page.goto(address)
    page.set_input_files("#files", clips["audio"][0])
    page.get_by_role("button", name="Score").click()
    page.wait_for_selector("ol.clips", timeout=60_000)
    assert "1 of 1 clip has scores" in page.inner_text("main")


def test_a_person_logs_in_with_the_token(open_page, make_intake):
    intake = make_intake()
    token = "correct-horse-battery"
    settings = ServerSettings(token=token, limits=intake.limits)
    with serving(create_app(settings, intake=intake)) as address:
        page = open_page(expected="status of 401")
        page.goto(f"{address}/api")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Go on").click()
        page.wait_for_url(f"{address}/api")
        assert page.get_by_role("heading", name="For programs").is_visible()
