"""What a stored estimator consists of, checked before anything is made of it.

The format of skops is a zip archive: ``schema.json`` is a tree of nodes, each with the
type it stands for and the loader that makes it, and arrays are members of their own.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact, UsageError, in_short, shortened, some
from base_models.files import from_json
from base_models.sklearn_files.trusted_types import types_by_loader

SCHEMA = "schema.json"
"""The member that holds the tree of nodes."""
PROTOCOL = 2
"""The version of the format. Files may not choose an older one: its loaders are older
too."""
LIST = "base_models/sklearn_files/trusted_types.py"
"""Where the list of trusted types is, for messages."""
_ARRAY_NAME = re.compile(r"[0-9]{1,20}\.npy")


def checked_members(data: bytes, name: str) -> dict[str, bytes]:
    """The members of an archive, each no larger than the part of the file it fills.

    Parameters
    ----------
    data : the whole file
    name : of the file, for messages

    Raises
    ------
    DamagedArtifact
        when it is not such an archive, or a member is compressed, repeated, or of
        another name; a compressed member may expand to a thousand times its size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
            total = sum(member.file_size for member in members)
            # Members may overlap in a hostile file, so that their sum is larger.
            if not stored or total > len(data):
                raise ValueError("its members are larger than the file")
            if len(set(names)) != len(names):
                raise ValueError("a member stands in it twice")
            known = [n for n in names if n == SCHEMA or _ARRAY_NAME.fullmatch(n)]
            if known != names or SCHEMA not in names:
                raise ValueError(f"its members are {some(names)}")
            contents = {name: archive.read(name) for name in names}
    # zipfile raises whatever the damage makes it meet.
    except (
        zipfile.BadZipFile,
        ValueError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        KeyError,
    ) as error:
        raise DamagedArtifact(
            f"{name} is not a stored scikit-learn estimator ({error})."
        ) from error

    for member, content in contents.items():
        if member != SCHEMA:
            _check_array(content, f"{name}: {member}")
    return contents


def _check_array(content: bytes, name: str) -> None:
    """Refuse an array whose header promises more than there is, or Python objects."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    # numpy reads the header as a literal of Python, whose tokenizer has its own errors.
    except Exception as error:
        raise DamagedArtifact(f"{name} is not an array ({in_short(error)}).") from error
    size = dtype.itemsize
    for length in shape:
        size *= length
    if dtype.hasobject or size != len(content) - file.tell():
        raise DamagedArtifact(
            f"{name} is an array of {dtype} and shape {shape}, in {len(content):,} "
            "bytes."
        )


def parsed_schema(members: dict[str, bytes], name: str) -> dict[str, Any]:
    """The tree of nodes.

    Raises
    ------
    DamagedArtifact
        when it is not strict JSON, or of another version of the format.
    """
    schema = from_json(members[SCHEMA], f"{name}: {SCHEMA}")
    if not isinstance(schema, dict) or schema.get("protocol") != PROTOCOL:
        found = schema.get("protocol") if isinstance(schema, dict) else None
        raise DamagedArtifact(
            f"{name} is of format {found!r} of skops; this version reads {PROTOCOL}. "
            "Fit and save the stack again."
        )
    return schema


def nodes_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Every node of the tree, without recursion: files may nest deeply."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if "__loader__" in value or "__class__" in value:
                yield value
            waiting += value.values()


def check_types(schema: dict[str, Any], what: str, cure: str) -> None:
    """Refuse a tree that holds anything but trusted types, each by its own loader.

    Parameters
    ----------
    schema : tree of nodes
    what : what the tree is of, as the message calls it
    cure : the end of the message

    Raises
    ------
    UsageError
        naming what is not on the list.
    """
    trusted = types_by_loader()
    unknown = set()
    for node in nodes_of(schema):
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        loader = node.get("__loader__")
        if not isinstance(loader, str) or name not in trusted.get(loader, ()):
            unknown.add(shortened(name, 80))
    if unknown:
        raise UsageError(
            f"{what} holds {some(sorted(unknown))}, which cannot be read back safely: "
            f"only types on a list are ({LIST}). {cure}"
        )
