"""A part of an open audio file that is read as if it were the whole."""

from __future__ import annotations

import math

import numpy as np

from base_models.clip_status import UNSUPPORTED
from base_models.clips.audio_files.decoder_messages import QuietSoundFile, caught
from base_models.clips.segments.reference import Segment
from base_models.errors import ClipError

# A frame of MP3 may take bits from frames before it, and comes out wrong without them:
# at most 511 bytes, which is 20 frames or half a second at the lowest bit rate.
_LEAD_SECONDS = 1.0


class SoundPart:
    """The frames of one segment of an open file.

    It has what the checks of `base_models.clips.audio_files.decoder` ask of a
    `soundfile.SoundFile`. The decoder goes to the start of the segment, and does not
    decode what lies before it. Frames are those of a decoding from the start of the
    file; of MPEG they may differ in the last bit.

    Parameters
    ----------
    whole : QuietSoundFile
        Open, and read by nobody else.
    segment : Segment
        Of this file.

    Attributes
    ----------
    start : int
        First frame of the segment in the file.
    frames : int
        Length of the segment.
    is_start_alone : bool
        Whether the segment goes on behind what can be read of it.

    Raises
    ------
    ClipError
        When the segment is not in the file, or not in what can be read of it.
    """

    def __init__(self, whole: QuietSoundFile, segment: Segment):
        is_open = math.isinf(segment.end)
        self.is_start_alone = whole.is_start_alone and is_open
        needed = segment.start if is_open else segment.end
        readable = whole.frames / whole.samplerate
        if whole.is_start_alone and needed > readable:
            raise ClipError(
                f"the segment {segment.label} s is not in the first {readable:.0f} s, "
                "all that can be read of such a file; convert it, e.g. by "
                "ffmpeg -i IN OUT.flac",
                status=UNSUPPORTED,
            )
        first, last = segment.frames(whole.samplerate, whole.frames)
        self.whole = whole
        self.start = first
        self.frames = last - first
        self.samplerate: int = whole.samplerate
        self.channels: int = whole.channels
        self.subtype: str = whole.subtype
        self.format: str = whole.format
        self.messages: list[str] = whole.messages
        self._n_read = 0
        is_mpeg = whole.subtype.startswith("MPEG_")
        lead = min(first, round(_LEAD_SECONDS * whole.samplerate)) if is_mpeg else 0
        # A decoder of MP3 may decode on its way, and print what it finds there.
        with caught(whole.messages):
            whole.seek(first - lead)
        if lead > 0:
            whole.read(lead, dtype="float32", always_2d=True)

    def read(self, frames: int, dtype: str, always_2d: bool) -> np.ndarray:
        """The next portion, of at most `frames` frames; see `SoundFile.read`."""
        n_next = min(frames, self.frames - self._n_read)
        portion: np.ndarray = self.whole.read(n_next, dtype=dtype, always_2d=always_2d)
        self._n_read += len(portion)
        return portion
