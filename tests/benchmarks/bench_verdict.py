"""How often the verdict claims what is not so, on 1,000 listening tests of equal models, and finds what is."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.paired_difference import evaluate_difference

from base_models.metrics.evaluate import LEVELS, METRICS
from meta.comparison.verdict import BEST, best_bases, verdict
from meta.rows import Rows

TESTS, ASPECTS = 1000, ["mi"]


def listening_test(rng, systems, own, stack_own, models=5):
    """Labels of 5 to 20 clips per system; a stack and base models that share errors and have errors of their own."""
    system = np.repeat(np.arange(systems), rng.integers(5, 21, systems))

    def noise(width):
        return rng.normal(0, width, systems)[system] + rng.normal(0, width, len(system))

    truth = np.clip(
        np.round(
            3 + rng.normal(0, 0.8, systems)[system] + rng.normal(0, 0.5, len(system)), 1
        ),
        1,
        5,
    )
    shared = 3 + 0.7 * (truth - 3) + noise(0.25)
    bases = {f"b{k}": (shared + noise(own))[:, None] for k in range(models)}
    return (
        truth[:, None],
        (shared + noise(stack_own))[:, None],
        bases,
        system.astype(str),
    )


def rows_of(y, system):
    return Rows.of([f"c{k}" for k in range(len(y))], y, ASPECTS, systems=system)


def judged(rng, choose, **law):
    """The table of a verdict; the best base is chosen on another listening test or, all being alike, at random."""
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
    """Share of listening tests with a claim, where nothing is better; and with a false one, where the mean is."""
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
        f"\n{systems} systems x 5-20 clips, {TESTS} tests: claims where all are equal {claims:.1%};"
    )
    print(
        f"false claims where the stack is like a base, and the mean better, {false:.1%}"
    )
    assert max(claims, false) <= 0.065  # 5 % and twice its standard error


@pytest.mark.parametrize("systems", [8, 15, 31])
def bench_power(systems):
    """Share of listening tests in which a stack without errors of its own is found better, beside its size."""
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
            f"\n{systems} systems: {level} {metric} {gain:+.2f} from {base:.2f}, found in {found:.0%}"
        )


def bench_percentiles_claim_too_often():
    """What the sign-flips replace: a percentile interval over 8 resampled systems that leaves 0 out."""
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
        f"\npercentile bootstrap of utterance MSE, 8 systems: {np.mean(outside):.1%} claims between equal models"
    )
    assert np.mean(outside) > 0.05
