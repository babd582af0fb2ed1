"""Files that are either whole or absent, and that are checked when read.

In go values of JSON, arrays and bytes; out come files and sealed folders, and back.
Read `artifact` first: a folder becomes an artifact when its ``manifest.json``, written
last, lists the SHA-256 of every file; the hashes are verified on read.

Notes
-----
A hash detects accidents, not an attacker who can also rewrite the manifest. That is why
nothing here is ever unpickled.
"""

from base_models.files.arrays import parse_parquet, parse_tensors, write_tensors
from base_models.files.artifact import (
    MANIFEST,
    Artifact,
    is_inside,
    is_sealed,
    manifest_of,
    seal,
)
from base_models.files.json_values import (
    from_guarded_json,
    from_json,
    guarded_json,
    nan_to_none,
    sha256,
    to_json,
)
from base_models.files.locks import locked, remove_stale_lock
from base_models.files.logs import LOG, append_to_log, log_line
from base_models.files.patterns import WILDCARD, matching_paths
from base_models.files.reading import MAX_BYTES, read_bytes, read_json, read_part
from base_models.files.replaced import read_artifact
from base_models.files.replacement import replace_folder, write_artifact
from base_models.files.temporaries import sweep, temporary_sibling
from base_models.files.writing import atomic_write, write_json

__all__ = [
    "LOG",
    "MANIFEST",
    "MAX_BYTES",
    "WILDCARD",
    "Artifact",
    "append_to_log",
    "atomic_write",
    "from_guarded_json",
    "from_json",
    "guarded_json",
    "is_inside",
    "is_sealed",
    "locked",
    "log_line",
    "manifest_of",
    "matching_paths",
    "nan_to_none",
    "parse_parquet",
    "parse_tensors",
    "read_artifact",
    "read_bytes",
    "read_json",
    "read_part",
    "remove_stale_lock",
    "replace_folder",
    "seal",
    "sha256",
    "sweep",
    "temporary_sibling",
    "to_json",
    "write_artifact",
    "write_json",
    "write_tensors",
]
