"""Work in forked children that are killed: at a store call, after a while, in groups.

A child has everything imported, so that a kill costs what the work does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from base_models.files import LOG

Work = Callable[[], object]
ENDED_WITH_PARENT_WITHIN = 5.0
"""Seconds within which workers must have ended whose parent was killed."""

_STORE_EVENTS = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "shutil.rmtree",
    "flush",
}
_TO_WRITE = os.O_WRONLY | os.O_RDWR


def in_child(work: Work, *, before: Work | None = None) -> int:
    """Start work in a child of its own group; its process id.

    Parameters
    ----------
    work : the child ends with 0 when it returns, and with 1 when it raises
    before : called first, in the child
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        # What a kill leaves does not hang on it, and it takes most of the time.
        os.fsync = _no_flush
        if before is not None:
            before()
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; its exit code, or minus the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def answer_of(work: Callable[[], Any]) -> Any:
    """What some work returns, which is done in a child and is sent as JSON."""
    read, write = os.pipe()

    def answer() -> None:
        with open(write, "w") as pipe:
            json.dump(work(), pipe)

    child = in_child(answer)
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    assert ended(child) == 0
    return json.loads(text)


def store_calls(work: Work) -> int:
    """How many calls change the disk while some work is done, which is done."""
    calls: list[str] = []

    def counted() -> int:
        _watch_store(lambda event, handle: calls.append(event))
        work()
        return len(calls)

    n_calls: int = answer_of(counted)
    return n_calls


def imported_by(work: Work) -> list[str]:
    """Names of the modules that some work imports, and this process has not."""
    before = set(sys.modules)

    def imported() -> list[str]:
        work()
        return sorted(set(sys.modules) - before)

    names: list[str] = answer_of(imported)
    return names


def killed_at(work: Work, number: int, *, is_torn: bool = False) -> bool:
    """Kill a child before its store call of a number, from 0; whether it came to that.

    Parameters
    ----------
    work : what it does
    number : of the call
    is_torn : whether a file that is to be flushed then has only half of its bytes
    """
    done = 0

    def kill(event: str, handle: int | None) -> None:
        nonlocal done
        if done == number:
            about = None if handle is None else os.fstat(handle)
            if is_torn and about is not None and stat.S_ISREG(about.st_mode):
                os.ftruncate(handle, about.st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    return ended(in_child(work, before=lambda: _watch_store(kill))) == -signal.SIGKILL


def killed_after(work: Work, seconds: float) -> bool:
    """Kill a child and its group after a while; whether it had not ended before."""
    child = in_child(work)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    return ended(child) == -signal.SIGKILL


def _watch_store(note: Callable[[str, int | None], None]) -> None:
    """Call `note` before every call of this process that changes the disk.

    It is given the name of the call, and the open file where one is flushed.
    """

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        is_opened = event == "open" and isinstance(arguments[2], int)
        if event in _STORE_EVENTS or (is_opened and arguments[2] & _TO_WRITE):
            note(event, None)

    os.fsync = lambda handle: note("flush", handle)
    sys.addaudithook(see)


def _no_flush(handle: int) -> None:
    """Stands in for `os.fsync`."""


# ---- what is left


def state_of(root: Path) -> dict[str, str]:
    """What lies below a folder: name to hash of contents."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(root)
    }


def finished_files(root: Path) -> dict[Path, tuple[int, int]]:
    """Files of finished work, and what changes when one is written again."""
    finished = {}
    for path in _files(root):
        is_entry = path.suffix == ".safetensors" and "embeddings" in path.parts
        if is_entry or (path.parent / "manifest.json").is_file():
            about = path.stat()
            finished[path] = (about.st_ino, about.st_mtime_ns)
    return finished


def leftovers(root: Path) -> list[str]:
    """Names of temporaries, locks and checkpoints below a folder."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.name.endswith((".tmp", ".lock", "checkpoint.safetensors"))
    )


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        # What tells the time is beside what is sealed, and no part of it.
        is_kept = not path.name.endswith((".tmp", ".lock", LOG))
        if path.is_file() and is_kept:
            yield path


def copied(start: Path, folder: Path) -> Path:
    """A copy of the state that work starts from; empty where there is none."""
    root = folder / f"root{len(list(folder.iterdir()))}"
    if start.is_dir():
        shutil.copytree(start, root)
    else:
        root.mkdir()
    return root


def processes_of(session: int) -> list[int]:
    """Living processes of a session, by which the workers of a child are known."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX" and int(fields[3]) == session:
                found.append(int(path.parent.name))
    return found


def have_ended(session: int) -> bool:
    """Whether all processes of a session end within the seconds that are promised."""
    until = time.monotonic() + ENDED_WITH_PARENT_WITHIN
    while processes_of(session):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
