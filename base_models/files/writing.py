"""Files that are either whole or absent.

A write that is interrupted leaves the previous file in place: bytes go to a temporary
sibling, are flushed to disk, then renamed over the target.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Any

from base_models.errors import OutOfSpace
from base_models.files.json_values import to_json
from base_models.files.temporaries import sweep_once, temporary_sibling


def atomic_write(path: Path | str, data: bytes) -> None:
    """Write `data` so that any reader, at any moment, sees the old bytes or the new.

    Raises
    ------
    OutOfSpace
        when the disk or quota is full; the old file is intact.
    """
    path = Path(path)

    partial = temporary_sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What writers left here that were killed would stay for ever.
        sweep_once(path.parent.absolute())
        with partial.open("xb") as file:
            file.write(data)

            # Without this a power cut may leave the new name on missing data.
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise _out_of_space(path, len(data)) from error
        # What is said of it is said of the file that was asked for.
        if error.filename == str(partial):
            error.filename = str(path)
        raise
    finally:
        # After the rename there is nothing left to remove.
        with contextlib.suppress(OSError):
            partial.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the folder's entries: without it a power cut may undo the rename."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to sync a folder.
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _out_of_space(path: Path, needed: int) -> OutOfSpace:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    return OutOfSpace(
        f"No space left to write {path}: {needed:,} bytes needed, {free:,} free. "
        "Finished work is kept; free some space and run the same command again."
    )


def write_json(path: Path | str, value: Any) -> None:
    """Write `to_json` of `value`, atomically."""
    atomic_write(path, to_json(value))
