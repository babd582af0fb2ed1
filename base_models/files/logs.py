"""A log beside sealed files: when, where and for how long something was made.

Equal work gives equal sealed files, so that their hashes can be compared. What differs
from time to time and from machine to machine goes here, and no manifest lists it.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from base_models.errors import raise_machine_fault

LOG = "log.jsonl"
"""Name of the log in a folder, a line of JSON per record."""


def log_line(values: Mapping[str, Any]) -> bytes:
    """A record of the log, with the time and the machine."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {"at": now, "host": platform.node(), **values}
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def append_to_log(folder: Path, values: Mapping[str, Any]) -> None:
    """Add a record to the log of a folder.

    Raises
    ------
    MachineFault
        when it cannot be written.
    """
    line = log_line(values)
    path = folder / LOG
    try:
        # One write to the end of a file does not mix with those of others.
        with path.open("ab", buffering=0) as file:
            file.write(line)
    except OSError as error:
        raise_machine_fault(error, path, n_bytes=len(line))
        raise
