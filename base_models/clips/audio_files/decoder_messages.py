"""What the libraries of a decoder print, caught and given to whoever decodes.

libmpg123 writes notes about a file to the C stream ``stderr``, where nobody can tell
which file they are about. While a file is decoded, that variable of the C library
points to a stream of our own. The file descriptor 2 is left alone: what Python and
other threads print there goes where it went before.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import soundfile

from base_models.clips.audio_files.readable import file_in_memory

_LOCK = threading.RLock()

# A process is forked while no thread decodes: the new one would have neither the
# stream that was the usual one nor a thread that lets go of the lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_LOCK.acquire,
        after_in_parent=_LOCK.release,
        after_in_child=_LOCK.release,
    )

# A file can be broken in thousands of places, and one tells what is wrong.
_MAX_LINES = 20


class QuietSoundFile(soundfile.SoundFile):
    """A decoder whose libraries print nothing.

    Attributes
    ----------
    messages : list of str
        What they would have printed, line by line, at most `_MAX_LINES`.
    is_start_alone : bool
        Whether the file goes on behind what can be read here.
    """

    def __init__(self, file: int) -> None:
        self.messages: list[str] = []
        self.is_start_alone = False
        with caught(self.messages):
            super().__init__(file, closefd=False)

    def read(self, *args: Any, **options: Any) -> Any:
        """As of `soundfile.SoundFile`."""
        # The only decoder that prints. The others may run side by side.
        if self.format != "MP3":
            return super().read(*args, **options)
        with caught(self.messages):
            return super().read(*args, **options)

    def seekable(self) -> bool:
        """False for MP3, so that soundfile sets no position after each portion.

        The decoder would begin anew there, without the bits that a frame takes from
        those before it, and a few frames would come out wrong. Of other kinds soundfile
        has to know how many frames are left: behind the last of them may be a tag.
        """
        return not self.subtype.startswith("MPEG_") and super().seekable()


@contextlib.contextmanager
def caught(messages: list[str]) -> Iterator[None]:
    """Append what C code prints to ``stderr`` meanwhile to some messages."""
    # One at a time: the variable is one for the whole process.
    with _LOCK:
        stream = _stream_of_process()
        if stream is None:
            yield
            return
        try:
            # Inside, as an interruption may come right after it.
            stream.begin()
            yield
        finally:
            lines = stream.end()
            messages += lines[: max(_MAX_LINES - len(messages), 0)]


class _Stream:
    """A C stream into memory that can stand in for ``stderr``."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._library = ctypes.CDLL(None)
        self._library.fdopen.restype = ctypes.c_void_p
        self._library.fflush.argtypes = [ctypes.c_void_p]
        self._variable = ctypes.c_void_p.in_dll(self._library, "stderr")
        self._handle = file_in_memory()
        self._stream = self._library.fdopen(self._handle, b"w")
        if not self._stream:
            raise OSError("the C library opens no stream in memory")
        self._usual: int | None = None

    def begin(self) -> None:
        """Take the place of ``stderr``."""
        self._usual = self._variable.value
        self._variable.value = self._stream

    def end(self) -> list[str]:
        """Give ``stderr`` its place back, and return the lines written meanwhile."""
        if self._usual is not None:
            self._variable.value = self._usual
        self._usual = None
        self._library.fflush(self._stream)
        size = os.lseek(self._handle, 0, os.SEEK_CUR)
        if size == 0:
            return []
        text = os.pread(self._handle, size, 0).decode(errors="replace")
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.ftruncate(self._handle, 0)
        lines = (" ".join(line.split()) for line in text.splitlines())
        return [line for line in lines if line]


_streams: list[_Stream | None] = []


def _stream_of_process() -> _Stream | None:
    """The stream of this process; None where the C library is not as expected."""
    # A forked process would share the place in the file with its parent.
    if _streams and (_streams[0] is None or _streams[0].process == os.getpid()):
        return _streams[0]
    _streams.clear()
    made: _Stream | None = None
    if sys.platform == "linux":
        # Elsewhere the variable has another name or is none.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            made = _Stream()
    _streams.append(made)
    return made
