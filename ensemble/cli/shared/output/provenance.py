"""How the numbers of a run came about: for pages, and for records beside scores."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from base_models.files import Artifact, is_sealed, sha256
from ensemble.version import __version__
from ensemble.workspace import STACK_ROLE

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.reporting.section import Provenance


def provenance_of(
    command: str,
    data: Path | str | None = None,
    stack: Path | str | None = None,
    rows: pd.DataFrame | None = None,
) -> Provenance:
    """How the numbers of this run come about.

    Parameters
    ----------
    command : name of the command; what was typed after it is added
    data : the file or folder that was measured or scored; None for no single one
    stack : folder of the stack, or None
    rows : what was read of the data, where that is told apart from its file
    """
    from ensemble.formats import csv_table
    from ensemble.reporting.section import Provenance

    data_hash = ""
    if data is not None and Path(data).is_file():
        data_hash = sha256(Path(data).read_bytes())
    return Provenance(
        command=shlex.join([command, *sys.argv[1:]]),
        version=__version__,
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        data=str(data or ""),
        data_hash=data_hash,
        stack=Path(stack).name if stack is not None else "",
        stack_hash=_identity(stack),
        rows_hash="" if rows is None else sha256(csv_table(rows)),
    )


def _identity(stack: Path | str | None) -> str:
    """The identity of a stack, which ``inspect_stack`` shows too; "" without one."""
    from ensemble.hub.stack_contents import prediction_identity

    if stack is None or not is_sealed(Path(stack)):
        return ""
    return prediction_identity(Artifact(stack, STACK_ROLE).facts["files"])
