"""A row whose cases pass, fail, raise, die and hang, to test the harness with."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from torture.harness import Outcome, Row


class Torture(Row):
    """Case 1 fails, 2 raises, 3 dies, 4 hangs; all others pass."""

    what = "stumbling"
    passes_when = "never"
    at_least = 7
    n_cases = 7
    n_share = 7
    seconds = 3.0

    def prepare(self) -> None:
        """Write a word that every case reads."""
        (self.shared / "word").write_text("there")

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Stumble as the number says."""
        assert (self.shared / "word").read_text() == "there"
        assert not list(folder.iterdir())
        if case == 1:
            return Outcome("failing", f"drew {rng.integers(1000)}")
        if case == 2:
            raise ValueError("two\nlines")
        if case == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if case == 4:
            time.sleep(1000)
        return Outcome("passing", tried=10)
