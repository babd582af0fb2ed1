"""What a decoder prints is kept with the file it is about, and printed nowhere."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import signal
import sys
import threading

import numpy as np
import pytest
import soundfile

from base_models.clips.audio import load_audio, probe
from base_models.clips.audio_files import decoder_messages
from base_models.clips.audio_files.decoder_messages import caught

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux", reason="the variable stderr is that of glibc"
    ),
    pytest.mark.usefixtures("decoded_here"),
]


def mp3(seed=0) -> bytes:
    samples = np.random.default_rng(seed).normal(size=32_000) * 0.1
    with io.BytesIO() as file:
        soundfile.write(file, samples.astype(np.float32), 16_000, format="MP3")
        return file.getvalue()


def padded(seed=0) -> bytes:
    """An MP3 file about which libmpg123 has something to say."""
    return mp3(seed) + bytes(10_000)


@pytest.fixture
def save(tmp_path):
    def save(data, name="x.mp3"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return save


def test_nothing_is_printed_and_the_file_is_named(save, capfd, caplog):
    path = save(padded())
    with caplog.at_level(logging.INFO):
        load_audio(path, 16_000)
    assert capfd.readouterr() == ("", "")
    assert f"{path}: the decoder says: Warning: Xing stream size off" in caplog.text


def test_messages_are_of_their_own_file(save, capfd):
    assert len(probe(save(padded())).messages) == 1
    assert probe(save(mp3())).messages == ()
    assert len(probe(save(padded(1))).messages) == 1
    assert capfd.readouterr() == ("", "")


def test_what_others_print_meanwhile_is_not_lost(capfd):
    messages: list[str] = []
    with caught(messages):
        sys.stderr.write("from Python\n")
        sys.stderr.flush()
    assert messages == []
    assert capfd.readouterr().err == "from Python\n"


def test_threads_keep_the_messages_apart(save):
    paths = [save(padded(k) if k % 2 else mp3(k), f"{k}.mp3") for k in range(6)]
    found: dict[int, int] = {}

    def run(place):
        for _ in range(3):
            found[place] = len(probe(paths[place]).messages)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {place: place % 2 for place in range(6)}


def variable_stderr() -> int | None:
    return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr").value


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_ends_a_decoding_the_stream_is_the_usual_one_again(error):
    usual = variable_stderr()
    seen = []

    def decode():
        with caught([]):
            seen.append(variable_stderr())
            raise error

    with pytest.raises(error):
        decode()
    assert seen != [usual]
    assert variable_stderr() == usual


def test_an_interruption_while_it_begins_leaves_the_usual_stream(monkeypatch):
    usual = variable_stderr()
    with caught([]):
        pass
    stream = decoder_messages._streams[0]
    begin = stream.begin

    def interrupted():
        begin()
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt), caught([]):
        pass
    assert variable_stderr() == usual


def test_a_process_that_is_forked_while_a_thread_decodes_can_decode(save):
    path = save(padded())
    usual = variable_stderr()
    decodes = threading.Event()
    goes_on = threading.Event()

    def hold():
        with caught([]):
            decodes.set()
            goes_on.wait(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    decodes.wait()
    child = os.fork()
    if child == 0:
        # Killed where it waits for a thread that it does not have.
        signal.alarm(20)
        is_right = variable_stderr() == usual and len(probe(path).messages) == 1
        os._exit(0 if is_right else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
