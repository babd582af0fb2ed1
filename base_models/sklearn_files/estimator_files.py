"""A fitted scikit-learn estimator as bytes, and back."""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from typing import Any

import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from base_models.errors import DamagedArtifact, UsageError, in_short, machine_fault
from base_models.sklearn_files.audit import (
    SCHEMA,
    check_types,
    checked_members,
    nodes_of,
    parsed_schema,
)
from base_models.sklearn_files.fitted_arrays import check_fitted_arrays

log = logging.getLogger(__name__)

VERSION = "scikit-learn"
"""Key of the schema: the version of scikit-learn with which the file was written."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that equal estimators have equal bytes."""


def estimator_bytes(estimator: Any, what: str, cure: str) -> bytes:
    """Store a fitted estimator.

    Parameters
    ----------
    estimator : fitted
    what : whose it is, as messages call it: ``"Base model 'svr'"``
    cure : what to do where it cannot be stored

    Raises
    ------
    UsageError
        when it holds a type that is not on the list of `trusted_types`, or its arrays
        would not be read back.
    """
    # Imported here: it lists all of scikit-learn, which takes seconds.
    import skops.io

    try:
        data = skops.io.dumps(estimator)
    # Own classes may fail in any way when their state is taken.
    except Exception as error:
        raise machine_fault(error) or UsageError(
            f"{what}, {type(estimator).__name__}, cannot be stored ({error}). {cure}"
        ) from error
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        arrays = {name: archive.read(name) for name in archive.namelist()}
    check_types(schema, what, cure)
    data = _packed(schema, arrays)

    # What could not be read back is refused now, not when somebody needs it.
    try:
        read_estimator(data, what)
    except DamagedArtifact as error:
        raise UsageError(f"{error} {cure}") from error
    return data


def _packed(schema: dict[str, Any], arrays: dict[str, bytes]) -> bytes:
    """The archive, with objects numbered in order instead of by their address."""
    number_of: dict[int, int] = {}
    new_name: dict[str, str] = {}
    for node in nodes_of(schema):
        if "__id__" in node:
            node["__id__"] = number_of.setdefault(node["__id__"], len(number_of) + 1)
        if isinstance(node.get("file"), str):
            name = new_name.setdefault(node["file"], f"{len(new_name) + 1}.npy")
            node["file"] = name

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        about = {**schema, VERSION: sklearn.__version__}
        _add(archive, SCHEMA, json.dumps(about).encode())
        for old, name in new_name.items():
            _add(archive, name, arrays[old])
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _DATE), data)


def read_estimator(data: bytes, name: str) -> Any:
    """Read what `estimator_bytes` wrote; nothing that is not on the list is made.

    Parameters
    ----------
    data : the whole file
    name : of the file, for messages

    Raises
    ------
    UsageError
        when the file names a type that is not on the list. Nothing was constructed.
    DamagedArtifact
        when the file is damaged, or its arrays do not fit each other.
    """
    members = checked_members(data, name)
    schema = parsed_schema(members, name)
    check_types(schema, name, "Do not use this file unless you know who made it.")
    written_with = schema.get(VERSION)

    import skops.io

    # All names in the file are on the list by now, each with its loader.
    named = {f"{node['__module__']}.{node['__class__']}" for node in nodes_of(schema)}
    try:
        with warnings.catch_warnings():
            # Said below, once, and with what to do.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            estimator = skops.io.loads(data, trusted=sorted(named))
        check_fitted_arrays(estimator)
    # Damage that the format does not notice raises whatever it meets first.
    except Exception as error:
        raise machine_fault(error, name) or DamagedArtifact(
            f"{name} cannot be read back ({in_short(error)}); it was written with "
            f"scikit-learn {str(written_with)[:20]}, and this is {sklearn.__version__}."
        ) from error
    if written_with != sklearn.__version__:
        log.warning(
            "%s was stored with scikit-learn %s and is used with %s; predictions may "
            "differ. Install that version, or fit the stack again.",
            name,
            written_with,
            sklearn.__version__,
        )
    return estimator
