"""The test by exchanges claims rarely what is not so, and often enough what is.

The long form of these simulations is ``benchmarks/bench_verdict.py``.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from rival_laws import Law, compared, pair_of
from scipy import stats

from base_models.metrics.bootstrap import system_means
from base_models.metrics.evaluate import srcc
from meta.comparison import sign_flip as module
from meta.comparison.sign_flip import (
    Exchanged,
    FlippedUnits,
    Shares,
    answer,
    sign_flip,
    smallest_difference,
)

CLIP_ERROR = ("utterance", "mse")
RANKS = ("system", "srcc")


@pytest.fixture(autouse=True)
def few_flips(monkeypatch):
    """As many exchanges as tell 5 % from what is not."""
    monkeypatch.setattr(module, "DRAWN_FLIPS", 1000)


def p_values(law, cell, tests, seed=0):
    rng = np.random.default_rng(seed)
    pairs = (pair_of(law, rng) for _ in range(tests))
    return np.array([answer(compared(pair, cell).kinds).p for pair in pairs])


def at_most_five_percent(p):
    """Whether claims are as rare as promised, or by chance a little less."""
    return (p <= 0.05).sum() <= stats.binom.ppf(0.999, len(p), 0.05)


@pytest.mark.parametrize("largest", [1, 3, 10, 30])
@pytest.mark.parametrize("systems", [3, 8, 15, 31, 60])
def test_one_system_with_most_of_the_clips_makes_no_false_claims(systems, largest):
    p = p_values(Law(systems, largest), CLIP_ERROR, tests=200)
    assert at_most_five_percent(p)


@pytest.mark.parametrize("cell", [CLIP_ERROR, ("system", "mse"), RANKS])
@pytest.mark.parametrize(
    "law",
    [
        Law(15, errors="heavy"),
        Law(15, errors="ends"),
        Law(15, own=0.02, own_clip=0.05),
        Law(15, largest=10),
        Law(12, prompts=15, own_prompt=0.3, own_clip=0.05),
    ],
    ids=["heavy tails", "ends of the scale", "correlated", "one large", "prompts"],
)
def test_equally_good_models_are_rarely_told_apart(law, cell):
    assert at_most_five_percent(p_values(law, cell, tests=100, seed=1))


def test_what_is_peculiar_to_systems_and_to_prompts_is_counted_together():
    law = Law(31, prompts=24, own=0.3, own_prompt=0.3, own_clip=0.05)
    rng = np.random.default_rng(0)
    either = []
    both = []
    for _ in range(600):
        pair = pair_of(law, rng)
        kinds = compared(pair, CLIP_ERROR).kinds
        either.append(answer(kinds[:2]).p)
        both.append(answer(kinds).p)
    # Neither way alone keeps the level, nor does the larger of both p-values.
    assert not at_most_five_percent(np.array(either))
    assert at_most_five_percent(np.array(both))


def test_a_stack_that_equals_a_base_model_is_never_told_from_it():
    law = Law(15, own=0, own_clip=0, prompts=10)
    pair = pair_of(law, np.random.default_rng(0))
    for cell in (CLIP_ERROR, RANKS):
        found = compared(pair, cell)
        assert answer(found.kinds).p == 1
        assert smallest_difference(pair.units, found.shares) == 0


def test_a_better_ranking_of_systems_is_found_more_often_than_by_influences():
    law = Law(31, own=0.465, gain=0.7)
    p = p_values(law, RANKS, tests=60)
    # Flips of influences about the difference found a quarter of these gains of .1.
    assert (p <= 0.05).mean() > 0.35


def test_ranks_are_exchanged_system_by_system():
    pair = pair_of(Law(6), np.random.default_rng(3))
    truth, first, second = (
        system_means(values, pair.system)
        for values in (pair.truth, pair.first, pair.second)
    )
    scaled = [(s - s.mean()) / s.std() for s in (first, second)]
    differences = []
    for swaps in itertools.product([False, True], repeat=6):
        ones = np.where(swaps, scaled[1], scaled[0])
        others = np.where(swaps, scaled[0], scaled[1])
        differences.append(srcc(truth, ones) - srcc(truth, others))
    expected = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)
    found = compared(pair, RANKS)
    assert answer(found.kinds).p == pytest.approx(expected)
    assert found.first == pytest.approx(srcc(truth, first))
    assert found.second == pytest.approx(srcc(truth, second))


def test_the_interval_of_a_mean_holds_the_shifts_that_the_test_does_not_reject():
    rng = np.random.default_rng(0)
    system = np.repeat(np.arange(7), rng.integers(2, 30, 7))
    values = rng.normal(0.3, 1, len(system))
    _, low, high = sign_flip(values, system)
    for end, step in ((low, -1e-6), (high, 1e-6)):
        assert sign_flip(values - end, system)[0] > 0.05
        assert sign_flip(values - end - step, system)[0] <= 0.05


def test_what_clips_add_is_the_difference_and_turns_its_sign_with_the_models():
    rng = np.random.default_rng(1)
    pair = pair_of(Law(9, largest=5), rng)
    turned = replace(pair, first=pair.second, second=pair.first)
    for level in ("utterance", "system"):
        for metric in ("mse", "lcc", "srcc"):
            found = compared(pair, (level, metric))
            difference = found.first - found.second
            assert found.shares.difference == pytest.approx(difference)
            other = compared(turned, (level, metric)).shares
            np.testing.assert_allclose(other.values, -found.shares.values, atol=1e-8)


@pytest.mark.parametrize(
    ("systems", "largest", "cell"),
    [(15, 1, CLIP_ERROR), (15, 10, CLIP_ERROR), (31, 1, RANKS)],
)
def test_a_difference_of_the_smallest_detectable_size_is_found_four_times_of_five(
    systems, largest, cell, monkeypatch
):
    monkeypatch.setattr(module, "SIMULATED_TESTS", 100)
    rng = np.random.default_rng(0)
    law = Law(systems, largest)
    sizes = []
    for _ in range(20):
        pair = pair_of(law, rng)
        sizes.append(smallest_difference(pair.units, compared(pair, cell).shares))
    shift = np.median(sizes)

    # The same chance about a true difference of this size.
    found = []
    for _ in range(200):
        pair = pair_of(law, rng)
        shares = compared(pair, cell).shares
        moved = Shares(shares.values + shift * shares.sizes, shares.sizes)
        found.append(answer([Exchanged.of_means(moved, pair.units[0])]).p <= 0.05)
    assert 0.65 < np.mean(found) < 0.92


def test_too_few_units_show_no_difference_however_large():
    shares = Shares(np.array([1.0, 1.1, 0.9, 1.0]), np.ones(4))
    units = FlippedUnits.of("system", np.arange(4), seed=0)
    assert smallest_difference([units], shares) == np.inf
    one = FlippedUnits.of("system", np.zeros(4, dtype=int), seed=0)
    assert smallest_difference([one], shares) == np.inf
    found = answer([Exchanged.of_means(shares, units)])
    assert found.p == pytest.approx(1 / 8)
    assert np.isnan([found.low, found.high]).all()


def test_all_exchanges_are_there_once_up_to_their_opposites():
    signs = FlippedUnits.of("system", np.arange(6), seed=3).signs
    assert signs.shape == (32, 6)
    assert (signs[0] == 1).all()
    assert len({tuple(row) for row in np.vstack([signs, -signs])}) == 64
