"""The demo corpus: procedural music with simulated ratings, laid out like MusicEval.

It exists so that every command can be tried, and the whole flow tested, without any
data. What is asked for, played and rated comes from `ratings`, the sound
from `synthesis`; this module writes both into a tree of files.
"""

from __future__ import annotations

import contextlib
import io
import operator
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from base_models.clips.columns import SPLITS
from base_models.clips.demo.ratings import (
    RATINGS_PER_CLIP,
    Clip,
    Prompt,
    System,
    make_clips,
    make_prompts,
    make_systems,
    rate,
)
from base_models.clips.demo.synthesis import SAMPLE_RATE, TEMPI, Band, perform
from base_models.clips.musiceval import system_of
from base_models.errors import DamagedArtifact, UsageError, raise_machine_fault
from base_models.files import read_json, sweep, temporary_sibling, write_json

VERSION = 1
STAMP = "demo.json"

# A backslash joins two lines of the source into one line of the file.
README = """\
DEMO CORPUS - synthetic music, simulated raters.

This tree has the layout of MusicEval (AudioMOS Challenge 2025, track 1), \
but nothing in it comes from there. Every
clip is procedural music, and every rating is simulated by a program: \
nothing measured on this demo corpus says
anything about real music, real generators or real listeners.

wav/          clips, {rate} Hz mono, 16 bit        \
sets/         file.wav,MI,TA: means of {ratings} simulated ratings
person_mos/   file.wav,rater,MI,TA               \
system_mos/   system,MI,TA: means over all clips of the three splits
prompt_info.txt   id<TAB>text                    \
demo.json     seed, sizes and version of this demo corpus
"""


@dataclass(frozen=True)
class _Sizes:
    """What determines a demo corpus."""

    seed: int
    n_systems: int
    n_prompts: int


def write_demo(
    folder: Path | str,
    seed: int = 0,
    n_systems: int = 14,
    n_prompts: int = 30,
) -> Path:
    """Write the demo corpus, whole or not at all.

    A corpus that is already there is left as it is.

    Parameters
    ----------
    folder : path-like
        Where the tree goes: absent, empty, or a finished demo corpus of the same seed
        and sizes.
    seed : int
        Seed of everything; the same seed and sizes give the same bytes.
    n_systems, n_prompts : int
        Every system plays every prompt: one clip of 4.5 to 5.5 s for each pair.

    Returns
    -------
    root : Path
        `folder`, the root of a MusicEval tree.

    Raises
    ------
    UsageError
        When `folder` holds anything else, or a size or the seed is out of range.
    MachineFault
        When the disk is full or fails; nothing is left behind.
    """
    folder = Path(folder)
    sizes = _Sizes(
        seed=_checked_integer("seed", seed, low=0, high=2**32 - 1),
        n_systems=_checked_integer("n_systems", n_systems, low=2, high=900),
        n_prompts=_checked_integer("n_prompts", n_prompts, low=3, high=999),
    )
    stamp = {
        "what": "demo corpus: synthetic music, simulated raters",
        "version": VERSION,
        **asdict(sizes),
    }
    if _is_finished(folder, stamp):
        return folder

    # Written next to its final place, and moved there when it is whole.
    place = folder.absolute()
    sweep(place.parent, name=place.name)
    partial = temporary_sibling(place)
    try:
        _write_tree(partial, sizes)
        write_json(partial / STAMP, stamp)
        _move(partial, folder, stamp)
    except OSError as error:
        raise_machine_fault(error, folder)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_demo(path: Path | str) -> bool:
    """Whether `path` is a demo corpus, which a report about it has to mention.

    >>> is_demo("/nowhere")
    False
    """
    return (Path(path) / STAMP).is_file()


def _checked_integer(
    name: str,
    value: int,
    low: int,
    high: int,
) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(
            f"{name} is {value!r}; pass a whole number from {low} to {high}."
        ) from None
    if not low <= number <= high:
        raise UsageError(f"{name} is {value}; the demo corpus takes {low} to {high}.")
    return number


def _is_finished(folder: Path, stamp: dict[str, Any]) -> bool:
    """Whether the same corpus is in `folder` already.

    Raises
    ------
    UsageError
        When anything else is there.
    """
    if not folder.exists():
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        return False

    contents: object = "files that are not a demo corpus"
    with contextlib.suppress(DamagedArtifact):
        contents = read_json(folder / STAMP)
    if contents == stamp:
        return True
    raise UsageError(
        f"{folder} holds {contents}; wanted {stamp}. "
        "Pass a new or empty folder, or remove this one."
    )


def _move(
    partial: Path,
    folder: Path,
    stamp: dict[str, Any],
) -> None:
    # An empty folder may be in the place.
    with contextlib.suppress(OSError):
        folder.rmdir()
    try:
        os.rename(partial, folder)
    except OSError:
        # Another process may have written the same corpus in the meantime.
        if not _is_finished(folder, stamp):
            raise


def _write_tree(root: Path, sizes: _Sizes) -> None:
    prompts = make_prompts(sizes.seed, sizes.n_prompts)
    systems = make_systems(sizes.seed, sizes.n_systems)
    clips = make_clips(sizes.seed, systems, prompts)
    raters, scores = rate(clips, sizes.seed)

    for name in ("wav", "sets", "person_mos", "system_mos"):
        (root / name).mkdir(parents=True)
    readme = README.format(rate=SAMPLE_RATE, ratings=RATINGS_PER_CLIP)
    _write_lines(root / "README.txt", readme.splitlines())
    _write_prompts(root, prompts)
    _write_labels(root, clips, raters=raters, scores=scores)
    _write_system_scores(root, clips, scores)

    wav_files = encode(clips, systems, prompts, seed=sizes.seed)
    for clip, data in zip(clips, wav_files, strict=True):
        (root / "wav" / clip.name).write_bytes(data)


def _write_lines(path: Path, lines: list[str]) -> None:
    # As bytes, since a text file would have other line ends on another platform.
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _write_prompts(root: Path, prompts: list[Prompt]) -> None:
    lines = ["id\ttext"]
    for i, prompt in enumerate(prompts, start=1):
        lines.append(f"P{i:03d}\t{prompt.text}")
    _write_lines(root / "prompt_info.txt", lines)


def _write_labels(
    root: Path,
    clips: list[Clip],
    raters: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Write the mean and the single ratings of the clips of each split.

    Parameters
    ----------
    raters : int array of shape (clips, ratings)
    scores : int array of shape (clips, ratings, 2)
    """
    means = scores.mean(axis=1)
    for split in SPLITS:
        mean_lines = []
        rating_lines = []
        for i, clip in enumerate(clips):
            if clip.split != split:
                continue
            mean_mi, mean_ta = means[i]
            mean_lines.append(f"{clip.name},{mean_mi:.1f},{mean_ta:.1f}")
            for rater, (mi, ta) in zip(raters[i], scores[i], strict=True):
                rater_name = f"demo-rater-{rater + 1:02d}"
                rating_lines.append(f"{clip.name},{rater_name},{mi},{ta}")

        _write_lines(root / "sets" / f"{split}_mos_list.txt", mean_lines)
        _write_lines(root / "person_mos" / f"{split}_person_mos.txt", rating_lines)


def _write_system_scores(
    root: Path,
    clips: list[Clip],
    scores: np.ndarray,
) -> None:
    means = scores.mean(axis=1)
    system_of_clip = np.array([system_of(clip.name) for clip in clips])

    lines = []
    for system in np.unique(system_of_clip):
        mi, ta = means[system_of_clip == system].mean(axis=0)
        lines.append(f"{system},{mi:.4f},{ta:.4f}")
    _write_lines(root / "system_mos" / "system_mos.csv", lines)


def encode(
    clips: list[Clip],
    systems: list[System],
    prompts: list[Prompt],
    seed: int,
) -> Iterator[bytes]:
    """Synthesise the clips and yield each as a WAV file (16 kHz, mono, PCM_16).

    The comment in the file says that it is a demo.
    """
    band = Band()
    for clip in clips:
        rng = np.random.default_rng([seed, 6, clip.system, clip.prompt])
        system = systems[clip.system]
        prompt = prompts[clip.prompt]

        # A system that obeys plays at the tempo asked for, else at one of its own.
        bpm: float = prompt.bpm
        if clip.played.tempo != prompt.piece.tempo:
            slowest, fastest = TEMPI[clip.played.tempo]
            bpm = rng.uniform(slowest, fastest)

        faults = {}
        for name, (share, character) in system.faults.items():
            faults[name] = (share * clip.severity, character)

        audio = perform(
            clip.played,
            bpm,
            seconds=rng.uniform(4.5, 5.5),
            house=system.house,
            faults=faults,
            rng=rng,
            band=band,
        )
        yield _wav_file(audio)


def _wav_file(audio: np.ndarray) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        mode="w",
        samplerate=SAMPLE_RATE,
        channels=1,
        subtype="PCM_16",
        format="WAV",
    ) as wav:
        wav.comment = "demo: synthetic music, simulated raters"
        wav.write(audio)
    return file.getvalue()
