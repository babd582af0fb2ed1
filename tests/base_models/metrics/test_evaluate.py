import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from benchmarks.paired_difference import evaluate_difference
from builders import only_row
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from base_models.errors import UsageError
from base_models.metrics.bootstrap import (
    RESAMPLED_METRICS,
    bootstrap_weights,
    resample,
    system_means,
)
from base_models.metrics.evaluate import (
    METRICS,
    Truth,
    evaluate,
    evaluate_mean,
    evaluate_models,
    ktau,
    lcc,
    measure,
    mse,
    srcc,
)
from base_models.metrics.intervals import metric_interval


def listening_test(n=60, systems=6, aspects=1, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.round(rng.uniform(1, 5, (n, aspects)), 1)
    return (
        truth,
        np.clip(truth + rng.normal(0, 0.6, truth.shape), 1, 5),
        rng.integers(systems, size=n).astype(str),
    )


@given(
    st.integers(0, 10_000),
    st.integers(2, 30),
    st.integers(1, 6),
    st.sampled_from([0, 1, 8]),
)
@settings(max_examples=40, deadline=None)
def test_resampling_by_weights_is_the_metric_of_physically_repeated_rows(
    seed, n, systems, decimals
):
    rng = np.random.default_rng(seed)
    x, y = (np.round(rng.uniform(1, 5, n), decimals) for _ in range(2))
    _, cluster = np.unique(rng.integers(systems, size=n), return_inverse=True)
    weights = bootstrap_weights(cluster.max() + 1, 8, seed)
    fast = resample(x, y, weights, cluster)
    for b, drawn in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(n), drawn[cluster])
        for name, metric in METRICS.items():
            np.testing.assert_allclose(
                fast[name][b], metric(x[rows], y[rows]), atol=1e-10, rtol=0
            )


def test_blocks_do_not_change_resampled_metrics(monkeypatch):
    truth, prediction, systems = listening_test()
    whole = evaluate(truth, prediction, systems, ["mi"], n_bootstrap=50)
    monkeypatch.setattr("base_models.metrics.bootstrap._BLOCK_NUMBERS", 100)
    np.testing.assert_allclose(
        evaluate(truth, prediction, systems, ["mi"], 50).low, whole.low, rtol=1e-12
    )


def test_the_resampled_metrics_are_those_of_the_table():
    assert tuple(METRICS) == RESAMPLED_METRICS


def test_metrics_are_those_of_scipy():
    truth, prediction, _ = listening_test()
    x, y = truth[:, 0], prediction[:, 0]
    assert srcc(x, y) == stats.spearmanr(x, y).statistic
    assert ktau(x, y) == stats.kendalltau(x, y, variant="b").statistic
    assert lcc(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert mse(x, y) == pytest.approx(((x - y) ** 2).mean())


@pytest.mark.parametrize("n_clips", [1, 2, 40, 600])
def test_values_of_several_models_are_those_of_the_metrics(n_clips):
    rng = np.random.default_rng(n_clips)
    truth = np.round(rng.normal(3, 0.5, n_clips), 1)
    noisy = np.round(truth + rng.normal(0, 0.5, n_clips), 1)
    models = [noisy, truth, -truth, np.full(n_clips, 3.0)]
    tables = evaluate_models(
        truth[:, None],
        [model[:, None] for model in models],
        None,
        aspects=["mi"],
        n_bootstrap=0,
    )
    for model, table in zip(models, tables, strict=True):
        found = table[table["level"] == "utterance"].set_index("metric")["value"]
        expected = {name: metric(truth, model) for name, metric in METRICS.items()}
        assert found.to_dict() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "pair",
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([2.0, 1.0], [3.0, 3.0]),
        ([1.0], [1.0]),
        ([], []),
    ],
)
def test_a_correlation_with_a_constant_or_a_single_point_is_nan_without_a_warning(pair):
    assert all(np.isnan(METRICS[name](*pair)) for name in ("lcc", "srcc", "ktau"))


def test_nearly_constant_scores_do_not_warn():
    assert np.isfinite(lcc([3.0, 3.0, 3.0 + 1e-15], [1.0, 2.0, 3.0]))


def test_an_order_preserving_map_keeps_rank_metrics():
    truth, prediction, systems = listening_test()
    before, after = (
        evaluate(truth, p, systems, ["mi"], 100).set_index(["level", "metric"])
        for p in (prediction, prediction**3)
    )
    for metric in ("srcc", "ktau"):
        np.testing.assert_array_equal(
            before.loc[("utterance", metric)], after.loc[("utterance", metric)]
        )


def test_system_level_is_the_metric_of_unweighted_means():
    truth, prediction, systems = listening_test(aspects=2)
    table = evaluate(truth, prediction, systems, ["mi", "ta"], n_bootstrap=0)
    names = sorted(set(systems))
    means = [
        [v[systems == name, 1].mean() for name in names] for v in (truth, prediction)
    ]
    row = only_row(table, aspect="ta", level="system", metric="lcc")
    assert row["value"] == pytest.approx(lcc(*means))
    assert row["n"] == len(names)
    assert np.isnan(row["low"])


def test_equal_scores_in_systems_of_unequal_size_tie():
    system = np.repeat([0, 1, 2], [3, 7, 1])
    assert np.ptp(system_means(np.full(11, 3.3), system)) == 0
    assert (
        np.ptp(system_means([3.1, 3.2, 3.3, 3.3, 3.1, 3.2], np.repeat([0, 1], 3))) == 0
    )


def test_unlabelled_rows_are_left_out_per_aspect():
    truth, prediction, systems = listening_test(aspects=2)
    truth[:10, 0] = np.nan
    table = evaluate(truth, prediction, systems, ["mi", "ta"], n_bootstrap=20)
    alone = evaluate(
        truth[10:, :1], prediction[10:, :1], systems[10:], ["mi"], n_bootstrap=20
    )
    np.testing.assert_array_equal(table[table.aspect == "mi"].low, alone.low)
    assert only_row(table, aspect="mi", level="utterance", metric="mse")["n"] == 50
    assert only_row(table, aspect="ta", level="utterance", metric="mse")["n"] == 60


def test_an_interval_holds_its_value_and_the_same_seed_gives_the_same_table():
    truth, prediction, systems = listening_test(n=200, systems=20)
    table = evaluate(truth, prediction, systems, ["mi"], seed=3)
    assert ((table.low <= table.value) & (table.value <= table.high)).all()
    assert table.equals(evaluate(truth, prediction, systems, ["mi"], seed=3))
    assert not table.low.equals(
        evaluate(truth, prediction, systems, ["mi"], seed=4).low
    )


def test_clips_that_follow_their_system_widen_the_interval():
    rng = np.random.default_rng(0)
    system = np.repeat(np.arange(10), 40)
    truth = rng.uniform(1, 5, 400)
    prediction = truth + rng.normal(0, 1, 10)[system]  # each system has its own bias
    width = [
        np.ptp(evaluate(truth, prediction, ids, ["mi"]).loc[0, ["low", "high"]])
        for ids in (system.astype(str), None)
    ]
    assert width[0] > 2 * width[1]


@pytest.mark.parametrize("ids", [None, [""] * 60, ["only"] * 60])
def test_without_several_systems_clips_are_resampled_and_the_system_level_is_nan(ids):
    truth, prediction, _ = listening_test()
    table = evaluate(truth, prediction, ids, ["mi"], n_bootstrap=100)
    assert table[table.level == "utterance"].low.notna().all()
    system = table[table.level == "system"]
    assert system[["value", "low", "high"]].isna().all(axis=None)
    assert (system.n == 1).all()


def test_mostly_degenerate_resamples_have_no_interval_and_a_note():
    systems = np.repeat(list("abcde"), 2)
    one_differs = np.repeat([1.0, 1.0, 1.0, 1.0, 2.0], 2)[:, None]
    table = evaluate(one_differs, one_differs, systems, ["mi"], n_bootstrap=200)
    assert table[table.metric == "lcc"].low.notna().all()
    row_of_one = np.zeros((40, 1))
    row_of_one[0] = 1.0
    (cell, *_) = measure(row_of_one, row_of_one, None, ["mi"], 200)
    mostly_equal = replace(cell, metric="lcc", resampled=np.full(9, np.nan))
    assert mostly_equal.note(mostly_equal.interval(0.95)) == "equal in most resamples"
    one_differs = np.array([[1.0]] * 9 + [[2.0]])
    table = evaluate(one_differs, one_differs, list("aaaaaaaaab"), ["mi"])
    assert only_row(table, level="utterance", metric="lcc")["value"] == 1
    constant = evaluate(one_differs, np.full((10, 1), 3.3), list("aaabbbcccc"), ["mi"])
    assert (
        constant[constant.metric != "mse"][["value", "low", "high"]]
        .isna()
        .all(axis=None)
    )
    assert (constant[constant.metric != "mse"].note == "all equal").all()


@pytest.mark.parametrize("n_systems", [1, 2, 4])
def test_below_five_systems_there_is_no_interval_and_the_note_says_why(n_systems):
    system = np.arange(60) % n_systems
    truth = system / 4 + np.random.default_rng(0).uniform(1, 3, 60)
    table = evaluate(truth, truth + 0.1, system.astype(str), ["mi"], 50)
    of_systems = table[table["level"] == "system"]
    assert of_systems[["low", "high"]].isna().all(axis=None)
    assert (of_systems["note"] == "too few systems").all()
    of_clips = table[table["level"] == "utterance"]
    # One system cannot be resampled, so that its clips are; of 2 to 4 nothing is said.
    assert of_clips["low"].notna().all() == (n_systems == 1)
    assert (of_clips["note"] == ("" if n_systems == 1 else "too few systems")).all()


def test_below_five_clips_of_one_system_there_is_no_interval():
    table = evaluate([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], None, ["mi"], 50)
    of_clips = table[table["level"] == "utterance"]
    assert of_clips["low"].isna().all()
    assert (of_clips["note"] == "too few clips").all()


@pytest.mark.parametrize("n_systems", [5, 6, 8, 15])
def test_systems_in_perfect_order_have_an_interval_with_a_width(n_systems):
    scores = np.arange(2 * n_systems) / 10
    systems = (np.arange(2 * n_systems) // 2).astype(str)
    table = evaluate(scores, scores**2 + scores, systems, ["mi"], 200)
    for metric in ("srcc", "ktau"):
        row = only_row(table, level="system", metric=metric)
        assert (row["value"], row["high"]) == pytest.approx((1, 1))
        assert row["low"] < 0.999
    assert (table["note"] == "").all()


def test_an_aspect_without_labels_is_nan_with_n_0():
    truth, prediction, systems = listening_test()
    table = evaluate(np.full_like(truth, np.nan), prediction, systems, ["mi"])
    assert (table.n == 0).all()
    assert table.value.isna().all()


def test_a_difference_is_paired():
    truth, prediction, systems = listening_test(n=200, systems=20)
    shifted = (
        prediction + 1e-3
    )  # hardly another model: the paired interval is narrow, the single one is not
    paired = only_row(
        evaluate_difference(
            truth, shifted, prediction, system_ids=systems, aspects=["mi"]
        ),
        level="utterance",
        metric="mse",
    )
    single = only_row(
        evaluate(truth, prediction, systems, ["mi"]), level="utterance", metric="mse"
    )
    assert paired["high"] - paired["low"] < 0.1 * (single["high"] - single["low"])
    assert paired["value"] == pytest.approx(
        mse(truth[:, 0], shifted[:, 0]) - single["value"]
    )
    same = evaluate_difference(
        truth, prediction, prediction, system_ids=systems, aspects=["mi"]
    )
    assert (same[["value", "low", "high"]] == 0).all(axis=None)


def test_the_default_report_is_quick():
    truth, prediction, systems = listening_test(n=413, systems=30, aspects=2)
    times = []
    for _ in range(3):
        start = time.process_time()
        evaluate(truth, prediction, systems, ["mi", "ta"])
        times.append(time.process_time() - start)
    assert min(times) < 2  # 0.2 s on an idle core; the bound leaves room for busy ones


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"y_pred": [[1.0], [np.nan]]},
            r"Prediction of row 1, aspect 'mi' is nan; 1 such",
        ),
        ({"y_true": [[np.inf], [1.0]]}, r"Truth of row 0, aspect 'mi' is inf"),
        ({"y_pred": [[1.0]]}, r"shape \(n, 1\); got \(2, 1\) and \(1, 1\)"),
        ({"aspects": ["mi", "ta"]}, r"shape \(n, 2\)"),
        ({"system_ids": ["a"]}, "1 system ids for 2 clips"),
        ({"system_ids": ["a", ""]}, "Rows '1' have no system id"),
        ({"level": 95}, "between 0 and 1; got 95"),
        ({"n_bootstrap": -1}, "counts resamples; got -1"),
    ],
)
def test_evaluate_refuses_what_it_cannot_measure(change, message):
    good = {
        "y_true": [[1.0], [2.0]],
        "y_pred": [[1.0], [2.0]],
        "system_ids": ["a", "b"],
        "aspects": ["mi"],
    }
    with pytest.raises(UsageError, match=message):
        evaluate(**good | change)


def test_a_metric_refuses_lists_of_two_lengths_and_nan():
    with pytest.raises(UsageError, match="two lists of one length"):
        srcc([1.0, 2.0], [1.0])
    with pytest.raises(UsageError, match="finite scores"):
        mse([1.0, np.nan], [1.0, 2.0])


def test_the_mean_over_repetitions_has_the_interval_of_the_mean():
    rng = np.random.default_rng(0)
    truth, systems = rng.uniform(1, 5, (40, 2)), [f"s{k % 8}" for k in range(40)]
    repeated = [truth + rng.normal(0, noise, truth.shape) for noise in (0.3, 1.0, 2.0)]
    found = evaluate_mean(
        truth, repeated, systems, ["mi", "ta"], n_bootstrap=50, seed=3
    )
    alone = [
        evaluate(truth, each, systems, ["mi", "ta"], n_bootstrap=50, seed=3)
        for each in repeated
    ]
    values = np.stack([one["value"] for one in alone])
    np.testing.assert_allclose(found["value"], values.mean(0))
    np.testing.assert_allclose(found["least"], values.min(0))
    np.testing.assert_allclose(found["most"], values.max(0))
    names = np.array(systems)
    codes = np.unique(names)
    weights = bootstrap_weights(len(codes), 50, 3)
    rows = [
        np.repeat(np.arange(40), draw[np.searchsorted(codes, names)].astype(int))
        for draw in weights
    ]
    drawn = [
        np.mean([srcc(truth[row, 0], each[row, 0]) for each in repeated])
        for row in rows
    ]
    average = {
        name: np.mean([metric(truth[:, 0], each[:, 0]) for each in repeated])
        for name, metric in METRICS.items()
    }
    expected = metric_interval(
        "srcc", average, np.array(drawn), n_points=40, n_units=8, level=0.95
    )
    (line,) = found[
        (found["aspect"] == "mi")
        & (found["level"] == "utterance")
        & (found["metric"] == "srcc")
    ].itertuples()
    np.testing.assert_allclose(
        [line.low, line.high], [expected.low, expected.high], atol=1e-12
    )
    one = evaluate_mean(
        truth, repeated[:1], systems, ["mi", "ta"], n_bootstrap=50, seed=3
    )
    pd.testing.assert_frame_equal(one.drop(columns=["least", "most"]), alone[0])


def crossed_test(seed=0, systems=6, prompts=7, share=0.8):
    rng = np.random.default_rng(seed)
    pairs = [
        (s, p) for s in range(systems) for p in range(prompts) if rng.random() < share
    ]
    system, prompt = np.array(pairs).T
    truth = np.round(rng.uniform(1, 5, (len(pairs), 1)), 1)
    return (
        truth,
        np.round(truth + rng.normal(0, 0.6, truth.shape), 1),
        system.astype(str),
        prompt.astype(str),
    )


@pytest.mark.parametrize("seed", range(4))
def test_crossed_resampling_is_the_metric_of_physically_repeated_systems_and_prompts(
    seed,
):
    truth, prediction, system, prompt = crossed_test(seed)
    draws = dict.fromkeys(
        [(level, m) for level in ("utterance", "system") for m in METRICS], ()
    )
    code = pd.factorize(prompt)[0]  # prompts are numbered as they come
    of_system = bootstrap_weights(len(set(system)), 30, 5).astype(int)
    of_prompt = bootstrap_weights(len(set(prompt)), 30, [5, 1]).astype(int)
    for ws, wp in zip(of_system, of_prompt, strict=True):
        times = ws[system.astype(int)] * wp[code]
        rows = np.repeat(np.arange(len(system)), times)
        for metric, function in METRICS.items():
            draws["utterance", metric] += (
                function(truth[rows, 0], prediction[rows, 0]),
            )
            means = []
            for s in np.unique(system[rows]):
                inside = np.repeat(np.flatnonzero(system == s), wp[code[system == s]])
                means += [
                    [np.round(v[inside, 0].mean(), 10) for v in (truth, prediction)]
                ] * ws[int(s)]
            draws["system", metric] += (function(*np.transpose(means)),)
    cells = measure(
        truth, prediction, system, ["mi"], n_bootstrap=30, seed=5, prompt_ids=prompt
    )
    for cell in cells:
        expected = draws[cell.level, cell.metric]
        np.testing.assert_allclose(cell.resampled, expected, atol=1e-9)


def test_prompts_that_no_systems_share_change_nothing():
    truth, prediction, system, _ = crossed_test()
    alone = evaluate(truth, prediction, system, ["mi"], n_bootstrap=50)
    for prompts in (
        [""] * len(system),
        [f"{s}-{i}" for i, s in enumerate(system)],
        system,
    ):
        assert evaluate(
            truth, prediction, system, ["mi"], n_bootstrap=50, prompt_ids=prompts
        ).equals(alone)


def test_errors_that_follow_the_prompt_widen_the_interval():
    rng = np.random.default_rng(0)
    system, prompt = np.repeat(np.arange(20), 8), np.tile(np.arange(8), 20)
    truth = rng.uniform(1, 5, len(system))
    prediction = truth + rng.normal(0, 1, 8)[prompt]
    width = [
        np.ptp(
            evaluate(truth, prediction, system, ["mi"], prompt_ids=ids).loc[
                0, ["low", "high"]
            ]
        )
        for ids in (prompt.astype(str), None)
    ]
    assert width[0] > 2 * width[1]


def test_each_clip_needs_a_prompt():
    with pytest.raises(UsageError, match="1 prompts for 2 clips"):
        evaluate([[1.0], [2.0]], [[1.0], [2.0]], ["a", "b"], ["mi"], prompt_ids=["p"])


def test_the_mean_over_repetitions_resamples_shared_prompts_too():
    truth, prediction, system, prompt = crossed_test()
    found = evaluate_mean(
        truth,
        [prediction, prediction],
        system,
        ["mi"],
        n_bootstrap=50,
        prompt_ids=prompt,
    )
    alone = evaluate(
        truth, prediction, system, ["mi"], n_bootstrap=50, prompt_ids=prompt
    )
    pd.testing.assert_frame_equal(found.drop(columns=["least", "most"]), alone)


# ---- true scores of systems that are known apart from the clips


def system_truth(systems, aspects=("mi",), seed=1):
    names = sorted(set(systems))
    scores = np.random.default_rng(seed).uniform(1, 5, (len(names), len(aspects)))
    return pd.DataFrame(scores, index=names, columns=list(aspects))


def test_a_known_system_score_is_compared_with_the_mean_prediction():
    truth, prediction, systems = listening_test(aspects=2)
    truth[:30, 1] = np.nan  # the predicted mean is over the labelled clips alone
    known = system_truth(systems, ["mi", "ta"])
    aspects = ["mi", "ta"]
    table = evaluate(Truth(truth, known), prediction, systems, aspects, 0)
    plain = evaluate(truth, prediction, systems, aspects, 0)
    for column, aspect in enumerate(aspects):
        rated = ~np.isnan(truth[:, column])
        means = [
            prediction[(systems == name) & rated, column].mean() for name in known.index
        ]
        for metric, function in METRICS.items():
            found = only_row(table, aspect=aspect, level="system", metric=metric)
            expected = function(known[aspect], np.round(means, 10))
            assert found["value"] == pytest.approx(expected, abs=1e-9)
            assert found["n"] == len(known)
    of_clips = table["level"] == "utterance"
    pd.testing.assert_frame_equal(table[of_clips], plain[of_clips])


@pytest.mark.parametrize("shared_prompts", [False, True])
def test_means_of_the_clips_as_known_scores_change_no_value(shared_prompts):
    truth, prediction, systems = listening_test()
    means = pd.DataFrame({"mi": truth[:, 0]}).groupby(systems).mean()
    prompts = np.arange(60) // 6 if shared_prompts else np.arange(60)
    given = (prediction, systems, ["mi"], 200)
    prompts = [f"p{k}" for k in prompts]
    plain = evaluate(truth, *given, prompt_ids=prompts)
    known = evaluate(Truth(truth, means), *given, prompt_ids=prompts)
    np.testing.assert_allclose(known["value"], plain["value"], atol=1e-9)
    if not shared_prompts:  # whole systems are drawn, so that no mean ever changes
        np.testing.assert_allclose(known["low"], plain["low"], atol=1e-9)
    else:
        levels = known["level"] == "system"
        assert not np.allclose(known.loc[levels, "low"], plain.loc[levels, "low"])


def test_an_interval_resamples_the_known_scores_of_whole_systems():
    truth, prediction, systems = listening_test(systems=6)
    known = system_truth(systems)
    cells = measure(Truth(truth, known), prediction, systems, ["mi"], 300)
    (found,) = [
        cell for cell in cells if (cell.level, cell.metric) == ("system", "mse")
    ]
    means = [prediction[systems == name, 0].mean() for name in known.index]
    errors = (known["mi"].to_numpy() - means) ** 2
    drawn = bootstrap_weights(6, 300, 0) @ errors / 6
    np.testing.assert_allclose(found.resampled, drawn, atol=1e-8)


def test_systems_without_a_known_score_are_left_out_of_their_level_alone():
    truth, prediction, systems = listening_test(systems=6)
    known = system_truth(systems)
    known.loc["0"] = np.nan
    some_known = known.drop(index="1")
    table = evaluate(Truth(truth, some_known), prediction, systems, ["mi"], 50)
    assert only_row(table, level="system", metric="mse")["n"] == 4
    assert only_row(table, level="utterance", metric="mse")["n"] == 60
    kept = ~np.isin(systems, ["0", "1"])
    alone = evaluate(
        Truth(truth[kept], some_known), prediction[kept], systems[kept], ["mi"], 50
    )
    is_system = table["level"] == "system"
    pd.testing.assert_frame_equal(table[is_system], alone[is_system])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda known: known.rename(columns={"mi": "mos"}), "lack 'mi'; they have"),
        (
            lambda known: pd.concat([known, known]),
            "'0', '1', .* have more than one true",
        ),
        (
            lambda known: known * np.inf,
            "True system score of row 0, aspect 'mi' is inf",
        ),
    ],
)
def test_scores_of_systems_that_cannot_be_used_are_refused(spoil, message):
    truth, prediction, systems = listening_test()
    known = spoil(system_truth(systems))
    with pytest.raises(UsageError, match=message):
        evaluate(Truth(truth, known), prediction, systems, ["mi"], 0)
