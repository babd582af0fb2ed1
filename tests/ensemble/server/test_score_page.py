"""The page works as a plain form, shows what programs get, and forgets when told."""

import re
import tempfile
import time

import pytest
from commands import wait_until

from ensemble.server.scoring import finished_uploads
from ensemble.server.scoring.score_views import (
    DifferenceView,
    differences,
    state_words,
    two_chosen,
)

PAGE = {"accept": "text/html"}
PROMPT = "slow piano"


def upload(client, *files, **fields):
    """Send the form as a browser does; the address of the page of its scores."""
    parts = [("files", file) for file in files]
    data = {"prompt": PROMPT, **fields}
    answer = client.post("/", files=parts, data=data, headers=PAGE)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def shown(client, address):
    """The page of an upload once it is scored."""
    for _ in range(600):
        answer = client.get(address, headers=PAGE)
        if answer.status_code != 202:
            return answer
        # Who has no script is sent here again.
        assert '<noscript><meta http-equiv="refresh"' in answer.text
        time.sleep(0.05)
    raise AssertionError(answer.text)


def score_three(client, wav, **fields):
    """The address of an upload of three clips, one of them no audio."""
    files = [("a.wav", wav(0)), ("no.wav", b"none" * 30), ("b.wav", wav(1))]
    address = upload(client, *files, **fields)
    assert shown(client, address).status_code == 200
    return address


@pytest.fixture
def scored(client, wav):
    """The address of an upload of three clips, one of them no audio."""
    return score_three(client, wav)


@pytest.fixture
def pictured(client, wav):
    """The address of such an upload with pictures, which take a second."""
    return score_three(client, wav, attention="true")


def test_the_form_says_its_limits_and_needs_no_script(client):
    text = client.get("/", headers=PAGE).text
    assert "Up to 200 clips and 200 MB at a time, each at most 600 s" in text
    form = re.search(r"<form[^>]*>", text)[0]
    assert 'method="post"' in form
    assert 'enctype="multipart/form-data"' in form
    for label in re.findall(r'<label for="([^"]+)"', text):
        assert f'id="{label}"' in text


def test_the_page_shows_the_scores_that_programs_get(client, scored):
    text = client.get(scored, headers=PAGE).text
    job = client.get(scored.replace("/results/", "/jobs/")).json()
    assert "2 of 3 clips have scores" in text
    for row in job["scores"]:
        if row["status"] == "ok":
            assert f'<dd class="score">{row["mi"]:.2f}</dd>' in text
            assert f"{row['mi_low']:.2f} to {row['mi_high']:.2f}" in text
    assert text.count('<svg class="strip"') == 4
    assert "Not audio of a known kind" in text
    assert "Look whether it plays" in text
    assert tempfile.gettempdir() not in text


def test_names_and_prompts_are_text_whatever_they_hold(client, wav):
    name = "<img src=x onerror=alert(1)>.wav"
    address = upload(client, (name, wav()), prompt="</p><script>alert(1)</script>")
    text = shown(client, address).text
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_clips_are_played_and_pictures_are_shown(client, pictured, wav):
    answer = client.get(f"{pictured}/clips/0")
    assert (answer.headers["content-type"], answer.content) == ("audio/wav", wav(0))
    part = client.get(f"{pictured}/clips/0", headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    # What is no audio is never served as the page that it may be.
    answer = client.get(f"{pictured}/clips/1")
    assert answer.headers["content-type"] == "application/octet-stream"
    picture = client.get(f"{pictured}/pictures/0/0")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    for path in ("clips/9", "pictures/9/0", "pictures/0/9", "pictures/1/0"):
        assert client.get(f"{pictured}/{path}").status_code == 404


def test_two_clips_stand_side_by_side(client, scored):
    text = client.get(f"{scored}/compare?a=0&b=2", headers=PAGE).text
    assert "A: a.wav" in text
    assert "B: b.wav" in text
    assert re.search(r"<strong>mi:</strong> (A|B) scores \d\.\d\d higher", text)
    text = client.get(f"{scored}/compare?a=0&b=1", headers=PAGE).text
    assert "nothing can be said" in text


@pytest.mark.parametrize("query", ["", "?a=0", "?a=0&b=0", "?a=0&b=9", "?a=-1&b=x"])
def test_two_clips_that_are_not_are_refused(client, scored, query):
    answer = client.get(f"{scored}/compare{query}", headers=PAGE)
    assert answer.status_code == 400
    assert "Two different clips" in answer.text


def test_a_difference_and_its_chance_turn_round_with_the_clips(client, scored):
    intake = client.app.state.intake
    job = intake.uploads.get(scored.rpartition("/")[2]).job
    regressor = intake.scorer.stack.final_estimator_
    forth = differences(job.future.result(), regressor, 0, 2)
    back = differences(job.future.result(), regressor, 2, 0)
    for one, other in zip(forth, back, strict=True):
        assert one.difference == -other.difference
        assert one.preferred == pytest.approx(1 - other.preferred)


def test_what_is_deleted_is_gone(client, pictured):
    folder = client.app.state.intake.uploads.root
    assert list(folder.iterdir())
    answer = client.post(f"{pictured}/delete", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert not list(folder.iterdir())
    answer = client.get(pictured, headers=PAGE)
    assert answer.status_code == 404
    assert "Score the clips again" in answer.text


def test_old_uploads_go_for_new_ones(client, wav, monkeypatch):
    monkeypatch.setattr(finished_uploads, "MOST_KEPT", 2)
    addresses = []
    for _ in range(4):
        addresses.append(upload(client, ("a.wav", wav())))
        assert shown(client, addresses[-1]).status_code == 200
    found = [client.get(address).status_code for address in addresses]
    assert found == [404, 404, 200, 200]


def test_uploads_are_deleted_when_their_time_is_over(client, wav, monkeypatch):
    monkeypatch.setattr(finished_uploads, "KEPT_SECONDS", 0.01)
    address = upload(client, ("a.wav", wav()))
    wait_until(lambda: client.get(address).status_code == 404)
    assert not list(client.app.state.intake.uploads.root.iterdir())


def test_an_upload_that_fails_has_a_page_that_says_why(client):
    answer = shown(client, upload(client, ("a.wav", b"none" * 30)))
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "a.wav" in answer.text


def test_a_refusal_is_a_page_for_people(client, wav):
    answer = client.post("/", files={"files": ("a/b.wav", wav())}, headers=PAGE)
    assert answer.status_code == 400
    assert "rename it" in answer.text
    assert answer.headers["x-request-id"] in answer.text


def test_ids_of_uploads_cannot_be_guessed(client, wav):
    addresses = {upload(client, ("a.wav", wav())) for _ in range(3)}
    assert len(addresses) == 3
    assert all(len(address.rpartition("/")[2]) >= 22 for address in addresses)


def test_a_difference_is_said_in_words():
    nan = float("nan")
    said = "{} scores 0.50 higher; the chance that listeners rate it higher is 70 %."
    assert DifferenceView("mi", 0.5, 0.7).words == said.format("B")
    assert DifferenceView("mi", -0.5, 0.3).words == said.format("A")
    assert "more than a coin" in DifferenceView("mi", 0.02, 0.51).words
    assert "equal scores" in DifferenceView("mi", 0.001, 0.5).words
    assert "nothing can be said" in DifferenceView("mi", nan, nan).words


def test_places_in_the_queue_are_said_in_words():
    assert state_words(3, 0, 0) == "3 uploads are before yours."
    assert state_words(0, 0, 0) == "Being scored."


def test_numbers_in_an_address_are_two_clips_or_none():
    assert two_chosen(["0", "2"], 3) == (0, 2)
    for words in (["0"], ["1", "1"], ["0", "3"], ["0", "٣"], ["0", "9" * 99]):
        assert two_chosen(words, 3) is None
