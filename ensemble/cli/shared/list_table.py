"""The table of the commands that list things: no lines, one row per thing."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import JustifyMethod
from rich.table import Table


def list_table(title: str, columns: Mapping[str, JustifyMethod]) -> Table:
    """A table without rows; `columns` maps names to how their cells are aligned."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name, justify in columns.items():
        table.add_column(name, justify=justify, no_wrap=True)
    return table
