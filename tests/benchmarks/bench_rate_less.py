"""Whether means from few ratings and many predictions are valid, and what they save.

Simulated worlds, 51 published predictors of BVCC with its single ratings, and the
out-of-fold predictions of one of them for 175 systems.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA
from cross_fitted_systems import (
    KINDS,
    RatedCorpus,
    draws_of_kinds,
    predictions_of_kinds,
)
from rated_systems import World, draws, held_by, measure
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from timing import timed

from meta.learners import USUAL_LEARNER
from meta.powered_means.powered_means import powered_means
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.rating_plan import PlanSettings, rating_plan
from meta.powered_means.system_estimates import Slope, SystemEstimates, fitted_slope
from meta.powered_means.variance_components import VarianceComponents

BVCC = SHARED_DATA / "bvcc-predictions"
WORLDS = {
    "10 systems, 60 clips, 5 rated": World(),
    "3 rated": World(rated=3),
    "31 systems, 3 rated": World(systems=31, rated=3),
    "10 rated": World(rated=10),
    "uneven systems, 15, 3 rated": World(systems=15, rated=3, uneven=0.4),
    "uneven systems, 10, 10 rated": World(rated=10, uneven=0.4),
    "whole ratings, 15 systems, 3 rated": World(systems=15, rated=3, whole=True),
    "6 raters of everything": World(raters=6, rated=6, per_clip=6, of_raters=0.5),
    "6 raters, 2 a clip": World(
        raters=6, rated=6, per_clip=2, of_raters=0.5, of_raters_in_system=0.3
    ),
    "40 raters, 1 a clip": World(raters=40, of_raters=0.5, of_raters_in_system=0.2),
    "prompts shared": World(of_prompts=0.4),
    "1 system, 5 rated": World(systems=1),
    "1 system, 10 rated": World(systems=1, rated=10),
    "3 systems, 3 rated": World(systems=3, rated=3),
    "predictions of nothing": World(correlation=0.0),
}
CORPORA = {
    "10 systems, 20 of 60 clips": RatedCorpus(),
    "5 systems, 10 of 60 clips, 20 models": RatedCorpus(systems=5, rated=10, models=20),
    "20 systems, 10 of 60 clips": RatedCorpus(systems=20, rated=10),
    "4 of 10 systems whole, 10 clips of others": RatedCorpus(rated=10, whole=4),
    "200 of 1,200 clips of 20 systems": RatedCorpus(
        systems=20, rated=10, of_corpus=True
    ),
}


def bench_simulated_systems():
    """True means in 95 % intervals; 600 samples of each world."""
    print("\nheld by 95 % intervals, alone / powered: systems; differences; corpus")
    for name, world in WORLDS.items():
        found = measure(draws(world, repeats=600))
        print(f"{name}: {found.line()}")
        assert found.systems.min() >= 0.93, name
    of_clips = World(rated=20, clips=25, per_clip=3)
    found = measure(draws(of_clips, 600, population="clips"), population="clips")
    print(f"20 of exactly 25 clips, 3 ratings each: {found.line()}")


def bench_systems_that_scatter_unlike():
    """Intervals of the systems whose clips differ least, usually and most."""
    print("\nheld, alone / powered, of 15 systems of standard deviations of e^(.4 z)")
    for rated in (3, 10):
        world = World(systems=15, rated=rated, uneven=0.4)
        rows = []
        for sample, truth in draws(world, repeats=600):
            spread = pd.Series(sample.predictions).groupby(sample.system).std()
            order = np.argsort(spread.to_numpy())
            chosen = np.eye(15)[order[[0, 7, 14]]]
            pair = []
            for slope in (Slope(), fitted_slope(sample)):
                estimates = SystemEstimates.fit(sample, slope, "system")
                found = [held_by(estimates, [one], truth)[0] for one in chosen]
                pair.append(found)
            rows.append(pair)
        alone, powered = np.mean(rows, axis=0)
        held = zip(("least", "middle", "most"), alone, powered, strict=True)
        text = "; ".join(f"{name} {a:.1%} / {b:.1%}" for name, a, b in held)
        print(f"{rated} rated: {text}")


def bench_planned_ratings():
    """Clips that a plan chose: 50 of ten systems with 60 each."""
    print("\nheld by 95 % intervals, alone / powered: systems; differences; corpus")
    for allocation, of_prompts in (("systems", 0.0), ("equal", 0.4)):
        world = World(rated=60, of_prompts=of_prompts)
        rng = np.random.default_rng(0)
        samples = []
        for seed in range(500):
            sample, means, _ = world.draw(rng)
            names = np.array(sample.system_names)
            clips = pd.DataFrame(
                {"system_id": names[sample.system], "prediction": sample.predictions}
            )
            if sample.prompt is not None:
                clips["prompt"] = sample.prompt.astype(str)
            settings = PlanSettings(50, allocation=allocation, seed=seed)
            plan = rating_plan(clips, settings)
            kept = np.isin(sample.clip_of, plan.rows)
            of_plan = replace(
                sample, clip_of=sample.clip_of[kept], ratings=sample.ratings[kept]
            )
            samples.append((of_plan, means))
        found = measure(samples)
        print(f"{allocation}, same prompts {plan.same_prompts}: {found.line()}")
        assert found.systems.min() >= 0.93


def bench_a_sample_of_the_corpus():
    """Systems are hit by chance; mean of the corpus from clips drawn among all."""
    print()
    for correlation in (0.66, 0.9):
        world = World(systems=20, correlation=correlation, of_corpus=True)
        rng = np.random.default_rng(0)
        pairs = []
        for _ in range(600):
            sample, means, _ = world.draw(rng)
            pairs.append((sample.pooled(), np.array([means.mean()])))
        found = measure(pairs)
        print(
            f"correlation {correlation} within systems, 100 of 1,200 clips: "
            f"{pooled_line(found)}"
        )
        assert found.systems.min() >= 0.93


def pooled_line(found):
    """Of samples whose clips are one system's."""
    alone, powered = found.systems
    ratio = found.errors[1] / found.errors[0]
    width = found.widths[1] / found.widths[0]
    return f"held {alone:.1%} / {powered:.1%}; variance {ratio:.2f}, width {width:.2f}"


@pytest.mark.skipif(not BVCC.is_dir(), reason="the real predictions are not here")
def bench_single_ratings_of_bvcc():
    """Single ratings of some clips of each system; the truth is the mean of all eight
    ratings of all clips. Ridge on 51 models' scores, systems left out.
    """
    clips, ratings = bvcc()
    sample = sample_of(clips, ratings)
    slope = fitted_slope(sample)
    parts = VarianceComponents.fit(sample, slope.value)
    print(
        f"\n{len(clips)} clips of {sample.n_systems} systems with 5 or more, "
        f"{len(ratings)} ratings; predictions correlate "
        f"{np.corrcoef(clips['prediction'], sample.clip_means)[0, 1]:.2f} with mean "
        f"ratings, {slope.correlation:.2f} within systems; variance of ratings of one "
        f"clip {parts.of_raters + parts.error:.2f}, of true scores around predictions "
        f"{parts.clip:.2f}"
    )
    truth = sample.system_means(sample.clip_means, sample.is_rated)
    for n_clips, n_ratings in ((2, 1), (3, 1), (3, 2), (5, 2), (3, 8)):
        found = measure(
            (
                (drawn(clips, ratings, n_clips, n_ratings, seed), truth)
                for seed in range(200)
            ),
            population="clips",
        )
        print(f"{n_clips} clips of each, {n_ratings} ratings a clip: {found.line()}")
        assert found.systems.min() >= 0.93


@pytest.mark.skipif(not BVCC.is_dir(), reason="the real predictions are not here")
def bench_a_sample_of_all_clips_of_bvcc():
    """The mean of the corpus from clips drawn among all 428, and their ratings."""
    clips, ratings = bvcc(least=1)
    pooled = sample_of(clips, ratings).pooled()
    truth = pooled.system_means(pooled.clip_means, pooled.is_rated)
    print()
    for n_clips, n_ratings in ((40, 1), (40, 8), (100, 1), (100, 8)):
        samples = []
        for seed in range(300):
            rng = np.random.default_rng(seed)
            rows = rng.permutation(len(clips))[:n_clips]
            kept = ratings_of(ratings, rows, n_ratings, rng)
            samples.append((sample_of(clips, kept).pooled(), truth))
        for population in ("clips", "system"):
            found = measure(samples, population=population)
            print(
                f"{n_clips} clips, {n_ratings} ratings each, mean of {population}: "
                f"{pooled_line(found)}"
            )
            assert found.systems.min() >= 0.92


@pytest.mark.skipif(not BVCC.is_dir(), reason="the real predictions are not here")
def bench_mean_ratings_of_175_systems():
    """Mean ratings of some clips of each system, out-of-fold predictions of UTMOS22."""
    table = pd.read_csv(BVCC / "train_oof.csv")
    table = table.rename(columns={"utterance": "clip_id", "system": "system_id"})
    table["prediction"] = table["pred_oof"]
    whole = RatedSample.from_tables(table, table[["clip_id", "mos"]], "mos")
    truth = whole.system_means(whole.clip_means, whole.is_rated)
    slope = fitted_slope(whole)
    print(f"\ncorrelation within systems {slope.correlation:.2f}")
    print(f"residual variance, own slopes / one for all: {own_slopes(whole):.3f}")
    for n_clips in (2, 3, 5, 10):
        samples = []
        for seed in range(20):
            chance = np.random.default_rng(seed).random(len(table))
            kept = table.assign(chance=chance).sort_values("chance")
            kept = kept.groupby("system_id").head(n_clips)[["clip_id", "mos"]]
            samples.append((RatedSample.from_tables(table, kept, "mos"), truth))
        found = measure(samples, population="clips")
        print(f"{n_clips} clips of each: {found.line()}")
        assert found.systems.min() >= 0.93


def bench_ratings_that_the_stack_was_fitted_on():
    """A stack of the usual learner, fitted on the ratings that then estimate means.

    Its own scores of the rated clips; out-of-fold scores of these beside its own scores
    of the others; and everything by the learners of the folds without the system.
    """
    print("\nheld by 95 % intervals, alone / powered: systems; differences; corpus")
    for name, corpus in CORPORA.items():
        assert_cross_fitting_holds(name, corpus, USUAL_LEARNER, repeats=200)
    # Trees remember what they were fitted on.
    for name in ("20 systems, 10 of 60 clips", "200 of 1,200 clips of 20 systems"):
        assert_cross_fitting_holds(name, CORPORA[name], "lightgbm", repeats=60)


def assert_cross_fitting_holds(name, corpus, learner, repeats):
    """Print what intervals hold; those of predict_mos --cross-fit have to."""
    population = "clips" if corpus.of_corpus else "system"
    for kind, samples in draws_of_kinds(corpus, repeats, learner).items():
        found = measure(samples, population=population)
        line = pooled_line(found) if corpus.of_corpus else found.line()
        print(f"{name}, {learner}, {kind}: {line}")
        if kind == "cross-fitted":
            assert found.systems.min() >= 0.93, name


@pytest.mark.skipif(not BVCC.is_dir(), reason="the real predictions are not here")
def bench_ratings_of_bvcc_that_the_stack_was_fitted_on():
    """The same on 51 published predictors and single ratings."""
    clips, ratings = bvcc()
    scores = clips.filter(regex="^(utmos22|ssl)").to_numpy()
    system = pd.factorize(clips["system_id"], sort=True)[0]
    whole = sample_of(clips, ratings)
    truth = whole.system_means(whole.clip_means, whole.is_rated)
    print()
    for n_clips, n_ratings in ((3, 2), (5, 2), (5, 8)):
        samples = {kind: [] for kind in KINDS}
        for seed in range(60):
            rng = np.random.default_rng(seed)
            chance = clips.assign(chance=rng.random(len(clips))).sort_values("chance")
            rows = chance.groupby("system_id").head(n_clips).index.to_numpy()
            kept = ratings_of(ratings, rows, n_ratings, rng)
            labels = kept.groupby("row")["rating"].mean().reindex(rows).to_numpy()
            predicted = predictions_of_kinds(
                scores, system, rows, labels, USUAL_LEARNER
            )
            for kind in KINDS:
                table = clips.assign(prediction=predicted[kind])
                samples[kind].append((sample_of(table, kept), truth))
        for kind, of_kind in samples.items():
            found = measure(of_kind, population="clips")
            print(
                f"{n_clips} clips of each, {n_ratings} ratings, {kind}: {found.line()}"
            )
        assert found.systems.min() >= 0.93


def own_slopes(sample):
    """Residual variance with a slope of each system over that with one for all."""
    frame = pd.DataFrame(
        {"y": sample.clip_means, "f": sample.predictions, "s": sample.system}
    )
    means = frame.groupby("s")[["y", "f"]].transform("mean")
    centred = frame[["y", "f"]] - means
    sums = pd.DataFrame(
        {"yf": centred["y"] * centred["f"], "ff": centred["f"] ** 2, "s": frame["s"]}
    )
    of_system = sums.groupby("s").sum()
    own = (of_system["yf"] / of_system["ff"]).to_numpy()[frame["s"]]
    shared = of_system["yf"].sum() / of_system["ff"].sum()
    with_own = np.sum((centred["y"] - own * centred["f"]) ** 2)
    with_one = np.sum((centred["y"] - shared * centred["f"]) ** 2)
    free = len(frame) - sample.n_systems
    return with_own / (free - sample.n_systems) / (with_one / (free - 1))


# ---- BVCC


def bvcc(least=5):
    """Clips with predictions, and their single ratings; both by row of the clips."""
    clips = pd.read_csv(BVCC / "val_half.csv")
    clips["prediction"] = cross_val_predict(
        RidgeCV(np.logspace(-2, 4, 25)),
        clips.iloc[:, 5:],
        clips["mos"],
        groups=clips["system"],
        cv=GroupKFold(5, shuffle=True, random_state=0),
    )
    sizes = clips.groupby("system")["system"].transform("size")
    clips = clips[sizes >= least].reset_index(drop=True)
    clips = clips.rename(columns={"utterance": "clip_id", "system": "system_id"})
    ratings = pd.read_csv(BVCC / "val_half_ratings.csv")
    ratings = ratings.rename(columns={"utterance": "clip_id", "listener": "rater_id"})
    row_of = {clip: row for row, clip in enumerate(clips["clip_id"])}
    ratings["row"] = ratings["clip_id"].map(row_of)
    return clips, ratings.dropna(subset="row").reset_index(drop=True)


def sample_of(clips, ratings):
    return RatedSample.from_tables(clips, ratings, "rating")


def ratings_of(ratings, rows, n_ratings, rng):
    """So many ratings of each of these clips."""
    kept = ratings[ratings["row"].isin(rows)]
    kept = kept.assign(chance=rng.random(len(kept))).sort_values("chance")
    return kept.groupby("row").head(n_ratings)


def drawn(clips, ratings, n_clips, n_ratings, seed):
    """So many clips of each system, with so many ratings each."""
    rng = np.random.default_rng(seed)
    chance = clips.assign(chance=rng.random(len(clips))).sort_values("chance")
    rows = chance.groupby("system_id").head(n_clips).index
    return sample_of(clips, ratings_of(ratings, rows, n_ratings, rng))


def bench_two_thousand_clips():
    """Time of everything for 40 systems, 2,000 clips and 400 ratings."""
    sample, _, _ = World(systems=40, clips=50, rated=10, raters=20).draw(
        np.random.default_rng(0)
    )
    seconds, found = timed(lambda: powered_means(sample))
    print(f"\n{len(found.differences)} differences of 40 systems: {seconds:.2f} s")
