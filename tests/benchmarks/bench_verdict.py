"""How often the verdict claims what is not so, and finds what is.

The law of each table is one of `rival_laws.Law`; shares are of p <= .05 in one
comparison, unless they are said to be of the whole verdict.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.paired_difference import evaluate_difference, influence_p_of_pair
from builders import rival_scores
from rival_laws import Law, compared, pair_of

from base_models.metrics.evaluate import LEVELS, METRICS
from meta.comparison import sign_flip
from meta.comparison import verdict as verdict_module
from meta.comparison.sign_flip import answer, smallest_difference
from meta.comparison.verdict import verdict
from meta.comparison.verdict_text import BEST, HEADLINE
from meta.rows import Rows

CLIP_ERROR = ("utterance", "mse")
SYSTEM_ERROR = ("system", "mse")
RANKS = ("system", "srcc")
BETTER_RANKS = {"own": 0.465, "gain": 0.7}
"""System SRCC .9 against .8."""


@pytest.fixture(autouse=True)
def _few_flips(monkeypatch):
    """Fewer exchanges, which are as many as a rate needs; and the headline alone."""
    monkeypatch.setattr(sign_flip, "DRAWN_FLIPS", 1000)
    monkeypatch.setattr(sign_flip, "FLIPS_PER_TEST", 1000)
    monkeypatch.setattr(sign_flip, "SIMULATED_TESTS", 100)
    monkeypatch.setattr(verdict_module, "CELLS", HEADLINE)


def p_values(law, cells, tests, seed=0):
    """p by exchanges and by influences, array of shape (2, tests, cells)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(tests):
        pair = pair_of(law, rng)
        new = [answer(compared(pair, cell).kinds).p for cell in cells]
        old = [influence_p_of_pair(pair, *cell) for cell in cells]
        found.append((new, old))
    return np.moveaxis(np.array(found), 1, 0)


def shares(p):
    """Share of claims of each cell, after and before."""
    after, before = (p <= 0.05).mean(axis=1)
    return after, before


def bench_one_large_system():
    """False claims of utterance MSE where one system has many clips."""
    tests = 400
    print(f"\nutterance MSE, {tests} tests each; exchanges (influences before):")
    print("systems   largest 1 x      3 x            10 x           30 x")
    for systems in (3, 8, 15, 31, 60):
        cells = []
        for largest in (1, 3, 10, 30):
            p = p_values(Law(systems, largest), [CLIP_ERROR], tests)
            (after,), (before,) = shares(p)
            assert after <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tests)
            cells.append(f"{after:.3f} ({before:.3f})")
        print(f"{systems:7d}   {'  '.join(cells)}")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("heavy tails", {"errors": "heavy"}),
        ("ends of the scale", {"errors": "ends"}),
        ("correlated models", {"own": 0.02, "own_clip": 0.05}),
        ("one system 10 x", {"largest": 10}),
    ],
)
def bench_equal_models(name, change):
    """False claims under other laws, in three comparisons."""
    tests = 250
    cells = [CLIP_ERROR, SYSTEM_ERROR, RANKS]
    print(f"\n{name}, {tests} tests each; exchanges (influences before):")
    print("systems   utterance MSE  system MSE     system SRCC")
    for systems in (8, 15, 31, 60):
        after, before = shares(p_values(Law(systems, **change), cells, tests, seed=2))
        assert max(after) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tests)
        pairs = zip(after, before, strict=True)
        print(f"{systems:7d}   {'  '.join(f'{a:.3f} ({b:.3f})' for a, b in pairs)}")


def bench_shared_prompts():
    """False claims of utterance MSE where systems and prompts both have errors."""
    tests = 400
    print(f"\nutterance MSE, shared prompts, {tests} tests; exchanges (before):")
    for systems, prompts in ((8, 24), (15, 12), (31, 12), (31, 24), (31, 60), (60, 24)):
        for own_prompt in (0.1, 0.3):
            law = Law(systems, prompts=prompts, own_prompt=own_prompt, own_clip=0.05)
            (after,), (before,) = shares(p_values(law, [CLIP_ERROR], tests))
            assert after <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tests)
            print(
                f"{systems:3d} systems x {prompts:2d} prompts, errors of prompts "
                f"{own_prompt / law.own:.1f} times those of systems: "
                f"{after:.3f} ({before:.3f})"
            )


def verdict_of(law, rng, aspects):
    """The table of a verdict on two base models and a stack like one of them."""
    drawn = [law.draw(rng, models=3) for _ in aspects]
    system, prompt = drawn[0][2:]
    # Aspects share their clips; a second one only differs in its values.
    size = min(len(found[0]) for found in drawn)
    values = [np.vstack([found[0][:size], found[1][:, :size]]) for found in drawn]
    labels, stack, *bases = np.moveaxis(np.array(values), 0, 2)
    rows = Rows.of(
        [f"c{k}" for k in range(size)],
        labels,
        aspects,
        systems=system[:size].astype(str),
        prompts=prompt[:size].astype(str),
    )
    by_name = {f"b{k}": scores for k, scores in enumerate(bases)}
    best = {(a, lev, m): "b0" for a in aspects for lev in LEVELS for m in METRICS}
    constant = labels.mean(axis=0)
    return verdict(rows, stack, by_name, best, constant=constant).table


@pytest.mark.parametrize("aspects", [("mi",), ("mi", "ta")])
def bench_false_verdicts(aspects, monkeypatch):
    """Share of verdicts with a claim about the base model that the stack is like."""
    monkeypatch.setattr(verdict_module, "smallest_difference", lambda *_, **__: np.nan)
    tests = 250
    print(f"\n{len(aspects)} aspects, {tests} verdicts each, Holm-adjusted:")
    for systems in (8, 15, 31):
        rates = []
        for law in (Law(systems), Law(systems, 30), Law(systems, errors="ends")):
            rng = np.random.default_rng(5)
            tables = (verdict_of(law, rng, aspects) for _ in range(tests))
            said = [t[(t["rival"] == BEST) & (t["said"] != "")] for t in tables]
            rates.append(np.mean([len(rows) > 0 for rows in said]))
        assert max(rates) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tests)
        print(
            f"{systems} systems: {rates[0]:.3f}, one system 30 x {rates[1]:.3f}, "
            f"ends of the scale {rates[2]:.3f}"
        )


@pytest.mark.parametrize("systems", [8, 15, 31, 60])
def bench_power(systems):
    """Share of tests in which a better model is found, and how much is detectable."""
    tests = 200
    law = Law(systems, **BETTER_RANKS)
    after, before = shares(p_values(law, [CLIP_ERROR, RANKS], tests, seed=1))
    rng = np.random.default_rng(1)
    for k, cell in enumerate((CLIP_ERROR, RANKS)):
        differences = []
        low = []
        high = []
        smallest = []
        for _ in range(100):
            pair = pair_of(law, rng)
            found = compared(pair, cell)
            said = answer(found.kinds)
            differences.append(found.first - found.second)
            low.append(said.low)
            high.append(said.high)
            smallest.append(smallest_difference(pair.units, found.shares))
        # The mean over tests stands for the true difference.
        truth = np.mean(differences)
        below = np.mean(truth < np.array(low))
        above = np.mean(truth > np.array(high))
        print(
            f"\n{systems} systems, {' '.join(cell)} {truth:+.3f}: found in "
            f"{after[k]:.3f} ({before[k]:.3f} before); found 4 times of 5 from "
            f"{np.median(smallest):.3f} on; interval too high in {below:.2f}, too low "
            f"in {above:.2f}"
        )


def bench_smallest_difference():
    """Whether a true difference of the size that is said is found 4 times of 5."""
    print()
    for law, cell in (
        (Law(8), CLIP_ERROR),
        (Law(15), CLIP_ERROR),
        (Law(15, 10), CLIP_ERROR),
        (Law(31), CLIP_ERROR),
    ):
        rng = np.random.default_rng(0)
        pairs = [pair_of(law, rng) for _ in range(40)]
        sizes = [smallest_difference(p.units, compared(p, cell).shares) for p in pairs]
        size = np.median(sizes)
        found = []
        for _ in range(300):
            pair = pair_of(law, rng)
            kinds = compared(pair, cell).kinds
            moved = [
                replace(kind, differences=kind.differences + size * kind.balance)
                for kind in kinds
            ]
            found.append(answer(moved).p <= 0.05)
        print(
            f"{law.systems} systems, largest {law.largest} x, {' '.join(cell)}: "
            f"{size:.3f} is found in {np.mean(found):.2f}"
        )
        assert 0.65 < np.mean(found) < 0.95


def bench_percentiles_claim_too_often():
    """What a test replaces: a percentile interval that leaves 0 out."""
    rng = np.random.default_rng(0)
    outside = []
    for _ in range(300):
        truth, stack, bases, system = rival_scores(
            rng, 8, (5, 20), own=0.3, stack_own=0.3
        )
        cell = evaluate_difference(
            truth,
            stack,
            bases["b0"],
            system_ids=system,
            aspects=["mi"],
            n_bootstrap=500,
        ).iloc[0]
        outside.append(not cell["low"] <= 0 <= cell["high"])
    print(
        f"\npercentile bootstrap of utterance MSE, 8 systems: {np.mean(outside):.1%} "
        "claims between equal models"
    )
    assert np.mean(outside) > 0.05
