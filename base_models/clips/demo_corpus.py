"""The embedded demo corpus: procedural music with prompts, faulty systems and simulated raters, as a MusicEval tree.

It exists so that every command can be tried, and the whole flow tested, without any data. The ratings are simulated:
nothing measured on them says anything about real music, real generators or real listeners.

Quality (`mi`) falls with the severity of a system's audio faults; alignment (`ta`) falls with what was asked and not
played. The trap: alignment must be learnable from some 200 clips, so systems disobey by habit (one always plays its
favourite instrument, another its own tempo) and only now and then by accident, and a system is audible, by its colour
and faults. Quality and obedience are dealt out almost independently; a halo in the raters' ears ties the two together.
"""

from __future__ import annotations

import contextlib
import errno
import io
import operator
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from base_models.clips.demo_synthesis import (
    FAULTS,
    INSTRUMENTS,
    MODES,
    SAMPLE_RATE,
    STEPS_PER_BEAT,
    TEMPI,
    UNSTEADY,
    Band,
    House,
    Piece,
    perform,
)
from base_models.errors import DamagedArtifact, OutOfSpace, UsageError
from base_models.files import read_json, write_json

VERSION = 1
STAMP = "demo.json"
PREFIX = "audiomos2025-track1-"
SPLITS = ("train", "dev", "test")
NOT_OURS = {
    1,
    6,
    13,
    17,
    18,
    33,
}  # MusicEval keeps the prompts of these systems in another file
RATERS, RATINGS_PER_CLIP = 14, 5
WEIGHTS = {
    "instrument": 0.40,
    "tempo": 0.30,
    "mode": 0.20,
    "density": 0.10,
}  # what disobeying costs, in shares of 1
CHOICES = dict(
    zip(WEIGHTS, map(tuple, (INSTRUMENTS, TEMPI, MODES, STEPS_PER_BEAT)), strict=True)
)
HALO = {
    "mi": 0.15,
    "ta": 0.28,
}  # share of the other quality that is heard in each score

WORDS = {
    "piano": ("piano", "solo piano", "grand piano"),
    "organ": ("organ", "church organ", "pipe organ"),
    "flute": ("flute", "wooden flute", "solo flute"),
    "strings": (
        "plucked strings",
        "plucked guitar strings",
        "harp-like plucked strings",
    ),
    "bells": ("bells", "chiming bells", "metal bells"),
    "bass": ("synth bass", "deep synth bass", "electronic synth bass"),
    "slow": ("slow", "slow and calm", "slow, unhurried"),
    "moderate": ("moderate", "moderate walking", "moderate, easy-going"),
    "fast": ("fast", "fast and lively", "fast, rushing"),
    "major": ("happy", "happy, cheerful", "happy and bright"),
    "minor": ("sad", "sad, melancholy", "sad and gloomy"),
    "sparse": ("sparse", "sparse, minimal", "sparse and airy"),
    "dense": ("dense", "dense, busy", "dense and full"),
}
TEMPLATES = (
    "Music for {instrument} in a {mode} key: {tempo} at about {bpm} bpm, {mood}, with a {density} texture.",
    "Play something {mood} on {instrument}, {tempo}, near {bpm} beats per minute, in {mode}, with {density} notes.",
    "We hear {density} playing of {instrument}; the tempo is {tempo}, {bpm} bpm, and the mood is {mood} ({mode}).",
    "This {mode} tune for {instrument} feels {mood}. Its pace is {tempo} ({bpm} bpm) and its texture {density}.",
    "Please write {mood} {instrument} music in {mode}, {density} rather than not, at a {tempo} tempo of {bpm} bpm.",
)
README = """DEMO CORPUS - synthetic music, simulated raters.

This tree has the layout of MusicEval (AudioMOS Challenge 2025, track 1), but nothing in it comes from there. Every
clip is procedural music, and every rating is simulated by a program: nothing measured on this demo corpus says
anything about real music, real generators or real listeners.

wav/          clips, {rate} Hz mono, 16 bit        sets/         file.wav,MI,TA: means of {ratings} simulated ratings
person_mos/   file.wav,rater,MI,TA               system_mos/   system,MI,TA: means over all clips of the three splits
prompt_info.txt   id<TAB>text                    demo.json     seed, sizes and version of this demo corpus
"""


@dataclass(frozen=True)
class Prompt:
    """What is asked: the piece, its tempo in beats per minute, and the words."""

    piece: Piece
    bpm: int
    text: str


@dataclass(frozen=True)
class System:
    """One simulated generator: its colour, its faults by name → (share of severity, character), and its habits."""

    house: House
    severity: float
    faults: dict[str, tuple[float, float]]
    favourite: Piece
    ignores: dict[
        str, float
    ]  # attribute → probability that the prompt's wish is ignored


@dataclass(frozen=True)
class Clip:
    """One clip before it is heard; `quality` and `alignment` are the latent scores."""

    name: str
    system: int
    prompt: int
    split: str
    played: Piece
    severity: float
    quality: float
    alignment: float


def write_demo(
    folder: Path | str, seed: int = 0, n_systems: int = 14, n_prompts: int = 30
) -> Path:
    """Write the demo corpus, whole or not at all; return at once when it is already there.

    Parameters
    ----------
    folder : where the tree goes; absent, empty, or a finished demo corpus of the same seed and sizes
    seed : of everything; the same seed and sizes give the same bytes
    n_systems, n_prompts : every system plays every prompt: one clip of 4.5 to 5.5 s for each pair

    Returns
    -------
    root : `folder` as a Path, the root of a MusicEval tree

    Raises
    ------
    UsageError
        when `folder` holds anything else, or a size or the seed is out of range.
    OutOfSpace
        when the disk is full; nothing is left behind.
    """
    folder = Path(folder)
    stamp = _stamp(seed, n_systems, n_prompts)
    if _is_finished(folder, stamp):
        return folder
    partial = folder.absolute().with_name(
        f".{folder.absolute().name[:100]}.{uuid.uuid4().hex}.tmp"
    )
    try:
        _write_tree(
            partial,
            **{name: stamp[name] for name in ("seed", "n_systems", "n_prompts")},
        )
        write_json(partial / STAMP, stamp)
        _move(partial, folder, stamp)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OutOfSpace(
                f"No space left to write the demo corpus to {folder}; free some and retry."
            ) from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_demo(path: Path | str) -> bool:
    """Whether `path` is a demo corpus, whoever names it; what is trained on one must say so.

    >>> is_demo("/nowhere")
    False
    """
    return (Path(path) / STAMP).is_file()


def _stamp(seed: int, n_systems: int, n_prompts: int) -> dict:
    legal = {
        "seed": (seed, 0, 2**32 - 1),
        "n_systems": (n_systems, 2, 900),
        "n_prompts": (n_prompts, 3, 999),
    }
    stamp = {
        "what": "demo corpus: synthetic music, simulated raters",
        "version": VERSION,
    }
    for name, (value, low, high) in legal.items():
        try:
            stamp[name] = operator.index(value)
        except TypeError:
            raise UsageError(
                f"{name} is {value!r}; pass a whole number from {low} to {high}."
            ) from None
        if not low <= stamp[name] <= high:
            raise UsageError(
                f"{name} is {value}; the demo corpus takes {low} to {high}."
            )
    return stamp


def _is_finished(folder: Path, stamp: dict) -> bool:
    """Whether the same corpus is there already; anything else that is there is refused."""
    if not folder.exists():
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    found = "files that are not a demo corpus"
    with contextlib.suppress(DamagedArtifact):
        found = read_json(folder / STAMP)
    if found == stamp:
        return True
    raise UsageError(
        f"{folder} holds {found}; wanted {stamp}. Pass a new or empty folder, or remove this one."
    )


def _move(partial: Path, folder: Path, stamp: dict) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()  # an empty folder may stand there
    try:
        os.rename(partial, folder)
    except OSError:
        if not _is_finished(
            folder, stamp
        ):  # another process may have written the same corpus meanwhile
            raise


def _write_tree(root: Path, seed: int, n_systems: int, n_prompts: int) -> None:
    prompts, systems = make_prompts(seed, n_prompts), make_systems(seed, n_systems)
    clips = make_clips(seed, systems, prompts)
    ratings = rate(clips, seed)
    for name in ("wav", "sets", "person_mos", "system_mos"):
        (root / name).mkdir(parents=True)
    _write_text(
        root / "README.txt",
        README.format(rate=SAMPLE_RATE, ratings=RATINGS_PER_CLIP).splitlines(),
    )
    lines = [f"P{i:03d}\t{prompt.text}" for i, prompt in enumerate(prompts, 1)]
    _write_text(root / "prompt_info.txt", ["id\ttext", *lines])
    _write_labels(root, clips, *ratings)
    for clip, data in zip(clips, encode(clips, systems, prompts, seed), strict=True):
        (root / "wav" / clip.name).write_bytes(data)


def _write_text(path: Path, lines: list[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _write_labels(
    root: Path, clips: list[Clip], raters: np.ndarray, scores: np.ndarray
) -> None:
    means = scores.mean(axis=1)
    for split in SPLITS:
        rows = [i for i, clip in enumerate(clips) if clip.split == split]
        lines = [f"{clips[i].name},{means[i, 0]:.1f},{means[i, 1]:.1f}" for i in rows]
        _write_text(root / "sets" / f"{split}_mos_list.txt", lines)
        votes = [
            (clips[i].name, *vote)
            for i in rows
            for vote in zip(raters[i], *scores[i].T, strict=True)
        ]
        lines = [
            f"{name},demo-rater-{rater + 1:02d},{mi},{ta}"
            for name, rater, mi, ta in votes
        ]
        _write_text(root / "person_mos" / f"{split}_person_mos.txt", lines)
    systems = np.array([clip.name.removeprefix(PREFIX).split("_")[0] for clip in clips])
    averages = {
        str(name): means[systems == name].mean(axis=0) for name in np.unique(systems)
    }
    lines = [f"{name},{mi:.4f},{ta:.4f}" for name, (mi, ta) in averages.items()]
    _write_text(root / "system_mos" / "system_mos.csv", lines)


def make_prompts(seed: int, count: int) -> list[Prompt]:
    """Prompts in which each instrument, tempo, mode and density comes up about equally often."""
    rng = np.random.default_rng([seed, 1])
    columns = [
        [values[i % len(values)] for i in rng.permutation(count)]
        for values in CHOICES.values()
    ]
    return [_prompt(Piece(*row), rng) for row in zip(*columns, strict=True)]


def _prompt(piece: Piece, rng: np.random.Generator) -> Prompt:
    bpm = int(rng.integers(*TEMPI[piece.tempo], endpoint=True))
    words = {
        name: rng.choice(WORDS[getattr(piece, name)])
        for name in ("instrument", "tempo", "density")
    }
    text = rng.choice(TEMPLATES).format(
        **words, mood=rng.choice(WORDS[piece.mode]), mode=piece.mode, bpm=bpm
    )
    return Prompt(piece, bpm, f"{text} (demo)")


def make_systems(seed: int, count: int) -> list[System]:
    """Systems evenly spread in severity and in obedience, the two almost uncorrelated."""
    rng = np.random.default_rng([seed, 2])
    severity = rng.permutation(np.linspace(0.03, 0.97, count))
    spread = np.linspace(-1.0, 1.0, count)
    spread = (
        0.5 + 0.5 * np.sign(spread) * np.abs(spread) ** 0.7
    )  # few are half obedient: habits outweigh accidents
    deals = [rng.permutation(spread) for _ in range(30)]
    disobedience = min(deals, key=lambda deal: abs(np.corrcoef(severity, deal)[0, 1]))
    kinds, resonances = (
        rng.permutation(list(FAULTS)),
        rng.permutation(np.geomspace(250, 5000, count)),
    )
    tilts, lines = (
        rng.permutation(np.linspace(-5, 5, count)),
        rng.permutation(np.geomspace(600, 6500, count)),
    )
    systems = []
    for i in range(count):
        first = str(kinds[i % len(kinds)])
        second = str(
            rng.choice([*(kind for kind in FAULTS if kind != first), UNSTEADY])
        )
        systems.append(
            System(
                house=House(
                    tilts[i], resonances[i], lines[i], level=rng.uniform(0.6, 1.2)
                ),
                severity=severity[i],
                faults={first: (1.0, rng.random()), second: (0.5, rng.random())},
                favourite=Piece(
                    *(str(rng.choice(values)) for values in CHOICES.values())
                ),
                ignores=_habits(disobedience[i], rng),
            )
        )
    return systems


def _habits(disobedience: float, rng: np.random.Generator) -> dict[str, float]:
    """Ignore almost always those attributes whose weights sum to about `disobedience`, and seldom the others."""
    subsets = [
        [name for i, name in enumerate(WEIGHTS) if bits >> i & 1]
        for bits in range(2 ** len(WEIGHTS))
    ]
    off = [
        abs(sum(WEIGHTS[name] for name in subset) - disobedience) + rng.uniform(0, 0.08)
        for subset in subsets
    ]
    ignored = subsets[int(np.argmin(off))]
    return {
        name: rng.uniform(0.88, 0.98) if name in ignored else rng.uniform(0.0, 0.08)
        for name in WEIGHTS
    }


def make_clips(seed: int, systems: list[System], prompts: list[Prompt]) -> list[Clip]:
    """One clip for each system and prompt, in order of name, with its split and its latent scores."""
    numbers = [
        number
        for number in range(1, len(systems) + 1 + len(NOT_OURS))
        if number not in NOT_OURS
    ]
    clips = []
    for i, system in enumerate(systems):
        splits = _deal_splits(len(prompts), np.random.default_rng([seed, 3, i]))
        for j, prompt in enumerate(prompts):
            rng = np.random.default_rng([seed, 4, i, j])
            played = _obey(system, prompt.piece, rng)
            severity = float(np.clip(system.severity + rng.normal(0, 0.12), 0, 1))
            violated = sum(
                w
                for name, w in WEIGHTS.items()
                if getattr(played, name) != getattr(prompt.piece, name)
            )
            name = f"{PREFIX}S{numbers[i]:03d}_P{j + 1:03d}.wav"
            quality, alignment = 5.0 - 4.3 * severity, 5.0 - 4.8 * violated
            clips.append(
                Clip(name, i, j, splits[j], played, severity, quality, alignment)
            )
    return clips


def _deal_splits(count: int, rng: np.random.Generator) -> list[str]:
    """About half train, a quarter dev, a quarter test: each of them at least once."""
    quarter = max(1, count // 4)
    return rng.permutation(
        ["dev"] * quarter + ["test"] * quarter + ["train"] * (count - 2 * quarter)
    ).tolist()


def _obey(system: System, asked: Piece, rng: np.random.Generator) -> Piece:
    habit = asdict(system.favourite)
    for name in ("mode", "density"):  # whoever ignores these does the opposite
        habit[name] = next(
            value for value in CHOICES[name] if value != getattr(asked, name)
        )
    ignored = {
        name: rng.random() < probability for name, probability in system.ignores.items()
    }
    return Piece(
        **{
            name: habit[name] if ignored[name] else wish
            for name, wish in asdict(asked).items()
        }
    )


def rate(clips: list[Clip], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulated ratings: latent scores with a halo, a bias for each rater, noise; then rounded onto 1..5.

    Returns
    -------
    raters : int array of shape (clips, 5), each row without repetition
    scores : int array of shape (clips, 5, 2), mi and ta
    """
    rng = np.random.default_rng([seed, 5])
    latent = np.array([(clip.quality, clip.alignment) for clip in clips])
    share = np.array([HALO["mi"], HALO["ta"]])
    heard = (1 - share) * latent + share * latent[:, ::-1]
    bias = rng.normal(0, 0.3, (RATERS, 2))
    raters = np.argsort(rng.random((len(clips), RATERS)), axis=1)[:, :RATINGS_PER_CLIP]
    mood = rng.normal(
        0, 0.35, (*raters.shape, 1)
    )  # one rater's mood on one clip moves both scores
    scores = (
        heard[:, None] + bias[raters] + mood + rng.normal(0, 0.5, (*raters.shape, 2))
    )
    return raters, np.clip(np.rint(scores), 1, 5).astype(int)


def encode(
    clips: list[Clip], systems: list[System], prompts: list[Prompt], seed: int
) -> Iterator[bytes]:
    """The clips as WAV files (16 kHz, mono, PCM_16) whose comment says that they are a demo."""
    band = Band()
    for clip in clips:
        rng = np.random.default_rng([seed, 6, clip.system, clip.prompt])
        system, asked = systems[clip.system], prompts[clip.prompt]
        bpm = asked.bpm
        if clip.played.tempo != asked.piece.tempo:
            bpm = rng.uniform(*TEMPI[clip.played.tempo])
        faults = {
            name: (share * clip.severity, character)
            for name, (share, character) in system.faults.items()
        }
        audio = perform(
            clip.played, bpm, rng.uniform(4.5, 5.5), system.house, faults, rng, band
        )
        file = io.BytesIO()
        with soundfile.SoundFile(
            file, "w", SAMPLE_RATE, 1, "PCM_16", format="WAV"
        ) as wav:
            wav.comment = "demo: synthetic music, simulated raters"
            wav.write(audio)
        yield file.getvalue()
