"""Names of segments: a file, or a row of a table, from one time to another.

A segment is written as a media fragment (W3C Media Fragments URI 1.0, section 4.2.1):
``song.wav#t=60,70`` is the part of the file from 60 s to 70 s. Such a name stands in
the column ``audio`` like that of a file, and is read as if the part had been cut out
and saved.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from base_models.clip_status import EMPTY, TRUNCATED
from base_models.errors import ClipError

END_TOLERANCE = 0.5
"""Seconds by which a segment may end after its file does; it then ends with the file.

Tables hold rounded times, and the length of an MP3 file depends on who decodes it.
"""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_REFERENCE = re.compile(rf"(.+)#t=({_NUMBER})(?:,({_NUMBER}))?", re.DOTALL)


@dataclass(frozen=True)
class Segment:
    """A part of an audio file.

    Parameters
    ----------
    source : str
        The file, or a reference to a row of a table (see
        `base_models.clips.parquet.embedded_audio`).
    start, end : float
        In seconds from the start of the source; an infinite `end` is that of the
        source. The end itself is not part of the segment.
    """

    source: str
    start: float
    end: float = math.inf

    @property
    def reference(self) -> str:
        """The name under which `segment_of` finds the segment again.

        Examples
        --------
        >>> Segment("song.wav", 60, 70.5).reference
        'song.wav#t=60,70.5'
        >>> Segment("song.wav", 60).reference
        'song.wav#t=60'
        """
        return f"{self.source}#t={_times(self.start, self.end, separator=',')}"

    @property
    def label(self) -> str:
        """The part in words of an id, such as ``60-70``."""
        return _times(self.start, self.end, separator="-")

    def frames(self, rate: int, n_frames: int) -> tuple[int, int]:
        """First frame of the segment, and the first after it.

        Each time is rounded to the nearest frame, so that segments that share a time
        have no frame between them and none in common.

        Parameters
        ----------
        rate : int
            Sample rate of the source, in Hz.
        n_frames : int
            Length of the source.

        Raises
        ------
        ClipError
            When it starts or ends after the source does, or holds no frame.
        """
        seconds = n_frames / rate
        is_open = math.isinf(self.end)
        is_beyond = not is_open and self.end > seconds + END_TOLERANCE
        if self.start >= seconds or is_beyond:
            raise ClipError(
                f"the segment {self.label} s is not in the file, which ends at "
                f"{seconds:.3f} s (times may be up to {END_TOLERANCE:g} s beyond it)",
                status=TRUNCATED,
            )

        first = round(self.start * rate)
        last = n_frames if is_open else min(round(self.end * rate), n_frames)
        if last <= first:
            raise ClipError(
                f"the segment {self.label} s holds no samples", status=EMPTY
            )
        return first, last

    def content_key(self, digest_of_source: str) -> str:
        """Hex SHA-256 that stands for the audio of this segment.

        Parameters
        ----------
        digest_of_source : str
            Hex SHA-256 of the bytes of the source.
        """
        times = _times(self.start, self.end, separator=",")
        return hashlib.sha256(f"{digest_of_source}#t={times}".encode()).hexdigest()

    def part(self, start: float, end: float) -> Segment:
        """A part of this segment, by times from the start of the segment."""
        return Segment(self.source, self.start + start, self.start + end)


def segment_of(name: str) -> Segment | None:
    """The segment that a name of audio refers to; None for the name of a whole file.

    >>> segment_of("data/song.wav#t=60,70")
    Segment(source='data/song.wav', start=60.0, end=70.0)
    >>> segment_of("song.wav") is None
    True
    """
    match = _REFERENCE.fullmatch(name)
    if match is None:
        return None
    end = math.inf if match[3] is None else float(match[3])
    return Segment(match[1], float(match[2]), end)


def stem_of(name: str) -> str:
    """The name of a clip by that of its audio: without folders and suffix.

    >>> stem_of("data/song.wav"), stem_of("data/song.wav#t=60,70.5")
    ('song', 'song#60-70.5')
    """
    segment = segment_of(name)
    if segment is None:
        return Path(name).stem
    return f"{Path(segment.source).stem}#{segment.label}"


def _times(start: float, end: float, separator: str) -> str:
    if math.isinf(end):
        return _seconds(start)
    return f"{_seconds(start)}{separator}{_seconds(end)}"


def _seconds(value: float) -> str:
    """The shortest decimal number that is read back as the same value."""
    return np.format_float_positional(value, trim="-")
