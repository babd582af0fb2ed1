"""Check a clip table before training: facts to read, and findings to act on.

A fact is what every table has: counts, score ranges and steps, sample rates. A finding
is what would spoil training or evaluation without an error: silent clips, a wrong
sample rate, one recording in two splits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.clip_status import MISSING
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
from base_models.clips.columns import SPLITS, is_judged_by_text
from base_models.clips.names import twin_ids
from base_models.clips.read_clips import SetAside
from base_models.errors import ClipError, some

if TYPE_CHECKING:
    from base_models.clips.same_audio.fingerprint import Fingerprint
    from base_models.clips.same_audio.matches import SamePair


SHORT_SECONDS = 1.0

# No encoder reads less than 16 kHz, so that it expects something up to 8 kHz; the
# filter of a resampler, or of a lossy format, takes some of that.
NARROW_HZ = 7_000.0

# A length is odd when it is this many times above or below the median.
ODD_LENGTH_FACTOR = 5.0

# How splits are listed; "(none)" stands for clips without a split.
SPLIT_ORDER = (*SPLITS, "(none)")

# Steps of scores, from coarse to fine: a mean of n integer ratings has the step 1 / n.
_RATINGS_PER_MEAN = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 40, 50, 100, 1000)
_STEPS: tuple[float, ...] = (1, *(1 / n for n in _RATINGS_PER_MEAN))

_IdsAndAudio = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """A defect of a clip table that needs the user's attention.

    Parameters
    ----------
    kind : str
        One word for programs, such as ``"silence"``.
    count : int
        Number of clips, or of systems for ``"absent_systems"``.
    examples : tuple of str
        All of them, by id.
    message : str
        One sentence for people.
    """

    kind: str
    count: int
    examples: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class ProbedAudio:
    """Results of probing the audio of a clip table.

    Parameters
    ----------
    read : mapping of clip id to AudioInfo
        The clips whose audio could be read.
    missing : tuple of SetAside
        The clips that name no audio file, or one that does not exist.
    unreadable : tuple of SetAside
        The clips whose audio file exists and cannot be used.
    prints : mapping of clip id to Fingerprint
        Of the clips whose audio could be read.
    """

    read: Mapping[str, AudioInfo]
    missing: tuple[SetAside, ...] = ()
    unreadable: tuple[SetAside, ...] = ()
    prints: Mapping[str, Fingerprint] = field(default_factory=dict)


def probe_clips(
    frame: pd.DataFrame,
    track: Callable[[_IdsAndAudio], _IdsAndAudio] = iter,
) -> ProbedAudio:
    """Probe the audio of each clip.

    Parameters
    ----------
    frame : DataFrame
        Clip table.
    track : callable
        Wraps the list of (clip id, audio) pairs that is iterated over, for instance to
        show progress.
    """
    # Imported late: it loads SciPy, which --help does not need.
    from base_models.clips.same_audio.fingerprint import read_fingerprint
    from base_models.clips.same_audio.stretches import Stretch

    read: dict[str, AudioInfo] = {}
    missing: list[SetAside] = []
    unreadable: list[SetAside] = []
    prints: dict[str, Fingerprint] = {}

    pairs = list(zip(frame["clip_id"], frame["audio"], strict=True))
    for clip_id, audio in track(pairs):
        try:
            read[clip_id] = probe(audio)
            stretch = Stretch.of(audio, read[clip_id].sha256)
            prints[clip_id] = replace(read_fingerprint(audio), stretch=stretch)
        except ClipError as error:
            set_aside = SetAside.of(clip_id, error)
            if error.status == MISSING:
                missing.append(set_aside)
            else:
                unreadable.append(set_aside)
    return ProbedAudio(read, tuple(missing), tuple(unreadable), prints=prints)


# ---- facts


def summarise_clips(frame: pd.DataFrame, sounds: ProbedAudio) -> dict[str, Any]:
    """Summarise a clip table and its audio as facts, fit for JSON.

    Parameters
    ----------
    frame : DataFrame
        Clip table.
    sounds : ProbedAudio
        Of `probe_clips`.

    Returns
    -------
    facts : dict
        Counts of clips, systems and prompts; the range and step of the scores of each
        aspect; where labels are means of single ratings, how many these are per clip
        and how wide the intervals of the means; lengths, sample rates and channels
        where audio was read.
    """
    systems = frame["system_id"]
    prompts = frame["prompt"]
    splits = frame["split"].where(frame["split"] != "", "(none)")

    scores = {}
    for aspect in frame.attrs["aspects"]:
        scores[aspect] = _score_facts(frame[aspect].to_numpy(np.float64))

    facts: dict[str, Any] = {
        "clips": len(frame),
        "systems": int(systems[systems != ""].nunique()),
        "prompts": int(prompts[prompts != ""].nunique()),
        "clips_per_split": _clips_per_split(splits),
        "clips_per_system": _clips_per_system(systems, splits),
        "scores": scores,
        "audio_read": len(sounds.read),
    }
    if "means_of" in frame.attrs:
        facts["mean_ratings"] = _mean_rating_facts(frame)
    if sounds.read:
        facts.update(_audio_facts(list(sounds.read.values())))
    return facts


def _clips_per_split(splits: pd.Series) -> dict[str, int]:
    counts = {}
    for name in SPLIT_ORDER:
        count = int((splits == name).sum())
        if count > 0:
            counts[name] = count
    return counts


def _clips_per_system(systems: pd.Series, splits: pd.Series) -> dict[str, dict]:
    counts = {}
    for system, splits_of_system in splits.groupby(systems):
        # As built-in types, since JSON takes no others.
        counts_of_system = {}
        for split, count in splits_of_system.value_counts().items():
            counts_of_system[str(split)] = int(count)
        counts[str(system)] = counts_of_system
    return counts


def _audio_facts(infos: list[AudioInfo]) -> dict[str, Any]:
    seconds = np.array([info.seconds for info in infos])
    bandwidths = np.array([info.bandwidth for info in infos])
    return {
        "hours": float(seconds.sum() / 3600),
        "seconds": {
            "min": float(seconds.min()),
            "median": float(np.median(seconds)),
            "max": float(seconds.max()),
        },
        "sample_rates": _counts(info.sample_rate for info in infos),
        "channels": _counts(info.channels for info in infos),
        "bandwidth": {
            "min": float(bandwidths.min()),
            "median": float(np.median(bandwidths)),
            "below_encoders": int((bandwidths < NARROW_HZ).sum()),
        },
        "decoder_notes": sum(bool(info.messages) for info in infos),
    }


def _counts(values: Iterable[int]) -> dict[str, int]:
    """Number of occurrences of each value, the most common first."""
    return {str(value): n for value, n in Counter(values).most_common()}


def _score_facts(scores: np.ndarray) -> dict[str, Any]:
    labelled = scores[~np.isnan(scores)]
    if len(labelled) == 0:
        return {"labelled": 0}
    return {
        "labelled": len(labelled),
        "min": float(np.min(labelled)),
        "max": float(np.max(labelled)),
        "mean": float(np.mean(labelled)),
        "step": score_step(labelled),
    }


def _mean_rating_facts(frame: pd.DataFrame) -> dict[str, Any]:
    """Per aspect what `read_clips` says of its means."""
    facts = {}
    for aspect in frame.attrs["aspects"]:
        counts = frame[f"{aspect}_n"]
        counts = counts[counts > 0]
        # Of a single rating there is no interval.
        widths = (frame[f"{aspect}_high"] - frame[f"{aspect}_low"]).dropna()
        facts[aspect] = {
            "ratings": int(counts.sum()),
            "clips": len(counts),
            "min": int(counts.min()) if len(counts) else None,
            "median": float(counts.median()) if len(counts) else None,
            "max": int(counts.max()) if len(counts) else None,
            "interval": float(widths.median()) if len(widths) else None,
            "widest": float(widths.max()) if len(widths) else None,
        }
    return facts


def score_step(scores: ArrayLike) -> float | None:
    """The coarsest known step of which all scores are multiples, or None.

    Means of 5 integer ratings, for instance, are multiples of 0.2.

    >>> score_step([1.2, 3.0, 4.8])
    0.2
    """
    values = np.asarray(scores, dtype=np.float64)
    for step in _STEPS:
        # Decimal scores are not exact in binary, so a multiple is one to a tolerance.
        n_steps = values / step
        if np.abs(n_steps - np.round(n_steps)).max() < 1e-6:
            return step
    return None


# ---- findings


def inspect_clips(
    frame: pd.DataFrame, sounds: ProbedAudio | None = None
) -> list[Finding]:
    """Find what is wrong, or odd, with a clip table and its audio.

    Parameters
    ----------
    frame : DataFrame
        Clip table. Its ids are unique, as `read_clips` ensures.
    sounds : ProbedAudio, optional
        Of `probe_clips`; probed here when not given.

    Returns
    -------
    findings : list of Finding
        Empty when all is well.
    """
    if sounds is None:
        sounds = probe_clips(frame)

    # From defects of the table to those of single recordings.
    return [
        *_findings_in_table(frame),
        *_findings_in_files(frame, sounds),
        *_duplicate_recordings(frame, sounds),
        *_unfit_recordings(sounds.read),
        *_unusual_recordings(sounds.read),
    ]


def _finding(
    kind: str,
    names: Iterable[str],
    message: str,
) -> list[Finding]:
    """A list with one finding about `names`, or an empty list where there are none.

    In the message, ``{names}`` stands for a few of them.
    """
    # Each name once, in order.
    examples = tuple(dict.fromkeys(names))
    if not examples:
        return []
    text = message.replace("{names}", some(examples), 1)
    return [Finding(kind, len(examples), examples, message=text)]


def _findings_in_table(frame: pd.DataFrame) -> list[Finding]:
    aspects = frame.attrs["aspects"]
    clip_ids = frame["clip_id"]
    prompts = frame["prompt"]
    systems = frame["system_id"]
    findings: list[Finding] = []

    # A table without any prompt is complete unless an aspect is rated against prompts.
    needs_prompts = any(is_judged_by_text(aspect) for aspect in aspects)
    if needs_prompts or (prompts != "").any():
        without_prompt = clip_ids[prompts == ""]
        findings += _finding(
            "missing_prompts", without_prompt, "Clips without a prompt: {names}."
        )

    twins = twin_ids(clip_ids)
    spelled = [" and ".join(f"'{clip}'" for clip in twin) for twin in twins[:5]]
    findings += _finding(
        "twin_ids",
        [clip for twin in twins for clip in twin],
        "Ids that differ in case, in invisible characters or in their Unicode form "
        f"alone, as if one clip were listed twice: {'; '.join(spelled)}.",
    )

    if (systems != "").any():
        without_system = clip_ids[systems == ""]
        findings += _finding(
            "missing_systems", without_system, "Clips without a system: {names}."
        )
        findings += _absent_systems(systems, frame["split"])

    for aspect in aspects:
        # One label alone is few, but not suspicious.
        is_labelled = frame[aspect].notna()
        if is_labelled.sum() > 1 and frame[aspect].nunique() == 1:
            findings += _finding(
                "constant_scores",
                clip_ids[is_labelled],
                f"Every label of {aspect} is the same; "
                "there is nothing to learn or rank.",
            )
    return findings


def _absent_systems(systems: pd.Series, splits: pd.Series) -> list[Finding]:
    """Systems that have clips, but none in one of the splits in use."""
    named = set(systems) - {""}
    findings: list[Finding] = []
    for split in SPLIT_ORDER:
        in_split = splits == split
        if in_split.any():
            absent = sorted(named - set(systems[in_split]))
            findings += _finding(
                "absent_systems",
                absent,
                f"Systems without a clip in {split}: {{names}}.",
            )
    return findings


def _findings_in_files(frame: pd.DataFrame, sounds: ProbedAudio) -> list[Finding]:
    clip_ids = frame["clip_id"]
    if (frame["audio"] == "").all():
        return _finding(
            "no_audio",
            clip_ids,
            "No clip names an audio file: this is a list of labels only.",
        )

    # The first reason is an example: there may be thousands, most of them alike.
    missing = [set_aside.clip_id for set_aside in sounds.missing]
    unreadable = [set_aside.clip_id for set_aside in sounds.unreadable]
    unreadable_message = "The audio of these clips cannot be used: {names}."
    if sounds.unreadable:
        unreadable_message += f" First reason: {sounds.unreadable[0].reason}."
    return [
        *_finding("missing_audio", missing, "Clips without their audio file: {names}."),
        *_finding("unreadable_audio", unreadable, unreadable_message),
    ]


def _duplicate_recordings(frame: pd.DataFrame, sounds: ProbedAudio) -> list[Finding]:
    """Clips that are one recording, across splits and within one."""
    from base_models.clips.same_audio.matches import pairs_text
    from base_models.clips.same_audio.recordings import Recordings

    split_of = dict(zip(frame["clip_id"], frame["split"], strict=True))
    across, within = Recordings.of(sounds.prints).across(split_of)
    return [
        *_finding(
            "audio_across_splits",
            _clips_of(across, frame),
            "The same recording is in more than one split, under several ids: "
            f"{pairs_text(across, split_of)}. A clip that a model was trained on "
            "cannot test it.",
        ),
        *_finding(
            "duplicate_audio",
            _clips_of(within, frame),
            "The same recording is listed under several ids: "
            f"{pairs_text(within, {})}.",
        ),
    ]


def _clips_of(pairs: Sequence[SamePair], frame: pd.DataFrame) -> list[str]:
    """The clips of some pairs, in the order of the table."""
    clips = {pair.first for pair in pairs} | {pair.second for pair in pairs}
    return [clip for clip in frame["clip_id"] if clip in clips]


def _unfit_recordings(read: Mapping[str, AudioInfo]) -> list[Finding]:
    """Clips that are silent, clipped, very short, or longer than what is used."""
    longest = USED_SECONDS + LENGTH_TOLERANCE
    return [
        *_finding(
            "silence",
            _clips_where(read, lambda info: info.levels.is_silent),
            f"Silent (below {SILENCE_DBFS:g} dBFS): {{names}}.",
        ),
        *_finding(
            "partly_silent",
            _clips_where(read, lambda info: info.levels.is_partly_silent),
            f"At least {PARTLY_SILENT:.0%} of the clip is silent (below "
            f"{SILENCE_DBFS:g} dBFS): {{names}}.",
        ),
        *_finding(
            "clipping",
            _clips_where(read, lambda info: info.levels.is_clipped),
            f"Clipped (over {CLIPPED_SHARE:.1%} of samples in runs at full scale): "
            "{names}.",
        ),
        *_finding(
            "cancelling",
            _clips_where(read, lambda info: info.levels.is_cancelling),
            "The channels cancel (their mean lies over "
            f"{-CANCELLING_DECIBELS:g} dB below them, as with one of reversed "
            "polarity); the loudest channel is used, unless --mono names another: "
            "{names}.",
        ),
        *_finding(
            "short",
            _clips_where(read, lambda info: info.seconds < SHORT_SECONDS),
            f"Shorter than {SHORT_SECONDS:g} s: {{names}}.",
        ),
        *_finding(
            "long",
            _clips_where(read, lambda info: info.seconds > longest),
            f"Longer than {USED_SECONDS:g} s, of which only the first "
            f"{USED_SECONDS:g} s are used (predict_mos --windows all scores the "
            "rest, too): {names}.",
        ),
        *_finding(
            "narrow_band",
            _clips_where(read, _claims_more_than_it_has),
            f"Nothing above {NARROW_HZ:g} Hz, though their sample rate is higher: "
            "recorded or encoded at a lower rate, and resampled. Encoders expect more "
            "and may take it for bad quality: {names}.",
        ),
        *_decoder_messages(read),
    ]


def _claims_more_than_it_has(info: AudioInfo) -> bool:
    """Whether there is less in a file than its sample rate lets expect.

    Where the rate itself is low, this is no news to anybody, and a fact of the table.
    """
    return info.bandwidth < NARROW_HZ < info.sample_rate / 2


def _warnings(info: AudioInfo) -> list[str]:
    """What the decoder says but for notes, such as of a tag that it skipped."""
    return [line for line in info.messages if not line.startswith("Note:")]


def _decoder_messages(read: Mapping[str, AudioInfo]) -> list[Finding]:
    """Clips about which their decoder has a warning."""
    names = _clips_where(read, lambda info: bool(_warnings(info)))
    if not names:
        return []
    first = _warnings(read[names[0]])[0]
    return _finding(
        "decoder_messages",
        names,
        "Decoded with a warning of the decoder, as of damaged or odd files: {names}. "
        f"The first: {first}",
    )


def _unusual_recordings(read: Mapping[str, AudioInfo]) -> list[Finding]:
    """Clips whose length, sample rate or channels differ from those of the others."""
    if not read:
        return []
    infos = read.values()
    median = float(np.median([info.seconds for info in infos]))
    usual_rate = _most_common(info.sample_rate for info in infos)
    usual_channels = _most_common(info.channels for info in infos)

    def is_odd_length(info: AudioInfo) -> bool:
        return (
            not median / ODD_LENGTH_FACTOR <= info.seconds <= median * ODD_LENGTH_FACTOR
        )

    return [
        *_finding(
            "odd_length",
            _clips_where(read, is_odd_length),
            f"Length over {ODD_LENGTH_FACTOR:g} times above or below the median "
            f"of {median:.1f} s: {{names}}.",
        ),
        *_finding(
            "odd_rate",
            _clips_where(read, lambda info: info.sample_rate != usual_rate),
            f"Sample rate other than the usual {usual_rate} Hz: {{names}}.",
        ),
        *_finding(
            "odd_channels",
            _clips_where(read, lambda info: info.channels != usual_channels),
            f"Number of channels other than the usual {usual_channels}: {{names}}.",
        ),
    ]


def _clips_where(
    read: Mapping[str, AudioInfo], condition: Callable[[AudioInfo], bool]
) -> list[str]:
    return [clip_id for clip_id, info in read.items() if condition(info)]


def _most_common(values: Iterable[int]) -> int:
    """The most common value, and the smallest of those where several are."""
    # A tie must not depend on the order of the clips.
    counts = Counter(values)
    highest = max(counts.values())
    return min(value for value, count in counts.items() if count == highest)
