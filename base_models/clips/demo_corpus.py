"""The demo corpus: procedural music with simulated ratings, laid out like MusicEval.

It exists so that every command can be tried, and the whole flow tested, without any
data. The ratings are simulated: nothing measured on them says anything about real
music, real generators or real listeners.

Quality (`mi`) falls with the severity of a system's audio faults; alignment (`ta`)
falls with what was asked for and not played. Quality and obedience are dealt out almost
independently; the halo in the simulated ratings ties the two together.

Alignment has to be learnable from some 200 clips. Systems therefore disobey by habit
(one always plays its favourite instrument, another its own tempo) and only now and then
by accident, and a system can be recognised by its colour and its faults.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import operator
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from base_models.clips.columns import SPLITS
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
from base_models.clips.musiceval import DEMO_SYSTEMS, PREFIX, system_of
from base_models.errors import DamagedArtifact, OutOfSpace, UsageError
from base_models.files import read_json, write_json

VERSION = 1
STAMP = "demo.json"
RATERS = 14
RATINGS_PER_CLIP = 5

# Values of each attribute of a piece.
CHOICES: dict[str, tuple[str, ...]] = {
    "instrument": tuple(INSTRUMENTS),
    "tempo": tuple(TEMPI),
    "mode": tuple(MODES),
    "density": tuple(STEPS_PER_BEAT),
}

# What disobeying in each attribute costs, in shares of 1.
WEIGHTS = {"instrument": 0.40, "tempo": 0.30, "mode": 0.20, "density": 0.10}

# Share of the other quality that is heard in each score.
HALO = {"mi": 0.15, "ta": 0.28}

# Different wordings of each value, of which a prompt uses one.
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
    "Music for {instrument} in a {mode} key: {tempo} at about {bpm} bpm, {mood}, "
    "with a {density} texture.",
    "Play something {mood} on {instrument}, {tempo}, near {bpm} beats per minute, "
    "in {mode}, with {density} notes.",
    "We hear {density} playing of {instrument}; the tempo is {tempo}, {bpm} bpm, "
    "and the mood is {mood} ({mode}).",
    "This {mode} tune for {instrument} feels {mood}. Its pace is {tempo} ({bpm} bpm) "
    "and its texture {density}.",
    "Please write {mood} {instrument} music in {mode}, {density} rather than not, "
    "at a {tempo} tempo of {bpm} bpm.",
)

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
class Prompt:
    """What is asked for: the piece, its tempo in beats per minute, and the words."""

    piece: Piece
    bpm: int
    text: str


@dataclass(frozen=True)
class System:
    """One simulated generator.

    Parameters
    ----------
    house : House
        Colour of its sound.
    severity : float
        Mean severity of its faults, between 0 and 1.
    faults : dict of str to (share of the severity, character)
        By name of the fault.
    favourite : Piece
        What it plays where it ignores a prompt.
    ignores : dict of str to float
        Probability that it ignores the prompt, by attribute of a piece.
    """

    house: House
    severity: float
    faults: dict[str, tuple[float, float]]
    favourite: Piece
    ignores: dict[str, float]


@dataclass(frozen=True)
class Clip:
    """One clip before it is synthesised.

    Parameters
    ----------
    name : str
        Name of its file.
    system, prompt : int
        Positions among the systems and the prompts.
    split : str
    played : Piece
    severity : float
        Severity of the faults in this clip, between 0 and 1.
    quality, alignment : float
        Latent scores.
    """

    name: str
    system: int
    prompt: int
    split: str
    played: Piece
    severity: float
    quality: float
    alignment: float


@dataclass(frozen=True)
class _Sizes:
    """What determines a demo corpus."""

    seed: int
    n_systems: int
    n_prompts: int


# ---- the tree of files


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
    OutOfSpace
        When the disk is full; nothing is left behind.
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
    unique = uuid.uuid4().hex
    partial = place.with_name(f".{place.name[:100]}.{unique}.tmp")
    try:
        _write_tree(partial, sizes)
        write_json(partial / STAMP, stamp)
        _move(partial, folder, stamp)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OutOfSpace(
                f"No space left to write the demo corpus to {folder}; "
                "free some and retry."
            ) from error
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


# ---- what is asked for, by whom it is played, and how it is rated
#
# Each step draws from a generator of its own, seeded by the seed and the step's number,
# so that a change in one step leaves the others as they are.


def make_prompts(seed: int, count: int) -> list[Prompt]:
    """Make prompts in which the values of each attribute are about equally frequent."""
    rng = np.random.default_rng([seed, 1])

    # The values are repeated in turn and shuffled, so that their counts differ by one.
    columns = []
    for values in CHOICES.values():
        order = rng.permutation(count)
        columns.append([values[i % len(values)] for i in order])

    prompts = []
    for instrument, tempo, mode, density in zip(*columns, strict=True):
        prompts.append(_ask_for(Piece(instrument, tempo, mode, density=density), rng))
    return prompts


def _ask_for(piece: Piece, rng: np.random.Generator) -> Prompt:
    """Ask for a piece, at a tempo and in words drawn at random."""
    slowest, fastest = TEMPI[piece.tempo]
    bpm = int(rng.integers(slowest, fastest, endpoint=True))
    instrument = rng.choice(WORDS[piece.instrument])
    tempo = rng.choice(WORDS[piece.tempo])
    density = rng.choice(WORDS[piece.density])
    template = rng.choice(TEMPLATES)
    mood = rng.choice(WORDS[piece.mode])

    text = template.format(
        instrument=instrument,
        tempo=tempo,
        density=density,
        mood=mood,
        mode=piece.mode,
        bpm=bpm,
    )
    return Prompt(piece, bpm, f"{text} (demo)")


def make_systems(seed: int, count: int) -> list[System]:
    """Make systems evenly spread in severity and in obedience.

    The two are almost uncorrelated.
    """
    rng = np.random.default_rng([seed, 2])
    severity = rng.permutation(np.linspace(0.03, 0.97, count))
    disobedience = _disobedience(severity, rng)
    kinds = rng.permutation(list(FAULTS))
    resonances = rng.permutation(np.geomspace(250, 5000, count))
    tilts = rng.permutation(np.linspace(-5, 5, count))
    lines = rng.permutation(np.geomspace(600, 6500, count))

    systems = []
    for i in range(count):
        # Of the two faults of a system, the first is twice as severe as the second.
        first = str(kinds[i % len(kinds)])
        others = [kind for kind in FAULTS if kind != first]
        second = str(rng.choice([*others, UNSTEADY]))

        house = House(
            tilt=tilts[i],
            resonance=resonances[i],
            line=lines[i],
            level=rng.uniform(0.6, 1.2),
        )
        faults = {first: (1.0, rng.random()), second: (0.5, rng.random())}
        favourite = {name: str(rng.choice(values)) for name, values in CHOICES.items()}
        systems.append(
            System(
                house=house,
                severity=severity[i],
                faults=faults,
                favourite=Piece(**favourite),
                ignores=_habits(disobedience[i], rng),
            )
        )
    return systems


def _disobedience(severity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Disobedience of each system, between 0 and 1, hardly correlated with severity."""
    even = np.linspace(-1.0, 1.0, len(severity))
    # Few systems are half obedient, so that habits outweigh accidents.
    spread = 0.5 + 0.5 * np.sign(even) * np.abs(even) ** 0.7

    # Of several random deals, the one that is least correlated with severity.
    deals = [rng.permutation(spread) for _ in range(30)]

    def correlation(deal: np.ndarray) -> float:
        return abs(np.corrcoef(severity, deal)[0, 1])

    return min(deals, key=correlation)


def _habits(disobedience: float, rng: np.random.Generator) -> dict[str, float]:
    """Probability of ignoring each attribute.

    A system almost always ignores those attributes whose weights sum to about its
    disobedience, and seldom the others.
    """
    subsets = []
    distances = []
    for bits in range(2 ** len(WEIGHTS)):
        subset = [name for i, name in enumerate(WEIGHTS) if bits >> i & 1]
        distance = abs(sum(WEIGHTS[name] for name in subset) - disobedience)
        subsets.append(subset)
        # The noise makes systems of equal disobedience differ in their habits.
        distances.append(distance + rng.uniform(0, 0.08))
    ignored = subsets[int(np.argmin(distances))]

    probabilities = {}
    for name in WEIGHTS:
        low, high = (0.88, 0.98) if name in ignored else (0.0, 0.08)
        probabilities[name] = rng.uniform(low, high)
    return probabilities


def make_clips(
    seed: int,
    systems: list[System],
    prompts: list[Prompt],
) -> list[Clip]:
    """Make one clip for each system and prompt, in order of name.

    Each clip has a split and latent scores; it is not synthesised yet.
    """
    system_names = _system_names(len(systems))
    clips = []
    for i, system in enumerate(systems):
        splits = _deal_splits(len(prompts), np.random.default_rng([seed, 3, i]))
        for j, prompt in enumerate(prompts):
            rng = np.random.default_rng([seed, 4, i, j])
            played = _obey(system, prompt.piece, rng)
            # A system is not equally bad in all of its clips.
            severity = system.severity + rng.normal(0, 0.12)
            severity = float(np.clip(severity, 0, 1))
            clips.append(
                Clip(
                    name=f"{PREFIX}{system_names[i]}_P{j + 1:03d}.wav",
                    system=i,
                    prompt=j,
                    split=splits[j],
                    played=played,
                    severity=severity,
                    quality=5.0 - 4.3 * severity,
                    alignment=5.0 - 4.8 * _violation(played, prompt.piece),
                )
            )
    return clips


def _system_names(count: int) -> list[str]:
    """Names that MusicEval does not use for its own demo systems.

    It keeps the prompts of those in another file.
    """
    names = (f"S{number:03d}" for number in itertools.count(1))
    usable = (name for name in names if name not in DEMO_SYSTEMS)
    return list(itertools.islice(usable, count))


def _deal_splits(count: int, rng: np.random.Generator) -> list[str]:
    """About half train, a quarter dev and a quarter test, each at least once."""
    quarter = max(1, count // 4)
    n_train = count - 2 * quarter
    splits = ["dev"] * quarter + ["test"] * quarter + ["train"] * n_train
    return rng.permutation(splits).tolist()


def _obey(
    system: System,
    asked: Piece,
    rng: np.random.Generator,
) -> Piece:
    """What the system plays when it is asked for a piece."""
    habit = asdict(system.favourite)
    # These have two values: a system that ignores the prompt plays the opposite.
    for name in ("mode", "density"):
        wish = getattr(asked, name)
        habit[name] = next(value for value in CHOICES[name] if value != wish)

    played = {}
    for name, wish in asdict(asked).items():
        is_ignored = rng.random() < system.ignores[name]
        played[name] = habit[name] if is_ignored else wish
    return Piece(**played)


def _violation(played: Piece, asked: Piece) -> float:
    """Weight of the attributes in which a piece is not as asked for."""
    violated = [
        weight
        for name, weight in WEIGHTS.items()
        if getattr(played, name) != getattr(asked, name)
    ]
    return sum(violated)


def rate(clips: list[Clip], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate ratings.

    They are the latent scores with a halo, a bias for each rater, and noise, rounded to
    the integers 1 to 5.

    Returns
    -------
    raters : int array of shape (clips, RATINGS_PER_CLIP)
        Each row without repetition.
    scores : int array of shape (clips, RATINGS_PER_CLIP, 2)
        `mi` and `ta`.
    """
    rng = np.random.default_rng([seed, 5])
    latent = np.array([(clip.quality, clip.alignment) for clip in clips])
    share = np.array([HALO["mi"], HALO["ta"]])
    other_quality = latent[:, ::-1]
    heard = (1 - share) * latent + share * other_quality

    # Each rater is more or less generous throughout, in each quality on its own.
    bias = rng.normal(0, 0.3, (RATERS, 2))
    # The first few raters of a random order, so that none rates a clip twice.
    order = np.argsort(rng.random((len(clips), RATERS)), axis=1)
    raters = order[:, :RATINGS_PER_CLIP]

    # The mood of one rater on one clip moves both scores; the noise is separate.
    mood = rng.normal(0, 0.35, (*raters.shape, 1))
    noise = rng.normal(0, 0.5, (*raters.shape, 2))
    scores = heard[:, None] + bias[raters] + mood + noise
    return raters, np.clip(np.rint(scores), 1, 5).astype(int)


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
