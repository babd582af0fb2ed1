"""How often the verdict claims what is not so, and finds what is."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.paired_difference import evaluate_difference
from builders import rival_scores

from base_models.metrics.evaluate import LEVELS, METRICS
from meta.comparison.verdict import BEST, best_bases, verdict
from meta.rows import Rows

TESTS, ASPECTS = 1000, ["mi"]


def listening_test(rng, systems, own, stack_own):
    """A listening test of 5 to 20 clips per system, with five base models."""
    errors = {"own": own, "stack_own": stack_own}
    return rival_scores(rng, systems, (5, 20), models=5, **errors)


def rows_of(y, system):
    return Rows.of([f"c{k}" for k in range(len(y))], y, ASPECTS, systems=system)


def judged(rng, choose, **law):
    """The table of a verdict, and what it is about.

    The best base is chosen on another listening test or, all being alike, at random.
    """
    y, stack, bases, system = listening_test(rng, **law)
    if choose:
        y2, _, bases2, system2 = listening_test(rng, **law)
        best = best_bases(rows_of(y2, system2), bases2)
    else:
        best = {("mi", level, metric): "b0" for level in LEVELS for metric in METRICS}
    return verdict(rows_of(y, system), stack, bases, best).table, (
        y,
        stack,
        bases["b0"],
        system,
    )


@pytest.mark.parametrize("systems", [8, 15, 31])
def bench_false_claims(systems):
    """Share of tests with a claim where all are equal, and with a false one."""
    rng = np.random.default_rng(systems)
    alike = [
        judged(rng, k < 100, systems=systems, own=0.01, stack_own=0.01)[0]
        for k in range(TESTS)
    ]
    claims = np.mean([(table["said"] != "").any() for table in alike])
    like_a_base = [
        judged(rng, False, systems=systems, own=0.3, stack_own=0.3)[0]
        for _ in range(TESTS)
    ]
    said = [table[table["said"] != ""] for table in like_a_base]
    false = np.mean(
        [((rows["rival"] == BEST) | (rows["said"] == "better")).any() for rows in said]
    )
    print(
        f"\n{systems} systems x 5-20 clips, {TESTS} tests: claims where all are equal "
        f"{claims:.1%};"
    )
    print(
        f"false claims where the stack is like a base, and the mean better, {false:.1%}"
    )
    assert max(claims, false) <= 0.065  # 5 % and twice its standard error


@pytest.mark.parametrize("systems", [8, 15, 31])
def bench_power(systems):
    """Share of tests in which a stack without errors of its own is found better."""
    rng, cells = np.random.default_rng(systems), []
    for _ in range(200):
        table, _ = judged(rng, False, systems=systems, own=0.4, stack_own=0.0)
        cells += table[table["p_holm"].notna() & (table["rival"] == BEST)].to_dict(
            "records"
        )
    for level, metric in (("utterance", "mse"), ("system", "srcc")):
        of = [
            cell for cell in cells if (cell["level"], cell["metric"]) == (level, metric)
        ]
        gain, found = (
            np.mean([c["difference"] for c in of]),
            np.mean([c["said"] == "better" for c in of]),
        )
        base = np.mean([c["other"] for c in of])
        print(
            f"\n{systems} systems: {level} {metric} {gain:+.2f} from {base:.2f}, "
            f"found in {found:.0%}"
        )


def bench_percentiles_claim_too_often():
    """What the sign-flips replace: a percentile interval that leaves 0 out."""
    rng, outside = np.random.default_rng(0), []
    for _ in range(300):
        _, (y, stack, base, system) = judged(
            rng, False, systems=8, own=0.3, stack_own=0.3
        )
        cell = evaluate_difference(
            y, stack, base, system_ids=system, aspects=ASPECTS, n_bootstrap=500
        ).iloc[0]
        outside.append(not cell["low"] <= 0 <= cell["high"])
    print(
        f"\npercentile bootstrap of utterance MSE, 8 systems: {np.mean(outside):.1%} "
        "claims between equal models"
    )
    assert np.mean(outside) > 0.05
