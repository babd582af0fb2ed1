"""Whether code that reads a stranger's files does anything but read them.

An audit hook is told by Python itself of every file that is opened, every connection,
every process and every piece of code; it cannot be taken off, and is switched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from torture.harness import ROOT

from base_models.errors import StackedMOSError

_PACKAGES = tuple(
    os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "purelib")
)
_CODE = (*_PACKAGES, str(ROOT), os.path.realpath(sys.prefix), "<frozen")
_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.utime",
    "os.putenv",
    "os.kill",
    "shutil.",
    "tempfile.",
    "pickle.find_class",
    "marshal.loads",
    "ctypes.",
    "webbrowser.",
    "urllib.",
    "http.",
    "ftplib.",
    "sqlite3.",
)
_HARMLESS = ("socket.gethostname", "socket.__new__")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SECONDS = 20.0
"""On the clock: other work may hold the machine. What waits for ever takes longer."""
_MOST_MESSAGE = 700
"""Characters; the longest has the commands that fetch and convert weights."""


class Hung(Exception):
    """A loader took longer than any may."""


class Watch:
    """Records what is done between `begin` and `end` that a loader may not do."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._folder = ""
        self._follows_links = False
        self._active = False
        sys.addaudithook(self._hear)

    def begin(self, folder: Path, follows_links: bool) -> None:
        """Watch; files below `folder` may be read, and others where links may lead."""
        self.found = []
        self._follows_links = follows_links
        self._folder = os.path.realpath(folder)
        self._active = True

    def end(self) -> None:
        """Watch no longer."""
        self._active = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        # What is done here must not be heard again.
        self._active = False
        try:
            if event == "open":
                self._hear_open(*arguments[:3])
            elif event == "exec":
                self._hear_code(arguments[0])
            elif event.startswith(_FORBIDDEN) and event not in _HARMLESS:
                self.found.append(f"{event} {str(arguments)[:80]}")
        finally:
            self._active = True

    def _hear_open(self, path: Any, mode: Any, flags: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        where = os.path.realpath(os.fsdecode(path))
        writes = isinstance(flags, int) and flags & _WRITES
        inside = where.startswith((self._folder, *_PACKAGES, str(ROOT)))
        if writes or not (inside or self._follows_links):
            self.found.append(f"open {where[:80]} {mode} {flags}")

    def _hear_code(self, code: Any) -> None:
        name = str(getattr(code, "co_filename", ""))
        # Modules that are imported late; namedtuple and dataclass make code of their
        # own, out of names that they have checked, and jinja out of our templates.
        own = name.startswith(_CODE) or os.path.realpath(name).startswith(_CODE)
        if not own and name not in ("<string>", "<template>", ""):
            self.found.append(f"exec {name[:80]}")


@contextlib.contextmanager
def time_limit(seconds: float = _SECONDS) -> Iterator[None]:
    """Raise `Hung` in what takes longer."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung(f"it took over {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fault_of(error: BaseException) -> str:
    """Why an error is none that a loader may raise; "" where it is one."""
    if not isinstance(error, StackedMOSError):
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    message = str(error)
    if "\n" in message:
        return f"a message of several lines: {message[:300]!r}"
    if len(message) > _MOST_MESSAGE:
        return f"a message of {len(message)} characters: {message[:200]!r}"
    return ""
