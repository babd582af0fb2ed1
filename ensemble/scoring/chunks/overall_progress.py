"""One count of clips for a whole run, from what encoders tell of single chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ensemble.training.base_model_run import SCORING


class OverallProgress:
    """Clips that are done, of all.

    Parameters
    ----------
    report : callable, or None
        Called as ``report(SCORING, done, total)``, with a count that never falls.
    total : int
        Clips of the run.
    encoders : sequence of str
        Names of those that read the audio of each clip.
    """

    def __init__(
        self,
        report: Callable[[str, int, int], None] | None,
        total: int,
        encoders: Sequence[str] = (),
    ) -> None:
        self.done = 0
        self._report = report
        self._total = total
        self._encoders = tuple(encoders)
        self._shown = -1
        self._size = 0
        self._shares: dict[str, float] = {}

    def begin(self, size: int) -> None:
        """Take the next chunk, of so many clips."""
        self._size = size
        self._shares = {}

    def encoded(self, encoder: str, done: int, total: int) -> None:
        """Take in how far an encoder is with the chunk; other names change nothing."""
        if encoder not in self._encoders or not total:
            return
        self._shares[encoder] = done / total
        share = sum(self._shares.values()) / len(self._encoders)
        # A clip is done when it is scored, and not when it is encoded.
        self._show(self.done + min(int(share * self._size), self._size - 1))

    def prepared(self, n_clips: int) -> None:
        """Take in how many of the clips to come are embedded, and not yet scored."""
        self._show(min(self.done + n_clips, self._total - 1))

    def add(self, n_clips: int) -> None:
        """Count clips that are done."""
        self.done += n_clips
        self._show(self.done)

    def _show(self, done: int) -> None:
        if self._report is not None and self._total and done > self._shown:
            self._shown = done
            self._report(SCORING, done, self._total)
