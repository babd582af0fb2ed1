"""Files that are either whole or absent.

A write that is interrupted leaves the previous file in place: bytes go to a temporary
sibling, are flushed to disk where they must outlast a power cut, then renamed over the
target.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from base_models.errors import machine_fault, raise_machine_fault
from base_models.files.json_values import to_json
from base_models.files.temporaries import sweep_once, temporary_sibling


def atomic_write(path: Path | str, data: bytes, *, durable: bool = True) -> None:
    """Write `data` so that any reader, at any moment, sees the old bytes or the new.

    Parameters
    ----------
    path : path-like
    data : bytes
    durable : bool
        Whether to flush the file and its folder to the disk, which takes some
        milliseconds, so that this holds after a power cut as well. Files that are
        verified when they are read, and can be made again, may do without.

    Raises
    ------
    MachineFault
        when the disk or quota is full, it cannot be written to, or the like; the old
        file is intact.
    """
    path = Path(path)
    partial = temporary_sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What writers left here that were killed would stay for ever.
        sweep_once(path.parent.absolute())
        with partial.open("xb") as file:
            file.write(data)
            if durable:
                # Without this a power cut may leave the new name on missing data.
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise_machine_fault(error, path, n_bytes=len(data))
        # Of what is flushed the system names no file, and of the rest the hidden one.
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        # After the rename there is nothing left to remove.
        with contextlib.suppress(OSError):
            partial.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the folder's entries: without it a power cut may undo the rename.

    Raises
    ------
    OSError
        naming the folder, when the disk fails.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems refuse to sync a folder; a disk that fails does not.
        if machine_fault(error) is not None:
            # Of what is flushed the system names no file.
            error.filename = str(folder)
            raise
    finally:
        os.close(handle)


def write_json(path: Path | str, value: Any) -> None:
    """Write `to_json` of `value`, atomically."""
    atomic_write(path, to_json(value))
