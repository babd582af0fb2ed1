"""The addresses of the rating page, as raters and others ask for them."""

import json
import re
from dataclasses import asdict

import pytest
import soundfile
from listening_pages import answer_to, client_of, write_plan

NAMES = ("secret", "oldest", "newest", ".wav", "sqlite")


def start(client, code="anna"):
    return client.post("/rate/start", data={"rater": code})


def token_of(client, position=None):
    where = "/rate/clip" if position is None else f"/rate/clip?position={position}"
    return re.search(r'data-clip="(\w+)"', client.get(where).text)[1]


def send(client, token, **facts):
    return client.post("/rate/answer", json=asdict(answer_to(token, **facts)))


def said(reply):
    return reply.json()["error"]["message"]


def test_a_rater_goes_from_the_first_page_to_the_last(tmp_path):
    with client_of(tmp_path) as (client, _):
        assert "3 short clips" in client.get("/rate").text
        assert start(client).headers["location"] == "/rate/clip"
        for number in range(1, 4):
            page = client.get("/rate/clip")
            assert f"<h1>Clip {number} of 3</h1>" in page.text
            reply = send(client, token_of(client)).json()
            assert reply["saved"]
        assert reply["next"] == "/rate/done"
        assert client.get("/rate/clip").headers["location"] == "/rate/done"
        assert "all your 3 answers are saved" in client.get("/rate/done").text
        assert "Go on as anna" in client.get("/rate").text
        assert "3 of 3 answers are saved" in client.get("/rate/pause").text


def test_without_a_name_every_page_leads_to_the_first(tmp_path):
    with client_of(tmp_path) as (client, _):
        for page in (
            "/rate/clip",
            "/rate/done",
            "/rate/pause",
            "/rate/clip?position=2",
        ):
            reply = client.get(page)
            assert (reply.status_code, reply.headers["location"]) == (303, "/rate")


def test_a_link_brings_the_code_and_leaves_another_rater_alone(tmp_path):
    with client_of(tmp_path) as (client, _):
        assert 'value="r&#34;17"' in client.get('/rate?rater=r"17').text
        start(client)
        assert "Go on as anna" in client.get("/rate?rater=ANNA").text
        assert 'value="bob"' in client.get("/rate?rater=bob").text


def test_who_leaves_is_asked_again_and_goes_on(tmp_path):
    with client_of(tmp_path) as (client, _):
        start(client)
        send(client, token_of(client))
        client.post("/rate/leave")
        assert client.get("/rate/clip").headers["location"] == "/rate"
        start(client, "Anna")
        assert "Clip 2 of 3" in client.get("/rate/clip").text


@pytest.mark.parametrize(
    ("code", "message"), [("", "Enter your name"), ("=x", "starts with a letter")]
)
def test_a_name_that_cannot_be_is_refused_on_the_page(tmp_path, code, message):
    with client_of(tmp_path) as (client, _):
        reply = start(client, code)
        assert reply.status_code == 400
        assert message in reply.text
        assert "set-cookie" not in reply.headers


def test_only_codes_that_were_given_out_may_rate(tmp_path):
    with client_of(tmp_path, raters=("r-17",)) as (client, _):
        assert "is not among the codes" in start(client, "anna").text
        assert start(client, "r-17").status_code == 303


# ---- raters learn nothing of clips and systems


def test_no_page_and_no_header_names_a_clip_or_a_system(tmp_path):
    with client_of(tmp_path) as (client, store):
        replies = [client.get("/rate"), start(client)]
        for position in range(1, 4):
            token = token_of(client)
            replies += [
                client.get("/rate/clip"),
                client.get(f"/rate/audio/{token}"),
                client.get(f"/rate/audio/{token}", headers={"range": "bytes=0-99"}),
                send(client, token),
                client.get(f"/rate/clip?position={position}"),
            ]
        replies += [client.get("/rate/done"), client.get("/rate/pause")]
        for reply in replies:
            text = str(reply.headers) + reply.content.decode("latin-1")
            assert not any(name in text for name in NAMES), reply.url
        assert not any(clip.clip_id in token for token, clip in store.clips.items())


def test_a_prompt_is_text_and_no_markup(tmp_path):
    with client_of(tmp_path) as (client, _):
        start(client)
        pages = []
        for _ in range(3):
            pages.append(client.get("/rate/clip").text)
            send(client, token_of(client))
        assert "a fast &lt;b&gt;drum&lt;/b&gt; &amp; bass tune" in "".join(pages)


def test_audio_is_served_in_parts_as_players_ask(tmp_path):
    with client_of(tmp_path) as (client, _):
        start(client)
        token = token_of(client)
        whole = client.get(f"/rate/audio/{token}")
        part = client.get(f"/rate/audio/{token}", headers={"range": "bytes=44-1043"})
        assert whole.headers["content-type"] == "audio/wav"
        assert part.status_code == 206
        assert part.content == whole.content[44:1044]
        assert whole.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    "name", ["..%2f..%2fplan.csv", "%2e%2e/ratings.sqlite", "secret-oldest-0", "0" * 24]
)
def test_audio_is_found_by_its_opaque_name_alone(tmp_path, name):
    with client_of(tmp_path) as (client, _):
        start(client)
        assert client.get(f"/rate/audio/{name}").status_code == 404


def test_audio_is_for_raters_of_the_clip(tmp_path):
    with client_of(tmp_path, n=4, clips_per_rater=2) as (client, store):
        assert client.get(f"/rate/audio/{next(iter(store.clips))}").status_code == 401
        start(client)
        found = [
            client.get(f"/rate/audio/{token}").status_code for token in store.clips
        ]
        assert sorted(found) == [200, 200, 404, 404]


def test_a_clip_that_went_away_is_said_without_its_name(tmp_path):
    with client_of(tmp_path) as (client, _):
        for file in tmp_path.glob("*.wav"):
            file.unlink()
        start(client)
        reply = client.get(f"/rate/audio/{token_of(client)}")
        assert reply.status_code == 422
        assert "cannot be played" in said(reply)
        assert "secret" not in reply.text


# ---- answers that are refused


def test_hostile_answers_are_refused_with_words(tmp_path):
    with client_of(tmp_path, n=4, clips_per_rater=2) as (client, store):
        start(client)
        token = token_of(client)
        others = [
            other
            for other in store.clips
            if not client.get(f"/rate/audio/{other}").is_success
        ]
        cases = [
            ({"ratings": {"mi": 6.0, "ta": 1.0}}, "no rating on 1..5"),
            ({"ratings": {"mi'; --": 1.0}}, "rated for 'mi', 'ta'"),
            ({"listened_seconds": 0.0}, "Listen first"),
            ({"plays": -1}, "plays lies between"),
            ({"submission": "x"}, "32 hexadecimal digits"),
        ]
        for facts, message in cases:
            reply = send(client, token, **facts)
            assert reply.status_code == 400
            assert message in said(reply)
        reply = send(client, others[0])
        assert (reply.status_code, "not one of yours" in said(reply)) == (400, True)
        assert store.next_position(store.rater(client.cookies["rater"])) == 1


def test_an_answer_is_no_form_of_another_page_and_not_long(tmp_path):
    with client_of(tmp_path) as (client, _):
        start(client)
        body = json.dumps(asdict(answer_to(token_of(client))))
        plain = client.post(
            "/rate/answer", content=body, headers={"content-type": "text/plain"}
        )
        assert plain.status_code == 415
        long = client.post(
            "/rate/answer",
            content=body + " " * 20_000,
            headers={"content-type": "application/json"},
        )
        assert long.status_code == 413


def test_without_a_session_an_answer_is_refused(tmp_path):
    with client_of(tmp_path) as (client, _):
        start(client)
        token = token_of(client)
        client.cookies.clear()
        reply = send(client, token)
        assert reply.status_code == 401
        assert "your ratings are kept" in said(reply)


def test_the_same_answer_twice_is_kept_once_and_another_is_refused(tmp_path):
    with client_of(tmp_path) as (client, _):
        start(client)
        token = token_of(client)
        answer = {"submission": "0" * 32}
        assert send(client, token, **answer).json()["is_new"]
        assert not send(client, token, **answer).json()["is_new"]
        changed = send(client, token, ratings={"mi": 1.0, "ta": 1.0}, **answer)
        assert "Another answer was sent" in said(changed)


@pytest.mark.parametrize(
    "position", ["0", "3", "99999999999", "-1", "x", "2;DROP", "²"]
)
def test_nobody_goes_beyond_what_is_rated(tmp_path, position):
    with client_of(tmp_path) as (client, _):
        start(client)
        reply = client.get("/rate/clip", params={"position": position})
        assert (reply.status_code, reply.headers["location"]) == (303, "/rate/clip")


def test_a_full_disk_is_said_and_not_taken_for_saved(tmp_path, monkeypatch):
    import sqlite3

    with client_of(tmp_path) as (client, store):
        start(client)
        token = token_of(client)

        def full(*_):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(store, "save", full)
        reply = send(client, token)
        assert reply.status_code == 503
        assert "NOT SAVED" in said(reply)
        assert "disk is full" in said(reply)


# ---- the experimenter


@pytest.mark.parametrize("page", ["/rate/progress", "/rate/ratings.csv"])
def test_the_experimenters_pages_ask_for_the_key(tmp_path, page):
    with client_of(tmp_path) as (client, store):
        for query in ("", "?key=", "?key=x", "?key=%ff"):
            reply = client.get(page + query)
            assert reply.status_code == 403
            assert "serve_mos printed" in said(reply)
        assert client.get(page, params={"key": store.key}).is_success


def test_progress_counts_and_ratings_can_be_downloaded(tmp_path):
    with client_of(tmp_path) as (client, store):
        for code in ("anna", "bob"):
            start(client, code)
            send(client, token_of(client))
            send(client, token_of(client), ratings={}, status="cannot_judge")
            client.post("/rate/leave")
        text = client.get("/rate/progress", params={"key": store.key}).text
        assert "4 of 6 answers; 2 raters so far" in text
        assert "secret-oldest-0" in text
        table = client.get("/rate/ratings.csv", params={"key": store.key}).text
        assert table.startswith("rater_id,clip_id,audio,system_id,prompt,mi,ta")
        assert table.count("cannot_judge") == 2


def test_progress_before_anybody_came(tmp_path):
    with client_of(tmp_path) as (client, store):
        text = client.get("/rate/progress", params={"key": store.key}).text
        assert "0 of 0 answers; 0 raters" in text


# ---- kinds of audio


def test_kinds_that_browsers_do_not_play_become_wav_and_parts_are_cut(tmp_path):
    plan = write_plan(tmp_path)
    sound, rate = soundfile.read(tmp_path / "secret-oldest-0.wav")
    soundfile.write(tmp_path / "a.aiff", sound, rate, subtype="PCM_24")
    soundfile.write(tmp_path / "b.flac", sound, rate, subtype="PCM_24")
    plan.write_text(
        "clip_id,audio,prompt\nsecret0,a.aiff,x\nsecret1,b.flac,x\n"
        "secret2,b.flac#t=0.1,x\n"
    )
    with client_of(tmp_path) as (client, store):
        start(client)
        lengths = {}
        for token, clip in store.clips.items():
            reply = client.get(f"/rate/audio/{token}")
            (tmp_path / "served.wav").write_bytes(reply.content)
            served, served_rate = soundfile.read(tmp_path / "served.wav")
            assert served_rate == rate
            lengths[clip.clip_id] = len(served)
            expected = sound[len(sound) - len(served) :]
            assert abs(served - expected).max() < 1e-4
    n_cut = round(0.1 * rate)
    assert lengths == {
        "secret0": len(sound),
        "secret1": len(sound),
        "secret2": len(sound) - n_cut,
    }
