"""Builders of what tests work on: features, prediction tables, audio, tables of clips.

Networks and base models are built by `tiny_networks`, commands and their corpora by
`commands`, single ratings by `raters`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from base_models.bins import ScoreBins
from base_models.predictions import PredictionTable
from meta.rows import Rows
from meta.splits.meta_split import VALIDATION_SHARE

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
RATE = 24_000
"""The sample rate of the audio, unless a test asks for another."""


# ---- simulated base models


@dataclass(frozen=True)
class Predictor:
    """How a simulated base model predicts a label.

    Its scores are ``3 + gain * (label - 3) + bias``, with normal noise.
    """

    noise: float = 0.0
    bias: float = 0.0
    gain: float = 1.0

    def scores(self, labels, rng):
        """Return scores for labels of any shape; they may leave the scale."""
        noise = rng.normal(0, self.noise, np.shape(labels))
        return 3 + self.gain * (labels - 3) + self.bias + noise


PREDICTORS = {
    "good": Predictor(noise=0.3),
    "noisy": Predictor(noise=1.0),
    "biased": Predictor(noise=0.3, bias=-1.0),
    "opposed": Predictor(gain=-1.0),
}
"""Simulated base models by name."""


def feature_matrix(scores, sigmas=0.35, bins=None):
    """Features of a stack: the softened scores of each model, side by side.

    Parameters
    ----------
    scores : an array of n scores per model
    sigmas : kernel width, one for all models or one each; 0 stands for a model whose
        distributions are decoded without a kernel, and softens with 0.3
    """
    bins = bins or ScoreBins()
    widths = np.broadcast_to(sigmas, len(scores))
    blocks = [
        bins.soften(of_model, sigma or 0.3)
        for of_model, sigma in zip(scores, widths, strict=True)
    ]
    return np.concatenate(blocks, axis=1)


def labelled_features(layout, n, *, seed=0, systems=12, predictors=PREDICTORS):
    """Features of the models of a layout, labels, and the system of each row.

    Parameters
    ----------
    predictors : mapping of every model of the layout to its `Predictor`
    """
    rng = np.random.default_rng(seed)
    labels = rng.uniform(1, 5, n)
    scores = [predictors[name].scores(labels, rng) for name in layout.models]
    X = feature_matrix(scores, layout.sigmas, layout.bins)
    return X, labels, np.array([f"s{k % systems:02d}" for k in range(n)])


def scores_and_labels(n, rng=0, *, errors=None, span=(1.2, 4.8)):
    """Scores of a stack, and labels around them, set back to the ends of 1..5.

    Parameters
    ----------
    rng : generator or seed
    errors : function of a generator and the scores; None for a normal error of 0.5
    span : lowest and highest score
    """
    rng = np.random.default_rng(rng)
    scores = rng.uniform(*span, n)
    off = rng.normal(0, 0.5, n) if errors is None else errors(rng, scores)
    return scores, np.clip(scores + off, 1, 5)


def prediction_tables(labels, predictors, *, ids=None, aspects=("mi", "ta"), rng=0):
    """One prediction table per predictor, of scores clipped to 1..5.

    Parameters
    ----------
    labels : array of shape (n, aspects)
    predictors : mapping of model name to `Predictor`, or names in `PREDICTORS`
    ids : clip ids; "c000" and so on unless they are given
    rng : generator or seed of the noise
    """
    rng = np.random.default_rng(rng)
    ids = [f"c{k:03d}" for k in range(len(labels))] if ids is None else ids
    if not isinstance(predictors, dict):
        predictors = {name: PREDICTORS[name] for name in predictors}
    tables = []
    for name, predictor in predictors.items():
        scores = np.clip(predictor.scores(labels, rng), 1, 5)
        tables.append(PredictionTable.from_scores(name, ids, aspects, scores))
    return tables


def rival_scores(rng, systems, clips, *, models=4, own=0.3, stack_own=0.3):
    """Labels, and a stack and base models that share errors.

    Each has errors of its own too, per system and per clip.

    Parameters
    ----------
    clips : fewest and most clips of a system
    own, stack_own : size of the errors of each base model, and of the stack

    Returns
    -------
    labels, scores of the stack, mapping of base model to scores, system of each clip
    """
    least, most = clips
    system = np.repeat(np.arange(systems), rng.integers(least, most + 1, systems))
    n = len(system)

    def noise(width):
        return rng.normal(0, width, systems)[system] + rng.normal(0, width, n)

    of_system = rng.normal(0, 0.8, systems)[system]
    truth = np.clip(np.round(3 + of_system + rng.normal(0, 0.5, n), 1), 1, 5)
    shared = 3 + 0.7 * (truth - 3) + noise(0.25)
    bases = {f"b{k}": (shared + noise(own))[:, None] for k in range(models)}
    stack = shared + noise(stack_own)
    return truth[:, None], stack[:, None], bases, system.astype(str)


def unlike_errors(kind, n, rng):
    """Scores and labels of n clips whose errors differ as `kind` says.

    Returns
    -------
    scores, labels, scores of five base models of shape (n, 5)
    """
    scores = rng.uniform(1.2, 4.8, n)
    disagreement = np.ones(n)
    if kind == "by disagreement":
        disagreement = np.exp(rng.normal(0, 0.5, n))
    sizes = {
        "alike": np.full(n, 0.4),
        "skewed, wider above": 0.2 + 0.1 * scores,
        "wider above": 0.15 + 0.15 * (scores - 1),
        "narrow at the ends": 0.25 * np.sqrt((scores - 0.8) * (5.2 - scores)),
        "by disagreement": 0.35 * disagreement,
    }[kind]
    errors = rng.normal(0, 1, n)
    if kind.startswith("skewed"):
        errors = 0.75 - rng.gamma(1.5, 0.5, n)
    base_scores = scores[:, None] + rng.normal(0, 0.35, (n, 5)) * disagreement[:, None]
    return scores, np.clip(scores + sizes * errors, 1, 5), base_scores


# ---- rows, and what is measured on them


def rows_of_tables(tables, labels, ids=None, aspects=None, **known):
    """`Rows` of the clips and aspects of the first table, unless others are named."""
    first = tables[0]
    return Rows.of(
        first.clip_ids if ids is None else ids,
        labels,
        first.aspects if aspects is None else aspects,
        **known,
    )


def fit_measured(regressor, tables, rows, validation=VALIDATION_SHARE):
    """The trial of a meta regressor, which is then fitted and calibrated."""
    trial = regressor.held_out_trial(tables, rows, validation)
    usable = rows.usable()
    regressor.fit(tables, usable)
    regressor.calibrate(tables, usable)
    return trial


def only_row(table, **facts):
    """The one row of a table that has these values, as a dict."""
    for column, value in facts.items():
        table = table[table[column] == value]
    (row,) = table.to_dict("records")
    return row


# ---- audio and tables of clips


def music(seconds=1.0, rate=RATE, seed=0):
    """A tune of eight harmonics with a beat and a chirp; the seed is its pitch."""
    t = np.arange(round(seconds * rate)) / rate
    tune = sum(np.sin(2 * np.pi * 110 * (seed + 1) * k * t) / k for k in range(1, 9))
    beat = 1 + np.sin(2 * np.pi * 2 * t)
    return (0.1 * tune * beat + 0.003 * np.sin(1e5 * t**2)).astype(np.float32)


def tunes(n, seconds, *, seed=0):
    """Tunes of various pitches and levels, with a little noise."""
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(n):
        tune = music(seconds, seed=rng.uniform(0, 6)) * rng.uniform(0.3, 1)
        clips.append(tune + rng.normal(0, rng.uniform(2e-4, 2e-3), len(tune)))
    return clips


def noises(levels, seconds, *, rate=RATE, seed=0):
    """Clips of even noise, of these levels and lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.broadcast_to(seconds, len(levels))
    return [
        level * rng.uniform(-1, 1, int(rate * length))
        for level, length in zip(levels, lengths, strict=True)
    ]


def tones(n, seconds=0.5, *, pitches=4, noise=0.0, rate=RATE):
    """Clips of one tone each, of some pitches in turn.

    Without noise, clips of one pitch have the same content.
    """
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    tunes = [np.sin(2 * np.pi * 220 * (1 + k % pitches) * time) for k in range(n)]
    return [0.1 * tune + noise * rng.normal(size=len(time)) for tune in tunes]


def clip_table(
    folder,
    sounds,
    *,
    systems=4,
    prompts=("slow piano", "fast drums"),
    rate=RATE,
    **columns,
):
    """A table of clips whose sounds are written to ``folder`` as wav files.

    Parameters
    ----------
    sounds : the samples of each clip
    systems : number of systems; the clips are of each in turn
    prompts : the clips have these in turn
    columns : further columns by name, such as a split or the labels of an aspect
    """
    n = len(sounds)
    paths = [folder / f"c{k:02d}.wav" for k in range(n)]
    for path, samples in zip(paths, sounds, strict=True):
        soundfile.write(path, samples, rate)
    frame = pd.DataFrame(
        {
            "clip_id": [path.stem for path in paths],
            "system_id": [f"s{k % systems}" for k in range(n)],
            "prompt": [prompts[k % len(prompts)] for k in range(n)],
            "audio": [str(path) for path in paths],
        }
    )
    return frame.assign(**columns)


def listening_test(folder, sounds, splits, *, labels, **options):
    """A listening test on disk: wav files, and a table of them as ``clips.csv``.

    Parameters
    ----------
    splits : number of clips of each split, in the order of the clips
    labels : mapping of aspect to the labels of all clips
    options : as in `clip_table`

    Returns
    -------
    the path of the table, which names the audio relative to itself
    """
    of_clip = np.repeat(list(splits), list(splits.values()))
    frame = clip_table(folder, sounds, split=of_clip, **labels, **options)
    frame["audio"] = [Path(path).name for path in frame["audio"]]
    frame.to_csv(folder / "clips.csv", index=False)
    return folder / "clips.csv"


def loudness_test(folder, n=30):
    """A table of clips of noise without splits; the ratings follow their loudness."""
    k = np.arange(n)
    rng = np.random.default_rng(0)
    levels = 10 ** rng.uniform(-2.4, -0.3, n)
    sounds = noises(levels, 0.3)
    mi = 4.6 + 1.5 * np.log10(levels) + 0.2 * rng.normal(size=n)
    labels = {"mi": mi.clip(1, 5), "ta": (6 - mi).clip(1, 5)}
    prompts = [f"prompt {number}" for number in range(6)]
    table = clip_table(folder, sounds, systems=5, prompts=prompts, **labels)
    table["content"] = [f"t{number % 10}" for number in k]
    path = folder / "clips.csv"
    table.to_csv(path, index=False)
    return path


def write_file(path, content):
    """Write text or bytes, with the folders above; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
