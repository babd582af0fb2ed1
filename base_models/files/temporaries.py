"""Temporary siblings of files and folders, which name their writers.

A writer that is killed leaves its temporary behind. The name says which process that
was, so that others can tell the leftovers of the dead from the work of the living.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

OLD = ".old.tmp"
"""End of the name of a folder that is put aside while another takes its place."""
FOREIGN_SECONDS = 86_400.0
"""After so long a temporary counts as left behind, if its writer ran on another machine
or is not known: it cannot be asked whether it lives."""

_NAME_BYTES = 100
_NO_PROCESS = -1
_WITH_OWNER = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)"
    r"\.[0-9a-f]{32}(?:\.old)?\.tmp",
    re.DOTALL,
)
# As versions before this one named them.
_WITHOUT_OWNER = re.compile(r"\..+\.[0-9a-f]{32}\.tmp", re.DOTALL)


def temporary_sibling(path: Path, end: str = ".tmp") -> Path:
    """A new name beside `path`, hidden, which says whose it is.

    Parameters
    ----------
    path : of the file or folder that is being written
    end : of the name; `OLD` for what will be put back unless it is replaced
    """
    pid = os.getpid()
    owner = f"{_host()}-{pid}-{_own_start(pid)}"
    # A part of its own keeps two writers in one process apart.
    return path.with_name(f".{_cut(path.name)}.{owner}.{uuid.uuid4().hex}{end}")


def sweep(folder: Path, *, deep: bool = False, name: str = "") -> list[Path]:
    """Remove the temporaries that killed writers left; those of living ones stay.

    Parameters
    ----------
    folder : where they are looked for; it may be missing
    deep : whether in the folders below it too
    name : of the file or folder whose temporaries are meant; "" means any

    Returns
    -------
    removed : list of Path
    """
    removed = []
    for entry in _entries(folder):
        path = Path(entry.path)
        is_meant = not name or _name_in(path) == _cut(name)
        if is_meant and is_abandoned(path):
            _remove(path)
            removed.append(path)
        elif deep and entry.is_dir(follow_symlinks=False):
            removed += sweep(path, deep=True, name=name)
    return removed


@functools.cache
def sweep_once(folder: Path) -> None:
    """`sweep` of one folder, the first time that this process writes to it."""
    sweep(folder)


def is_abandoned(path: Path) -> bool:
    """Whether a path is that of a temporary whose writer is dead."""
    found = _WITH_OWNER.fullmatch(path.name)
    if found is not None and found["host"] == _host():
        start = _start_of(int(found["pid"]))
        if start is None or found["start"] == "0":
            return start == _NO_PROCESS
        # Numbers of processes are used again, with another time of their start.
        return int(found["start"]) != start
    if found is None and _WITHOUT_OWNER.fullmatch(path.name) is None:
        return False
    try:
        return time.time() - path.lstat().st_mtime > FOREIGN_SECONDS
    # Its writer has just ended.
    except OSError:
        return False


def put_back(folder: Path) -> bool:
    """Give a folder that was put aside its name again, if its writer was killed.

    Returns
    -------
    is_there : bool
        Whether a folder of that name is there now.
    """
    for entry in _entries(folder.parent):
        aside = Path(entry.path)
        is_older = aside.name.endswith(OLD) and _name_in(aside) == _cut(folder.name)
        if is_older and is_abandoned(aside):
            # Another process may put it back, or write a new one, at the same moment.
            with contextlib.suppress(OSError):
                os.rename(aside, folder)
    return folder.exists()


def _remove(path: Path) -> None:
    # Of a folder that was put aside there may be no other copy.
    name = _name_in(path)
    if path.name.endswith(OLD) and not path.with_name(name).exists():
        # Where the name was cut, whoever looks for the folder knows the whole of it.
        if _cut(name + "_") != name:
            put_back(path.with_name(name))
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _cut(name: str) -> str:
    """The part of a name that its temporaries carry: a name may have 255 bytes."""
    data = os.fsencode(name)
    if len(data) <= _NAME_BYTES:
        return name
    return data[:_NAME_BYTES].decode(errors="ignore")


def _name_in(temporary: Path) -> str:
    """The name, perhaps cut, that a temporary carries; "" where it is none of ours."""
    found = _WITH_OWNER.fullmatch(temporary.name)
    return "" if found is None else found["name"]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, none where it is missing or may not be listed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        yield from list(entries)


@functools.cache
def _host() -> str:
    """What numbers of processes are unique in: this machine, and here this container.

    Containers on one machine number their processes apart.
    """
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


@functools.cache
def _own_start(pid: int) -> int:
    """`_start_of` this process, whose number a fork changes; 0 where it is unknown."""
    return _start_of(pid) or 0


def _start_of(pid: int) -> int | None:
    """When a process started, as a number that no other with its pid shares.

    0 where the system does not tell, `_NO_PROCESS` where there is no such process, and
    None where it cannot be known now.
    """
    try:
        if sys.platform == "linux":
            stat = Path(f"/proc/{pid}/stat").read_bytes()
            # The name in parentheses may hold anything; state and start are fields 3
            # and 22.
            fields = stat.rpartition(b")")[2].split()
            is_ended = fields[0] in (b"Z", b"X")
            return _NO_PROCESS if is_ended else int(fields[19])
        if os.name == "posix":
            os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return _NO_PROCESS
    # For instance too many open files: it may be alive.
    except OSError:
        return None
    return 0
