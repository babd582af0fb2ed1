"""Programs get the rows of predict_mos, and are told what cannot be used and why."""

import asyncio
import io
import json
import tempfile
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile
from builders import music
from commands import call
from starlette.requests import Request

from base_models.clip_status import OK
from ensemble.formats import encode_scores
from ensemble.scoring.audio_files import clips_from_files
from ensemble.scoring.score_clips import score_clips
from ensemble.server.refusals import Refusal
from ensemble.server.scoring.openapi import openapi
from ensemble.server.settings import ServerSettings

PROMPT = "slow piano"


def sent(client, *files, path="/score", table=None, **fields):
    """Send files, pairs of name and bytes; what comes back."""
    parts = [("files", file) for file in files]
    if table is not None:
        parts.append(("table", table))
    return client.post(path, files=parts, data=fields)


def refused(answer, status, word, *words):
    """The answer is this refusal, and its message has these words."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["status"], error["word"]) == (status, word)
    for each in words:
        assert each in error["message"]
    assert len(error["message"]) <= 500
    # Where files lie here is nobody's business.
    assert tempfile.gettempdir() not in error["message"]
    return error


def uploaded_files(client):
    """Files of uploads that lie on the disk now."""
    root = client.app.state.intake.uploads.root
    return [path for path in root.rglob("*") if path.is_file()]


# ---- scores


def test_a_clip_has_the_bytes_that_predict_mos_writes(
    client, stack_folder, clips, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = ["x.wav", "y.wav", "z.wav"]
    for k, name in enumerate(names):
        data = open_bytes(clips["audio"][k])
        (tmp_path / name).write_bytes(data)
    code, out, err = call(
        *("predict_mos", *names, "--prompt", PROMPT),
        *("--stack", stack_folder, "-o", "-"),
    )
    assert code == 0, err
    files = [(name, (tmp_path / name).read_bytes()) for name in names]
    answer = sent(client, *files, path="/", prompt=PROMPT)
    page = answer.headers.get("location") or answer.json()["page"]
    wait_for(client, page)
    assert client.get(f"{page}/scores.csv").content == out.encode()


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def wait_for(client, page):
    """Ask until an upload is scored."""
    for _ in range(600):
        answer = client.get(page)
        if answer.status_code != 202:
            return answer
        time.sleep(0.05)
    raise AssertionError(answer.text)


def test_rows_come_in_the_order_of_the_files_and_bad_ones_are_named(client, wav):
    answer = sent(
        client,
        ("c.wav", wav(2)),
        ("no audio.wav", b"neither this nor that" * 9),
        ("a.wav", wav(0)),
        prompt=PROMPT,
    )
    assert answer.status_code == 200
    rows = answer.json()["scores"]
    assert [row["audio"] for row in rows] == ["c.wav", "no audio.wav", "a.wav"]
    assert [row["status"] for row in rows] == [OK, "unreadable", OK]
    assert rows[1]["mi"] is None
    assert "no audio.wav" in rows[1]["reason"]
    assert tempfile.gettempdir() not in answer.text
    assert not uploaded_files(client)


def test_a_row_is_what_the_library_scores(client, stack, clips, wav):
    intake = client.app.state.intake
    body = sent(client, ("c03.wav", wav(3)), prompt=PROMPT, distributions="1").json()
    table = clips_from_files([clips["audio"][3]], PROMPT)
    scores = score_clips(stack, table, intake.scorer.store, distributions="stack")
    row = scores.frame.iloc[0]
    for name in ("mi", "mi_low", "mi_high", "ta", "ta_low", "ta_high"):
        assert body["scores"][0][name] == row[name]
    assert body["aspects"] == ["mi", "ta"]
    assert body["scales"] == {"mi": [1.0, 5.0], "ta": [1.0, 5.0]}
    bins = body["distributions"]["rows"][0]["mi_bins"]
    assert np.isclose(sum(bins), 1)
    assert len(bins) == len(body["distributions"]["centers"]["mi"])


def test_without_a_prompt_what_is_judged_by_it_is_left_out(client, wav):
    body = sent(client, ("a.wav", wav())).json()
    assert (body["aspects"], body["left_out"]) == (["mi"], ["ta"])
    assert any("no prompt: ta left out" in note for note in body["notes"])


def test_a_prompt_for_each_is_that_of_its_file(client, wav):
    data = {"prompt": ["slow piano", "fast drums"]}
    files = [("files", ("a.wav", wav())), ("files", ("b.wav", wav()))]
    rows = client.post("/score", files=files, data=data).json()["scores"]
    assert [row["prompt"] for row in rows] == data["prompt"]
    assert rows[0]["mi"] == rows[1]["mi"]
    assert rows[0]["ta"] != rows[1]["ta"]


def test_a_clip_without_a_prompt_among_others_has_nulls_and_no_distribution(
    client, wav
):
    files = [("files", ("a.wav", wav())), ("files", ("b.wav", wav()))]
    data = {"prompt": ["slow piano", ""], "distributions": "true"}
    body = client.post("/score", files=files, data=data).json()
    assert [row["ta"] is None for row in body["scores"]] == [False, True]
    bins = [row["ta_bins"] for row in body["distributions"]["rows"]]
    assert np.isclose(sum(bins[0]), 1)
    assert set(bins[1]) == {None}


def test_clips_of_one_name_are_told_apart(client, wav):
    files = [("a.wav", wav(k)) for k in range(3)]
    rows = sent(client, *files, prompt=PROMPT).json()["scores"]
    assert [row["clip_id"] for row in rows] == ["a", "a (2)", "a (3)"]
    assert {row["audio"] for row in rows} == {"a.wav"}
    assert {row["status"] for row in rows} == {OK}


def test_a_wider_level_gives_wider_intervals(client, wav):
    widths = []
    for level in (0.5, 0.9):
        row = sent(client, ("a.wav", wav()), level=str(level)).json()["scores"][0]
        widths.append(row["mi_high"] - row["mi_low"])
    assert widths[0] < widths[1]


def test_windows_score_all_of_a_longer_clip(client):
    buffer = io.BytesIO()
    soundfile.write(buffer, music(40.0), 16000, format="WAV")
    body = sent(client, ("long.wav", buffer.getvalue()), windows="true").json()
    assert len(body["over_time"]) > 1
    body = sent(client, ("long.wav", buffer.getvalue())).json()
    assert "over_time" not in body
    assert any("longer than 30 s" in note for note in body["notes"])


# ---- jobs


def test_a_job_says_where_it_is_and_then_has_the_same_scores(client, wav):
    answer = sent(client, ("a.wav", wav()), path="/score?wait=false", prompt=PROMPT)
    assert answer.status_code == 202
    job = answer.headers["location"]
    assert answer.json()["state"] in ("waiting", "scoring", "done")
    assert answer.json()["position"] == 0
    done = wait_for(client, job).json()
    at_once = sent(client, ("a.wav", wav()), prompt=PROMPT).json()
    assert done["state"] == "done"
    assert done["scores"] == at_once["scores"]
    assert client.delete(job).status_code == 204
    refused(client.get(job), 404, "gone", "Score the clips again")
    assert not uploaded_files(client)


def test_a_job_that_failed_says_why_when_it_is_asked(client):
    answer = sent(client, ("a.wav", b"none" * 30), path="/score?wait=false")
    answer = wait_for(client, answer.headers["location"])
    refused(answer, 422, "unreadable", "a.wav", "export it as WAV")


def test_wait_is_true_or_false(client, wav):
    answer = sent(client, ("a.wav", wav()), path="/score?wait=perhaps")
    refused(answer, 400, "wait", "'perhaps'")


# ---- what is refused


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.wav",
        "/etc/passwd.wav",
        "a/b.wav",
        "..\\a.wav",
        "..",
        "a" * 201,
    ],
)
def test_names_with_folders_or_signs_that_are_none_are_refused(client, wav, name):
    answer = sent(client, (name, wav()))
    refused(answer, 400, "name", "rename it")
    assert not uploaded_files(client)


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.wav", b"0" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("clips.zip", zipped(), "ZIP"),
        ("song.wav", zipped(), "ZIP"),
        ("song.wav", b"\x1f\x8b" + b"0" * 50, "gzip"),
        ("song.wav", b"0" * 257 + b"ustar" + b"0" * 300, "tar"),
        ("song.flac", b"7z\xbc\xaf" + b"0" * 50, "7z"),
    ],
)
def test_archives_are_refused_by_their_content(client, name, data, kind):
    refused(sent(client, (name, data)), 415, "archive", name, kind, "unpack it")


@pytest.mark.parametrize(
    "data",
    [
        b"<html>not found</html>" * 9,
        b"\x89PNG\r\n\x1a\n" + b"0" * 99,
        b"\x80\x04\x95" + b"0" * 99,
        b"RIFF\xff\xff\x00\x00WAVEfmt " + b"0" * 9,
        b"#!/bin/sh\nrm -rf /\n" * 3,
    ],
)
def test_other_kinds_are_refused_by_their_content_whatever_their_name(client, data):
    answer = sent(client, ("song.wav", data))
    assert answer.status_code == 422
    assert answer.json()["error"]["clip"] == "song.wav"
    assert "song.wav" in answer.json()["error"]["message"]


def test_an_empty_file_is_refused(client, wav):
    answer = sent(client, ("a.wav", wav()), ("b.wav", b""))
    error = refused(answer, 422, "empty", "b.wav is empty", "upload it again")
    assert error["clip"] == "b.wav"


def test_a_clip_that_is_too_long_is_refused_before_it_is_decoded(make_client, wav):
    client = make_client(seconds=0.2)
    refused(sent(client, ("a.wav", wav())), 413, "too_long", "a.wav", "--max-seconds")


def test_too_many_clips_are_refused(make_client, wav):
    client = make_client(clips=2)
    answer = sent(client, *[(f"{k}.wav", wav()) for k in range(3)])
    refused(answer, 413, "too_many", "3 clips", "at most 2")
    answer = sent(client, *[(f"{k}.wav", wav()) for k in range(9)])
    refused(answer, 400, "form", "At most 2 clips")
    assert not uploaded_files(client)


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_that_is_too_large_is_refused_while_it_comes(make_client, is_declared):
    client = make_client(megabytes=1)
    head = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    )
    n_sent = 0

    def body():
        nonlocal n_sent
        yield head
        for _ in range(400):
            n_sent += 100_000
            yield b"0" * 100_000

    headers = {"content-type": "multipart/form-data; boundary=x"}
    if is_declared:
        headers["content-length"] = str(len(head) + 40_000_000)
    answer = client.post("/score", content=body(), headers=headers)
    refused(answer, 413, "too_large", "2 MB", "--max-megabytes")
    assert not uploaded_files(client)


def test_small_forms_are_small(client):
    answer = client.post("/login", content=b"a" * 2_000_000)
    refused(answer, 413, "too_large", "1 MB")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"level": "0.9x"}, "level"),
        ({"level": "nan"}, "level"),
        ({"level": "1"}, "level"),
        ({"windows": "perhaps"}, "windows"),
        ({"folder": "/etc/passwd"}, "field"),
        ({"audio": "a.wav"}, "field"),
        ({"prompt": ["a", "b", "c"]}, "prompt"),
        ({"prompt": "p" * 5001}, "prompt"),
        ({"files": "/etc/passwd"}, "field"),
    ],
)
def test_fields_that_cannot_be_used_are_named(client, wav, fields, word):
    answer = sent(client, ("a.wav", wav()), **fields)
    assert answer.status_code in (400, 413)
    assert answer.json()["error"]["word"] == word


def test_a_form_without_clips_is_refused(client):
    refused(sent(client, ("", b"")), 400, "no_clips", "choose audio files")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"files": ["/etc/passwd"]}'),
        ("application/x-www-form-urlencoded", b"files=/etc/passwd"),
        ("", b"RIFF"),
    ],
)
def test_clips_come_in_a_form_with_files_only(client, kind, body):
    answer = client.post("/score", content=body, headers={"content-type": kind})
    refused(answer, 415, "form", "multipart/form-data")


@pytest.mark.parametrize("body", [b"", b"--x", b"nonsense", b"--x\r\n\r\nabc"])
def test_a_broken_form_is_refused(client, body):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/score", content=body, headers=headers)
    assert answer.status_code == 400
    assert not uploaded_files(client)


def test_only_known_methods_are_answered(client):
    for method, path in (("GET", "/score"), ("PUT", "/"), ("DELETE", "/stack")):
        refused(client.request(method, path), 405, "method", "/api says")
    refused(client.get("/etc/passwd"), 404, "not_found")
    for path in ("/static/../settings.py", "/static/%2e%2e/settings.py"):
        assert client.get(path).status_code == 404


# ---- tables of prompts


def test_a_table_brings_prompts_and_systems_by_name(client, wav):
    table = (
        "file,prompt,system\nwav/b.wav,fast drums,v2\na.wav,slow piano,v1\n"
        "c.wav,nothing,v3\n"
    )
    body = sent(
        client,
        ("a.wav", wav(0)),
        ("b.wav", wav(1)),
        table=("prompts.csv", table.encode()),
    ).json()
    rows = body["scores"]
    assert [row["prompt"] for row in rows] == ["slow piano", "fast drums"]
    assert [row["system_id"] for row in rows] == ["v1", "v2"]
    assert any("1 of 3 rows of prompts.csv" in note for note in body["notes"])


def test_a_table_among_the_files_is_one(client, wav):
    table = b"audio;prompt\na.wav;slow piano\n"
    answer = sent(client, ("list.csv", table), ("a.wav", wav()))
    assert answer.json()["scores"][0]["prompt"] == "slow piano"


def test_clips_that_a_table_lacks_are_told(client, wav):
    table = ("list.csv", b"audio,prompt\na.wav,slow piano\n")
    body = sent(client, ("a.wav", wav()), ("b.wav", wav(1)), table=table).json()
    assert "list.csv has no row for 'b.wav'." in body["notes"]
    assert body["scores"][1]["ta"] is None
    assert body["without_prompt"] == {"ta": ["b"]}


def test_paths_in_a_table_are_names_and_never_opened(client, wav, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(5))
    table = f"audio,prompt\n{secret},slow piano\n/etc/passwd,x\n".encode()
    body = sent(client, ("a.wav", wav()), table=("t.csv", table)).json()
    assert [row["audio"] for row in body["scores"]] == ["a.wav"]
    assert str(tmp_path) not in json.dumps(body)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "list.csv"),
        (b"audio,prompt\n\x00\x01\xff", "list.csv"),
        (b"a,b\n1,2\n", "it takes one with names of files"),
        (b"audio\na.wav\n", "prompt or system_id"),
        (b"PK\x03\x04" + b"0" * 99, "list.csv"),
        (b"audio,prompt\na.wav," + b"p" * 6000 + b"\n", "6000 characters"),
        (b"audio,prompt\n" + b"a.wav,x\n" * 300_000, "2 MB"),
        (b'audio,prompt\na.wav,"never closed\n' * 3, "list.csv"),
    ],
)
def test_a_hostile_table_is_refused_in_words(client, wav, table, words):
    answer = sent(client, ("a.wav", wav()), table=("list.csv", table))
    assert answer.status_code in (413, 422), answer.text
    message = answer.json()["error"]["message"]
    assert words in message
    assert tempfile.gettempdir() not in message


def test_formulas_in_a_table_are_text_in_the_download(client, wav):
    table = b'audio,prompt,system_id\na.wav,"=cmd|/c calc","@SUM(1)"\n'
    answer = sent(client, ("a.wav", wav()), path="/", table=("t.csv", table))
    page = answer.json()["page"]
    wait_for(client, page)
    intake = client.app.state.intake
    job_id = page.rpartition("/")[2]
    scored = intake.uploads.get(job_id).job.future.result()
    # The one place that knows how formulas are written decides.
    expected = encode_scores(scored.scores, "csv")
    assert client.get(f"{page}/scores.csv").content == expected


def test_two_tables_and_prompts_in_two_places_are_refused(client, wav):
    table = ("t.csv", b"audio,prompt\na.wav,x\n")
    answer = sent(client, ("a.wav", wav()), table, table=table)
    refused(answer, 400, "table", "2 tables")
    answer = sent(client, ("a.wav", wav()), table=table, prompt="y")
    refused(answer, 400, "prompt", "leave one of them out")


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.csv.gz", "t"])
def test_what_would_have_to_be_unpacked_is_no_table_of_prompts(client, wav, name):
    answer = sent(client, ("a.wav", wav()), table=(name, b"PK\x03\x04"))
    refused(answer, 415, "table", name, "save it as CSV")


def multipart(*parts, charset):
    """A form with these fields, headers and bytes, in words of an encoding."""
    body = b"".join(
        b"--B\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % part
        for part in parts
    )
    kind = f"multipart/form-data; boundary=B; charset={charset}"
    return {"content": body + b"--B--\r\n", "headers": {"content-type": kind}}


@pytest.mark.parametrize(
    ("charset", "prompt"),
    [
        ("utf-7", b"+2AA-"),
        ("unicode_escape", b"\\ud800"),
        ("undefined", b"x"),
        ("punycode", b"\\"),
        ("rot13", b"x"),
        ("no-such-thing", b"x"),
    ],
)
def test_a_form_is_in_utf_8_alone(client, wav, charset, prompt):
    parts = [(b'name="files"; filename="a.wav"', wav()), (b'name="prompt"', prompt)]
    answer = client.post("/score", **multipart(*parts, charset=charset))
    refused(answer, 415, "form", "UTF-8", charset)
    assert client.app.state.intake.queue.n_taken == 0
    parts[1] = (b'name="prompt"', "Zürich 🎹".encode())
    answer = client.post("/score", **multipart(*parts, charset="UTF-8"))
    assert answer.status_code == 200


@pytest.mark.parametrize("page", ["clips/{}", "pictures/{}/0", "pictures/0/{}"])
def test_a_place_of_thousands_of_digits_is_no_page(client, page):
    answer = client.get("/results/x/" + page.format("9" * 5000))
    assert answer.status_code == 404


# ---- the queue, and time


def test_an_upload_that_stalls_does_not_keep_the_server_from_ending(make_intake):
    intake = make_intake()
    headers = [(b"content-type", b"multipart/form-data; boundary=B")]
    scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}

    async def receive():
        # Somebody presses Ctrl-C, and no byte ever comes.
        intake.queue.close()
        await asyncio.Event().wait()

    async def upload():
        async with intake.queued(Request(scope, receive)):
            raise AssertionError("nothing was uploaded")

    with pytest.raises(Refusal, match="being stopped"):
        asyncio.run(asyncio.wait_for(upload(), 60))
    assert intake.queue.n_taken == 0
    assert not list(intake.uploads.root.iterdir())


@pytest.fixture
def blocked(make_client):
    """A client of a server whose worker stands still until the event is set."""
    client = make_client(waiting=1)
    queue = client.app.state.intake.queue
    go_on = threading.Event()
    job = queue.submit(
        lambda job: go_on.wait(30), queue.take_place(), time.monotonic() + 60
    )
    yield client, go_on
    go_on.set()
    job.future.result(30)


def test_a_full_queue_refuses_before_anything_is_read(blocked, wav):
    client, go_on = blocked
    first = sent(client, ("a.wav", wav()), path="/score?wait=false")
    assert first.json()["position"] == 1
    assert client.get(first.json()["page"]).json()["words"] == (
        "One upload is before yours."
    )
    answer = sent(client, ("a.wav", wav()))
    refused(answer, 503, "busy", "come again in")
    assert int(answer.headers["retry-after"]) >= 1
    assert client.get("/health").json()["taken"] == 2
    go_on.set()
    assert wait_for(client, first.headers["location"]).status_code == 200


def test_who_waits_for_too_long_is_told(blocked, wav):
    client, _ = blocked
    object.__setattr__(client.app.state.intake.limits, "timeout", 0.3)
    refused(sent(client, ("a.wav", wav())), 504, "timeout", "--timeout")
    assert not uploaded_files(client)


def test_a_refused_upload_frees_its_place(make_client, wav):
    client = make_client(waiting=1)
    for _ in range(5):
        assert sent(client, ("a.zip", zipped())).status_code == 415
    assert client.get("/health").json()["taken"] == 0


# ---- embeddings


def test_uploads_are_not_kept_in_the_store_of_the_workspace(client, wav):
    sent(client, ("a.wav", wav()), prompt=PROMPT)
    store = client.app.state.intake.scorer.store
    assert not store.kept.folder.exists()
    assert list(store.folder.rglob("*.safetensors"))
    store.most_bytes = 0
    sent(client, ("a.wav", wav()), prompt=PROMPT)
    assert not store.folder.exists()


def test_embeddings_of_the_workspace_are_used(client, stack, clips, wav):
    store = client.app.state.intake.scorer.store
    score_clips(stack, clips_from_files([clips["audio"][7]], PROMPT), store.kept)
    n_kept = len(list(store.kept.folder.rglob("*.safetensors")))
    sent(client, ("other name.wav", wav(7)), prompt=PROMPT)
    assert not store.folder.exists()
    assert len(list(store.kept.folder.rglob("*.safetensors"))) == n_kept > 0


# ---- descriptions


def test_the_description_has_every_address_and_field(client, wav):
    document = client.get("/openapi.json").json()
    assert document == openapi(ServerSettings())
    for path, methods in document["paths"].items():
        for method in methods:
            answer = client.request(method.upper(), path.replace("{job_id}", "x"))
            assert answer.status_code != 405, (method, path)
    page = client.get("/api").text
    schema = document["paths"]["/score"]["post"]["requestBody"]["content"]
    fields = schema["multipart/form-data"]["schema"]["properties"]
    assert set(fields) <= set(page.replace("<", " ").replace(">", " ").split())
    text = json.dumps(document)
    for name in set(text.split('"$ref": "#/components/schemas/')[1:]):
        assert name.partition('"')[0] in document["components"]["schemas"]


def test_what_is_loaded_is_told_without_where_it_lies(client, stack_folder):
    facts = client.get("/stack").json()
    assert facts["aspects"] == ["mi", "ta"]
    assert facts["encoders"] == ["logmel", "hashed_text"]
    assert facts["models"] == ["dora-s0", "dora-s1"]
    assert str(stack_folder.parent) not in json.dumps(facts)
