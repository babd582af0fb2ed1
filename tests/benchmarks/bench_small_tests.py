"""Base models for small listening tests: what they rank and how far they are off, on
the codec test (128 clips) and on the demo corpus cut to 100 clips.

Every clip is predicted by models that saw none of its content. Base models predict
their own training clips out of fold, and the meta level is fitted on those
predictions, as `StackedMOS` does with ``cv=5``. A base model is fitted once and used in
every row that it is part of.

Encoders whose files or libraries are not here are left out of the rows.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA
from commands import start

from base_models.clips.demo.corpus import write_demo
from base_models.clips.labels import mean_label
from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import read_clips
from base_models.clips.splits import folds, stratified_holdout
from base_models.encoders import known_encoders
from base_models.encoders.libraries import missing_libraries
from base_models.encoders.store import EmbeddingStore
from base_models.encoders.weights import missing_files
from base_models.metrics.bootstrap import bootstrap_weights, percentiles, resample
from base_models.metrics.evaluate import mse, srcc
from base_models.pooled_config import POOLED_MODELS
from base_models.predictions import PredictionTable
from ensemble import model_set
from meta.regressor import MetaRegressor
from meta.rows import Rows

SEEDS = 5
"""Outer folds, subsets of the demo and seeds of the models."""
DEFAULT_SEEDS = {"codec": 5, "demo": 1}
"""How many of them today's default gets, whose 7 or 9 networks take 5 fits each."""
EVERYTHING_SEEDS = 1
"""How many of them stacks with several networks get: a fit takes seconds, a pooled one
a tenth, and each seed takes 30 fits of each model."""
FOLDS = 5
RESAMPLES = 2000
DEMO_CLIPS = 100
LEVEL = 0.9
ENCODERS = ("logmel", "basic_pitch", "distillmos")
# A network on basic_pitch, whose frames are many, takes 380 s a fit; distillmos has one
# frame for a clip, among which attention has nothing to choose.
NEURAL_ENCODERS = ("logmel",)
OTHER_LEARNERS = ("skill", "mean", "ridge", "simplex")
DEFAULT = "today's default"
DATA = SHARED_DATA / "codec-listening-test"


# ---- the listening tests


@dataclass(frozen=True, eq=False)
class Listening:
    """A listening test.

    Parameters
    ----------
    name : str
    clips : DataFrame of n clips
    aspects : tuple of str
    encoders : tuple of str
    clusters : int array of shape (n,), what resamples draw, among `n_clusters`
    n_clusters : int
    outer : int array of shape (n,), the fold that predicts each clip
    groups : object array of shape (n,) that folds keep together, or None
    ratings : DataFrame or None
    """

    name: str
    clips: pd.DataFrame
    aspects: tuple[str, ...]
    encoders: tuple[str, ...]
    clusters: np.ndarray
    n_clusters: int
    outer: np.ndarray
    groups: np.ndarray | None = None
    ratings: pd.DataFrame | None = None

    @property
    def with_text(self):
        return len(self.aspects) > 1

    @property
    def labels(self):
        return self.clips[list(self.aspects)].to_numpy(dtype=np.float64)

    def groups_of(self, rows):
        return None if self.groups is None else self.groups[rows]

    def folds_of(self, rows, seed):
        """Fold of each of some rows."""
        clips = self.clips.iloc[rows]
        scores = mean_label(self.labels[rows])
        return folds(clips["system_id"], scores, FOLDS, seed, self.groups_of(rows))

    def rows(self, places):
        """`Rows` of some clips."""
        clips = self.clips.iloc[places]
        return Rows.of(
            clips["clip_id"].tolist(),
            self.labels[places],
            self.aspects,
            systems=clips["system_id"].tolist(),
            groups=self.groups_of(places),
        )


def codec_test(seed):
    """All clips; folds keep the clips of a content together."""
    clips = read_clips(DATA / "clips.csv", ["quality"])
    contents = clips["content_id"].to_numpy(dtype=object)
    codes, names = pd.factorize(contents)
    scores = clips["quality"].to_numpy()
    return Listening(
        "codec",
        clips,
        ("quality",),
        encoders=usable(ENCODERS),
        clusters=codes,
        n_clusters=len(names),
        outer=folds(clips["system_id"], scores, FOLDS, seed, contents),
        groups=contents,
        ratings=read_ratings(DATA / "ratings.csv", ["quality"], (0, 100)),
    )


def demo_test(folder, seed):
    """Some clips of the demo; the subset and the folds keep systems in proportion."""
    aspects = ("mi", "ta")
    corpus = read_clips(write_demo(folder), aspects)
    share = DEMO_CLIPS / len(corpus)
    scores = mean_label(corpus[list(aspects)].to_numpy())
    chosen = stratified_holdout(corpus["system_id"], scores, share, seed)
    clips = corpus[chosen].reset_index(drop=True)
    return Listening(
        "demo",
        clips,
        aspects,
        encoders=usable(("logmel", "basic_pitch")),
        clusters=np.flatnonzero(chosen),
        n_clusters=len(corpus),
        outer=folds(clips["system_id"], scores[chosen], FOLDS, seed),
    )


def usable(names):
    """Those of some encoders whose files and libraries are here."""
    specs = known_encoders().specs
    return tuple(
        name
        for name in names
        if not (missing_libraries(specs[name]) or missing_files(specs[name]))
    )


# ---- predictions of base models


_STORE = EmbeddingStore()
ALL = -1
"""Stands for no inner fold: a model of all training clips."""


@cache
def predictions(test, model, seed, outer, inner):
    """Tables of one fitted base model: of its inner fold, and of the left-out clips.

    Parameters
    ----------
    test : Listening
    model : str, such as ``"dora@logmel-s0"``
    seed : int
    outer : int, the outer fold that is left out
    inner : int, the inner fold that is left out too; `ALL` for none

    Returns
    -------
    known : PredictionTable of the inner fold; None for `ALL`
    new : PredictionTable of the outer fold
    """
    word, _, number = model.rpartition("-s")
    ((_, estimator),) = model_set(
        f"{word}:1",
        text_encoder="hashed_text",
        with_text=test.with_text,
        store=_STORE,
    )
    estimator.set_params(random_state=100 * seed + int(number), device="cpu")

    training = np.flatnonzero(test.outer != outer)
    fold = test.folds_of(training, seed)
    fit(test, estimator, training[fold != inner])
    known = None
    if inner != ALL:
        known = table_of(test, estimator, model, training[fold == inner])
    return known, table_of(test, estimator, model, np.flatnonzero(test.outer == outer))


def out_of_fold(test, model, seed, outer):
    """Table of the training clips of an outer fold, by models that did not see them."""
    tables = [predictions(test, model, seed, outer, k)[0] for k in range(FOLDS)]
    return PredictionTable.join(tables)


def fit(test, estimator, rows):
    """Fit a base model on some of the clips."""
    more = {}
    if test.ratings is not None and "raters" in estimator.preset:
        more["ratings"] = test.ratings
    labels = pd.DataFrame(test.labels[rows], columns=list(test.aspects))
    estimator.fit(test.clips.iloc[rows], labels, groups=test.groups_of(rows), **more)


def table_of(test, estimator, model, rows):
    clips = test.clips.iloc[rows]
    _, embedded = estimator.embed(clips)
    return estimator.prediction_table(model, clips["clip_id"].tolist(), embedded)


# ---- rows of the table


@dataclass(frozen=True)
class Row:
    """A row of the table: a stack, a single base model, or a constant.

    Parameters
    ----------
    name : str
    models : tuple of str; none for a constant
    learner : str, a meta-learner; "" for the one model alone
    one_split : bool
        Whether the meta level is fitted on a dev split that base models leave out, a
        fifth of the training clips, instead of on out-of-fold predictions.
    """

    name: str
    models: tuple[str, ...] = ()
    learner: str = ""
    one_split: bool = False

    @property
    def n_networks(self):
        """How many of its models are networks."""
        return sum(model.startswith("dora") for model in self.models)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of n clips, and the ends of intervals: arrays (n, aspects), or None.

    A constant ranks nothing: its scores differ between folds alone.
    """

    scores: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    ranks: bool = True


def scores_of(test, row, seed):
    """`Scores` of all clips, each from the outer fold that leaves it out."""
    shape = test.labels.shape
    scores = np.empty(shape)
    low = np.empty(shape)
    high = np.empty(shape)
    for outer in range(FOLDS):
        left_out = test.outer == outer
        if not row.models:
            scores[left_out] = test.labels[~left_out].mean(axis=0)
        elif not row.learner:
            _, new = predictions(test, row.models[0], seed, outer, ALL)
            scores[left_out] = new.scores
        else:
            found = stack_scores(test, row, seed, outer)
            scores[left_out], low[left_out], high[left_out] = found
    if row.learner:
        return Scores(scores, low, high)
    return Scores(scores, ranks=bool(row.models))


def stack_scores(test, row, seed, outer):
    """Scores of the left-out clips by a stack, and the ends of their intervals."""
    if row.one_split:
        pairs = [predictions(test, model, seed, outer, 0) for model in row.models]
        known = [pair[0] for pair in pairs]
        new = [pair[1] for pair in pairs]
    else:
        known = [out_of_fold(test, model, seed, outer) for model in row.models]
        new = [predictions(test, model, seed, outer, ALL)[1] for model in row.models]

    # The meta level knows the clips of the tables: one inner fold, or all of them.
    ids = test.clips["clip_id"]
    rows = test.rows(np.flatnonzero(ids.isin(known[0].clip_ids)))
    stack = MetaRegressor(row.learner, random_state=seed)
    stack.fit(known, rows).calibrate(known, rows)
    left_out = test.outer == outer
    new_ids = ids[left_out].tolist()
    systems = test.clips["system_id"][left_out].tolist()
    ends = stack.predict_interval(new, new_ids, LEVEL, systems)
    return stack.predict(new, new_ids), *ends


def names_of(estimators):
    """``preset@encoder-seed`` of base models as `model_set` lists them."""
    return tuple(
        f"{model.preset}@{model.audio_encoder}-{name.rpartition('-')[2]}"
        for name, model in estimators
    )


def models_of(test, *words, encoders):
    """Names of base models over some audio encoders."""
    return names_of(
        model_set(
            *words,
            audio_encoder=list(encoders),
            text_encoder="hashed_text",
            with_text=test.with_text,
        )
    )


def without_networks(models):
    return tuple(model for model in models if model.startswith("pooled"))


def table_rows(test):
    """The rows of a test, in order."""
    encoders = test.encoders
    rows = [Row("constant")]
    for encoder in encoders:
        for preset in POOLED_MODELS:
            rows.append(Row(f"{preset}@{encoder}", (f"{preset}@{encoder}-s0",)))

    # The pretrained encoders beside logmel, one by one and together.
    first = encoders[:1]
    several = [first, *((*first, other) for other in encoders[1:])]
    if len(encoders) > 2:
        several.append(encoders)
    for some in several:
        models = models_of(test, "small", encoders=some)
        for learner in ("stack", *OTHER_LEARNERS):
            # Which learner is best is asked of the least and the most encoders.
            if learner != "stack" and some not in (first, encoders):
                continue
            name = f"small {learner}, {' '.join(some)}"
            rows.append(Row(name, models, learner))
            rows.append(Row(f"{name}, no dora", without_networks(models), learner))

    # Without `--folds`, `fit_meta` learns from the dev split of the base models.
    default = models_of(test, encoders=first)
    rows.append(Row(DEFAULT, default, "ridge", one_split=True))
    if test.ratings is not None:
        networks = [
            f"{preset}@{encoder}-s0"
            for encoder in encoders
            if encoder in NEURAL_ENCODERS
            for preset in ("dora", "dora_coral", "dora_raters")
        ]
        pooled = models_of(test, "small", encoders=encoders)
        models = (*without_networks(pooled), *networks)
        rows.append(Row("everything stack", models, "stack"))
        rows.append(Row("everything ridge", models, "ridge"))
    return rows


# ---- measures, with intervals from resampled clusters


@dataclass(frozen=True, eq=False)
class Measured:
    """One measure of a row: its value, and on each resample, for each seed.

    Parameters
    ----------
    values : array of shape (seeds,)
    resampled : array of shape (seeds, resamples)
    """

    values: np.ndarray
    resampled: np.ndarray

    def minus(self, other):
        """The difference, on the seeds that both have."""
        n = min(len(self.values), len(other.values))
        return Measured(
            self.values[:n] - other.values[:n],
            self.resampled[:n] - other.resampled[:n],
        )

    def text(self, form=".3f"):
        """Mean over seeds, with the interval of that mean."""
        if not np.isfinite(self.values).all():
            return "-"
        low, high = percentiles(self.resampled.mean(axis=0), 0.95)
        return f"{self.values.mean():{form}} [{low:{form}}, {high:{form}}]"


def measures(tests, scored, aspect):
    """Measures by name of one aspect: a test and `Scores` for each seed."""
    parts = {"SRCC": [], "MSE": [], "in 90 %": [], "width": []}
    for test, scores in zip(tests, scored, strict=True):
        truth = test.labels[:, aspect]
        weights = bootstrap_weights(test.n_clusters, RESAMPLES, 0)
        # A clip of several subsets of a corpus counts alike in all of them.
        found = np.unique(test.clusters)
        codes = np.searchsorted(found, test.clusters)
        weights = weights[:, found]
        predicted = scores.scores[:, aspect]
        resampled = resample(truth, predicted, weights, cluster=codes)
        value = srcc(truth, predicted) if scores.ranks else np.nan
        parts["SRCC"].append((value, resampled["srcc"]))
        parts["MSE"].append((mse(truth, predicted), resampled["mse"]))
        if scores.low is None:
            continue

        low = scores.low[:, aspect]
        high = scores.high[:, aspect]
        held = (truth >= low) & (truth <= high)
        counts = weights @ np.bincount(codes)
        for name, values in (("in 90 %", held), ("width", high - low)):
            sums = weights @ np.bincount(codes, values)
            parts[name].append((values.mean(), sums / counts))
    return {
        name: Measured(*(np.array(part) for part in zip(*of_seeds, strict=True)))
        for name, of_seeds in parts.items()
        if of_seeds
    }


def say_table(tests):
    """Print the measures of every row and its differences from some of them.

    Parameters
    ----------
    tests : Listening of each seed
    """
    first = tests[0]
    scored = {}
    for row in table_rows(first):
        of_row = tests[: seeds_of(row, first.name)]
        if of_row:
            scored[row.name] = [
                scores_of(test, row, seed) for seed, test in enumerate(of_row)
            ]

    small = f"small stack, {first.encoders[0]}"
    for k, aspect in enumerate(first.aspects):
        found = {
            name: measures(tests[: len(of_seeds)], of_seeds, k)
            for name, of_seeds in scored.items()
        }
        print(f"{first.name}, {aspect}: {len(first.clips)} clips")
        print(table_text(found))
        print()
        for reference in (small, f"{small}, no dora", DEFAULT):
            if reference not in found:
                continue
            print(f"{first.name}, {aspect}: minus '{reference}'")
            print(table_text(differences(found, reference), "+.3f"))
            print()


def seeds_of(row, test_name):
    """How many seeds a row gets in a test."""
    if row.name == DEFAULT:
        return DEFAULT_SEEDS[test_name]
    return EVERYTHING_SEEDS if row.n_networks > 1 else SEEDS


def differences(found, reference):
    """Measures of every other row minus those of one."""
    names = ("SRCC", "MSE")
    return {
        row: {name: parts[name].minus(found[reference][name]) for name in names}
        for row, parts in found.items()
        if row != reference
    }


def table_text(found, form=".3f"):
    """Rows of measures as text."""
    names = list(dict.fromkeys(name for parts in found.values() for name in parts))
    lines = []
    for row, parts in found.items():
        n_seeds = len(parts["MSE"].values)
        cells = [parts[name].text(form) if name in parts else "" for name in names]
        lines.append([row, n_seeds, *cells])
    table = pd.DataFrame(lines, columns=["", "seeds", *names])
    width = table[""].str.len().max()
    table[""] = table[""].str.ljust(width)
    return table.to_string(index=False)


# ---- the benches

needs_codec_test = pytest.mark.skipif(
    not DATA.is_dir(), reason="the codec listening test is not here"
)


@needs_codec_test
def bench_codec_test():
    """Folds leave out whole contents; intervals resample the 16 contents."""
    print()
    say_table([codec_test(seed) for seed in range(SEEDS)])


def bench_demo_of_100_clips(tmp_path):
    """Folds keep systems in proportion; intervals resample clips."""
    print()
    say_table([demo_test(tmp_path / "demo", seed) for seed in range(SEEDS)])


@needs_codec_test
def bench_cpu_seconds_of_100_clips(tmp_path):
    """Of the command and its processes, from audio files to trained models.

    In one worker: a second one adds its own start, of some 10 s.
    """
    codec = codec_test(0)
    share = DEMO_CLIPS / len(codec.clips)
    chosen = stratified_holdout(codec.clips["system_id"], codec.labels, share, 0)
    tests = {
        "codec": (codec.clips[chosen], ("--aspects", "quality")),
        "demo": (demo_test(tmp_path / "demo", 0).clips, ("--aspects", "mi", "ta")),
    }
    print()
    for name, (clips, options) in tests.items():
        data = tmp_path / f"{name}.csv"
        clips.drop(columns="split").to_csv(data, index=False)
        for encoders in (ENCODERS[:1], usable(ENCODERS)):
            art = tmp_path / f"{name}-{len(encoders)}"
            words = ("--audio-encoder", *encoders, "--text-encoder", "hashed_text")
            seconds = cpu_seconds(
                "fit_base",
                "--models",
                "small",
                "--data",
                data,
                *options,
                *words,
                "--artifacts",
                art,
                "--jobs",
                1,
            )
            print(f"{name}, {len(clips)} clips, {' '.join(encoders)}: {seconds:.0f} s")


def cpu_seconds(command, *argv):
    """User and system time of a command, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = start(command, *argv)
    _, said = process.communicate()
    assert process.returncode == 0, said
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
