"""The clips as raters hear them: WAV files without names, made when first asked for.

Every clip is decoded and written anew as 16-bit PCM at its own rate, with its own
channels: a browser plays it whatever its kind was, a part of a file is cut out, and
neither a suffix nor a tag inside the file tells raters which system it is from.
"""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from base_models.clips.audio import probe, write_pcm
from base_models.clips.read_clips import SetAside
from base_models.errors import ClipError, UsageError
from ensemble.server.rating.design import RatedClip

MAX_SECONDS = 15 * 60.0
"""Longer clips are not rated; parts of them are (``song.wav#t=60,70``)."""


class ClipAudio:
    """A folder of clips as WAV files, which is gone when this object is.

    Its methods may be called from any thread; a clip is written by one of them.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="rated-clips-")
        self._guard = threading.Lock()
        self._lock_of: dict[str, threading.Lock] = {}

    def file(self, token: str, clip: RatedClip) -> Path:
        """The WAV file of a clip.

        Parameters
        ----------
        token : str
            Name of the file; not from a request.
        clip : RatedClip

        Raises
        ------
        ClipError
            When the clip cannot be decoded any more.
        """
        path = Path(self._folder.name) / f"{token}.wav"
        with self._guard:
            lock = self._lock_of.setdefault(token, threading.Lock())
        with lock:
            if not path.exists():
                partial = path.with_suffix(".part")
                write_wav(clip.audio, partial)
                partial.rename(path)
        return path

    def close(self) -> None:
        """Delete the folder."""
        self._folder.cleanup()


def write_wav(audio: str, target: Path) -> None:
    """Decode a clip and write it as 16-bit PCM, at its own rate and channels.

    Raises
    ------
    ClipError
        See `base_models.clips.audio.load_audio`.
    """
    write_pcm(audio, target, MAX_SECONDS)


def rated_clips(table: pd.DataFrame) -> tuple[list[RatedClip], list[SetAside]]:
    """The clips of a table that can be rated, and those that cannot.

    Parameters
    ----------
    table : DataFrame
        ``clip_id, system_id, prompt, audio``, as `base_models.clips.read_clips` makes.

    Raises
    ------
    UsageError
        When none can.
    """
    clips = []
    set_aside = []
    for row in table[["clip_id", "system_id", "prompt", "audio"]].itertuples():
        try:
            info = probe(row.audio)
        except ClipError as error:
            set_aside.append(SetAside(row.clip_id, str(error)))
            continue
        if info.seconds > MAX_SECONDS:
            reason = (
                f"{info.seconds / 60:.0f} minutes long; clips of up to "
                f"{MAX_SECONDS / 60:g} minutes are rated: name a part of it "
                "(song.wav#t=60,70)"
            )
            set_aside.append(SetAside(row.clip_id, reason))
            continue
        clip = RatedClip(
            row.clip_id,
            row.system_id,
            row.prompt,
            audio=row.audio,
            sha256=info.sha256,
            seconds=info.seconds,
        )
        clips.append(clip)
    if not clips:
        reason = set_aside[0].reason if set_aside else "the table is empty"
        raise UsageError(f"There is no clip to rate: {reason}.")
    return clips, set_aside
