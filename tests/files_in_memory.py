"""Temporary files of tests and of the torture, in memory where there is room.

Everything that is stored is forced to the disk at once. A disk takes milliseconds for
each of some ten thousand files, and memory none.
"""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
"""A folder of files in memory, on Linux."""
_ROOM = 6 * 2**30
"""Bytes that the files of all tests take at most, twice over."""


def write_in_memory():
    """Let temporary folders of this process and those it starts lie in memory.

    Without enough room, and where the variable TMPDIR names a folder, they lie where
    they would.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ROOM:
        os.environ["TMPDIR"] = str(_MEMORY)
        # Else the folder that was found before would be used.
        tempfile.tempdir = None
