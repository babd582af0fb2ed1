"""What learning from single ratings is worth on a real listening test: held-out
likelihood of the raters, and ranks.
"""

from __future__ import annotations

import numpy as np
import pytest
from builders import SHARED_DATA
from commands import call
from scipy.stats import spearmanr

from base_models.bins import ScoreBins
from base_models.clips.listening_tests.rating_histograms import histograms
from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import read_clips
from base_models.files import read_json
from base_models.metrics.bootstrap import bootstrap_weights, percentiles
from base_models.metrics.evaluate import srcc
from base_models.metrics.likelihood import log_probabilities
from base_models.predictions import PredictionTable

DATA = SHARED_DATA / "codec-listening-test"
PRESETS, SEEDS, FOLDS = ("dora", "dora_raters", "dora_beta"), 3, 4


def bench_single_ratings_against_softened_means(tmp_path):
    """Every clip is predicted by models that saw no clip of its content; intervals
    resample the 16 contents.
    """
    if not DATA.is_dir():
        pytest.skip(f"no listening test with single ratings in {DATA}")
    table, scale = (
        DATA / "clips.csv",
        ("--ratings", DATA / "ratings.csv", "--rating-scale", 0, 100),
    )
    options = [
        "--aspects",
        "quality",
        "--audio-encoder",
        "logmel",
        "--group",
        "content_id",
        "--split",
        0.8,
        0.2,
        0,
    ]
    models = [
        "--models",
        *(f"{preset}:{SEEDS}" for preset in PRESETS),
        "--folds",
        FOLDS,
        "--artifacts",
        tmp_path,
    ]
    code, _, said = call("fit_base", "--data", table, *scale, *options, *models)
    assert code == 0, said
    clips = read_clips(table, ["quality"]).set_index("clip_id", drop=False)
    ratings = read_ratings(DATA / "ratings.csv", ["quality"], (0, 100))
    first = None
    print()
    for preset in PRESETS:
        tables = [
            held_out(tmp_path, f"{preset}-s{seed}", clips.index)
            for seed in range(SEEDS)
        ]
        counts, sums = (
            np.mean(part, 0)
            for part in zip(
                *(log_probabilities(t, ratings, "quality") for t in tables), strict=True
            )
        )
        ranks = [srcc(clips["quality"], t.scores[:, 0]) for t in tables]
        errors = [np.mean((clips["quality"] - t.scores[:, 0]) ** 2) for t in tables]
        spread = [
            spearmanr(
                deviation(t.of("quality")), raters_deviation(ratings, clips.index)
            ).statistic
            for t in tables
        ]
        print(
            f"{preset}: log p of a rating "
            f"{with_interval(sums, counts, clips['content_id'])}, "
            f"SRCC {np.mean(ranks):.3f}, MSE {np.mean(errors):.3f}, SRCC of the "
            f"disagreement {np.mean(spread):.3f}"
        )
        first = sums if first is None else first
        if preset != PRESETS[0]:
            print(
                f"  more than {PRESETS[0]}: "
                f"{with_interval(sums - first, counts, clips['content_id'])}"
            )
    everyone = ScoreBins().split(ratings["quality"]).mean(0)
    print(
        f"one histogram for all clips: {everyone @ np.log(everyone):.3f}; uniform: "
        f"{-np.log(20):.3f}"
    )


def held_out(folder, name, ids):
    """Predictions of all clips by models that were not trained on them: of the folds,
    and of the dev split.
    """
    (run,) = (
        folder / run["folder"]
        for run in read_json(folder / "level0.json")["runs"]
        if run["name"] == name
    )
    paths = [
        *run.with_name(f"{run.name}-oof{FOLDS}").glob("oof-*.parquet"),
        run / "predictions-dev.parquet",
    ]
    parts = [PredictionTable.read(path) for path in paths]
    for part in parts:
        assert not (part.trained_on | part.selected_on) & set(part.clip_ids)
    together = [clip for part in parts for clip in part.clip_ids]
    distributions = np.concatenate([part.distributions for part in parts])
    return PredictionTable(
        name, together, ("quality",), distributions, sigma=parts[0].sigma
    ).take(list(ids))


def with_interval(sums, counts, clusters):
    """Mean over all ratings, with its 95 % interval over clusters."""
    _, code = np.unique(clusters, return_inverse=True)
    weights = bootstrap_weights(code.max() + 1, 2000, 0)
    low, high = percentiles(
        weights @ np.bincount(code, sums) / (weights @ np.bincount(code, counts)), 0.95
    )
    return f"{sums.sum() / counts.sum():+.3f} [{low:+.3f}, {high:+.3f}]"


def deviation(distributions):
    centers = ScoreBins().centers
    return np.sqrt(
        np.maximum(distributions @ centers**2 - (distributions @ centers) ** 2, 0)
    )


def raters_deviation(ratings, ids):
    return deviation(histograms(ratings, list(ids), "quality", ScoreBins()))
