"""A file that is too much for the decoder is set aside alone, and the others go on."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import soundfile
from builders import ROOT

from base_models.clip_status import CRASHED, TOO_LARGE, TOO_SLOW
from base_models.clips import audio
from base_models.clips.audio import (
    declared_seconds,
    decode_audio,
    load_audio,
    powers_by_second,
    probe,
    write_pcm,
)
from base_models.clips.audio_files.apart import decoding_process
from base_models.clips.audio_files.apart.decoding_process import ask, start_early
from base_models.clips.audio_files.apart.limits import Limits, limits
from base_models.clips.audio_files.apart.messages import (
    BrokenMessage,
    packed,
    unpacked,
)
from base_models.errors import ClipError, MachineFault, StackedMOSError, UsageError

RATE = 16_000


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((2 * RATE, 2))
    soundfile.write(path, noise, RATE)
    return path


@pytest.fixture
def fresh():
    """No process that another test has started, nor one for the tests to come."""
    decoding_process._end_all()
    yield
    decoding_process._end_all()


def stumbling(monkeypatch, code):
    """Let the process do something before it answers, as Python code with `path`."""
    hindered = textwrap.dedent(f"""
        import os, signal, sys, time
        from base_models.clips.audio_files import tasks
        load = tasks.load
        def stumbling_load(path, **arguments):
            {code}
            return load(path, **arguments)
        tasks.TASKS["load"] = stumbling_load
    """)
    before, _, main = decoding_process._COMMAND.rpartition("; ")
    command = before.replace("; ", "\n") + hindered + main
    monkeypatch.setattr(decoding_process, "_COMMAND", command)


def test_what_comes_back_is_what_is_decoded_in_this_process(clip, tmp_path, request):
    def all_of_it():
        write_pcm(clip, tmp_path / "copy.wav", 10)
        return [
            load_audio(clip, 24_000),
            *decode_audio(clip, mono="left"),
            probe(clip),
            declared_seconds(clip),
            *powers_by_second(clip),
            (tmp_path / "copy.wav").read_bytes(),
        ]

    apart = all_of_it()
    request.getfixturevalue("decoded_here")
    for ours, other in zip(apart, all_of_it(), strict=True):
        assert type(ours) is type(other)
        assert (
            np.array_equal(ours, other)
            if isinstance(ours, np.ndarray)
            else (ours == other)
        )


def test_a_reason_and_its_status_come_back_as_they_are(clip, tmp_path, request):
    def refusals():
        for path in (tmp_path / "none.wav", tmp_path, __file__, f"{clip}#t=7,8"):
            with pytest.raises(ClipError) as refused:
                load_audio(path, RATE)
            yield str(refused.value), refused.value.status

    apart = list(refusals())
    request.getfixturevalue("decoded_here")
    assert apart == list(refusals())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed on it \(SIGSEGV\)"),
        ("os.abort()", r"crashed on it \(SIGABRT\)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed, as when memory is full"),
        ("os._exit(3)", "ended with 3"),
        ("os.closerange(3, 99); time.sleep(60)", "answers wrongly"),
        ("os.write(os.dup(3), b'x' * 99)", "answers wrongly"),
    ],
)
def test_a_clip_on_which_the_decoder_dies_is_set_aside_and_others_go_on(
    clip, tmp_path, monkeypatch, fresh, code, words
):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(clip.read_bytes())
    stumbling(monkeypatch, f"if 'bad' in path: {code}")
    with pytest.raises(ClipError, match=f"bad.wav' cannot be decoded: .* {words}") as e:
        load_audio(bad, RATE)
    assert e.value.status == CRASHED
    assert len(load_audio(clip, RATE)) == 2 * RATE


def test_a_process_that_dies_once_is_not_blamed_on_the_clip(
    clip, tmp_path, monkeypatch, fresh
):
    once = tmp_path / "once"
    stumbling(
        monkeypatch,
        f"if not os.path.exists({str(once)!r}): "
        f"open({str(once)!r}, 'w').close(); os.abort()",
    )
    assert len(load_audio(clip, RATE)) == 2 * RATE
    assert once.exists()


def test_a_process_that_was_killed_while_it_waited_is_replaced(clip, fresh):
    load_audio(clip, RATE)
    (waiting,) = decoding_process._idle
    waiting._process.kill()
    waiting._process.wait()
    assert len(load_audio(clip, RATE)) == 2 * RATE


def test_a_clip_that_takes_too_long_is_set_aside(clip, monkeypatch, fresh):
    monkeypatch.setenv("STACKEDMOS_SECONDS_PER_CLIP", "1")
    stumbling(monkeypatch, "time.sleep(600)")
    with pytest.raises(
        ClipError, match="takes longer than 1 s to read; set STACKEDMOS_SECONDS_PER"
    ) as refused:
        load_audio(clip, RATE)
    assert refused.value.status == TOO_SLOW


def test_a_clip_that_takes_too_much_memory_is_set_aside(clip, monkeypatch, fresh):
    monkeypatch.setenv("STACKEDMOS_MEMORY_PER_CLIP", "200")
    stumbling(monkeypatch, "bytearray(300 << 20)")
    with pytest.raises(
        ClipError, match="more memory than the 200 MiB that a clip may take"
    ) as refused:
        load_audio(clip, RATE)
    assert refused.value.status == TOO_LARGE


def test_an_interrupted_task_leaves_no_answer_for_the_next_one(
    clip, monkeypatch, fresh
):
    unpack = decoding_process.unpacked
    load_audio(clip, RATE)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(decoding_process, "unpacked", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_audio(clip, 8_000)
    monkeypatch.setattr(decoding_process, "unpacked", unpack)
    assert len(load_audio(clip, RATE)) == 2 * RATE


def test_threads_are_answered_each_with_its_own(clip, tmp_path, fresh):
    found = {}

    def read(rate):
        found[rate] = [len(load_audio(clip, rate)) for _ in range(5)]

    threads = [threading.Thread(target=read, args=(1_000 * k,)) for k in (8, 9, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {rate: [2 * rate] * 5 for rate in (8_000, 9_000, 10_000)}


def test_a_forked_process_has_a_process_of_its_own(clip, fresh):
    expected = load_audio(clip, RATE)
    child = os.fork()
    if child == 0:
        is_equal = np.array_equal(load_audio(clip, RATE), expected)
        decoding_process._end_all()
        os._exit(0 if is_equal else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(load_audio(clip, RATE), expected)


def test_a_script_without_a_guard_reads_audio(clip, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from base_models.clips.audio import load_audio\n"
        f"print(len(load_audio({str(clip)!r}, {RATE})))\n"
    )
    ran = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.stdout.split() == ["once", str(2 * RATE)]
    assert ran.stderr == ""


def test_the_process_ends_when_its_parent_is_killed(clip, fresh):
    code = (
        "import os, signal\n"
        "from base_models.clips.audio import load_audio\n"
        "from base_models.clips.audio_files.apart import decoding_process\n"
        f"load_audio({str(clip)!r}, {RATE})\n"
        "print(decoding_process._idle[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == -signal.SIGKILL
    process = int(ran.stdout)
    deadline = time.monotonic() + 5
    while _is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(process)


def _is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_the_decoder_says_is_in_the_log_of_this_process(tmp_path, caplog):
    path = tmp_path / "padded.mp3"
    noise = np.random.default_rng(0).normal(size=2 * RATE) * 0.1
    with io.BytesIO() as file:
        soundfile.write(file, noise.astype(np.float32), RATE, format="MP3")
        path.write_bytes(file.getvalue() + bytes(10_000))
    with caplog.at_level(logging.INFO):
        load_audio(path, RATE)
    assert f"{path}: the decoder says: Warning: Xing stream size off" in caplog.text


def test_a_name_that_is_not_utf8_is_read(clip, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    os.rename(clip, name)
    assert len(load_audio(name, RATE)) == 2 * RATE


def test_where_no_process_starts_it_is_said(clip, monkeypatch, fresh):
    monkeypatch.setattr(decoding_process, "_COMMAND", "raise SystemExit(7)")
    with pytest.raises(
        StackedMOSError, match=r"does not start .* ended with 7\); STACKEDMOS_SECONDS"
    ):
        load_audio(clip, RATE)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.EMFILE, MachineFault, "Too many open files"),
        (errno.ENOMEM, MachineFault, "Cannot allocate memory"),
        (errno.ENOENT, StackedMOSError, "does not start: .* decodes without it"),
    ],
)
def test_a_machine_that_starts_no_process_is_not_blamed_on_the_clip(
    clip, monkeypatch, fresh, code, kind, words
):
    def refused(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(decoding_process.subprocess, "Popen", refused)
    with pytest.raises(kind, match=words) as e:
        load_audio(clip, RATE)
    assert not isinstance(e.value, ClipError)


@pytest.mark.parametrize("name", ["EMFILE", "EIO", "ESTALE"])
def test_a_fault_of_the_machine_in_the_process_is_one_here(
    clip, monkeypatch, fresh, name
):
    stumbling(monkeypatch, f"raise OSError({getattr(errno, name)}, 'x')")
    with pytest.raises(MachineFault, match=f"at {clip}"):
        load_audio(clip, RATE)


def test_what_a_decoder_raises_that_nobody_knows_sets_the_clip_aside(
    clip, monkeypatch, fresh
):
    stumbling(monkeypatch, "raise ZeroDivisionError('so')")
    with pytest.raises(ClipError, match="cannot be decoded: ZeroDivisionError: so"):
        load_audio(clip, RATE)


def test_starting_early_starts_one_process(clip, fresh):
    start_early()
    start_early()
    (started,) = decoding_process._idle
    load_audio(clip, RATE)
    assert decoding_process._idle == [started]


@pytest.mark.parametrize("value", ["x", "0", "-1", "nan", "inf", "1e9"])
@pytest.mark.parametrize(
    "variable", ["STACKEDMOS_SECONDS_PER_CLIP", "STACKEDMOS_MEMORY_PER_CLIP"]
)
def test_a_limit_that_is_no_number_is_refused(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"{variable} is '{value}'; it takes a number"):
        limits()


def test_limits_come_from_the_environment(monkeypatch):
    assert limits() == Limits()
    monkeypatch.setenv("STACKEDMOS_SECONDS_PER_CLIP", "2.5")
    monkeypatch.setenv("STACKEDMOS_MEMORY_PER_CLIP", "512")
    assert limits() == Limits(2.5, 512)
    monkeypatch.setenv("STACKEDMOS_SECONDS_PER_CLIP", "none")
    assert limits() is None


# ---- messages


def read_back(data, max_bytes=1 << 20):
    stream = io.BytesIO(data)

    def fill(buffer):
        if stream.readinto(buffer) != len(buffer):
            raise BrokenMessage("the end")

    return unpacked(fill, max_bytes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3)])
def test_a_message_is_read_as_it_was_written(dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    record, read = read_back(b"".join(packed({"x": "caf\udce9"}, array)))
    assert record == {"x": "caf\udce9"}
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)


def message(text):
    data = text.encode()
    return len(data).to_bytes(4, "little") + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff\xff",
        message("{")[:-1],
        message("{"),
        message("[" * 100_000),
        message("[1]"),
        message("\xff"),
        message('{"shape": [9], "dtype": "float32"}') + bytes(8),
        message('{"shape": [1e9], "dtype": "float32"}'),
        message('{"shape": [-1], "dtype": "float32"}'),
        message('{"shape": [true], "dtype": "float32"}'),
        message('{"shape": [1, 1, 1], "dtype": "float32"}') + bytes(4),
        message('{"shape": [1], "dtype": "object"}') + bytes(8),
        message('{"shape": [1], "dtype": ["float32"]}') + bytes(8),
        message('{"shape": [1000000000, 1000000000], "dtype": "float32"}'),
        message('{"shape": 3, "dtype": "float32"}'),
    ],
)
def test_what_is_no_message_is_refused_before_there_is_room_for_it(data):
    with pytest.raises(BrokenMessage):
        read_back(data)


def test_a_task_that_is_not_known_is_no_task():
    with pytest.raises(ClipError, match="KeyError"):
        ask("delete", "x.wav")


def test_audio_offers_what_is_asked_for():
    assert {"load_audio", "probe", "powers_by_second", "write_pcm"} <= set(
        audio.__all__
    )


def test_relative_names_are_those_of_the_folder_that_the_caller_is_in(
    tmp_path, monkeypatch
):
    for name, seconds in (("first", 1), ("second", 2)):
        (tmp_path / name).mkdir()
        sound = np.full(seconds * RATE, 0.1)
        soundfile.write(tmp_path / name / "clip.wav", sound, RATE)
    for name, seconds in (("first", 1), ("second", 2)):
        monkeypatch.chdir(tmp_path / name)
        assert probe("clip.wav").seconds == seconds
