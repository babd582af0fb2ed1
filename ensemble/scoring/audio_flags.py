"""What stands beside a score about the audio of its clip.

A model gives a score to anything: silence scored 4.04 by one stack, above most music.
Whoever reads a score has to see that there was nothing to be heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.clip_model import ClipModel
from base_models.clips.audio import (
    LENGTH_TOLERANCE,
    USED_SECONDS,
    AudioInfo,
    probe,
)
from base_models.clips.audio_files.levels import (
    CANCELLING_DECIBELS,
    CLIPPED_SHARE,
    PARTLY_SILENT,
    SILENCE_DBFS,
)
from base_models.encoders import known_encoders, parse_encoder
from base_models.errors import ClipError, some
from base_models.mono_rules import MIX, named_channel
from meta.score_columns import (
    AUDIO_COLUMNS,
    BANDWIDTH_HZ,
    CHANNELS,
    COUNT_COLUMNS,
    FLAGS,
    SECONDS,
    SOURCE_HZ,
)
from meta.score_flags import CUT, flags_text

MOST_NEEDED_HZ = 8_000.0
"""Encoders of high rates are not taken to need more.

Most corpora have clips of 16 kHz; a flag that all of them bear tells nothing. Those who
want more of their clips see the column of bandwidths.
"""
EDGE_SHARE = 7 / 8
"""Filters of resamplers and of lossy formats take the rest."""

_NOTES: Mapping[str, str] = {
    "silent": f"warning: {{clips}} silent (below {SILENCE_DBFS:g} dBFS); {{their}} "
    "scores are of nothing that is heard ({ids})",
    "silent_channel": "warning: {clips} silent in the channel that the stack reads by "
    f"its --mono left or right (below {SILENCE_DBFS:g} dBFS); {{their}} scores are of "
    "nothing that is heard ({ids})",
    "partly_silent": f"note: {{clips}} silent in at least {PARTLY_SILENT:.0%} of what "
    "is scored ({ids})",
    "clipped": f"note: {{clips}} clipped in over {CLIPPED_SHARE:.1%} of the samples "
    "({ids})",
    "cancelling": "note: {clips} recorded with channels that cancel (their mean lies "
    f"over {-CANCELLING_DECIBELS:g} dB below them); models of the usual --mono mix "
    "read the loudest channel ({ids})",
    "unreadable": "warning: the audio of {clips} refused; {their} scores are of "
    "stored embeddings, made when that was not noticed ({ids}; check_clips says why)",
    "narrow_band": "note: {clips} of less bandwidth than the encoders of the stack "
    "read ({needed:.0f} Hz): a low sample rate, or resampled from one ({ids})",
}
"""Flags of audio, and what is said of the clips that have them."""


def needed_bandwidth(models: Sequence[ClipModel[Any]]) -> float:
    """The bandwidth below which the encoders of base models lack something, in Hz.

    It is 0 where there are none. No encoder is loaded for it: whoever joins what others
    have scored needs no weights.
    """
    specs = known_encoders().specs
    names = {parse_encoder(model.encoder_words()[0])[0] for model in models}
    rates = [specs[name].sample_rate or 0 for name in names]
    return EDGE_SHARE * min(max(rates, default=0) / 2, MOST_NEEDED_HZ)


def audio_columns(
    audio: Sequence[str], needed: float, rules: Sequence[str] = (MIX,)
) -> pd.DataFrame:
    """Describe the audio of clips, as far as it is scored.

    Parameters
    ----------
    audio : sequence of n str
        As `base_models.clips.audio.load_audio` takes it.
    needed : float
        Of `needed_bandwidth`.
    rules : sequence of str
        By which base models make one channel of several, see
        `base_models.mono_rules`.

    Returns
    -------
    columns : DataFrame of n rows
        The flags, separated by spaces; and length in seconds, sample rate in Hz, number
        of channels and bandwidth in Hz, NaN where the audio cannot be read any more.
    """
    facts: dict[str, list[float]] = {name: [] for name in AUDIO_COLUMNS}
    flags = []
    for path in audio:
        try:
            info = probe(path, USED_SECONDS)
        except ClipError:
            # It was embedded by a version that did not see what is wrong with it.
            for values in facts.values():
                values.append(np.nan)
            flags.append("unreadable")
            continue
        facts[SECONDS].append(round(info.seconds, 3))
        facts[SOURCE_HZ].append(info.sample_rate)
        facts[CHANNELS].append(info.channels)
        facts[BANDWIDTH_HZ].append(round(info.bandwidth))
        flags.append(_flags(info, needed, rules))
    # They are written 16000, and not 16000.0 where one of them is unknown.
    types = dict.fromkeys(COUNT_COLUMNS, "Int64")
    return pd.DataFrame({FLAGS: flags, **facts}).astype(types)


def _flags(info: AudioInfo, needed: float, rules: Sequence[str]) -> str:
    """The flags of the audio of a clip."""
    levels = info.levels
    read = {named_channel(rule, info.channels) for rule in rules}
    reads_silence = not read.isdisjoint(levels.silent_channels())
    is_flagged = {
        "silent": levels.is_silent,
        "silent_channel": reads_silence and not levels.is_silent,
        "partly_silent": levels.is_partly_silent,
        "clipped": levels.is_clipped,
        "cancelling": levels.is_cancelling and MIX in rules,
        "unreadable": False,
        # Of silence there is no bandwidth.
        "narrow_band": info.bandwidth < needed and not levels.is_silent,
        CUT: info.seconds > USED_SECONDS + LENGTH_TOLERANCE,
    }
    return flags_text(flag for flag, holds in is_flagged.items() if holds)


def flags_of_whole(parts: Sequence[str]) -> str:
    """The flags of a recording by those of its parts, which are of one length.

    It is partly silent where about half of it is, and of low bandwidth only if all of
    it is that sounds; any other flag of a part is one of the whole.

    >>> flags_of_whole(["narrow_band", "clipped", "silent"])
    'clipped'
    >>> flags_of_whole(["clipped", "partly_silent", "silent"])
    'partly_silent clipped'
    """
    flags = [set(part.split()) for part in parts]
    sounding = [part for part in flags if "silent" not in part]
    if not sounding:
        return parts[0]
    kept = set().union(*sounding) - {"partly_silent"}
    n_partly = sum("partly_silent" in part for part in flags)
    n_silent = len(flags) - len(sounding) + PARTLY_SILENT * n_partly
    if n_silent >= PARTLY_SILENT * len(flags):
        kept.add("partly_silent")
    if not all("narrow_band" in part for part in sounding):
        kept.discard("narrow_band")
    return flags_text(kept)


def mono_rules_of(models: Sequence[ClipModel[Any]]) -> tuple[str, ...]:
    """The rules by which base models make one channel of those of a clip."""
    return tuple(sorted({model.config_.mono for model in models}))


def flag_notes(scored: pd.DataFrame, needed: float) -> list[str]:
    """A line for each flag that clips have.

    Parameters
    ----------
    scored : DataFrame
        With ``clip_id`` and `FLAGS`.
    needed : float
        Of `needed_bandwidth`.
    """
    flags = scored[FLAGS].str.split()
    notes = []
    for flag, note in _NOTES.items():
        has_flag = [flag in of_clip for of_clip in flags]
        ids = scored["clip_id"][has_flag].tolist()
        if not ids:
            continue
        if len(scored) == 1:
            clips = "the clip is"
        else:
            clips = (
                f"{len(ids)} of {len(scored)} clips {'is' if len(ids) == 1 else 'are'}"
            )
        their = "its" if len(ids) == 1 else "their"
        notes.append(
            note.format(clips=clips, their=their, ids=some(ids), needed=needed)
        )
    return notes
