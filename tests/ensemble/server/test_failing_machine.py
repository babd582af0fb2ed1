"""A full or failing disk refuses a request in words, and the server goes on."""

import errno
import os
import shutil
import tempfile

import pytest

from base_models.encoders.store import EmbeddingStore

FAULTS = [("ENOSPC", 507, "no_space"), ("EMFILE", 503, "machine")]


def failing(name):
    """A function that fails as a call of the system does."""

    def fail(*_, **__):
        code = getattr(errno, name)
        raise OSError(code, os.strerror(code), "/tmp/secret/name")

    return fail


# The places: the upload as it comes, its copy, its folder, and an embedding.
@pytest.mark.parametrize(
    ("owner", "call"),
    [
        (tempfile.SpooledTemporaryFile, "write"),
        (shutil, "copyfileobj"),
        (tempfile, "mkdtemp"),
        (EmbeddingStore, "put"),
    ],
)
@pytest.mark.parametrize(("name", "status", "word"), FAULTS)
def test_a_disk_that_fails_is_no_fault_of_the_clips(
    client, wav, monkeypatch, owner, call, name, status, word
):
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, failing(name))
        answer = client.post("/score", files={"files": ("a.wav", wav())})
    error = answer.json()["error"]
    assert (answer.status_code, error["word"]) == (status, word)
    assert "nothing of this request was kept" in error["message"]
    assert answer.headers["retry-after"] == "60"
    assert "secret" not in answer.text
    assert error["clip"] is None
    root = client.app.state.intake.uploads.root
    assert [path for path in root.rglob("*") if path.is_file()] == []

    # It is not left with a place less in its queue.
    again = client.post("/score", files={"files": ("a.wav", wav())})
    assert again.status_code == 200, again.text


def test_a_person_sees_a_page_of_it(client, wav, monkeypatch):
    monkeypatch.setattr(shutil, "copyfileobj", failing("ENOSPC"))
    files = [("files", ("a.wav", wav()))]
    answer = client.post("/score", files=files, headers={"accept": "text/html"})
    assert answer.status_code == 507
    assert "There is no space left here" in answer.text
