"""Clips that are one recording by what was cut from which file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from base_models.clips.audio import content_hash
from base_models.clips.segments.reference import segment_of

COMMON_SECONDS = 0.1
"""Segments that have no more than this in common follow each other: times in tables
are rounded."""


@dataclass(frozen=True)
class Stretch:
    """From where to where in a file a clip is.

    Parameters
    ----------
    source : str
        Hex SHA-256 of the bytes of the file.
    start, end : float
        In seconds; of a whole file 0 and infinity.
    """

    source: str
    start: float = 0.0
    end: float = math.inf

    @classmethod
    def of(cls, audio: str | os.PathLike[str], key: str) -> Stretch:
        """The stretch of a clip.

        Parameters
        ----------
        audio : path-like
            As `base_models.clips.audio.load_audio` takes it.
        key : str
            Its `base_models.clips.audio.content_hash`.

        Raises
        ------
        ClipError
            When the file cannot be read.
        """
        segment = segment_of(os.fspath(audio))
        if segment is None:
            return cls(key)
        return cls(content_hash(segment.source), segment.start, segment.end)

    @property
    def is_whole(self) -> bool:
        """Whether the clip is all of its file."""
        return self.start == 0 and math.isinf(self.end)


def overlaps(stretches: Mapping[str, Stretch]) -> Iterator[tuple[str, str, float]]:
    """Clips that have a part of one file in common, and how much of it in seconds.

    Of clips that overlap in a chain each is paired with the one before it that ends
    last, so that the pairs link all of them. Two whole files of equal bytes are no
    pair.

    Parameters
    ----------
    stretches : mapping from str to Stretch
        By clip id.

    Examples
    --------
    >>> song = {"a": Stretch("0f", 0, 10), "b": Stretch("0f", 8, 18)}
    >>> list(overlaps(song | {"c": Stretch("0f", 18, 28)}))
    [('a', 'b', 2)]
    """
    clips_of: dict[str, list[str]] = {}
    for clip, stretch in stretches.items():
        clips_of.setdefault(stretch.source, []).append(clip)

    for clips in clips_of.values():
        in_order = sorted(clips, key=lambda clip: stretches[clip].start)
        farthest = in_order[0]
        for clip in in_order[1:]:
            before = stretches[farthest]
            stretch = stretches[clip]
            common = min(before.end, stretch.end) - stretch.start
            is_copy = before.is_whole and stretch.is_whole
            if common > COMMON_SECONDS and not is_copy:
                yield farthest, clip, common
            if stretch.end > before.end:
                farthest = clip
