"""Laws of plans: every clip has its chance, and ratings go where they tell most."""

import numpy as np
import pandas as pd
import pytest
from rated_systems import World, measure

from base_models.errors import UsageError
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.rating_plan import PlanSettings, ordered_pivotal, rating_plan


def table(sizes=(40, 40, 40), spreads=(0.5, 0.5, 0.5), prompts=False):
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "system_id": f"s{k}",
                "prediction": 3 + spread * rng.normal(size=size),
                "prompt": [f"p{i}" for i in range(size)] if prompts else "",
            }
        )
        for k, (size, spread) in enumerate(zip(sizes, spreads, strict=True))
    ]
    return pd.concat(parts, ignore_index=True)


def sizes_of(plan):
    return plan.systems["to_rate"].tolist()[:-1]


@pytest.mark.parametrize(("units", "drawn"), [(10, 3), (7, 5), (4, 2), (30, 7), (5, 5)])
def test_every_unit_has_the_same_chance_to_be_drawn(units, drawn):
    rng = np.random.default_rng(0)
    counts = np.zeros(units)
    for _ in range(4000):
        places = ordered_pivotal(units, drawn, rng)
        assert len(set(places.tolist())) == drawn
        counts[places] += 1
    assert counts / 4000 == pytest.approx(np.full(units, drawn / units), abs=0.035)


def test_units_are_drawn_evenly_along_the_row():
    rng = np.random.default_rng(0)
    for _ in range(200):
        places = ordered_pivotal(100, 10, rng)
        assert np.diff(places).max() <= 30
        # Of every tenth of the row about one is drawn.
        assert np.bincount(places // 10, minlength=10).max() <= 2


def test_no_unit_is_drawn_of_none_wanted():
    assert len(ordered_pivotal(5, 0, np.random.default_rng(0))) == 0


def test_the_plan_spends_the_budget_and_draws_no_clip_twice():
    plan = rating_plan(table(), PlanSettings(30))
    assert len(set(plan.rows.tolist())) == 30
    assert plan.systems["ratings"].iloc[-1] == 30
    three = rating_plan(table(), PlanSettings(30, ratings_per_clip=3))
    assert len(three.rows) == 10
    assert three.systems["ratings"].iloc[-1] == 30
    everything = rating_plan(table(), PlanSettings(1000))
    assert sorted(everything.rows) == list(range(120))


def test_the_same_seed_gives_the_same_plan_and_another_one_another():
    plans = [rating_plan(table(), PlanSettings(30, seed=seed)) for seed in (1, 1, 2)]
    assert plans[0].rows.tolist() == plans[1].rows.tolist()
    assert plans[0].rows.tolist() != plans[2].rows.tolist()


def test_ratings_go_where_clips_lie_far_from_their_predictions():
    deviation = np.repeat([0.1, 0.1, 3.0], 40)
    settings = PlanSettings(60, rater_deviation=0.1)
    sizes = sizes_of(rating_plan(table(), settings, deviation))
    # Neyman: in proportion to standard deviations, here 1 : 1 : 21; 40 is all there is.
    assert sizes == [10, 10, 40]
    settings = PlanSettings(30, rater_deviation=0.1)
    assert sizes_of(rating_plan(table(), settings, deviation)) == [2, 2, 26]


def test_an_allocation_serves_systems_the_corpus_or_comparisons():
    clips = table(sizes=(20, 60, 120))
    deviation = np.full(200, 0.5)
    of = {
        name: sizes_of(rating_plan(clips, PlanSettings(60, allocation=name), deviation))
        for name in ("systems", "corpus", "equal")
    }
    assert of["systems"] == [20, 20, 20]
    assert of["equal"] == [20, 20, 20]
    assert of["corpus"] == [6, 18, 36]


def test_equal_numbers_on_shared_prompts_take_the_same_prompts():
    clips = table(prompts=True)
    plan = rating_plan(clips, PlanSettings(30, allocation="equal"))
    assert plan.same_prompts
    chosen = clips.iloc[plan.rows]
    assert (chosen.groupby("prompt")["system_id"].nunique() == 3).all()
    assert not rating_plan(clips, PlanSettings(30)).same_prompts
    incomplete = clips.iloc[1:].reset_index(drop=True)
    settings = PlanSettings(30, allocation="equal")
    assert not rating_plan(incomplete, settings).same_prompts


def test_a_pilot_is_not_rated_again_and_tells_the_scatter():
    rng = np.random.default_rng(0)
    sample, _, _ = World(rated=6, per_clip=2).draw(rng)
    names = np.array(sample.system_names)
    clips = pd.DataFrame(
        {"system_id": names[sample.system], "prediction": sample.predictions}
    )
    plan = rating_plan(clips, PlanSettings(40), pilot=sample)
    assert not sample.is_rated[plan.rows].any()
    assert len(plan.rows) == 40
    other = rating_plan(clips, PlanSettings(40))
    assert (
        plan.systems["human_half_width"].iloc[-1]
        < (other.systems["human_half_width"].iloc[-1])
    )


def test_the_expected_half_widths_are_those_that_are_found():
    world = World(rated=60, clips=60)
    rng = np.random.default_rng(0)
    expected, found = [], []
    for seed in range(40):
        sample, means, _ = world.draw(rng)
        names = np.array(sample.system_names)
        clips = pd.DataFrame(
            {"system_id": names[sample.system], "prediction": sample.predictions}
        )
        # True scores lie .6 * sqrt(1 - .66²) from what predictions say.
        deviation = np.full(600, 0.6 * np.sqrt(1 - 0.66**2))
        settings = PlanSettings(60, rater_deviation=0.5, seed=seed)
        plan = rating_plan(clips, settings, deviation)
        expected.append(plan.systems["powered_half_width"].iloc[:-1].mean())
        kept = np.isin(sample.clip_of, plan.rows)
        rated = RatedSample(
            **{
                **vars_of(sample),
                "clip_of": sample.clip_of[kept],
                "ratings": sample.ratings[kept],
            }
        )
        found.append((rated, means))
    widths = measure(found)
    assert widths.systems.min() > 0.93
    assert np.mean(expected) == pytest.approx(widths.widths[1] / 2, rel=0.08)


def vars_of(sample):
    names = ("clip_ids", "system_names", "system", "predictions", "clip_of", "ratings")
    return {name: getattr(sample, name) for name in names}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, "The budget is a number of ratings"),
        ({"budget": 9, "ratings_per_clip": 0}, "one rating or more"),
        ({"budget": 9, "allocation": "fair"}, "Unknown allocation 'fair'"),
        ({"budget": 9, "rater_deviation": 0.0}, "positive number of score points"),
        ({"budget": 9, "rater_deviation": float("nan")}, "positive number"),
        ({"budget": 9, "level": 1.0}, "between 0 and 1; got 1"),
    ],
)
def test_settings_that_no_plan_can_follow_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        PlanSettings(**settings)


def test_a_budget_below_two_clips_of_each_system_is_refused():
    with pytest.raises(UsageError, match=r"10 ratings are 5 clips with 2 each; 3 sys"):
        rating_plan(table(), PlanSettings(10, ratings_per_clip=2))
