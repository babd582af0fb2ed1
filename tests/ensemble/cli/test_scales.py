"""Labels and tools on scales of their own, from the fit to the measured scores."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import loudness_test, write_file
from commands import EMBEDDED, call, refused
from scipy.stats import spearmanr

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import read_json
from base_models.scales import Scale
from ensemble.cli.shared.output.score_output import score_table
from ensemble.estimator.save_and_load import read_stack, scales_of
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Scores

N = 72
RNG = np.random.default_rng(1)
MOS = RNG.uniform(1.3, 4.7, N)
IDS = [f"c{k:02}" for k in range(N)]
SYSTEMS = [f"s{k % 9}" for k in range(N)]
SPLITS = ["test" if k % 4 == 0 else "dev" for k in range(N)]
IS_TEST = np.array(SPLITS) == "test"


def noisy(width):
    return (MOS + RNG.normal(0, width, N)).clip(1, 5)


ONE = noisy(0.4)
# On 1..10, and most scores above 5.
TEN = 1 + (noisy(0.5) - 1) * 9 / 4
LABELS = {"clip_id": IDS, "system_id": SYSTEMS, "split": SPLITS}


def table(path, **columns):
    pd.DataFrame({"clip_id": IDS} | columns).to_csv(path, index=False)
    return path


def labels(path, **columns):
    pd.DataFrame(LABELS | columns).to_csv(path, index=False)
    return path


def fit(tmp_path, *words):
    code, out, err = call("fit_meta", *words, "--rivals", "--artifacts", tmp_path)
    assert code == 0, err
    return out.split()[-1], err


def board(folder):
    rows = read_json(f"{folder}/report.json")["leaderboards"]["test"]
    return {
        (row["aspect"], row["model"], row["level"], row["metric"]): row["value"]
        for row in rows
    }


def metrics(tmp_path, *words):
    code, _, err = call("evaluate_mos", *words, "--json", tmp_path / "m.json")
    assert code == 0, err
    rows = json.loads((tmp_path / "m.json").read_text())["metrics"]
    return {(row["aspect"], row["level"], row["metric"]): row["value"] for row in rows}


# ---- a tool on 1..10


def test_a_tool_on_another_scale_keeps_its_ranks_and_leaves_the_mean_whole(tmp_path):
    own = labels(tmp_path / "mos.csv", mos=MOS)
    one = table(tmp_path / "one.csv", score=ONE)
    ten = table(tmp_path / "ten.csv", score=TEN)
    refused(
        2,
        call("fit_meta", "--predictions", one, ten, "--labels", own),
        r"'ten' predicts \d+ of 72 clips off the scale 1\.\.5 .*FILE:LOW-HIGH",
    )
    folder, err = fit(
        tmp_path, "--predictions", one, f"tool={ten}:1-10", "--labels", own
    )
    assert "note: scores on 1..10 (declared), mapped onto 1..5: 'tool'" in err
    found = board(folder)
    expected = spearmanr(TEN[IS_TEST], MOS[IS_TEST])[0]
    assert found["mos", "tool", "utterance", "srcc"] == pytest.approx(expected)
    # The plain mean is that of the mapped scores.
    mean = (ONE + 1 + (TEN - 1) * 4 / 9) / 2
    mse = np.mean((mean - MOS)[IS_TEST] ** 2)
    assert found["mos", "mean", "utterance", "mse"] == pytest.approx(mse, abs=1e-4)
    clipped = np.mean(((ONE + TEN.clip(1, 5)) / 2 - MOS)[IS_TEST] ** 2)
    assert clipped > 2 * mse

    # The stack remembers the scale, and maps new scores of the tool by it.
    words = ("--predictions", one, f"tool={ten}", "--stack", folder)
    code, out, err = call("predict_mos", *words, "--out", tmp_path / "s.csv")
    assert code == 0, err
    assert "scores on 1..10 (declared), mapped onto 1..5: 'tool'" in err
    scored = pd.read_csv(tmp_path / "s.csv")
    assert np.corrcoef(scored["mos"], MOS)[0, 1] > 0.9
    hundred = table(tmp_path / "hundred.csv", score=TEN * 10)
    words = ("--predictions", one, f"tool={hundred}", "--stack", folder)
    refused(2, call("predict_mos", *words), r"off the scale 1\.\.10 .* is declared")
    scales = write_file(tmp_path / "scales.csv", "model,scale\ntool,10-100\n")
    code, out, err = call("predict_mos", *words, "--predictor-scales", scales)
    assert code == 0, err
    np.testing.assert_allclose(
        pd.read_csv(io.StringIO(out))["mos"],
        scored["mos"],
        atol=1e-4,
    )
    refused(
        2,
        call("predict_mos", tmp_path / "x.wav", "--predictor-scales", scales),
        "--predictor-scales is about --predictions",
    )


def test_the_python_stack_maps_by_the_same_line_and_remembers_it(tmp_path):
    frame = pd.DataFrame({"one": ONE, "ten": TEN}, index=IDS)
    mos = pd.Series(MOS, index=IDS)
    with pytest.raises(UsageError, match=r"scales=\{'ten': \(LOW, HIGH\)\}, such as"):
        StackedMOS.from_predictions(frame, mos)
    stack = StackedMOS.from_predictions(frame, mos, scales={"ten": (1, 10)})
    mapped = frame.assign(ten=1 + (TEN - 1) * 4 / 9)
    plain = StackedMOS.from_predictions(mapped, mos)
    np.testing.assert_allclose(stack.predict(frame), plain.predict(mapped), atol=1e-9)

    stack.save(tmp_path / "stack")
    again = StackedMOS.load(tmp_path / "stack")
    np.testing.assert_array_equal(again.predict(frame), stack.predict(frame))
    with pytest.raises(UsageError, match="Unknown column of scores in scales 'tne'"):
        StackedMOS.from_predictions(frame, mos, scales={"tne": (1, 10)})
    tables = stack.prediction_tables(frame)
    with pytest.raises(UsageError, match="scales are of a frame of scores"):
        StackedMOS.from_predictions(tables, mos, scales={"ten": (1, 10)})


# ---- labels on another scale


def test_labels_from_0_to_100_are_declared_and_scores_are_written_on_their_scale(
    tmp_path,
):
    own = labels(tmp_path / "mushra.csv", mos=(MOS - 1) * 25)
    one = table(tmp_path / "one.csv", score=(ONE - 1) * 25)
    ten = table(tmp_path / "ten.csv", score=TEN)
    files = ("--predictions", one, f"tool={ten}:1-10", "--labels", own)
    refused(
        3, call("fit_meta", *files), r"mos is off the scale .* \(--scale LOW HIGH\)"
    )
    refused(
        2, call("fit_meta", *files, "--scale", 0), "--scale takes the lowest and the"
    )
    folder, err = fit(tmp_path, *files, "--scale", 0, 100)
    assert "note: labels, and the scores that are written, are on: mos 0..100" in err

    bins = tmp_path / "bins.parquet"
    words = ("--predictions", one, f"tool={ten}", "--stack", folder)
    code, _, err = call(
        "predict_mos", *words, "--out", tmp_path / "s.csv", "--distributions", bins
    )
    assert code == 0, err
    assert "mos 0..100" in err
    centers = json.loads(pq.read_schema(bins).metadata[b"bin_centers"])
    assert (centers[0], centers[-1]) == (2.5, 97.5)
    found = metrics(
        tmp_path, tmp_path / "s.csv", own, "--scale", 0, 100, "--split", "test"
    )
    key = ("mos", "utterance", "mse")
    stack = board(folder)["mos", "stack", "utterance", "mse"]
    assert found[key] == pytest.approx(stack, rel=1e-4)

    # The same listening test on 1..5 says the same, in its own points.
    plain = labels(tmp_path / "mos.csv", mos=MOS)
    again, _ = fit(
        tmp_path / "five",
        *("--predictions", f"{one}:0-100", f"tool={ten}:1-10", "--labels", plain),
    )
    five = board(again)["mos", "stack", "utterance", "mse"]
    assert found[key] / 625 == pytest.approx(five, rel=1e-3)


# ---- aspects on different scales


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Files of a test with one aspect on 1..5 and one on 1..10, and their stack."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(2)
    pq_labels = 1 + (noisy(0.2) - 1) * 9 / 4
    own = labels(folder / "labels.csv", quality=MOS, pq=pq_labels)
    columns = {}
    for name, width in (("a", 0.3), ("b", 0.6)):
        columns[f"quality__{name}"] = (MOS + rng.normal(0, width, N)).clip(1, 5)
        tool = pq_labels + rng.normal(0, 2 * width, N)
        columns[f"pq__{name}"] = tool.clip(1, 10)
    given = table(folder / "given.csv", **columns)
    scale = ("--scale", "quality=1-5", "pq=1-10")
    stack, err = fit(folder, "--predictions", given, "--labels", own, *scale)
    return folder, own, given, stack, err


def test_two_aspects_on_two_scales_come_back_on_their_own(two, tmp_path):
    _, own, given, stack, err = two
    assert "are on: quality 1..5, pq 1..10" in err
    report = read_json(f"{stack}/report.json")
    assert "in points of 1..5, onto which pq is mapped" in report["note"]

    bins = tmp_path / "bins.parquet"
    code, _, err = call(
        "predict_mos",
        *("--predictions", given, "--stack", stack),
        *("--out", tmp_path / "s.csv", "--distributions", bins),
    )
    assert code == 0, err
    assert "bins of pq with centres 1.225, 1.675 … 9.775" in err
    centers = json.loads(pq.read_schema(bins).metadata[b"bin_centers"])
    assert centers["quality"][0] == 1.1
    assert centers["pq"][-1] == 9.775
    scored = pd.read_csv(tmp_path / "s.csv")
    assert scored["pq"].max() > 5.5
    assert (scored["pq_low"] < scored["pq"]).all()
    assert (scored["pq_high"] > scored["pq"]).all()

    found = metrics(
        tmp_path,
        *(tmp_path / "s.csv", own, "--split", "test"),
        *("--scale", "quality=1-5", "pq=1-10"),
    )
    inner = board(stack)
    for aspect, point in (("quality", 1), ("pq", 9 / 4)):
        mse = inner[aspect, "stack", "utterance", "mse"] * point**2
        srcc = inner[aspect, "stack", "utterance", "srcc"]
        assert found[aspect, "utterance", "mse"] == pytest.approx(mse, rel=1e-4)
        assert found[aspect, "utterance", "srcc"] == pytest.approx(srcc)


def test_what_a_stack_writes_of_its_test_split_is_on_the_scale_of_the_labels(two):
    stack = two[3]
    written = pd.read_csv(f"{stack}/predictions-test.csv")
    own = pd.read_csv(two[1]).set_index("clip_id")["pq"]
    np.testing.assert_allclose(written["pq_true"], own[written["clip_id"]])
    assert written["pq"].max() > 5.5
    answer = pd.read_csv(f"{stack}/answer.txt", header=None)
    assert answer[2].max() == pytest.approx(written["pq"].max())


def test_a_stack_scores_on_the_scales_of_the_labels_as_its_report_does(two):
    _, _, given, folder, _ = two
    stack = StackedMOS.load(folder)
    assert stack.scales_.of_labels("pq") == Scale(1, 10)
    written = pd.read_csv(f"{folder}/predictions-test.csv")
    code, out, err = call("predict_mos", "--predictions", given, "--stack", folder)
    assert code == 0, err
    scored = pd.read_csv(io.StringIO(out)).set_index("clip_id")
    np.testing.assert_allclose(
        scored.loc[written["clip_id"], "pq"], written["pq"], atol=1e-5
    )


def test_a_stack_is_adapted_to_labels_of_another_scale(two, tmp_path):
    _, own, given, folder, _ = two
    rated = pd.read_csv(own).drop(columns="split")
    rated["clip_id"] = "new-" + rated["clip_id"]
    rated["pq"] = (rated["pq"] - 1) * 100 / 9
    rated.to_csv(tmp_path / "rated.csv", index=False)
    shifted = pd.read_csv(given)
    shifted["clip_id"] = "new-" + shifted["clip_id"]
    shifted.to_csv(tmp_path / "new.csv", index=False)
    words = (
        *("fit_meta", "--adapt", folder, "--predictions", tmp_path / "new.csv"),
        *("--labels", tmp_path / "rated.csv", "--artifacts", tmp_path),
    )
    refused(3, call(*words), r"pq is off the scale 1\.\.10.*line \d+")
    refused(
        2,
        call(*words, "--scale", "mos=0-100"),
        "declared for 'mos'; the rated aspects are 'quality', 'pq'",
    )
    code, out, err = call(*words, "--scale", "pq=0-100")
    assert code == 0, err
    assert "are on: quality 1..5, pq 1..10" in err
    # The adapted stack writes on the scales of the stack that it was made from.
    assert StackedMOS.load(out.split()[-1]).scales_.of_labels("pq") == Scale(1, 10)


def test_evaluation_on_a_scale_that_is_not_declared_is_refused(two, tmp_path):
    own = two[1]
    refused(
        3,
        call("evaluate_mos", own, own),
        r"pq is off the scale 1\.\.5\. .*\(--scale LOW HIGH\)",
    )
    ten = table(tmp_path / "ten.csv", score=TEN)
    mos = labels(tmp_path / "mos.csv", mos=MOS)
    refused(2, call("evaluate_mos", ten, mos), r"FILE:LOW-HIGH, such as 1-10")
    found = metrics(tmp_path, f"{ten}:1-10", mos)
    mapped = 1 + (TEN - 1) * 4 / 9
    mse = np.mean((mapped - MOS) ** 2)
    assert found["mos", "utterance", "mse"] == pytest.approx(mse)


def test_scales_that_cannot_be_read_are_a_damaged_stack(two):
    _, facts, regressor = read_stack(two[3])
    with pytest.raises(DamagedArtifact, match="scales are not of this version"):
        scales_of(facts | {"scales": {"inner": [1, 5]}}, regressor)
    older = {name: value for name, value in facts.items() if name != "scales"}
    assert scales_of(older, regressor).inner == Scale(1, 5)


def test_options_of_scales_belong_to_predictions(tmp_path):
    words = ("fit_meta", "--artifacts", tmp_path)
    refused(2, call(*words, "--scale", 0, 100), "--scale belong to --predictions")
    refused(
        2,
        call(*words, "--predictor-scales", "s.csv"),
        "--predictor-scales belongs to --predictions",
    )


# ---- base models


def test_base_models_of_labels_from_0_to_100_are_those_of_the_same_labels_on_1_to_5(
    tmp_path,
):
    """Embedded, trained and stacked; scores come out on the scale of the labels."""
    small_test = loudness_test(tmp_path)
    five = pd.read_csv(small_test)
    hundred = five.assign(mi=(five["mi"] - 1) * 25)
    hundred.to_csv(small_test.parent / "hundred.csv", index=False)
    common = (*EMBEDDED, "--models", "pooled_ridge", "--aspects", "mi", "--folds", 2)
    machine = ("--device", "cpu", "--jobs", 1)

    scored = {}
    for name, more in (("clips", ()), ("hundred", ("--scale", 0, 100))):
        art = tmp_path / "art" / name
        data = small_test.parent / f"{name}.csv"
        code, _, err = call(
            "fit_base", "--data", data, "--artifacts", art, *common, *machine, *more
        )
        assert code == 0, err
        assert ("mi is rated on 0..100, and learnt on 1..5" in err) == bool(more)
        code, _, err = call("fit_meta", "--artifacts", art, "--rivals")
        assert code == 0, err
        assert ("report are in points of 1..5, onto which mi" in err) == bool(more)
        code, _, err = call(
            *("predict_mos", "--clips", data, "--artifacts", art),
            *("--out", art / "s.csv"),
        )
        assert code == 0, err
        assert ("are on: mi 0..100" in err) == bool(more)
        scored[name] = pd.read_csv(art / "s.csv")
    for column in ("mi", "mi_low", "mi_high"):
        np.testing.assert_allclose(
            scored["hundred"][column], (scored["clips"][column] - 1) * 25, atol=1e-3
        )
    refused(
        3,
        call("check_clips", small_test.parent / "hundred.csv", "--aspects", "mi"),
        r"4 of 30 rows can be used.*mi is off the scale .* \(--scale LOW HIGH\)",
    )
    code, _, _ = call(
        *("check_clips", small_test.parent / "hundred.csv", "--aspects", "mi"),
        *("--scale", 0, 100),
    )
    assert code in (0, 3)


# ---- what is shown and measured


def test_a_table_on_a_terminal_names_the_scale_of_the_scores():
    columns = {"clip_id": ["a"], "status": "ok", "flags": ""}
    for aspect, score in (("mos", 3.0), ("pq", 7.0)):
        columns |= {aspect: score, f"{aspect}_low": score, f"{aspect}_high": score}
    frame = pd.DataFrame(columns)
    scales = {"mos": Scale(1, 5), "pq": Scale(1, 10)}
    both = Scores(frame, ("mos", "pq"), (), (), scales=scales)
    table = score_table(both, 0.9)
    assert table.title == "mean opinion scores, with 90% intervals"
    assert [str(column.header) for column in table.columns] == [
        "clip",
        "mos, 1 to 5",
        "pq, 1 to 10",
    ]
    one = Scores(frame, ("pq",), (), (), scales=scales)
    assert score_table(one, 0.9).title == (
        "mean opinion scores, 1 to 10, with 90% intervals"
    )
    assert "1 to 5, " in score_table(Scores(frame, ("mos",), (), ()), 0.9).title


def test_a_table_of_the_best_of_each_group_shows_ranks_and_how_sure_they_are():
    ranked = {"group": "a long prompt, " * 9, "rank": 1, "candidates": 5, "p_best": 0.6}
    scored = {"clip_id": "a", "mos": 3.0, "mos_low": 2.0, "mos_high": 4.0}
    frame = pd.DataFrame([scored | ranked | {"status": "ok", "flags": ""}])
    table = score_table(Scores(frame, ("mos",), (), ()), 0.9)
    shown = {str(column.header): str(next(column.cells)) for column in table.columns}
    assert shown["rank"] == "1 of 5"
    assert shown["P(best)"] == "0.60"
    assert shown["group"].startswith("a long pro")
    assert len(shown["group"]) == 24


def test_ratings_and_true_scores_of_systems_are_on_the_scale_of_the_labels(tmp_path):
    hundred = (MOS - 1) * 25
    own = labels(tmp_path / "mos.csv", mos=hundred)
    given = table(tmp_path / "p.csv", score=(ONE - 1) * 25)
    rated = pd.DataFrame({"clip_id": np.repeat(IDS, 4), "rater_id": [*"wxyz"] * N})
    noise = RNG.normal(0, 8, 4 * N)
    rated["mos"] = (np.repeat(hundred, 4) + noise).clip(0, 100)
    rated.to_csv(tmp_path / "ratings.csv", index=False)
    truth = pd.DataFrame({"system": SYSTEMS, "mos": hundred}).groupby("system").mean()
    truth.to_csv(tmp_path / "systems.csv")

    report = tmp_path / "m.json"
    words = (given, own, "--ratings", tmp_path / "ratings.csv", "--json", report)
    code, _, err = call("evaluate_mos", *words, "--scale", 0, 100, "--bootstrap", 0)
    assert code == 0, err
    ceiling = {
        (row["level"], row["metric"]): row["ceiling"]
        for row in json.loads(report.read_text())["noise_ceiling"]
    }
    # The error of a mean of four ratings, in points of 0..100.
    assert 5 < ceiling["utterance", "mse"] < 30
    more = ("--system-truth", tmp_path / "systems.csv")
    found = metrics(tmp_path, given, own, "--scale", 0, 100, *more)
    plain = metrics(tmp_path, given, own, "--scale", 0, 100)
    assert found["mos", "system", "mse"] == pytest.approx(plain["mos", "system", "mse"])
