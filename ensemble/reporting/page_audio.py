"""What of the audio of clips is in a page: a link, the sound itself, or nothing."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import soundfile

from base_models.clips.audio import load_audio
from base_models.clips.parquet.embedded_audio import row_of_reference
from base_models.clips.segments.reference import segment_of
from base_models.errors import ClipError, UsageError
from ensemble.reporting.section import Player

LINK = "link"
EMBED = "embed"
NONE = "none"
AUDIO_MODES = (LINK, EMBED, NONE)
"""What `--audio` says: links to the files, sound inside the page, or neither."""
EMBEDDED_RATE = 32_000
"""Sampling rate of embedded sound in Hz: listeners hear up to 16 kHz of a clip."""


@dataclass(frozen=True)
class PageAudio:
    """How players of a page come by their sound.

    Parameters
    ----------
    mode : one of `AUDIO_MODES`
    folder : where the page will be, from which links start; `LINK` needs it

    Raises
    ------
    UsageError
        when `mode` is none of them, or the folder is missing that links start from.
    """

    mode: str = NONE
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.mode not in AUDIO_MODES:
            known = ", ".join(AUDIO_MODES)
            raise UsageError(f"audio is one of {known}, not {self.mode!r}.")
        if self.mode == LINK and self.folder is None:
            raise UsageError(
                "Links to audio start from the folder of the page, and it has none; "
                "write the page to a file, or choose embed or none."
            )

    @property
    def allowed(self) -> str:
        """Where sound may come from, as a Content-Security-Policy says it."""
        return {LINK: "'self' file: data:", EMBED: "data:", NONE: "'none'"}[self.mode]

    def source(self, player: Player) -> str:
        """The address for an ``<audio>`` element; "" where there is no sound."""
        if self.mode == NONE:
            return ""
        # Sound inside a table is no file that could be linked to.
        is_file = row_of_reference(_file_of(player.path)) is None
        if self.mode == LINK and is_file:
            return self._link(player.path)
        return _embedded(player.path)

    def _link(self, path: str) -> str:
        """The way from the page to the file, with the fragment of a segment."""
        file = _file_of(path)
        # `__post_init__` has seen to it.
        assert self.folder is not None
        way = os.path.relpath(file, self.folder)
        # Quoted, since what stands before a colon would be a scheme, and after a
        # question mark or a hash no name.
        return quote(Path(way).as_posix()) + path.removeprefix(file)


def _file_of(path: str) -> str:
    """The file or row of a table that a name of audio is of."""
    segment = segment_of(path)
    return path if segment is None else segment.source


def _embedded(path: str) -> str:
    """The clip as mono MP3, which every browser plays; "" when it cannot be read."""
    try:
        samples = load_audio(path, EMBEDDED_RATE)
    except ClipError:
        return ""
    sound = io.BytesIO()
    soundfile.write(
        sound,
        samples,
        EMBEDDED_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=0.7,
    )
    return "data:audio/mpeg;base64," + base64.b64encode(sound.getvalue()).decode()
