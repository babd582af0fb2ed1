"""Tables and lists that are broken, odd, hostile or far too large."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from torture.called import called, complaint, warm_up
from torture.harness import Outcome, Row
from torture.hostile_tables import TABLES
from torture.small_corpus import link_corpus, write_small_corpus


class _Role(NamedTuple):
    """What a table is given as: the good one, the command, and its other words."""

    good: str
    command: str
    others: tuple[str, ...] = ()


ROLES = (
    _Role("clips.csv", "check_clips"),
    _Role("m1.csv", "evaluate_mos", ("labels.csv", "--bootstrap", "0")),
    _Role("ratings.csv", "noise_ceiling", ("--bootstrap", "0")),
    _Role("m1.csv", "compare_systems"),
)


class Torture(Row):
    """Each table takes the place of clips, of predictions and of ratings."""

    what = "tables and lists that are broken, odd, hostile or too large"
    passes_when = "one line of at most 500 characters, a documented code, under 5 s"
    at_least = 60
    n_cases = len(TABLES) * len(ROLES)
    n_share = 9

    def prepare(self) -> None:
        """Write the good tables."""
        write_small_corpus(self.shared)

    def __init__(self, shared: Path, seed: int) -> None:
        super().__init__(shared, seed)
        self._is_warm = False

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Call a command with one table."""
        if not self._is_warm:
            warm_up()
            self._is_warm = True
        table = TABLES[case % len(TABLES)]
        role = ROLES[case // len(TABLES)]
        link_corpus(self.shared, folder)
        given = f"given{table.suffix}"
        table.write(folder / given, (self.shared / role.good).read_text())

        ended = called(role.command, [given, *role.others], folder)
        wrong = complaint(ended, out_is_data=False)
        if not wrong and table.is_refused and ended.code == 0:
            wrong = "it was taken"
        return Outcome(f"{role.command}: {table.name}", wrong)
