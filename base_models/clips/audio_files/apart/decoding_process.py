"""Ask the decoding process; end it when a file is too much for it, and start another.

One process decodes many clips, so that its start costs next to nothing. It is a plain
Python that is started from its command line: a fork would inherit the threads of this
process, and `multiprocessing` would import the script that uses this library again.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np

from base_models import errors
from base_models.clip_status import CRASHED, TOO_SLOW
from base_models.clips.audio_files.apart.limits import (
    SECONDS_VARIABLE,
    Limits,
    limits,
)
from base_models.clips.audio_files.apart.messages import (
    BrokenMessage,
    Record,
    packed,
    unpacked,
)
from base_models.clips.audio_files.tasks import TASKS, Answer
from base_models.errors import ClipError, StackedMOSError, machine_fault

START_SECONDS = 60.0
"""After which a process that has not begun to work counts as broken."""

_COMMAND = (
    "import json, sys; "
    "sys.path[:] = json.loads(sys.argv[1]); "
    "from base_models.clips.audio_files.apart.serve import main; "
    "main()"
)
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_LINUX_DEATHS = {-signal.SIGKILL: "was killed, as when memory is full"}


def ask(task: str, path: str, **arguments: Any) -> Answer:
    """Do a task with an audio file in the decoding process.

    Parameters
    ----------
    task : str
        A name of `base_models.clips.audio_files.tasks.TASKS`.
    path : str
        Of the audio, as `base_models.clips.audio.load_audio` takes it.
    **arguments
        Of the task.

    Raises
    ------
    ClipError
        When the file cannot be used; when it takes more time or memory than a clip may
        take; when the process crashes on it twice.
    StackedMOSError
        When the process cannot be started.
    """
    own = limits()
    arguments = {"path": path, **arguments}
    if own is None:
        return TASKS[task](**arguments)

    # A name may be relative to the folder of this process, which changes.
    record = {"task": task, "arguments": arguments, "folder": _folder()}
    try:
        return _asked(record, own)
    except _Died:
        # Perhaps it was killed by somebody, so that the file is not to blame.
        pass
    try:
        return _asked(record, own)
    except _Died as error:
        raise ClipError(
            f"{path!r} cannot be decoded: the process that decodes audio {error}",
            status=CRASHED,
        ) from error


def _folder() -> str:
    """The folder that relative names begin in; "" where it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def start_early() -> None:
    """Start a process that will be needed, and do not wait until it is there."""
    if limits() is not None and not _idle:
        _idle.append(_DecodingProcess())


class _Died(Exception):
    """The process ended in the middle of a task; how it ended."""


def _asked(record: Record, own: Limits) -> Answer:
    process = None
    while process is None:
        # Threads that ask at once have a process each.
        process = _idle.pop() if _idle else _DecodingProcess()
        if process.has_ended():
            process.end()
            process = None
    try:
        answer, array = process.answer_to(record, own)
    except BaseException:
        # An answer that comes later would be taken for that of another file.
        process.end()
        raise
    _idle.append(process)
    return _taken(answer, array)


def _taken(answer: Record, array: np.ndarray | None) -> Answer:
    """The answer of a task; what went wrong is raised here."""
    for name, level, message in answer.get("log", ()):
        logging.getLogger(name).log(level, "%s", message)
    if "error" in answer:
        kind = getattr(errors, answer["error"], StackedMOSError)
        if kind is ClipError:
            raise ClipError(answer["message"], status=answer["status"])
        raise kind(answer["message"])
    return Answer(answer["facts"], array)


class _DecodingProcess:
    """One process, and the two pipes to it."""

    def __init__(self) -> None:
        self._is_ready = False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                bufsize=0,
            )
        except OSError as error:
            raise machine_fault(error, sys.executable) or StackedMOSError(
                f"The process that decodes audio does not start: {error}; "
                f"{SECONDS_VARIABLE}=none decodes without it."
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin.fileno()
        self._from = self._process.stdout.fileno()
        self._deadline = 0.0
        _widen(self._from)

    def has_ended(self) -> bool:
        """Whether it is there no more, e.g. killed by somebody."""
        return self._process.poll() is not None

    def answer_to(
        self, record: Record, own: Limits
    ) -> tuple[Record, np.ndarray | None]:
        """Let it do a task.

        Raises
        ------
        ClipError
            When it takes too long.
        _Died
            When the process ends.
        """
        max_bytes = own.mebibytes << 20
        if not self._is_ready:
            self._await_start()
        self._deadline = time.monotonic() + own.seconds
        try:
            for part in packed(record):
                _write(self._to, part)
            answer, array = unpacked(self._fill, max_bytes)
            if not {"facts", "error"} & set(answer):
                raise BrokenMessage("an answer to nothing")
        except TimeoutError:
            raise ClipError(
                f"{record['arguments']['path']!r} takes longer than {own.seconds:g} s "
                f"to read; set {SECONDS_VARIABLE} higher if it is audio",
                status=TOO_SLOW,
            ) from None
        except (BrokenMessage, BrokenPipeError) as error:
            raise _Died(self._how_it_ended(error)) from error
        return answer, array

    def _await_start(self) -> None:
        self._deadline = time.monotonic() + START_SECONDS
        try:
            unpacked(self._fill, max_bytes=0)
        except (BrokenMessage, TimeoutError) as error:
            self.end()
            raise StackedMOSError(
                f"The process that decodes audio does not start ({sys.executable!r}, "
                f"ended with {self._process.returncode}); "
                f"{SECONDS_VARIABLE}=none decodes without it."
            ) from error
        self._is_ready = True

    def _fill(self, buffer: memoryview) -> None:
        poll = select.poll()
        poll.register(self._from, select.POLLIN)
        while buffer:
            left = self._deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError
            n_read = os.readv(self._from, [buffer])
            if n_read == 0:
                raise BrokenMessage("the end")
            buffer = buffer[n_read:]

    def _how_it_ended(self, error: Exception) -> str:
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return f"answers wrongly ({error})"
        if code >= 0:
            return f"ended with {code}"
        known = _LINUX_DEATHS.get(code)
        return known or f"crashed on it ({signal.Signals(-code).name})"

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close the pipes, at whose end it ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def forget(self) -> None:
        """Of a forked process, which must neither use nor await that of its parent."""
        self.let_go()
        self._process.returncode = 0


def _environment() -> dict[str, str]:
    """Of the process: decoding needs no threads, which take memory."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **one_thread}


def _widen(handle: int) -> None:
    """Let a pipe hold more than 64 KiB, where the system can."""
    if sys.platform != "linux":
        return
    import fcntl

    try:
        fcntl.fcntl(handle, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        # More than an ordinary user may have; it works all the same.
        return


def _write(handle: int, part: memoryview) -> None:
    while part:
        part = part[os.write(handle, part) :]


# ---- processes that wait for a task

_idle: list[_DecodingProcess] = []


def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget_all() -> None:
    while _idle:
        _idle.pop().forget()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
