"""What to know of a clip table before anything is trained on it: facts to read, and findings to act on.

A fact is what any table has (counts, range, step, rates); a finding is what would spoil training or evaluation without
an error: silent clips, wrong rates, one recording in two splits. The trap: two ids do not make two recordings, so audio
is compared by the hash of its bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.clips.audio import USED_SECONDS, AudioInfo, probe
from base_models.clips.columns import TEXT_ASPECTS
from base_models.clips.read_clips import SetAside
from base_models.errors import ClipError, some

SHORT_SECONDS = 1.0
SILENCE_DBFS, CLIPPED_SHARE = -60.0, 1e-3
OUTLIER = 5.0  # times the median length, either way
SPLIT_ORDER = ("train", "dev", "test", "(none)")
_STEPS = (
    1,
    1 / 2,
    1 / 3,
    1 / 4,
    1 / 5,
    1 / 6,
    1 / 8,
    1 / 10,
    1 / 12,
    1 / 16,
    1 / 20,
    1 / 40,
    1 / 50,
    1 / 100,
    1 / 1000,
)


@dataclass(frozen=True)
class Finding:
    """Something that needs the user's attention.

    Parameters
    ----------
    kind : str, one word for programs, e.g. ``"silence"``
    count : how many clips (or systems, for ``"absent_systems"``)
    examples : all of them, by id
    message : str, one sentence for people
    """

    kind: str
    count: int
    examples: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Sounds:
    """Results of probing: what was read, by clip id, and what could not be."""

    read: Mapping[str, AudioInfo]
    missing: tuple[SetAside, ...] = ()
    unreadable: tuple[SetAside, ...] = ()


def probe_clips(
    frame: pd.DataFrame, track: Callable[[Iterable], Iterable] = iter
) -> Sounds:
    """Probe the audio of each clip that names a file.

    Parameters
    ----------
    frame : clip table
    track : wraps the loop, e.g. to show progress
    """
    read, missing, unreadable = {}, [], []
    for clip_id, audio in track(
        list(zip(frame["clip_id"], frame["audio"], strict=True))
    ):
        try:
            read[clip_id] = probe(audio)
        except ClipError as error:
            gone = not audio or isinstance(
                error.__cause__ or error.__context__, FileNotFoundError
            )
            (missing if gone else unreadable).append(SetAside(clip_id, str(error)))
    return Sounds(read, tuple(missing), tuple(unreadable))


def inspect_clips(frame: pd.DataFrame, sounds: Sounds | None = None) -> list[Finding]:
    """What is wrong, or odd, with a clip table and its audio.

    Parameters
    ----------
    frame : clip table (ids are unique already: `read_clips` sees to that)
    sounds : of `probe_clips`; probed here when absent

    Returns
    -------
    findings : list, empty when all is well
    """
    sounds = probe_clips(frame) if sounds is None else sounds
    return [
        *_in_table(frame),
        *_in_files(frame, sounds),
        *_doubles(frame, sounds),
        *_in_sounds(sounds.read),
    ]


def summarise_clips(frame: pd.DataFrame, sounds: Sounds) -> dict[str, Any]:
    """Facts of a clip table, fit for JSON: counts, score range and step per aspect, lengths, rates, channels."""
    infos = list(sounds.read.values())
    splits = frame["split"].where(frame["split"] != "", "(none)")
    facts: dict[str, Any] = {
        "clips": len(frame),
        "systems": int(frame["system_id"][frame["system_id"] != ""].nunique()),
        "prompts": int(frame["prompt"][frame["prompt"] != ""].nunique()),
        "clips_per_split": {
            name: int((splits == name).sum())
            for name in SPLIT_ORDER
            if (splits == name).any()
        },
        "clips_per_system": {
            str(system): {
                str(name): int(count) for name, count in part.value_counts().items()
            }
            for system, part in splits.groupby(frame["system_id"])
        },
        "scores": {
            aspect: _score_facts(frame[aspect].to_numpy(np.float64))
            for aspect in frame.attrs["aspects"]
        },
        "audio_read": len(infos),
    }
    if infos:
        seconds = np.array([info.seconds for info in infos])
        facts |= {
            "hours": float(seconds.sum() / 3600),
            "seconds": {
                "min": float(seconds.min()),
                "median": float(np.median(seconds)),
                "max": float(seconds.max()),
            },
            "sample_rates": {
                str(rate): n
                for rate, n in Counter(info.sample_rate for info in infos).most_common()
            },
            "channels": {
                str(count): n
                for count, n in Counter(info.channels for info in infos).most_common()
            },
        }
    return facts


def _score_facts(scores: np.ndarray) -> dict[str, Any]:
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return {"labelled": 0}
    low, high, mean = (float(f(scores)) for f in (np.min, np.max, np.mean))
    return {
        "labelled": len(scores),
        "min": low,
        "max": high,
        "mean": mean,
        "step": score_step(scores),
    }


def score_step(scores) -> float | None:
    """The coarsest step whose multiples all scores are, or None: 0.2 for means of 5 integer ratings.

    >>> score_step([1.2, 3.0, 4.8])
    0.2
    """
    scores = np.asarray(scores, dtype=np.float64)
    whole = (
        step
        for step in _STEPS
        if np.abs(scores / step - np.round(scores / step)).max() < 1e-6
    )
    return next(whole, None)


def _finding(kind: str, names: Iterable[str], message: str) -> list[Finding]:
    """One finding about `names`, or none; ``{}`` in the message stands for a few of them."""
    names = tuple(dict.fromkeys(names))
    return (
        [Finding(kind, len(names), names, message.replace("{}", some(names), 1))]
        if names
        else []
    )


def _in_table(frame: pd.DataFrame) -> list[Finding]:
    ids, prompts, systems = frame["clip_id"], frame["prompt"], frame["system_id"]
    findings = []
    if (prompts != "").any() or TEXT_ASPECTS & set(frame.attrs["aspects"]):
        findings += _finding(
            "missing_prompts", ids[prompts == ""], "Clips without a prompt: {}."
        )
    if (systems != "").any():
        findings += _finding(
            "missing_systems", ids[systems == ""], "Clips without a system: {}."
        )
        for split in [name for name in SPLIT_ORDER if (frame["split"] == name).any()]:
            absent = sorted(set(systems) - set(systems[frame["split"] == split]) - {""})
            findings += _finding(
                "absent_systems", absent, f"Systems without a clip in {split}: {{}}."
            )
    for aspect in frame.attrs["aspects"]:
        labelled = frame[aspect].notna()
        if labelled.sum() > 1 and frame[aspect].nunique() == 1:
            message = f"Every label of {aspect} is the same; there is nothing to learn or rank."
            findings += _finding("constant_scores", ids[labelled], message)
    return findings


def _in_files(frame: pd.DataFrame, sounds: Sounds) -> list[Finding]:
    ids = frame["clip_id"]
    if (frame["audio"] == "").all():
        return _finding(
            "no_audio",
            ids,
            "No clip names an audio file: this is a list of labels only.",
        )
    missing = [aside.clip_id for aside in sounds.missing]
    unreadable = [aside.clip_id for aside in sounds.unreadable]
    why = f" First reason: {sounds.unreadable[0].reason}." if unreadable else ""
    return _finding(
        "missing_audio", missing, "Audio files are not there for {}."
    ) + _finding("unreadable_audio", unreadable, "Audio cannot be used of {}." + why)


def _doubles(frame: pd.DataFrame, sounds: Sounds) -> list[Finding]:
    """Clips with the same bytes, apart as to whether they stand in one split or in several."""
    split = dict(zip(frame["clip_id"], frame["split"], strict=True))
    same: dict[str, list[str]] = {}
    for clip_id, info in sounds.read.items():
        same.setdefault(info.sha256, []).append(clip_id)
    groups = [clips for clips in same.values() if len(clips) > 1]
    across = [
        clip for clips in groups if len({split[c] for c in clips}) > 1 for clip in clips
    ]
    within = [
        clip
        for clips in groups
        if len({split[c] for c in clips}) == 1
        for clip in clips
    ]
    leak = "The same recording is in more than one split, under several ids: {}. What is trained on cannot test."
    return _finding("audio_across_splits", across, leak) + _finding(
        "duplicate_audio",
        within,
        "The same recording stands there under several ids: {}.",
    )


def _in_sounds(read: Mapping[str, AudioInfo]) -> list[Finding]:
    if not read:
        return []
    seconds = {clip: info.seconds for clip, info in read.items()}
    median = float(np.median(list(seconds.values())))
    rate, channels = (
        _majority(getattr(info, name) for info in read.values())
        for name in ("sample_rate", "channels")
    )
    quiet = 10 ** (SILENCE_DBFS / 20)
    tests = {
        "silence": (
            lambda i: i.rms < quiet,
            f"Silent (below {SILENCE_DBFS:g} dBFS): {{}}.",
        ),
        "clipping": (
            lambda i: i.clipped_fraction > CLIPPED_SHARE,
            f"Clipped (over {CLIPPED_SHARE:.1%} of samples in runs at full scale): {{}}.",
        ),
        "short": (
            lambda i: i.seconds < SHORT_SECONDS,
            f"Shorter than {SHORT_SECONDS:g} s: {{}}.",
        ),
        "long": (
            lambda i: i.seconds > USED_SECONDS,
            f"Longer than {USED_SECONDS:g} s, of which only the first {USED_SECONDS:g} s are used: {{}}.",
        ),
        "odd_length": (
            lambda i: not median / OUTLIER <= i.seconds <= median * OUTLIER,
            f"Length over {OUTLIER:g} times off the median of {median:.1f} s: {{}}.",
        ),
        "odd_rate": (
            lambda i: i.sample_rate != rate,
            f"Sample rate other than {rate} Hz, which most have: {{}}.",
        ),
        "odd_channels": (
            lambda i: i.channels != channels,
            f"Channels other than {channels}, which most have: {{}}.",
        ),
    }
    found = []
    for kind, (is_so, message) in tests.items():
        found += _finding(
            kind, [clip for clip, info in read.items() if is_so(info)], message
        )
    return found


def _majority(values: Iterable[int]) -> int:
    """The commonest value, the smallest of equals."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))
