import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from builders import only_row, rival_scores
from scipy import stats

from base_models.errors import UsageError
from base_models.metrics.bootstrap import system_means
from base_models.metrics.evaluate import LEVELS, METRICS
from base_models.predictions import PredictionTable
from meta.comparison import sign_flip as sign_flip_module
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.sign_flip import Exchanged, FlippedUnits, sign_flip
from meta.comparison.verdict import best_bases, verdict
from meta.comparison.verdict_text import BEST, CONSTANT, MEAN, limits, p_text
from meta.multiple_tests import holm
from meta.rows import Rows

ASPECTS = ["mi"]
FIRST = {("mi", level, metric): "b0" for level in LEVELS for metric in METRICS}


def listening_test(seed, systems=8, clips=8, models=4, own=0.3, stack_own=None):
    """Labels, a stack, base models that are alike, and systems of a listening test."""
    return rival_scores(
        np.random.default_rng(seed),
        systems,
        (max(2, clips // 2), clips),
        models=models,
        own=own,
        stack_own=own if stack_own is None else stack_own,
    )


def rows_of(y, system=None, aspects=ASPECTS, prompts=None):
    ids = [f"c{k}" for k in range(len(y))]
    return Rows.of(ids, y, aspects, systems=system, prompts=prompts)


def judged(seed, **options):
    """The verdict on one listening test.

    The bases are alike, so any choice made elsewhere is as good as the first.
    """
    y, stack, bases, system = listening_test(seed, **options)
    return verdict(rows_of(y, system), stack, bases, FIRST)


def test_equal_models_are_called_different_in_at_most_5_of_100_listening_tests():
    # More of them are in bench_verdict.py.
    claims = sum(
        (judged(seed, own=0.01).table["said"] != "").any() for seed in range(120)
    )
    assert claims <= stats.binom.ppf(0.999, 120, 0.05)  # 14


def test_a_stack_like_any_base_is_not_called_better_and_intervals_hold_the_truth():
    wrong, held = 0, []
    for seed in range(100):
        found = judged(seed, systems=10)
        said = found.table[found.table["said"] != ""]
        wrong += ((said["rival"] == BEST) | (said["said"] == "better")).any()
        cell = only_row(found.table, rival=BEST, level="utterance", metric="mse")
        held.append(cell["low"] <= 0 <= cell["high"])
    assert wrong <= stats.binom.ppf(0.999, 100, 0.05)
    assert np.sum(held) >= stats.binom.ppf(0.001, 100, 0.95)


def test_a_stack_truly_better_is_found_in_most_listening_tests():
    found = [
        judged(seed, systems=15, clips=15, own=0.4, stack_own=0.0) for seed in range(25)
    ]
    cells = [
        only_row(v.table, rival=BEST, level="utterance", metric="mse") for v in found
    ]
    assert np.mean([cell["difference"] for cell in cells]) == pytest.approx(
        -0.32, abs=0.05
    )  # of 0.5
    assert np.mean([cell["said"] == "better" for cell in cells]) > 0.8


def test_the_sign_flip_p_value_of_mse_is_that_of_every_swap_of_the_two_predictions():
    y, stack, bases, system = listening_test(3, systems=6)
    same_size = np.concatenate([np.flatnonzero(system == s)[:3] for s in "012345"])
    y, stack, other, system = (v[same_size] for v in (y, stack, bases["b0"], system))
    found = verdict(
        rows_of(y, system),
        stack,
        {"b0": other},
        best_bases(rows_of(y, system), {"b0": other}),
    )
    errors = ((stack - y) ** 2 - (other - y) ** 2)[:, 0]
    per_system = [errors[system == s].mean() for s in "012345"]
    swaps = [
        abs(np.dot(signs, per_system)) for signs in itertools.product([1, -1], repeat=6)
    ]
    expected = np.mean(np.array(swaps) >= abs(sum(per_system)) - 1e-12)
    for rival in (BEST, MEAN):
        assert only_row(found.table, rival=rival, level="utterance", metric="mse")[
            "p"
        ] == pytest.approx(expected)


def test_values_and_differences_are_those_of_the_metrics():
    y, stack, bases, system = listening_test(1)
    best = best_bases(rows_of(y, system), bases)
    mean = np.mean(list(bases.values()), axis=0)
    codes = system.astype(int)
    for cell in verdict(rows_of(y, system), stack, bases, best).table.to_dict(
        "records"
    ):
        other = mean if cell["rival"] == MEAN else bases[cell["model"]]
        triple = [values[:, 0] for values in (y, stack, other)]
        if cell["level"] == "system":
            triple = [system_means(values, codes) for values in triple]
        metric = METRICS[cell["metric"]]
        assert cell["stack"] == pytest.approx(metric(triple[0], triple[1]))
        assert cell["other"] == pytest.approx(metric(triple[0], triple[2]))
        assert cell["difference"] == pytest.approx(cell["stack"] - cell["other"])
        assert cell["n"] == len(triple[0])


def test_nothing_is_said_that_only_an_unadjusted_p_value_would_say():
    held_back = 0
    for seed in range(20):
        table = judged(seed, systems=10, stack_own=0.2).table
        head = table[table["p_holm"].notna()]
        np.testing.assert_allclose(head["p_holm"], holm(head["p"]))
        assert ((table["said"] != "") == (table["p_holm"] <= 0.05)).all()
        held_back += ((head["p"] <= 0.05) & (head["said"] == "")).sum()
    assert held_back > 0


@pytest.mark.parametrize("systems", [7, 20])
def test_the_interval_leaves_zero_out_exactly_where_p_is_below_five_percent(systems):
    for seed in range(8):
        table = judged(seed, systems=systems, stack_own=0.1).table
        outside = (table["low"] > 1e-9) | (table["high"] < -1e-9)
        assert (outside == (table["p"] <= 0.05)).all()
        assert (
            (table["low"] <= table["difference"])
            & (table["difference"] <= table["high"])
        ).all()


def test_an_offset_of_a_base_does_not_change_what_is_said_of_its_ranks():
    y, stack, bases, system = listening_test(2)
    best = best_bases(rows_of(y, system), bases)
    moved = {name: 0.5 * scores + 2 for name, scores in bases.items()}
    tables = [verdict(rows_of(y, system), stack, b, best).table for b in (bases, moved)]
    ranks = [t[t["metric"].isin(["srcc", "ktau"])] for t in tables]
    np.testing.assert_allclose(ranks[0]["p"], ranks[1]["p"])


def test_the_best_base_is_chosen_per_metric_on_the_rows_given():
    y, _, bases, system = listening_test(4)
    bases = {"exact": y + 0.0, "ranks": np.clip(3 * y, 1, 50), "bad": -y}
    best = best_bases(rows_of(y, system), bases)
    assert best["mi", "utterance", "mse"] == "exact"
    assert (
        best["mi", "system", "srcc"] == "exact"
    )  # as good as "ranks", nearer to the labels
    best = best_bases(rows_of(y, system), {"far": y + 2, "near": np.full_like(y, 3.0)})
    assert (best["mi", "utterance", "mse"], best["mi", "system", "srcc"]) == (
        "near",
        "far",
    )


def test_the_same_predictions_show_no_difference():
    y, _, bases, system = listening_test(0)
    found = verdict(rows_of(y, system), bases["b0"], {"b0": bases["b0"]}, FIRST)
    assert (found.table["p"] == 1).all()
    assert (found.table["p_better"] == 0.5).all()
    assert found.sentence.startswith(
        "No difference shown between the stack and the best base model or the mean"
    )


def test_the_sentence_says_by_how_much_and_how_sure():
    found = judged(0, systems=31, clips=20, own=0.5, stack_own=0.02)
    cell = only_row(found.table, rival=BEST, level="utterance", metric="mse")
    assert found.sentence.startswith(
        f"On {cell['n']} clips of 31 systems, "
        "the stack beats the best base model in mi "
    )
    interval = f"[{cell['low']:+.3f}, {cell['high']:+.3f}]"
    figures = f"{cell['difference']:+.3f} {interval} against b0, adjusted p < 0.001"
    assert f"in mi error per clip (utterance MSE {figures})" in found.sentence
    worse = judged(1, systems=31, clips=20, own=0.1, stack_own=1.0)
    assert (
        "is worse than the mean of the base models in mi error per clip (utterance MSE"
        in worse.sentence
    )


def test_too_few_systems_are_said_to_be_too_few():
    found = judged(0, systems=4, stack_own=0.0)
    assert (
        "whether it ranks systems better (4 systems are too few to show any gain in "
        "system SRCC)" in found.limits
    )
    assert found.table["low"].isna().all()
    assert set(found.table["smallest"].dropna()) == {np.inf}
    shown = found.to_json()["comparisons"]
    assert {record["smallest"] for record in shown} == {None}


@pytest.mark.parametrize("names", [None, "one"])
def test_without_systems_clips_take_their_place(names):
    y, stack, bases, _ = listening_test(
        0, systems=12, clips=30, own=0.5, stack_own=0.02
    )
    system = None if names is None else [names] * len(y)
    found = verdict(
        rows_of(y, system), stack, bases, best_bases(rows_of(y, system), bases)
    )
    assert set(found.table["level"]) == {"utterance"}
    assert "the stack beats the best base model" in found.sentence
    about = "one system: nothing is said of any other" if names else "name no systems"
    assert about in found.limits
    assert found.text == f"{found.sentence} {found.limits}"


def test_prompts_that_systems_share_make_the_verdict_more_cautious():
    rng, systems, prompts = np.random.default_rng(0), 20, 6
    system, prompt = (
        np.repeat(np.arange(systems), prompts),
        np.tile(np.arange(prompts), systems),
    )
    y = rng.uniform(1, 5, (len(system), 1))
    error = rng.normal(
        0, 1, (2, prompts)
    )  # each model errs by prompt alone, alike for every system
    stack, base = (y + e[prompt][:, None] for e in error)
    bases = {"b": base}
    best = best_bases(rows_of(y, system), bases)
    alone, both = (
        verdict(rows_of(y, system, prompts=ids), stack, bases, best)
        for ids in (None, prompt.astype(str))
    )
    cell = {"rival": BEST, "level": "utterance", "metric": "mse"}
    assert only_row(alone.table, **cell)["p"] < 0.001
    assert only_row(both.table, **cell)["p"] > 0.05
    assert only_row(both.table, **cell)["low"] <= only_row(alone.table, **cell)["low"]
    own = [
        f"{s} {p}" for s, p in zip(system, prompt, strict=True)
    ]  # prompts that no systems share change nothing
    assert verdict(rows_of(y, system, prompts=own), stack, bases, best).table.equals(
        alone.table
    )


def test_unlabelled_rows_and_aspects_are_left_out():
    y, stack, bases, system = listening_test(0)
    aspects, nothing = ["mi", "ta"], np.full_like(y, np.nan)
    two = {name: np.hstack([scores, scores]) for name, scores in bases.items()}
    best = best_bases(rows_of(np.hstack([y, y]), system, aspects=aspects), two)
    found = verdict(
        rows_of(np.hstack([y, nothing]), system, aspects=aspects),
        np.hstack([stack, stack]),
        two,
        best,
    )
    assert found.table.equals(
        verdict(
            rows_of(y, system), stack, bases, best_bases(rows_of(y, system), bases)
        ).table
    )
    empty = verdict(
        rows_of(np.hstack([nothing, nothing]), system, aspects=aspects),
        np.hstack([stack, stack]),
        two,
        best,
    )
    assert (
        empty.sentence == "There are no labelled clips to compare on: nothing is known."
    )
    assert empty.to_json()["comparisons"] == []


def test_a_constant_prediction_has_no_correlation_to_compare():
    y, stack, bases, system = listening_test(0)
    found = verdict(
        rows_of(y, system),
        np.full_like(stack, 3.0),
        bases,
        best_bases(rows_of(y, system), bases),
    )
    undefined = only_row(found.table, rival=MEAN, level="system", metric="srcc")
    assert np.isnan([undefined["p"], undefined["difference"]]).all()
    assert undefined["said"] == ""
    records = json.loads(json.dumps(found.to_json(), allow_nan=False))["comparisons"]
    assert len(records) == len(found.table) == 16
    assert any(record["p"] is None for record in records)


def test_holm_is_the_step_down_of_its_definition():
    rng = np.random.default_rng(0)
    for p in rng.uniform(size=(50, 6)) ** 2:
        adjusted, worst = {}, 0.0
        for k, place in enumerate(sorted(range(6), key=lambda i: p[i])):
            worst = max(worst, min(1.0, (6 - k) * p[place]))
            adjusted[place] = worst
        np.testing.assert_allclose(holm(p), [adjusted[i] for i in range(6)])
    assert holm([np.nan, 0.01]).tolist() == [1.0, 0.02]


@pytest.mark.parametrize("prompts", [False, True])
def test_the_sign_flip_of_differences_per_clip_is_that_of_the_verdict_on_their_mean(
    prompts,
):
    y, stack, bases, system = listening_test(3)
    names = [f"p{k % 5}" for k in range(len(y))] if prompts else None
    found = only_row(
        verdict(rows_of(y, system, prompts=names), stack, bases, FIRST).table,
        level="utterance",
        metric="mse",
        rival=MEAN,
    )
    mean = np.mean(list(bases.values()), axis=0)
    values = ((stack - y) ** 2 - (mean - y) ** 2)[:, 0]
    np.testing.assert_allclose(
        sign_flip(values, system, names), [found["p"], found["low"], found["high"]]
    )


def test_drawn_sign_flips_agree_with_all_of_them(monkeypatch):
    exact = judged(5, systems=10).table
    monkeypatch.setattr(sign_flip_module, "EXACT_UNITS", 5)
    np.testing.assert_allclose(judged(5, systems=10).table["p"], exact["p"], atol=0.03)


@pytest.mark.parametrize(("systems", "cut"), [(3, 0), (3, 2), (9, 3), (20, 25)])
def test_the_ends_of_many_simulated_tests_are_those_of_each(systems, cut):
    rng = np.random.default_rng(systems)
    units = FlippedUnits.of("system", np.arange(systems), 0)
    # One system has nearly all clips, so that some exchanges exclude nothing.
    sizes = np.append(1e10, np.ones(systems - 1))
    balance = units.signs @ sizes / sizes.sum()
    noise = rng.normal(size=(5, systems))
    found = sign_flip_module._lower_ends(noise, units.signs, balance, cut=cut)
    for end, differences in zip(found, noise @ units.signs.T, strict=True):
        lows, _ = Exchanged(differences, balance).ends(differences[0])
        assert end == pytest.approx(np.sort(lows)[cut])


def test_what_cannot_be_compared_is_refused():
    y, stack, bases, system = listening_test(0)
    best = best_bases(rows_of(y, system), bases)
    with pytest.raises(UsageError, match="at least one base model"):
        verdict(rows_of(y, system), stack, {}, best)
    with pytest.raises(UsageError, match="at least one base model"):
        best_bases(rows_of(y, system), {})
    with pytest.raises(UsageError, match="no base model for aspect 'mi'"):
        verdict(rows_of(y, system), stack, bases, {})
    with pytest.raises(UsageError, match="Unknown base model 'gone'"):
        verdict(
            rows_of(y, system),
            stack,
            bases,
            best | {("mi", "utterance", "mse"): "gone"},
        )
    with pytest.raises(UsageError, match="shape"):
        verdict(rows_of(y, system), stack[1:], bases, best)


def test_rows_without_scores_of_a_stack_have_no_verdict():
    y, _, bases, system = listening_test(0)
    rows = rows_of(y, system)
    scores = np.clip(bases["b0"], 1, 5)
    table = PredictionTable.from_scores("b0", rows.ids.tolist(), ASPECTS, scores)
    compared = ComparedRows.of([table], rows)
    with pytest.raises(UsageError, match="needs the scores of a stack"):
        compared.verdict(compared)


def test_a_constant_is_a_rival_in_errors_alone():
    y, stack, bases, system = listening_test(0, systems=20, clips=20, stack_own=0.05)
    found = verdict(rows_of(y, system), stack, bases, FIRST, constant=[3.2]).table
    rows = found[found["rival"] == CONSTANT]
    assert set(zip(rows["level"], rows["metric"], strict=True)) == {
        ("utterance", "mse"),
        ("system", "mse"),
    }
    clips = only_row(rows, level="utterance")
    assert clips["other"] == pytest.approx(((y - 3.2) ** 2).mean())
    assert clips["said"] == "better"
    assert np.isnan(only_row(rows, level="system")["p_holm"])
    # Without a label in the fit there is no constant.
    without = verdict(rows_of(y, system), stack, bases, FIRST, constant=[np.nan])
    assert CONSTANT not in set(without.table["rival"])


def test_the_constant_is_a_question_of_its_own_for_holm():
    y, stack, bases, system = listening_test(0, systems=8, clips=6)
    with_it = verdict(rows_of(y, system), stack, bases, FIRST, constant=[3.2]).table
    without = verdict(rows_of(y, system), stack, bases, FIRST).table
    head = with_it[with_it["p_holm"].notna()]
    of_constant = head[head["rival"] == CONSTANT]
    np.testing.assert_array_equal(of_constant["p_holm"], holm(of_constant["p"]))

    # Asking whether the stack says anything hides no answer about base models.
    of_bases = with_it[with_it["rival"] != CONSTANT].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_bases, without)


def test_what_is_shown_stands_before_what_is_not():
    y, _, bases, system = listening_test(0, systems=20, clips=20)
    # The stack is one of its own base models.
    name = next(iter(bases))
    best = dict.fromkeys(FIRST, name)
    found = verdict(rows_of(y, system), bases[name], bases, best, constant=[3.2])
    pattern = r"beats a constant .*; it shows no difference from the best base model\.$"
    assert re.search(pattern, found.sentence)


def test_a_stack_of_no_use_is_said_to_be_worse_than_a_constant():
    y, _, bases, system = listening_test(0, systems=20, clips=20)
    against = np.clip(6 - y, 1, 5)
    found = verdict(rows_of(y, system), against, bases, FIRST, constant=[y.mean()])
    assert "it is worse than a constant (the mean rating) in mi error" in found.sentence


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.05, "p = 0.050"),
        (0.05001, "p = 0.051"),
        (0.0101, "p = 0.011"),
        (0.003, "p = 0.003"),
        (1.0, "p = 1.000"),
        (0.0009, "p < 0.001"),
    ],
)
def test_p_values_have_three_digits_and_none_that_shows_nothing_reads_as_5_percent(
    p, text
):
    assert p_text(p) == text


def test_the_limits_say_how_large_a_difference_would_not_have_been_seen():
    found = judged(3, systems=31, clips=15, own=0.15)
    rows = found.table[found.table["p_holm"].notna()]
    assert (rows["said"] == "").any()
    ranks = rows[(rows["metric"] == "srcc") & (rows["said"] == "")]["smallest"].max()
    assert (
        f"with 31 systems, gains in system SRCC below about {ranks:.2g} would not be "
        "seen" in found.limits
    )
    assert found.limits.startswith("Cannot be said: whether")
    assert found.limits.endswith("like these; others may differ.")
    # Nothing is left to ask where all is claimed.
    table = found.table.assign(said="better")
    assert "Cannot be said" not in limits(table, ["a", "b"], 31)


def test_a_gain_larger_than_what_is_left_is_said_not_to_be_seen():
    found = judged(0, systems=8, own=0.6)
    ranks = found.table[found.table["metric"] == "srcc"]
    ranks = ranks[ranks["level"] == "system"]
    left = 1 - ranks["other"].min()
    assert ranks["smallest"].max() > left
    said = f"not even the largest gain in system SRCC that is left, {left:.2f}, would"
    assert said in found.limits


def test_two_aspects_are_named_where_only_one_is_open():
    y, stack, bases, system = listening_test(5, systems=31, clips=20, stack_own=0.02)
    _, plain, other, _ = listening_test(5, systems=31, clips=20, own=0.3)
    two = {name: np.hstack([bases[name], other[name]]) for name in bases}
    best = {(a, *cell): "b0" for a in ("mi", "ta") for (_, *cell) in FIRST}
    rows = rows_of(np.hstack([y, y]), system, aspects=["mi", "ta"])
    found = verdict(rows, np.hstack([stack, plain]), two, best)
    errors = found.table[(found.table["level"] == "utterance")]
    errors = errors[(errors["metric"] == "mse") & (errors["said"] == "")]
    assert set(errors["aspect"]) == {"ta"}
    assert "whether its scores are nearer to the ratings" in found.limits
    assert " in ta (" in found.limits


def test_equal_models_leave_nothing_open_that_could_be_told_apart():
    y, _, bases, system = listening_test(0)
    same = {"b0": bases["b0"]}
    found = verdict(rows_of(y, system), bases["b0"], same, FIRST)
    assert "Cannot be said" not in found.limits


def test_models_that_differ_by_rounding_are_not_told_apart():
    y, stack, _, system = listening_test(0)
    same = {"b0": stack * (1 + 1e-15)}
    found = verdict(rows_of(y, system), stack, same, FIRST)
    claims = found.table[found.table["p_holm"].notna()]
    assert (claims["said"] == "").all()
    assert (claims["smallest"] == 0).all()
    assert "Cannot be said" not in found.limits


def test_systems_that_both_models_rank_alike_are_said_to_be():
    y, _, bases, system = listening_test(0)
    # A line keeps every rank, and changes every error.
    moved = {"b0": 1 + 0.8 * bases["b0"]}
    found = verdict(rows_of(y, system), bases["b0"], moved, FIRST)
    n = len(set(system))
    assert (
        f"whether it ranks systems better (these {n} systems are ranked alike)"
        in found.limits
    )
    # That both rank these alike does not say that they rank others alike.
    ranks = found.table[found.table["metric"].isin(["srcc", "ktau"])]
    assert (ranks["difference"] == 0).all()
    assert ranks[["low", "high"]].isna().all(axis=None)


def test_labels_that_are_all_equal_are_said_to_be_and_compared_with_nothing():
    y, stack, bases, system = listening_test(0)
    found = verdict(rows_of(np.full_like(y, 2.5), system), stack, bases, FIRST)
    assert (
        found.sentence
        == f"All {len(y)} labels of 'mi' are 2.5: nothing can be compared."
    )
    assert found.table.empty
    assert json.loads(json.dumps(found.to_json()))["comparisons"] == []

    y[1:] = np.nan
    found = verdict(rows_of(y, system), stack, bases, FIRST)
    assert (
        found.sentence == "Only one clip is labelled for 'mi': nothing can be compared."
    )
