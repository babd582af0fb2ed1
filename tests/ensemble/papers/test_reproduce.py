"""A reproduced table: what is trained, what is measured, and what is written of it."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import call, refused
from lightgbm import LGBMRegressor
from sklearn import linear_model

from base_models.clips.demo.corpus import write_demo
from base_models.errors import OutOfSpace, StackedMOSError, UsageError
from base_models.files import Artifact
from base_models.metrics.evaluate import evaluate, evaluate_mean
from base_models.predictions import PredictionTable
from ensemble.papers.claims import claim_lines, ranks
from ensemble.papers.corpus import Corpus
from ensemble.papers.measure_rows import (
    FAILED,
    MEASURED,
    N_BOOTSTRAP,
    NOT_RUN,
    fit_published_stack,
    measure,
    measure_row,
    published_learner,
)
from ensemble.papers.paper_tables import Claim, Column, PaperTable, Row
from ensemble.papers.reproduce import Reproduction, reproduce
from ensemble.papers.request import (
    QUICK_SEEDS,
    QUICK_SETTINGS,
    Request,
    RowSetup,
)
from ensemble.papers.table_files import render_files
from ensemble.papers.table_text import blocks, remarks, summary
from ensemble.papers.train_rows import Training, train_models
from ensemble.prediction_files.read_system_truth import SystemTruth
from ensemble.training.base_model_run import BaseRun
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import plan_training
from ensemble.training.training_setup import Compute, TrainingSetup
from ensemble.workspace import Workspace
from meta.regressor import MetaRegressor

EPOCH = {"max_epochs": 1}
HERE = {"audio": "logmel", "text": "hashed_text", "quick": "embedded"}
PAPER = (0.9, 0.8, 0.7, 0.6)
BASE = Row("base", PAPER, preset="dora_mean", **HERE)
OTHER = Row(
    "other", PAPER, preset="clap_baseline", **(HERE | {"quick": "embedded_sgd"})
)
STACK = Row(
    "stacked", PAPER, learner="ridge", stack=("dora_mean:1", "clap_baseline:1"), **HERE
)
TWIN = replace(
    OTHER,
    name="twin",
    preset="muq_mulan",
    audio="muq_mulan",
    note="the same heads",
    encoding="frozen",
)
FOREIGN = Row("foreign", PAPER, reason="another team's system")
WEIGHTS = Row(
    "weights",
    PAPER,
    preset="dora_mean",
    audio="muq",
    text="hashed_text",
    quick="embedded",
)


def table_of(*rows, name="table1", **changes):
    return replace(PaperTable.of(name), rows=rows, **changes)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_demo(
        tmp_path_factory.mktemp("reproduce") / "tree", n_systems=5, n_prompts=8
    )


@pytest.fixture(scope="module")
def rated(tree):
    return RatedClips.read(tree)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def request_(rated):
    return Request(
        table_of(BASE, OTHER, STACK, FOREIGN),
        rated,
        2,
        device="cpu",
        jobs=1,
        overrides=EPOCH,
    )


@pytest.fixture(scope="module")
def made(request_, workspace):
    return reproduce(request_, workspace)


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that a test would train; none of them is really trained."""
    names = []
    monkeypatch.setattr(BaseRun, "train", lambda run: names.append(run.name))
    return names


# ---- what is trained


def test_a_second_run_trains_nothing_and_says_the_same(
    made, request_, workspace, trained
):
    again = reproduce(request_, workspace)
    assert trained == []
    assert (again.outcomes, again.signature) == (made.outcomes, made.signature)


def test_runs_are_those_of_fit_base_and_its_pointer_is_left_alone(
    made, rated, workspace
):
    models = [("dora_mean", 0), ("dora_mean", 1)]
    encoders = EncoderChoice.parse(["logmel"], ["hashed_text"])
    setup = TrainingSetup(encoders, settings="paper", overrides=EPOCH)
    compute = Compute(device="cpu", jobs=1)
    assert not plan_training(rated, models, workspace, setup, compute).unfinished
    assert not (workspace.root / "level0.json").exists()


def test_a_table_that_was_stopped_goes_on(request_, tmp_path, monkeypatch):
    train, names = BaseRun.train, []

    def stop(run):
        if names:
            raise KeyboardInterrupt
        names.append(train(run))

    monkeypatch.setattr(BaseRun, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        reproduce(replace(request_, table=table_of(OTHER)), Workspace(tmp_path))
    monkeypatch.setattr(BaseRun, "train", lambda run: names.append(train(run)))
    assert (
        reproduce(replace(request_, table=table_of(OTHER)), Workspace(tmp_path))
        .outcomes[0]
        .status
        == MEASURED
    )
    assert names == ["clap_baseline-s0", "clap_baseline-s1"]


def test_rows_may_be_of_models_on_pooled_embeddings_and_stacks_hold_them(
    request_, workspace, made
):
    pooled = replace(OTHER, name="pooled", preset="pooled_ridge")
    stack = replace(STACK, stack=("dora_mean:1", "pooled_ridge:1"))
    table = table_of(pooled, stack, BASE)
    assert table.twin(pooled) == pooled
    found = reproduce(replace(request_, table=table), workspace)
    assert [outcome.status for outcome in found.outcomes] == [MEASURED] * 3
    assert found.outcomes[2] == made.outcomes[0]
    assert list((workspace.root / "base").glob("pooled_ridge-s1-*"))


def test_a_row_without_weights_is_reported_and_the_rest_goes_on(
    made, request_, workspace, tmp_path, trained
):
    table = table_of(WEIGHTS, BASE, FOREIGN)
    found = reproduce(
        replace(request_, table=table, encoders={"muq": f"muq={tmp_path}"}), workspace
    )
    assert [outcome.status for outcome in found.outcomes] == [FAILED, MEASURED, NOT_RUN]
    assert found.failed == [found.outcomes[0]]
    assert "no config.json, model.safetensors in " in found.outcomes[0].reason
    assert "\n" not in found.outcomes[0].reason
    assert found.outcomes[1] == made.outcomes[0]
    assert trained == []
    assert found.signature != made.signature


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StackedMOSError("Training diverged:\nlower it"), "diverged: lower it"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_a_run_that_fails_costs_its_row_and_the_stacks_on_it_only(
    error, reason, request_, workspace, monkeypatch
):
    def fail(run):
        raise error

    broken = replace(OTHER, preset="muq_mulan")
    stack = replace(STACK, stack=("dora_mean:1", "muq_mulan:1"))
    monkeypatch.setattr(BaseRun, "train", fail)
    found = reproduce(replace(request_, table=table_of(broken, stack, BASE)), workspace)
    assert [outcome.status for outcome in found.outcomes] == [FAILED, FAILED, MEASURED]
    (found_reason,) = {outcome.reason for outcome in found.failed}
    assert found_reason.startswith("muq_mulan-s0: ")
    assert found_reason.endswith(reason)


def test_a_stack_without_enough_dev_clips_costs_no_other_row(request_, tmp_path):
    frame = request_.rated.frame
    one = frame[
        (frame["split"] != "dev") | (frame["system_id"] == frame["system_id"].iloc[0])
    ].reset_index(drop=True)
    request = replace(
        request_,
        rated=replace(request_.rated, frame=one),
        table=table_of(STACK, BASE),
        seeds=1,
    )
    stacked, base = reproduce(request, Workspace(tmp_path)).outcomes
    assert (stacked.status, base.status) == (FAILED, MEASURED)
    assert "A stack needs at least 5" in stacked.reason


def test_an_engine_that_does_not_answer_is_one_error_before_anything_is_done(
    request_, tmp_path, trained, monkeypatch
):
    monkeypatch.setattr("ensemble.cluster.run_pieces.TIMEOUT", "1s")
    with pytest.raises(
        StackedMOSError, match=r"No Dask scheduler answers at 127\.0\.0\.1:9"
    ):
        reproduce(request_, Workspace(tmp_path), engine="dask://127.0.0.1:9")
    assert (trained, list(tmp_path.iterdir())) == ([], [])


def test_a_full_disk_stops_everything(request_, workspace, monkeypatch):
    def fail(run):
        raise OutOfSpace("No space left")

    monkeypatch.setattr(BaseRun, "train", fail)
    with pytest.raises(OutOfSpace, match="No space left"):
        reproduce(
            replace(request_, table=table_of(replace(OTHER, preset="muq_mulan"))),
            workspace,
        )


# ---- what is measured


def test_a_cell_is_the_mean_and_range_of_its_seeds_on_the_split_of_the_table(
    made, rated, workspace
):
    for split, found in (
        ("test", made),
        ("dev", reproduce(dev_request(made), workspace)),
    ):
        values = []
        for seed in range(2):
            (folder,) = workspace.root.glob(f"base/dora_mean-s{seed}-*")
            name = f"predictions-{split}.parquet"
            table = PredictionTable.parse(
                Artifact(folder, "base model").read(name), name
            )
            rows = rated.rows(split)
            scores = table.take(rows["clip_id"].tolist()).scores
            board = evaluate(
                rated.rows(split)[list(rated.aspects)],
                scores,
                rows["system_id"],
                ["mi", "ta"],
                n_bootstrap=0,
            )
            values.append(
                board[
                    (board["level"] == "system")
                    & board["metric"].isin(["srcc", "ktau"])
                ]["value"]
            )
        cells = found.outcomes[0].cells
        assert [cell.column[::2] for cell in cells] == [
            (a, m) for a in ("mi", "ta") for m in ("srcc", "ktau")
        ]
        np.testing.assert_allclose(
            [cell.value for cell in cells], np.mean(values, axis=0)
        )
        np.testing.assert_allclose(
            [cell.least for cell in cells], np.min(values, axis=0)
        )
        np.testing.assert_allclose(
            [cell.most for cell in cells], np.max(values, axis=0)
        )


def test_intervals_resample_the_prompts_that_systems_share(made, rated, workspace):
    rows, read = rated.rows("test"), []
    for seed in range(2):
        (folder,) = workspace.root.glob(f"base/dora_mean-s{seed}-*")
        data = Artifact(folder, "base model").read("predictions-test.parquet")
        read.append(
            PredictionTable.parse(data, "test").take(rows["clip_id"].tolist()).scores
        )
    truth = rated.rows("test")[list(rated.aspects)]
    columns = ("low", "high")
    expected, without = (
        evaluate_mean(
            truth,
            read,
            rows["system_id"],
            ["mi", "ta"],
            N_BOOTSTRAP,
            prompt_ids=prompts,
        )
        for prompts in (rows["prompt"], None)
    )
    kept = (expected["level"] == "system") & expected["metric"].isin(["srcc", "ktau"])
    found = [
        [getattr(cell, name) for name in columns] for cell in made.outcomes[0].cells
    ]
    np.testing.assert_allclose(found, expected.loc[kept, list(columns)])
    assert not np.allclose(found, without.loc[kept, list(columns)], equal_nan=True)


def dev_request(made):
    return replace(made.request, table=table_of(BASE, split="dev"))


def test_a_stack_is_measured_and_says_how_it_fits(made):
    stacked, foreign = made.outcomes[2:]
    assert stacked.status == MEASURED
    assert all(np.isfinite(cell.value) for cell in stacked.cells)
    assert stacked.facts.startswith("utterance SRCC meta-training mi ")
    assert "; utterance MSE meta-training mi " in stacked.facts
    assert stacked.facts.count("; meta-validation mi ") == 2
    assert (foreign.status, foreign.reason) == (NOT_RUN, "another team's system")
    assert all(cell.inside is None and np.isnan(cell.value) for cell in foreign.cells)


def test_stacks_have_the_published_learners(rated, workspace, made):
    names = [f"{name}-s0" for name in ("dora_mean", "clap_baseline")]
    folders = [next(workspace.root.glob(f"base/{name}-*")) for name in names]
    blocks = {}
    for split in ("dev", "test"):
        read = [
            Artifact(folder, "base model").read(f"predictions-{split}.parquet")
            for folder in folders
        ]
        tables = [
            PredictionTable.parse(data, split).take(
                rated.rows(split)["clip_id"].tolist()
            )
            for data in read
        ]
        blocks[split] = np.concatenate([table.of("ta") for table in tables], axis=1)
    truth = rated.rows("dev")["ta"].to_numpy()
    trained = train_models(
        made.request,
        RowSetup("logmel", "hashed_text", settings=None),
        STACK.models(0),
        Training(workspace),
    )
    theirs = {
        "ridge": linear_model.Ridge(alpha=1.0),
        "lightgbm": LGBMRegressor(random_state=0, verbosity=-1),
    }
    for name, learner in theirs.items():
        expected = np.clip(
            learner.fit(blocks["dev"], truth).predict(blocks["test"]), 1, 5
        )
        regressor = MetaRegressor(published_learner(name, 0), 0)
        stack = fit_published_stack(
            regressor, made.request.table, trained, STACK.models(0)
        )
        np.testing.assert_allclose(stack.scores[:, 1], expected, atol=1e-9)
        assert set(stack.fits) == {"meta-training", "meta-validation"}
        assert all(set(fit) == {"srcc", "mse"} for fit in stack.fits.values())


def test_inside_is_what_the_interval_would_print_as():
    rng = np.random.default_rng(0)
    truth, systems = rng.uniform(1, 5, (60, 1)), np.arange(60) % 12
    table = table_of(
        columns=(Column("mi", "system", "srcc"), Column("mi", "system", "mse")),
        decimals=1,
    )
    for paper, inside in (
        (1.0, True),
        (0.96, True),
        (0.92, False),
    ):  # a perfect prediction of 12 systems: the interval is [0.989, 1]
        cell = measure(table, Row("", (paper, 0.0)), truth, [truth], systems)[0]
        found = (cell.value, cell.low, cell.high, cell.n)
        assert found == pytest.approx((1, 0.989, 1, 12), abs=1e-3)
        assert cell.inside is inside
    noisy = [truth + rng.normal(0, 1, truth.shape) for _ in range(3)]
    cells = measure(table, Row("", (0.5, 99.0)), truth, noisy, systems)
    assert cells[0].low < cells[0].value < cells[0].high
    assert cells[0].inside is bool(cells[0].low - 0.05 <= 0.5 <= cells[0].high + 0.05)
    assert cells[1].inside is False


def test_constant_predictions_are_undefined_and_neither_in_nor_out():
    truth = np.linspace(1, 5, 20)[:, None]
    table = table_of(columns=(Column("mi", "system", "srcc"),))
    (cell,) = measure(
        table, Row("", (0.5,)), truth, [np.full_like(truth, 3.0)], np.arange(20) % 5
    )
    assert cell.inside is None
    assert np.isnan(cell.value)


# ---- what the papers say in words


def test_a_rank_counts_the_rows_that_are_better_and_less_error_is():
    columns = [Column("mi", "system", name) for name in ("mse", "srcc", "ktau")]
    others = [[0.3, 0.9, 0.5], [0.1, 0.8, 0.6]]
    assert ranks(columns, [0.2, 0.9, 0.4], others) == [2, 1, 3]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "table4",
            "Ours in the paper's table: first of 9 rows in 3 of 4 metrics, rank 2 in "
            "ta system ktau. The paper says: 'first place in 13 of 16 metrics'",
        ),
        ("whisq2", "in the paper's table: first of 7 rows in 16 of 16 metrics."),
    ],
)
def test_ranks_in_the_papers_tables_are_counted(rated, name, words):
    request = Request(PaperTable.of(name), rated, 1)
    (line,) = [
        line for line in claim_lines(unmeasured(request)) if "in the paper's" in line
    ]
    assert words in line


def unmeasured(request):
    """A reproduction of which no row was run."""
    outcomes = tuple(measure_row(request, row, None) for row in request.table.rows)
    return Reproduction(request, outcomes, set_aside=(), signature="0")


def test_gains_stand_beside_what_the_printed_table_gives(rated):
    lines = claim_lines(unmeasured(Request(PaperTable.of("table3"), rated, 1)))
    assert lines == [
        "Gain in mi system srcc of DORA-MOS over CLAP: the paper states 21.21 % "
        "(abstract); its printed table gives +21.15 % (+0.173).",
        "Gain in ta system srcc of DORA-MOS over CLAP: the paper states 31.47 % "
        "(abstract); its printed table gives +31.49 % (+0.228).",
    ]


@pytest.mark.usefixtures("musiceval")
def test_our_ranks_and_gains_are_of_our_numbers(made, request_, workspace):
    claim = Claim(
        "5 %", "abstract", "base", over="other", column=made.request.table.columns[0]
    )
    table = replace(made.request.table, ranked="base", claims=(claim,))
    of_demo = replace(made, request=replace(made.request, table=table))
    # Other teams' printed numbers are no measure for ours on other clips.
    assert [line for line in claim_lines(of_demo) if "ours among" in line] == []
    rated = replace(request_.rated, demo=False)
    found = reproduce(replace(request_, table=table, rated=rated), workspace)
    values = [outcome.cells[0].value for outcome in found.outcomes]
    printed, ours, gain = claim_lines(found)
    assert printed == "base in the paper's table: first of 4 rows in 4 of 4 metrics."
    assert ours.startswith("base, ours among the printed numbers of the others: first")
    expected = 100 * (values[0] - values[1]) / abs(values[1])
    assert f"its printed table gives +0.00 % (+0.000); ours {expected:+.2f} %" in gain
    assert gain in render_files(found)["table.md"].decode()
    assert json.loads(render_files(found)["table.json"])["claims"][-1] == gain


# ---- cross-validation


def test_a_cross_validation_predicts_every_clip_by_models_that_have_not_seen_it(
    rated, workspace, monkeypatch
):
    row = replace(BASE, paper=(0.8, 0.9))
    table = replace(PaperTable.of("muq_eval"), rows=(row,), folds=3)
    of_mi = replace(rated, aspects=("mi",), needs_text=(False,))
    frame = of_mi.frame.copy()
    frame.loc[frame.index[:2], "mi"] = np.nan
    request = Request(
        table, replace(of_mi, frame=frame), 2, device="cpu", jobs=1, overrides=EPOCH
    )
    models = []
    train = BaseRun.train
    monkeypatch.setattr(
        BaseRun, "train", lambda run: (models.append(run), train(run))[1]
    )
    found = reproduce(request, workspace)
    (outcome,) = found.outcomes
    assert outcome.status == MEASURED, outcome.reason
    assert len(models) == 3 * 2

    # Every labelled clip is in one fold, and in the training split of no model of it.
    scores = {}
    for run in models:
        clips = RatedClips.load(run.data)
        assert len(clips.frame) == len(frame) - 2
        read = Artifact(run.folder, "base model").read("predictions-dev.parquet")
        predicted = PredictionTable.parse(read, "dev")
        assert not set(predicted.clip_ids) & set(clips.rows("train")["clip_id"])
        for clip, score in zip(predicted.clip_ids, predicted.scores[:, 0], strict=True):
            scores[run.seed, clip] = score
    labelled = frame[frame["mi"].notna()]
    assert len(scores) == 2 * len(labelled)
    boards = [
        evaluate(
            labelled[["mi"]],
            [[scores[seed, clip]] for clip in labelled["clip_id"]],
            labelled["system_id"],
            ["mi"],
            n_bootstrap=0,
        )
        for seed in range(2)
    ]
    for cell in outcome.cells:
        values = [
            board[(board["level"] == cell.column.level) & (board["metric"] == "srcc")][
                "value"
            ].item()
            for board in boards
        ]
        assert cell.value == pytest.approx(np.mean(values))
    assert [cell.n for cell in outcome.cells] == [len(labelled), 5]
    text = render_files(found)["table.md"].decode()
    assert "3-fold cross-validation over all labelled clips" in text
    assert "dora_mean on logmel, settings" in text
    models.clear()
    assert reproduce(request, workspace).outcomes == found.outcomes
    assert models == []


# ---- what is refused


def test_what_cannot_be_reproduced_is_refused(rated, request_):
    with pytest.raises(
        UsageError, match="--seeds must be at least 1 and --jobs 0 or more; got 0 and 0"
    ):
        Request(table_of(BASE), rated, 0)
    with pytest.raises(
        UsageError, match=r"Unknown encoder of table1 'muk'\. Did you mean 'muq'"
    ):
        Request.of(table_of(WEIGHTS), rated, words=["muk=/weights"])
    with pytest.raises(
        UsageError,
        match="no labelled clips in the split 'test', on which table1 is measured",
    ):
        Request(
            table_of(BASE),
            replace(rated, frame=rated.frame[rated.frame["split"] != "test"]),
        )
    with pytest.raises(UsageError, match="has no ratings of 'ta', which table1 needs"):
        Request(table_of(BASE), replace(rated, aspects=("mi",), needs_text=(False,)))


# ---- what is written


@pytest.fixture(scope="module")
def quick(rated, workspace, made):
    request = Request.of(
        table_of(BASE, OTHER, TWIN, FOREIGN),
        rated,
        1,
        True,
        device="cpu",
        jobs=1,
        overrides=EPOCH,
    )
    return reproduce(request, workspace)


def test_a_quick_table_says_so_wherever_it_is_written(quick):
    files = render_files(quick)
    facts = json.loads(files["table.json"])
    assert facts["quick"] is facts["demo"] is True
    assert facts["heading"][0].startswith(
        "QUICK RUN with the embedded encoders logmel and hashed_text"
    )
    assert facts["heading"][1].startswith(
        "DEMO CORPUS: synthetic music and simulated raters"
    )
    assert files["table.md"].decode().splitlines()[2:4] == [
        f"> {line}  " for line in facts["heading"][:2]
    ]
    lines = pd.read_csv(io.BytesIO(files["table.csv"]))
    assert lines["measured"].str.startswith(" ".join(facts["heading"][:2])).all()
    assert "says nothing about the paper" in summary(quick)


def test_a_trial_is_not_compared_with_the_paper(quick, made, rated):
    for trial in (quick, made):  # the second has its settings, and synthetic music
        files = render_files(trial)
        cells = [cell for outcome in trial.outcomes for cell in outcome.cells]
        assert all(cell.inside is None for cell in cells)
        assert any(np.isfinite(cell.low) for cell in cells)
        text = files["table.md"].decode()
        assert "are not compared with them" in text
        assert not any(
            word in text
            for word in (" in |", " out |", "lie inside our intervals", "'reproduced'")
        )
        assert summary(trial) == "This is a trial, and says nothing about the paper."
    assert not Request(table_of(BASE), replace(rated, demo=False), quick=True).compared


@pytest.fixture
def musiceval(monkeypatch):
    """Any clips pass for those of MusicEval."""
    known = Corpus(True, "MusicEval, for a test.")
    monkeypatch.setattr(Corpus, "of", lambda frame, split: known)


def test_numbers_of_another_corpus_are_not_compared_and_it_is_said_to_be_one(
    request_, workspace
):
    other = replace(request_, rated=replace(request_.rated, demo=False))
    found = reproduce(other, workspace)
    assert all(cell.inside is None for out in found.outcomes for cell in out.cells)
    assert summary(found) == "Measured on other clips than the paper's numbers."
    text = render_files(found)["table.md"].decode()
    assert "NOT MusicEval as it was published (" in text
    assert "are not compared with them" in text
    assert " in |" not in text
    assert " out |" not in text


@pytest.mark.usefixtures("musiceval")
def test_another_split_than_the_papers_is_measured_and_not_compared(
    request_, workspace, rated
):
    table = table_of(BASE, STACK, FOREIGN).measured_on("dev")
    request = replace(request_, table=table, rated=replace(rated, demo=False))
    base, stacked, foreign = reproduce(request, workspace).outcomes
    assert base.cells[0].n == rated.rows("dev")["system_id"].nunique()
    assert all(cell.inside is None for cell in base.cells)
    # A stack is fitted on the dev clips; only its meta-validation is on others.
    assert (stacked.status, foreign.status) == (NOT_RUN, NOT_RUN)
    assert "fitted on the dev clips" in stacked.reason
    assert "meta-validation mi " in stacked.facts
    found = reproduce(request, workspace)
    assert "ANOTHER SPLIT than the paper's: its numbers were measured on test" in (
        render_files(found)["table.md"].decode()
    )
    test = reproduce(replace(request, table=table_of(BASE, STACK, FOREIGN)), workspace)
    assert found.signature != test.signature
    assert test.request.compared


def test_published_scores_of_systems_can_be_the_truth(request_, workspace, rated):
    systems = sorted(set(rated.frame["system_id"]))
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(
        rng.uniform(1, 5, (len(systems), 2)), index=systems, columns=["mi", "ta"]
    )
    truth = SystemTruth(scores.drop(index=systems[0]), source="systems.csv")
    request = replace(request_, table=table_of(BASE), system_truth=truth)
    found = reproduce(request, workspace)
    (outcome,) = found.outcomes
    assert outcome.cells[0].n == len(systems) - 1
    heading = render_files(found)["table.md"].decode()
    assert "System truth: systems.csv; Systems without a true score" in heading
    assert f"1 ('{systems[0]}')" in heading
    plain = reproduce(replace(request, system_truth=None), workspace)
    assert (
        "System truth: means of the clips" in render_files(plain)["table.md"].decode()
    )
    assert plain.signature != found.signature
    with pytest.raises(UsageError, match=r"systems\.csv has no score of a system here"):
        replace(
            request,
            system_truth=SystemTruth(scores.set_axis(list("abcde")), "systems.csv"),
        )


@pytest.mark.usefixtures("musiceval")
def test_numbers_of_real_clips_are_compared_and_in_is_not_called_reproduced(
    request_, workspace
):
    real = reproduce(
        replace(request_, rated=replace(request_.rated, demo=False)), workspace
    )
    judged = [
        cell.inside
        for outcome in real.outcomes
        for cell in outcome.cells
        if cell.inside is not None
    ]
    assert (
        len(judged)
        == sum(
            np.isfinite(cell.low) for outcome in real.outcomes for cell in outcome.cells
        )
        > 0
    )
    assert summary(real) == (
        f"{sum(judged)} of {len(judged)} of the paper's numbers lie inside our "
        "intervals."
    )
    text = render_files(real)["table.md"].decode()
    assert "only that the paper's number is compatible with our interval" in text
    assert "it does not mean 'reproduced'" in text
    assert " in |" in text or " out |" in text


def test_rows_that_coincide_on_the_embedded_encoders_are_trained_once_and_say_so(
    quick, workspace
):
    other, twin = quick.outcomes[1:3]
    assert other.status == MEASURED
    assert [cell._replace(paper=0) for cell in twin.cells] == [
        cell._replace(paper=0) for cell in other.cells
    ]
    assert not list(workspace.root.glob("base/muq_mulan-*"))
    said = dict(remarks(quick))["twin"]
    assert said == (
        "'other' again: the two rows differ by encoder alone, and coincide on the "
        "embedded ones; the same heads"
    )
    whole = replace(quick, request=replace(quick.request, quick=False))
    assert dict(remarks(whole))["twin"].endswith(
        "settings of the paper; frozen; the same heads"
    )


def test_quick_stands_for_embedded_encoders_and_settings(rated):
    request = Request.of(table_of(WEIGHTS, OTHER), rated, quick=True)
    assert (request.seeds, request.overrides) == (
        QUICK_SEEDS,
        QUICK_SETTINGS,
    )
    assert request.setup(WEIGHTS) == RowSetup("logmel", "hashed_text", "embedded")
    assert request.setup(OTHER).settings == "embedded_sgd"
    whole = Request.of(table_of(WEIGHTS), rated, words=["muq=/weights"])
    assert (whole.seeds, whole.overrides) == (5, {})
    assert whole.setup(WEIGHTS) == RowSetup("muq=/weights", "hashed_text", None)


def test_all_files_hold_every_number(made):
    files = render_files(made)
    facts = json.loads(files["table.json"])
    lines = pd.read_csv(io.BytesIO(files["table.csv"]))
    assert len(lines) == 4 * 4
    assert set(lines["status"]) == {MEASURED, NOT_RUN}
    for row in facts["rows"]:
        mine = lines[lines["row"] == row["name"]]
        for name in ("paper", "value", "least", "most", "low", "high"):
            values = [
                np.nan if cell[name] is None else cell[name] for cell in row["cells"]
            ]
            np.testing.assert_allclose(mine[name], values)
    text = files["table.md"].decode()
    assert "QUICK" not in text
    assert "resamples of the systems, and prompts where systems share them]" in text
    for title, _, rows in blocks(made):
        assert f"## {title}" in text
        for row in rows:
            assert "| " + " | ".join(row) + " |" in text
    assert "- **foreign**: not run: another team's system" in text
    assert "ridge over dora_mean:1 clap_baseline:1 on logmel and hashed_text" in text


def test_the_folder_is_sealed_and_written_again_alike(made, workspace):
    folder = made.write(workspace, render_files(made))
    assert folder.parent == workspace.root / "tables"
    assert folder.name.startswith("table1-")
    Artifact(folder, "table", folder.name).verify()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert made.write(workspace, render_files(made)) == folder
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# ---- the command


def test_the_command_prints_the_table_and_its_folder(
    tree, workspace, made, quick, monkeypatch
):
    words = (
        "--data",
        tree,
        "--device",
        "cpu",
        "--jobs",
        1,
        "--set",
        "max_epochs=1",
        "--artifacts",
        workspace.root,
    )
    failing = table_of(WEIGHTS, BASE)
    monkeypatch.setattr(PaperTable, "of", lambda name: quick.request.table)
    code, out, err = call("reproduce", "table1", "--quick", "--seeds", 1, *words)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("QUICK RUN")
    assert any(line.split()[1:2] == ["base"] for line in lines)
    assert lines[-1] == str(workspace.table("table1", quick.signature))
    assert "base: dora_mean on logmel and hashed_text, settings embedded\n" in err
    assert (
        "other: clap_baseline on logmel and hashed_text, settings embedded_sgd\n" in err
    )
    monkeypatch.setattr(PaperTable, "of", lambda name: failing)
    encoder = f"muq={workspace.root}"
    code, out, err = call(
        "reproduce", "table1", *words, "--seeds", 2, "--audio-encoder", encoder
    )
    assert code == 3
    assert "failed: dora_mean: Encoder 'muq'" in err
    assert "Failed: weights." in out


def test_the_command_lists_the_tables():
    code, out, _ = call("reproduce", "--list")
    assert code == 0
    assert all(
        name in out
        for name in ("table1", "table2", "table3", "table4", "whisq2", "muq_eval")
    )


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    refused(2, call("reproduce"), "Name a table: table1")
    refused(2, call("reproduce", "table9", "--quick"), "Unknown table 'table9'")
    refused(
        2,
        call("reproduce", "table1"),
        "Name the clips with --data, or try the command .* with --quick",
    )
    refused(
        2,
        call("reproduce", "table1", "--data", tmp_path / "none"),
        "There is no file or folder",
    )
    data = ("--data", tmp_path)
    refused(
        2,
        call("reproduce", "table1", *data, "--split", "train"),
        "Unknown split 'train'",
    )
    refused(
        2,
        call("reproduce", "muq_eval", *data, "--split", "dev"),
        "muq_eval is a cross-validation over all clips; leave --split out",
    )


def test_the_command_measures_on_another_split_and_truth(tree, workspace, made):
    words = ("--data", tree, "--device", "cpu", "--jobs", 1, "--set", "max_epochs=1")
    with pytest.MonkeyPatch.context() as patch:
        table = table_of(BASE)
        patch.setattr(PaperTable, "of", lambda name: table)
        code, out, err = call(
            "reproduce",
            "table1",
            *words,
            *("--seeds", 2, "--split", "dev", "--system-truth", "tree"),
            *("--artifacts", workspace.root),
        )
    assert code == 0, err
    assert "Ours: dev split of" in out
    assert "system_mos.csv" in out
    assert "ANOTHER SPLIT than the paper's" in out
