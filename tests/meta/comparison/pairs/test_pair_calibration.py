"""Factors of preferences are what pairs of clips show, drawn towards 1."""

import numpy as np
import pytest

from base_models.bins import ScoreBins
from meta.comparison.pairs.pair_calibration import fit_pair_factors
from meta.comparison.preference import preference
from meta.uncertainty.pair_factors import PairFactors

BINS = ScoreBins()
SPREAD = 0.4


def world(seed, slope_within=1.0, of_prompt=0.0, systems=40, prompts=20):
    """Distributions, ratings, systems and prompts of a clip of each system and prompt.

    Scores of a system's clips differ ``1 / slope_within`` times as much as they should,
    and `of_prompt` is the share of the errors' variance that clips of a prompt share.
    """
    rng = np.random.default_rng(seed)
    level = rng.normal(3, 0.4, (systems, 1))
    own = rng.normal(0, 0.3, (systems, prompts))
    shared = rng.normal(0, SPREAD * np.sqrt(of_prompt), (1, prompts))
    alone = rng.normal(0, SPREAD * np.sqrt(1 - of_prompt), (systems, prompts))
    truth = level + slope_within * own + shared + alone
    distributions = BINS.soften((level + own).ravel(), SPREAD)
    system = np.repeat([f"s{k}" for k in range(systems)], prompts)
    prompt = np.tile([f"p{k}" for k in range(prompts)], systems)
    return distributions, truth.ravel(), system, prompt


def test_factors_stay_near_1_where_distributions_are_right():
    learnt = [fit_pair_factors(*world(seed)) for seed in range(12)]
    within = np.log([one.within_system for one in learnt])
    prompts = np.log([one.within_prompt for one in learnt])
    assert np.abs([within, prompts]).max() < 0.2
    assert abs(within.mean()) < 0.05


def test_few_clips_hardly_move_a_factor():
    distributions, truth, system, _ = world(0, slope_within=0.1, systems=5, prompts=5)
    learnt = fit_pair_factors(distributions, truth, system, None)
    assert 0.6 < learnt.within_system <= 1


def test_scores_that_differ_too_much_within_systems_make_preferences_less_sure():
    learnt = fit_pair_factors(*world(0, slope_within=0.4))
    assert learnt.within_system == pytest.approx(0.4, abs=0.12)


def test_errors_that_clips_of_a_prompt_share_make_preferences_surer():
    learnt = fit_pair_factors(*world(0, of_prompt=0.6))
    assert learnt.within_prompt == pytest.approx(1 / np.sqrt(0.4), rel=0.15)


@pytest.mark.parametrize("kind", [{"slope_within": 0.4}, {"of_prompt": 0.6}])
def test_learnt_factors_are_right_for_other_clips(kind):
    learnt = fit_pair_factors(*world(0, **kind))
    distributions, truth, system, prompt = world(1, **kind)
    first, second = np.triu_indices(len(truth), 1)
    same_system = system[first] == system[second]
    same_prompt = prompt[first] == prompt[second]
    factor = learnt.of(same_system, same_prompt)
    likely = preference(distributions[first], distributions[second], factor)
    was = truth[first] > truth[second]
    learnt_for = same_system if "slope_within" in kind else same_prompt
    for low in (0.5, 0.6, 0.7, 0.8):
        chosen = learnt_for & (likely > low) & (likely <= low + 0.1)
        if chosen.sum() > 500:
            assert was[chosen].mean() == pytest.approx(likely[chosen].mean(), abs=0.04)


def test_few_systems_or_nameless_ones_teach_nothing():
    distributions, truth, system, _ = world(0, slope_within=0.2)
    few = np.array([int(name[1:]) < 4 for name in system])
    learnt = fit_pair_factors(distributions[few], truth[few], system[few], None)
    assert learnt == PairFactors()
    nameless = [""] * len(truth)
    assert fit_pair_factors(distributions, truth, nameless, None) == PairFactors()


def test_the_factor_of_a_pair_follows_what_its_clips_share():
    factors = PairFactors(within_system=0.5, within_prompt=1.5)
    same_system = [False, True, False, True]
    same_prompt = [False, False, True, True]
    assert factors.of(same_system, same_prompt).tolist() == [1, 0.5, 1.5, 0.5]


def test_factors_come_back_from_json():
    factors = PairFactors(within_system=0.5, within_prompt=1.5)
    assert PairFactors.from_json(factors.to_json()) == factors
    assert PairFactors.from_json(None) == PairFactors()
    with pytest.raises(ValueError, match="factor of preferences is nan"):
        PairFactors(within_system=float("nan"))
