"""What is rated on the rating page, and by whom."""

from __future__ import annotations

from dataclasses import dataclass, field

from ensemble.server.rating.clip_audio import ClipAudio
from ensemble.server.rating.rating_store import RatingStore


@dataclass(frozen=True)
class RatingSettings:
    """What is rated, and where ratings are kept.

    Parameters
    ----------
    store : RatingStore
        The listening test and its ratings.
    raters : tuple of str
        Codes of those who may rate; empty: anybody.
    audio : ClipAudio
        What raters hear.
    """

    store: RatingStore
    raters: tuple[str, ...] = ()
    audio: ClipAudio = field(default_factory=ClipAudio)

    def close(self) -> None:
        """Leave the file of ratings to another server, and delete what was decoded."""
        self.store.close()
        self.audio.close()
