"""Make the system fail at a certain call: the N-th of its kind, once or from then on.

Calls of the system are replaced in the modules that code calls them by. Only files
below certain folders count, so that imports and the screen go on.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base_models.clips.audio_files.decoder_messages import QuietSoundFile

OPEN = "open to read"
CREATE = "open to write"
READ = "read"
WRITE = "write"
FLUSH = "fsync"
RENAME = "rename"
LOOK = "stat"
LIST = "list a folder"
MAKE = "make a folder"
DECODE = "decode"
FILES_AT_ONCE = "limit of open files"
BYTES_OF_A_FILE = "limit of bytes of a file"

ERRORS = {
    OPEN: ("EMFILE", "ENFILE", "EIO", "ESTALE", "ENOMEM"),
    CREATE: ("EMFILE", "ENFILE", "ENOSPC", "EROFS", "EACCES", "EIO"),
    READ: ("EIO", "ESTALE", "ENOMEM"),
    WRITE: ("ENOSPC", "EIO", "EFBIG", "EDQUOT", "ESTALE"),
    FLUSH: ("EIO", "ENOSPC", "EDQUOT"),
    RENAME: ("ENOSPC", "EIO", "EROFS", "EACCES", "ESTALE"),
    LOOK: ("EIO", "ESTALE", "ENOMEM"),
    LIST: ("EMFILE", "ENFILE", "EIO", "ESTALE", "ENOMEM"),
    MAKE: ("ENOSPC", "EIO", "EROFS", "EACCES"),
    DECODE: ("ENOMEM",),
    FILES_AT_ONCE: ("EMFILE",),
    BYTES_OF_A_FILE: ("EFBIG",),
}
"""What may go wrong at each kind of call, by name in `errno`."""


@dataclass(frozen=True)
class Fault:
    """A call that fails.

    Parameters
    ----------
    call : kind of call, a key of `ERRORS`
    number : which of them, from 1 on; 0 means none. Of a limit: how many more files may
        be opened, and how many bytes written
    error : name in `errno`
    is_lasting : whether all later ones fail too
    """

    call: str
    number: int
    error: str
    is_lasting: bool

    def __str__(self) -> str:
        how = "from then on" if self.is_lasting else "once"
        return f"{self.error} at {self.call} {self.number}, {how}"


@dataclass
class FailingSystem:
    """The calls of the system, of which some fail.

    Parameters
    ----------
    fault : what fails
    folders : below which files count

    Attributes
    ----------
    counts : calls that were made, by kind
    failed_at : paths of the calls that failed, "" where one names none
    """

    fault: Fault
    folders: Sequence[Path]
    counts: Counter[str] = field(default_factory=Counter)
    failed_at: set[str] = field(default_factory=set)
    path_of: dict[int, str] = field(default_factory=dict)

    def install(self) -> None:
        """Replace the calls for the rest of this process, or set a limit of it."""
        if self.fault.call == FILES_AT_ONCE:
            n_open = max(map(int, os.listdir("/proc/self/fd"))) + 1
            _limit(resource.RLIMIT_NOFILE, n_open + self.fault.number)
        if self.fault.call == BYTES_OF_A_FILE:
            _limit(resource.RLIMIT_FSIZE, self.fault.number)
        os.open = self._opening(os.open)
        os.close = self._closing(os.close)
        os.memfd_create = self._in_memory(os.memfd_create)
        builtins.open = io.open = self._opening_file(io.open)
        for name, kind in (("read", READ), ("pread", READ), ("write", WRITE)):
            setattr(os, name, self._of_handle(kind, getattr(os, name)))
        for name, kind in (("fsync", FLUSH), ("fstat", LOOK)):
            setattr(os, name, self._of_handle(kind, getattr(os, name)))
        for name, kind in (("replace", RENAME), ("rename", RENAME), ("mkdir", MAKE)):
            setattr(os, name, self._of_path(kind, getattr(os, name)))
        for name, kind in (("stat", LOOK), ("listdir", LIST), ("scandir", LIST)):
            setattr(os, name, self._of_path(kind, getattr(os, name)))
        QuietSoundFile.read = self._decoding(QuietSoundFile.read)

    def count(self, kind: str, path: str) -> None:
        """Count a call; raise when it is the one that fails."""
        self.counts[kind] += 1
        number = self.fault.number
        if kind != self.fault.call or not number or self.counts[kind] < number:
            return
        if self.counts[kind] > number and not self.fault.is_lasting:
            return
        self.failed_at.add(path)
        if kind == DECODE:
            raise MemoryError
        code = getattr(errno, self.fault.error)
        raise OSError(code, os.strerror(code), path)

    def _counts(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        place = os.path.abspath(os.fspath(path))
        return any(place.startswith(f"{folder}/") for folder in self.folders)

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if not self._counts(path):
                return call(path, flags, *more, **named)
            is_read = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0
            self.count(OPEN if is_read else CREATE, str(path))
            handle = call(path, flags, *more, **named)
            self.path_of[handle] = str(path)
            return handle

        return opened

    def _opening_file(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
            if not self._counts(file):
                return call(file, mode, *more, **named)
            self.count(OPEN if set(mode) <= set("rbt") else CREATE, str(file))
            made = call(file, mode, *more, **named)
            return _FailingFile(made, str(file), self) if "b" in mode else made

        return opened

    def _closing(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def close(handle: int) -> None:
            # The number is given to other files now.
            self.path_of.pop(handle, None)
            call(handle)

        return close

    def _in_memory(self, call: Callable[..., int]) -> Callable[..., int]:
        def made(name: str, *more: Any) -> int:
            self.count(OPEN, "")
            return call(name, *more)

        return made

    def _of_handle(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(handle: int, *more: Any) -> Any:
            if handle in self.path_of:
                # What is flushed and read by number names no file.
                try:
                    self.count(kind, self.path_of[handle])
                except OSError as error:
                    raise OSError(error.errno, error.strerror) from None
            return call(handle, *more)

        return called

    def _of_path(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Any = ".", *more: Any, **named: Any) -> Any:
            if self._counts(path):
                self.count(kind, str(path))
            return call(path, *more, **named)

        return called

    def _decoding(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def read(sound: Any, *more: Any, **named: Any) -> Any:
            self.count(DECODE, "")
            return call(sound, *more, **named)

        return read


def _limit(kind: int, most: int) -> None:
    resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


class _FailingFile:
    """An open file of bytes whose reads and writes count."""

    def __init__(self, file: Any, path: str, system: FailingSystem) -> None:
        self._file = file
        self._path = path
        self._system = system
        system.path_of[file.fileno()] = path

    def read(self, *size: int) -> bytes:
        self._system.count(READ, self._path)
        data: bytes = self._file.read(*size)
        return data

    def write(self, data: bytes) -> int:
        self._system.count(WRITE, self._path)
        n_written: int = self._file.write(data)
        return n_written

    def close(self) -> None:
        if not self._file.closed:
            self._system.path_of.pop(self._file.fileno(), None)
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _FailingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Any:
        return iter(self._file)
