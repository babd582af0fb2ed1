"""A folder takes the place of another one, which stays whole until then."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from base_models.errors import UsageError
from base_models.files.artifact import is_sealed, seal
from base_models.files.temporaries import OLD, sweep, temporary_sibling
from base_models.files.writing import atomic_write, sync_folder

_CALLS = {"linux": ("renameat2", -100), "darwin": ("renameatx_np", -2)}
"""The system's call that swaps two names, and what it takes for the current folder."""
_SWAP = 2
"""What both calls take for a swap."""
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}
"""Errors of a rename that another process was quicker than."""


def replace_folder(made: Path, folder: Path) -> None:
    """Move the finished folder `made` to the name `folder`, replacing what is there.

    Parameters
    ----------
    made : a temporary sibling of `folder`, see `temporary_sibling`
    folder : new name

    Notes
    -----
    Where the system can swap two names, there is a whole folder of that name at any
    moment. Elsewhere there is none between two renames; a process that is killed there
    leaves the older folder beside its name, and `is_sealed` and `sweep` put it back.
    """
    while True:
        try:
            if not folder.exists():
                os.rename(made, folder)
            elif swap(made, folder):
                # What was replaced has the name of a temporary now.
                shutil.rmtree(made, ignore_errors=True)
            else:
                _replace_in_two_steps(made, folder)
            break
        except OSError as error:
            # Another process has replaced the same folder in between.
            if error.errno not in _TAKEN or not made.exists():
                raise
    sync_folder(folder.parent)


def swap(first: Path, second: Path) -> bool:
    """Let two folders change their names in one step; False where that cannot be."""
    name, here = _CALLS.get(sys.platform, ("", 0))
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if call is None:
        return False
    paths = [os.fsencode(path) for path in (first, second)]
    # Some file systems, and kernels before Linux 3.15, refuse it.
    return bool(call(here, paths[0], here, paths[1], ctypes.c_uint(_SWAP)) == 0)


def _replace_in_two_steps(made: Path, folder: Path) -> None:
    aside = temporary_sibling(folder, OLD)
    os.rename(folder, aside)
    try:
        os.rename(made, folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.rename(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_artifact(
    folder: Path | str,
    role: str,
    files: Mapping[str, bytes],
    beside: Mapping[str, bytes] | None = None,
    identity: str = "",
    *,
    owned: bool = False,
) -> None:
    """Write a whole artifact; an older one there stays until this one is complete.

    Parameters
    ----------
    folder : of the artifact
    role : what it is, see `seal`
    files : relative name to contents, all of which the manifest lists
    beside : further files, which the manifest does not list: people may change them
    identity : see `seal`
    owned : whether nobody else has files in `folder`, so that what is there is half of
        an artifact at most

    Raises
    ------
    UsageError
        when `folder` holds files that are no artifact.
    OutOfSpace
        when the disk or quota is full.
    """
    folder = Path(folder).absolute()
    sweep(folder.parent, name=folder.name)
    # Only an artifact is replaced, never somebody's other files.
    is_free = owned or not folder.exists() or is_sealed(folder)
    if not is_free and any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds other files; name a new folder, or that of an older "
            f"{role}."
        )

    # Written beside the folder and moved as a whole: there never is half an artifact.
    unfinished = temporary_sibling(folder)
    try:
        for name, data in {**files, **(beside or {})}.items():
            atomic_write(unfinished / name, data)
        seal(unfinished, role, files, identity)
        replace_folder(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
