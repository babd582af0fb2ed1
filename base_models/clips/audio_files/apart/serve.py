"""The decoding process: reads tasks from its parent, and writes answers.

It ends with its parent, also in the middle of a task.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from typing import Any

from base_models.clip_status import TOO_LARGE
from base_models.clips.audio_files.apart.limits import MEMORY_VARIABLE, limits
from base_models.clips.audio_files.apart.messages import (
    BrokenMessage,
    Record,
    packed,
    unpacked,
)
from base_models.clips.audio_files.tasks import TASKS, Answer
from base_models.errors import ClipError, StackedMOSError, machine_fault

_MAX_TASK = 1 << 20


def main() -> None:
    """Work until the parent has ended."""
    # The parent decides when an interrupted run ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not come between the messages.
    answers = os.dup(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    _limit_memory()

    told = _Told()
    logging.getLogger("base_models").addHandler(told)
    logging.getLogger("base_models").setLevel(logging.INFO)
    tasks: queue.SimpleQueue[Record] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    _write(answers, packed({"ready": True}))
    while True:
        record = tasks.get()
        answer, array = _answer(record)
        answer["log"] = told.taken()
        _write(answers, packed(answer, array))
        # Not to be kept while it waits.
        del array


def _read_tasks(tasks: queue.SimpleQueue[Record]) -> None:
    """Hand on what the parent asks; end the process when the parent has ended.

    In a thread of its own, which sees this also while a file is decoded.
    """
    while True:
        try:
            record, _ = unpacked(_fill_from_parent, _MAX_TASK)
        except (BrokenMessage, OSError):
            os._exit(0)
        tasks.put(record)


def _fill_from_parent(buffer: memoryview) -> None:
    while buffer:
        n_read = os.readv(0, [buffer])
        if n_read == 0:
            raise BrokenMessage("the parent has ended")
        buffer = buffer[n_read:]


def _write(handle: int, parts: list[memoryview]) -> None:
    for part in parts:
        rest = part
        while rest:
            try:
                rest = rest[os.write(handle, rest) :]
            except BrokenPipeError:
                os._exit(0)


def _answer(record: Record) -> tuple[Record, Any]:
    """Do a task: its facts and array, or what is wrong with the clip."""
    _enter(record["folder"])
    path = record["arguments"].get("path")
    try:
        answer: Answer = TASKS[record["task"]](**record["arguments"])
    except StackedMOSError as error:
        # Here it is the limit that was reached, not the end of the machine's memory.
        if isinstance(error.__cause__, MemoryError):
            return _too_large(path), None
        return _refusal(error), None
    except MemoryError:
        return _too_large(path), None
    # What a decoder raises of a file is no reason to stop for the others.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        refusal = machine_fault(error, str(path)) or ClipError(
            f"{path!r} cannot be decoded: {reason}"
        )
        return _refusal(refusal), None
    return {"facts": answer.facts}, answer.array


def _enter(folder: str) -> None:
    """Read relative names as the parent does."""
    # Where the folder is gone, its relative names are nowhere in this process too.
    with contextlib.suppress(OSError):
        os.chdir(folder or "/")


def _too_large(path: object) -> Record:
    own = limits()
    return _refusal(
        ClipError(
            f"{path!r} needs more memory than the {own.mebibytes if own else 0} MiB "
            f"that a clip may take; shorten it, or set {MEMORY_VARIABLE} higher",
            status=TOO_LARGE,
        )
    )


def _refusal(error: StackedMOSError) -> Record:
    return {
        "error": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status", ""),
    }


class _Told(logging.Handler):
    """What was logged during a task, for the log of the parent."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._records: list[list[Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self._records.append([record.name, record.levelno, record.getMessage()])

    def taken(self) -> list[list[Any]]:
        """What was kept since the last time."""
        records = self._records
        self._records = []
        return records


def _limit_memory() -> None:
    """Let no file take more memory than a clip may take."""
    own = limits()
    # Elsewhere the address space of a process says nothing of its memory.
    if own is None or sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    most = used + (own.mebibytes << 20)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
