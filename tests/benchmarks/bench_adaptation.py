"""What a few rated clips of another corpus are worth to a fitted stack.

The published predictors: the stack is fitted on half of the systems, adapted on clips
of a quarter, and judged on the last quarter; once with the ratings as they are, once as
another listening test might have given them. The codec test: fitted on four conditions,
adapted on the other four and judged on these with contents that nothing had seen; there
the held-out likelihood of single ratings too. Averages over repeats.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from bench_disagreement import DATA as CODEC
from bench_disagreement import held_out, with_interval
from bench_real_predictions import REAL
from builders import fit_measured
from commands import call

from base_models.bins import ScoreBins
from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from base_models.metrics.evaluate import srcc
from base_models.metrics.likelihood import log_probabilities
from base_models.predictions import PredictionTable
from ensemble.prediction_files.stack_inputs import read_stack_inputs
from meta.adaptation import adapt
from meta.regressor import MetaRegressor
from meta.rows import Rows

BINS = ScoreBins()
REPEATS = 10
DRAWS = 5
SHIFTS = {"no shift": (3.0, 1.0), "3 -> 3.4, spread x 0.7": (3.4, 0.7)}


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def bench_adaptation_to_another_listening_test():
    external = read_stack_inputs([REAL])
    clips, tables = external.clips, external.tables
    for what, (middle, gain) in SHIFTS.items():
        y = clips["mos"].to_numpy(), middle + gain * (clips["mos"].to_numpy() - 3)
        found = [
            (k, name, *measures)
            for seed in range(REPEATS)
            for k, name, *measures in _real(
                tables, clips, y, np.random.default_rng(seed)
            )
        ]
        _show(f"{len(tables)} published predictors, {what}", found)


def _real(tables, clips, y, rng):
    """Measures of one split of the systems into fit, adapt and test."""
    ids = clips["clip_id"].to_numpy(dtype=object)
    systems = clips["system_id"].to_numpy()
    order = rng.permutation(np.unique(systems))
    part = dict(
        zip(order, np.minimum(4 * np.arange(len(order)) // len(order), 3), strict=True)
    )
    part = np.array([part[system] for system in systems])
    test = part == 3
    pool = rng.permutation(np.flatnonzero(part == 2))
    as_rated, as_of_another_test = y
    rated = Rows.of(ids, as_rated, ("mos",), systems=systems)
    old = MetaRegressor()
    fit_measured(old, tables, rated.take(part < 2))
    shifted = Rows.of(ids, as_of_another_test, ("mos",))
    yield from _adapted(old, tables, shifted, pool, test, (0, 3, 10, 30, 100))


def _adapted(old, tables, rows, pool, test, counts):
    judged = rows.take(test)
    for k in counts:
        rated = rows.take(pool[:k])
        adapted = adapt(old, tables, rated)
        yield k, "adapted", *_measures(adapted, tables, judged)
        fresh = MetaRegressor()
        try:
            fit_measured(fresh, tables, rated)
        except UsageError:  # too few clips to fit a stack on
            continue
        yield k, "fitted anew", *_measures(fresh, tables, judged)


def _measures(regressor, tables, rows):
    """MSE and SRCC, the share of ratings in the 90 % interval, and its mean width."""
    ids = rows.ids.tolist()
    y = rows.labels[:, 0]
    scores = regressor.predict(tables, ids)[:, 0]
    low, high = regressor.predict_interval(tables, ids)
    held = (low[:, 0] <= y) & (y <= high[:, 0])
    return np.mean((scores - y) ** 2), srcc(y, scores), held.mean(), (high - low).mean()


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def bench_what_is_kept_of_adaptations():
    """The safe rule beside adapting in any case, and beside none, draw by draw."""
    external = read_stack_inputs([REAL])
    clips, tables = external.clips, external.tables
    mos = clips["mos"].to_numpy()
    found = []
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        old, rest, test = _fitted_on_half(tables, clips, rng)
        pools = [rng.permutation(rest) for _ in range(DRAWS)]
        for what, (middle, gain) in SHIFTS.items():
            rated = Rows.of(clips["clip_id"], middle + gain * (mos - 3), ("mos",))
            judged = rated.take(test)
            none = _measures(old, tables, judged)
            for pool, k in product(pools, (3, 10, 30)):
                for safe in (False, True):
                    adapted = adapt(old, tables, rated.take(pool[:k]), safe=safe)
                    kept = adapted.adaptation_[0].kept
                    mse, *others = _measures(adapted, tables, judged)
                    name = "where it helps" if safe else "in any case"
                    facts = (what, k, name, seed, kept, none[0], mse, mse - none[0])
                    found.append((*facts, *others[1:]))
    columns = ["ratings", "clips", "adapted", "repeat", "kept", "MSE without", "MSE"]
    table = pd.DataFrame(found, columns=[*columns, "difference", "in 90 %", "width"])
    of_repeats = table.groupby(["ratings", "clips", "adapted", "repeat"]).mean()
    by_row = of_repeats.groupby(["ratings", "clips", "adapted"])
    means = by_row.mean()
    means["s.e. of it"] = by_row["difference"].sem()
    worse = table.assign(worse=table["difference"] > 1e-12)
    means["worse"] = worse.groupby(["ratings", "clips", "adapted"])["worse"].mean()
    title = f"{len(tables)} published predictors, {REPEATS} repeats, {DRAWS} draws each"
    print(f"\n{title}\n{means.round(4).to_string()}", flush=True)


def _fitted_on_half(tables, clips, rng):
    """A stack of half of the systems, the clips of a quarter, a mask of the last."""
    ids = clips["clip_id"].to_numpy(dtype=object)
    systems = clips["system_id"].to_numpy()
    order = rng.permutation(np.unique(systems))
    quarter = np.minimum(4 * np.arange(len(order)) // len(order), 3)
    part_of = dict(zip(order, quarter, strict=True))
    part = np.array([part_of[system] for system in systems])
    rated = Rows.of(ids, clips["mos"].to_numpy(), ("mos",), systems=systems)
    old = MetaRegressor()
    fit_measured(old, tables, rated.take(part < 2))
    return old, np.flatnonzero(part == 2), part == 3


def _show(title, found):
    table = pd.DataFrame(
        found, columns=["clips", "stack", "MSE", "SRCC", "in 90 %", "width"]
    )
    means = table.groupby(["clips", "stack"]).mean().round(3)
    print(
        f"\n{title}; {len(found) // len(means)} repeats\n{means.to_string()}",
        flush=True,
    )


def bench_adaptation_on_the_codec_test(tmp_path):
    if not CODEC.is_dir():
        pytest.skip(f"no listening test with single ratings in {CODEC}")
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
    options += [
        "--ratings",
        CODEC / "ratings.csv",
        "--rating-scale",
        0,
        100,
        "--folds",
        4,
        "--artifacts",
        tmp_path,
    ]
    models = ["--models", "dora:2", "dora_raters:1", "dora_beta:1"]
    code, _, said = call("fit_base", "--data", CODEC / "clips.csv", *options, *models)
    assert code == 0, said
    codec(tmp_path)


def codec(folder):
    clips = read_clips(CODEC / "clips.csv", ["quality"]).set_index(
        "clip_id", drop=False
    )
    ratings = read_ratings(CODEC / "ratings.csv", ["quality"], (0, 100))
    tables = [
        held_out(folder, name, clips.index)
        for name in ("dora-s0", "dora-s1", "dora_raters-s0", "dora_beta-s0")
    ]
    ids = clips["clip_id"].to_numpy(dtype=object)
    systems, contents = (clips[name].to_numpy() for name in ("system_id", "content_id"))
    named = Rows.of(ids, clips["quality"].to_numpy(), ("quality",), systems=systems)
    unnamed = Rows.of(ids, clips["quality"].to_numpy(), ("quality",))
    found = []
    single = {}
    for seed, fold in product(range(REPEATS), range(4)):
        rng = np.random.default_rng(seed)
        known = np.isin(systems, rng.permutation(np.unique(systems))[:4])
        unseen = np.isin(contents, rng.permutation(np.unique(contents))[fold::4])
        pool = rng.permutation(np.flatnonzero(~known & ~unseen))
        test = ~known & unseen
        old = MetaRegressor()
        fit_measured(old, tables, named.take(known & ~unseen))
        found += list(_adapted(old, tables, unnamed, pool, test, (0, 3, 10, 30)))
        for k in (0, 10, 30):
            adapted = adapt(old, tables, unnamed.take(pool[:k]))
            scores = adapted.predict(tables, ids[test])
            asked = {
                f"adapted to {k}, its distribution": adapted.predict_distribution(
                    tables, ids[test]
                ),
                f"adapted to {k}, softened with 0.35": BINS.soften(scores, 0.35),
            }
            for name, distributions in asked.items():
                table = PredictionTable(name, ids[test], ["quality"], distributions)
                single.setdefault(name, []).append(_single(table, ratings, test))
        for table in tables[1:]:
            single.setdefault(table.model, []).append(
                _single(table.take(ids[test]), ratings, test)
            )
    _show("codec listening test", found)
    print("log p of a single rating, interval over contents")
    for name, parts in single.items():
        counts, sums = np.sum(parts, axis=0)
        print(f"{name:35} {with_interval(sums, counts, contents)}")


def _single(table, ratings, test):
    """Number and log-probability of each clip's ratings; 0 outside the test."""
    both = np.zeros((2, len(test)))
    both[:, test] = log_probabilities(table, ratings, "quality")
    return both
