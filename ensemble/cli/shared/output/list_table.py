"""The table of the commands that list things: no lines, one row per thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import JustifyMethod

from ensemble.screen.tables import LiteralTable


def list_table(
    title: str, columns: Mapping[str, JustifyMethod], importance: Sequence[str] = ()
) -> LiteralTable:
    """A table without rows.

    Parameters
    ----------
    title : above it
    columns : maps headers to how their cells are aligned; the first names the thing
    importance : the other headers, the one to keep longest on a narrow screen first
    """
    table = LiteralTable(
        title=title,
        box=None,
        padding=(0, 1, 0, 0),
        importance=importance,
        elsewhere="-o FILE has them",
    )
    for name, justify in columns.items():
        table.add_column(name, justify=justify, no_wrap=True)
    return table
