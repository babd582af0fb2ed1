"""Where tables are printed."""

from __future__ import annotations

import copy
import os
import sys
import textwrap
from typing import Any

from rich.console import Console
from rich.text import Text, TextType

from ensemble.screen import streams
from ensemble.screen.literal import literal_lines
from ensemble.screen.tables import LiteralTable, least_width

WIDTH_WITHOUT_TERMINAL = 240
"""What is piped into a file should not be folded."""


class Screen(Console):
    """A terminal, file or pipe, on which texts and tables are shown as they are.

    Parameters
    ----------
    options : of `rich.console.Console`
    """

    def __init__(self, **options: Any) -> None:
        # Where standard output holds a file, people read the rest on standard error.
        if streams.is_stdout_taken() and "file" not in options:
            options["stderr"] = True
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if options.get("width") is None and not self._has_width:
            self.width = WIDTH_WITHOUT_TERMINAL

    @property
    def _has_width(self) -> bool:
        """Whether anybody has said how wide it is."""
        return self.is_terminal or os.environ.get("COLUMNS", "").isdigit()

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; of a table the columns that fit, as no number is cut."""
        if self.stderr and streams.is_quiet():
            return
        for item in objects:
            if isinstance(item, LiteralTable):
                self._print_table(item)
            elif isinstance(item, (str, Text)):
                super().print(Text(literal_lines(str(item))), **options)
            else:
                super().print(item, **options)

    def _print_table(self, table: LiteralTable) -> None:
        fitted = table.fitted(self, self.width)
        if table.parts and fitted is not table:
            for part in table.parts:
                self._print_table(part)
            return
        needed = 0 if fitted is table else least_width(self, fitted)
        # Within the table, rich would wrap these to its width, however narrow it is.
        bare = copy.copy(fitted)
        bare.title = None
        bare.caption = None
        self._print_line(fitted.title, "table.title")
        # Too narrow even for one number: rather a wide line than half a number.
        if needed > self.width:
            wide = Screen(file=self.file, width=needed)
            Console.print(wide, bare)
        else:
            super().print(bare)
        self._print_line(fitted.caption, "table.caption")

    def _print_line(self, text: TextType | None, style: str) -> None:
        """Print the title of a table, or what stands below it."""
        if text:
            super().print(Text(self._wrapped(str(text)), style=style))

    def paragraph(self, text: str) -> None:
        """Print a text, wrapped at words where there is a width to wrap at."""
        if self._has_width:
            super().print(Text(self._wrapped(text)))
        else:
            super().print(Text(literal_lines(text)), soft_wrap=True)

    def _wrapped(self, text: str) -> str:
        """A text in lines of this width, without a number parted from its percent."""
        # Names stand in sentences, too; the sentences part their own lines.
        together = literal_lines(text).replace(" %", "\u00a0%")
        lines = [
            textwrap.fill(
                line, self.width, break_long_words=False, break_on_hyphens=False
            )
            for line in together.splitlines()
        ]
        return "\n".join(lines).replace("\u00a0%", " %")

    def on_broken_pipe(self) -> None:
        """Go on without a reader: files are still to be written."""
        streams.leave(sys.stderr if self.stderr else sys.stdout)
