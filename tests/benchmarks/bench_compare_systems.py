"""Whether intervals of compared systems hold, and how often a claim is false.

Simulated systems, whose true means are known; and the predictions of BVCC, where a
stack is fitted on some systems, and others are compared by it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA
from compared_systems import NO_RATINGS, ScoredWorld, held
from timing import timed

from base_models.bins import ScoreBins
from base_models.predictions import PredictionTable
from meta.comparison.systems.compare_systems import ScoredSystems, compare_systems
from meta.comparison.systems.mean_scores import MeanScores, Part, estimate_of
from meta.powered_means.rated_sample import RatedSample
from meta.regressor import MetaRegressor
from meta.rows import Rows

BVCC = SHARED_DATA / "bvcc-predictions"
WORLDS = {
    "6 systems, 20 shared prompts": ScoredWorld(),
    "20 prompts each, not shared": ScoredWorld(shared=False),
    "3 shared prompts": ScoredWorld(prompts=3),
    "3 prompts each, not shared": ScoredWorld(prompts=3, shared=False),
    "2 systems, 20 shared prompts": ScoredWorld(systems=2),
    "error learnt from 8 systems": ScoredWorld(known=8),
    "error learnt from 4 systems": ScoredWorld(known=4),
    "no error of systems": ScoredWorld(of_systems=0.0),
    "small error, learnt from 14": ScoredWorld(of_systems=0.1, known=14),
    "means differ": ScoredWorld(of_means=0.5),
}


def bench_simulated_systems():
    """True differences in 95 % intervals; 200 draws of each world."""
    print("\nheld with the stack's error / by clips alone; families with a false claim")
    for name, world in WORLDS.items():
        rng = np.random.default_rng(0)
        inside, false = [], []
        for _ in range(200):
            scored, truth = world.draw(rng)
            pair = [
                held(compare_systems({"mos": of}), truth)
                for of in (scored, replace(scored, error=None))
            ]
            inside.append([one[0].mean() for one in pair])
            # Where all true means are equal, every claim is false.
            wrong = 2 if world.of_means else 1
            false.append([one[wrong].any() for one in pair])
        full, alone = np.mean(inside, axis=0)
        claims = np.mean(false, axis=0)
        print(
            f"{name}: {full:.1%} / {alone:.1%}; {claims[0]:.1%} / {claims[1]:.1%}",
            flush=True,
        )
        assert full >= 0.92, name


@pytest.mark.skipif(not BVCC.is_dir(), reason="the real predictions are not here")
@pytest.mark.parametrize(
    ("file", "least", "learnt_from"),
    [
        ("train_oof.csv", 12, (15, 40, 87)),
        ("val_half.csv", 6, (20, 40)),
    ],
)
def bench_systems_of_bvcc_that_the_stack_has_not_seen(file, least, learnt_from):
    """Differences of systems left out of the fit, predicted and rated.

    Scores of one half of each system's clips are put beside ratings of the other half,
    so that both err by their clips independently; the interval is widened by what the
    rated half adds. Families of 8 systems, 28 pairs each.
    """
    clips = corpus(file)
    sizes = clips.groupby("system_id")["system_id"].transform("size")
    many = clips.loc[sizes >= least, "system_id"].unique()
    print(f"\n{file}: {len(clips)} clips, {clips['system_id'].nunique()} systems")
    for n_learnt in learnt_from:
        found = [
            one
            for seed in range(6)
            for one in families(clips, many, n_learnt, seed=seed)
        ]
        print(f"learnt from {n_learnt} systems: {line(found)}", flush=True)


def corpus(file):
    clips = pd.read_csv(BVCC / file)
    clips = clips.rename(columns={"utterance": "clip_id", "system": "system_id"})
    known = {"clip_id", "system_id", "mos", "mos_std", "n_ratings", "fold"}
    models = [name for name in clips.columns if name not in known]
    clips.attrs["models"] = models
    return clips


def families(clips, many, n_learnt, *, seed, size=8):
    """What holds in each family of systems that a stack was not fitted on."""
    rng = np.random.default_rng(seed)
    all_systems = rng.permutation(clips["system_id"].unique())
    learnt = set(all_systems[:n_learnt])
    tables = tables_of(clips)
    rows = Rows.from_clips(clips.assign(prompt=""), ["mos"])
    is_learnt = clips["system_id"].isin(learnt).to_numpy()
    regressor = MetaRegressor("ridge")
    fitted = rows.take(np.flatnonzero(is_learnt))
    regressor.fit(tables, fitted).calibrate(tables, fitted)
    others = [name for name in rng.permutation(many) if name not in learnt]
    for start in range(0, len(others) - size + 1, size):
        chosen = clips[clips["system_id"].isin(others[start : start + size])]
        # A random half of each system is scored, the other gives the truth.
        chosen = chosen.assign(chance=rng.random(len(chosen))).sort_values("chance")
        place = chosen.groupby("system_id").cumcount()
        scored = chosen[place % 2 == 0]
        rated = chosen[place % 2 == 1]
        scores = regressor.predict(tables, scored["clip_id"].tolist())[:, 0]
        yield family(
            scored.assign(prediction=scores, prompt=""),
            rated,
            regressor.system_errors_[0],
        )


def tables_of(clips):
    return [
        PredictionTable.from_scores(
            name,
            clips["clip_id"].tolist(),
            ["mos"],
            clips[[name]].to_numpy(dtype=float).clip(1, 5),
        )
        for name in clips.attrs["models"]
    ]


def family(scored, rated, error):
    """Coverage with and without the error of systems, and false claims."""
    sample = RatedSample.from_tables(scored, NO_RATINGS, "mos")
    of_rated = rated.groupby("system_id")["mos"].agg(["mean", "var", "size"])
    of_rated = of_rated.loc[list(sample.system_names)]
    noise = (of_rated["var"] / of_rated["size"]).to_numpy()
    truth = of_rated["mean"].to_numpy()
    means = MeanScores(sample)
    rows = []
    for known in (error, None):
        comparison = compare_systems(
            {"mos": ScoredSystems(sample, ScoreBins(), error=known)}
        ).differences
        number = {name: k for k, name in enumerate(sample.system_names)}
        a = comparison["a"].map(number).to_numpy()
        b = comparison["b"].map(number).to_numpy()
        true = truth[b] - truth[a]
        inside = []
        for first, second, gap in zip(a, b, true, strict=True):
            of_clips = means.difference(first, second)
            parts = [of_clips.part, Part(noise[first] + noise[second], 10.0)]
            if known is not None:
                parts.append(Part(2 * known.variance, known.freedom))
            estimate = estimate_of(of_clips.value, parts)
            low, high = estimate.interval(0.95)
            inside.append(low <= gap <= high)
        claimed = (comparison["p_holm"] <= 0.05).to_numpy()
        false = claimed & (np.sign(comparison["difference"]) != np.sign(true))
        rows.append((np.mean(inside), claimed.mean(), false.any(), false.sum()))
    return rows


def line(found):
    """Figures over families: with the error of systems, and by clips alone."""
    values = np.array(found, dtype=float)
    full, alone = values.mean(axis=0)
    return (
        f"{len(found)} families; held {full[0]:.1%} / {alone[0]:.1%}; claimed "
        f"{full[1]:.1%} / {alone[1]:.1%} of pairs; a claim of the wrong sign in "
        f"{full[2]:.1%} / {alone[2]:.1%} of families"
    )


def bench_fifty_systems():
    """Time of 1,225 pairs of 50 systems with 40 clips of shared prompts."""
    scored, _ = ScoredWorld(systems=50, prompts=40).draw(np.random.default_rng(0))
    seconds, found = timed(lambda: compare_systems({"mos": scored}))
    print(f"\n{len(found.differences)} differences of 50 systems: {seconds:.2f} s")
