"""The demo's listening test: what is asked for, by whom it is played, how it is rated.

Nothing is synthesised or written here. The ratings are simulated: nothing measured on
them says anything about real music, real generators or real listeners.

Quality (`mi`) falls with the severity of a system's audio faults; alignment (`ta`)
falls with what was asked for and not played. Quality and obedience are dealt out almost
independently; the halo in the simulated ratings ties the two together.

Alignment has to be learnable from some 200 clips. Systems therefore disobey by habit
(one always plays its favourite instrument, another its own tempo) and only now and then
by accident, and a system can be recognised by its colour and its faults.

Each step draws from a generator of its own, seeded by the seed and the step's number,
so that a change in one step leaves the others as they are. The synthesis of the clips,
in `corpus.encode`, is the last step.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass

import numpy as np

from base_models.clips.demo.synthesis import (
    FAULTS,
    INSTRUMENTS,
    MODES,
    STEPS_PER_BEAT,
    TEMPI,
    UNSTEADY,
    House,
    Piece,
)
from base_models.clips.musiceval import DEMO_SYSTEMS, PREFIX

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
