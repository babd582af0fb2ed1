"""The whole flow on a tiny demo corpus: base models, stack, report and scores."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import small_demo

from base_models.clips.read_clips import read_clips
from base_models.config import BaseConfig
from base_models.errors import UsageError
from base_models.files import read_json, seal, write_json
from base_models.metrics.evaluate import evaluate
from ensemble.training.train_base_models import TrainedRuns
from meta.score_columns import AUDIO_COLUMNS

ASPECTS = ["mi", "ta"]
MODELS = ["stack", "mean", "constant", "dora-s0", "dora_coral-s0"]


def call(command, *argv):
    """Exit code, standard output as bytes, and standard error of a command."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = importlib.import_module(f"ensemble.cli.{command}")._main(
            [str(word) for word in argv]
        )
    out.flush()
    return code, out.buffer.getvalue(), err.getvalue()


@dataclass(frozen=True)
class Flow:
    """What the commands left: corpus, artifacts, messages, and a stack per learner."""

    tree: Path
    art: Path
    said: tuple[tuple, tuple]
    stacks: dict[str, Path]

    def predict(self, *argv, learner="ridge"):
        return call(
            "predict_mos",
            *argv,
            "--stack",
            self.stacks[learner],
            "--artifacts",
            self.art,
        )

    @property
    def wavs(self):
        return sorted((self.tree / "wav").iterdir())

    @property
    def prompt(self):
        return read_clips(self.tree)["prompt"].iloc[0]


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    root, preset = tmp_path_factory.mktemp("flow"), BaseConfig.preset
    tree, art = small_demo(root / "tree"), root / "art"
    words = [
        "--data",
        tree,
        "--audio-encoder",
        "logmel",
        "--text-encoder",
        "hashed_text",
        "--artifacts",
        art,
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            BaseConfig, "preset", lambda *names: replace(preset(*names), max_epochs=3)
        )
        said = [
            call("fit_base", *words, "--jobs", 1, "--models", "dora:1", "dora_coral:1")
            for _ in range(2)
        ]
    stacks = {}
    for learner in ("lightgbm", "mean", "ridge"):
        code, out, _ = call("fit_meta", "--learner", learner, "--artifacts", art)
        assert code == 0
        stacks[learner] = Path(out.decode().splitlines()[-1])
    return Flow(tree, art, tuple(said), stacks)


def test_base_models_are_trained_once(flow):
    first, second = flow.said
    assert first[:2] == second[:2] == (0, f"{flow.art / 'level0.json'}\n".encode())
    assert "trained 2 of 2 base models (0 were there already)" in first[2]
    assert "nothing to do: all 2 base models are finished" in second[2]
    assert "next: fit_meta" in first[2]
    named = json.loads((flow.art / "level0.json").read_text())["runs"]
    assert [run["name"] for run in named] == ["dora-s0", "dora_coral-s0"]
    assert all((flow.art / run["folder"] / "manifest.json").is_file() for run in named)


@pytest.mark.parametrize("learner", ["ridge", "lightgbm", "mean"])
def test_the_report_is_whole_and_consistent(flow, learner):
    folder = flow.stacks[learner]
    report = json.loads((folder / "report.json").read_text())
    assert report["learner"] == learner
    assert report["order"] == ["test", "meta-validation", "meta-training"]
    assert set(report["leaderboards"]) == set(report["order"])
    metrics = pd.read_csv(folder / "metrics.csv")
    for rows, board in report["leaderboards"].items():
        board = pd.DataFrame(board)
        assert board.groupby("model", sort=False).size().to_dict() == dict.fromkeys(
            MODELS, 16
        )
        same = (
            metrics[metrics["rows"] == rows]
            .drop(columns="rows")
            .reset_index(drop=True)
            .fillna({"note": ""})
        )
        pd.testing.assert_frame_equal(
            board.astype(same.dtypes.to_dict()), same, rtol=1e-12, check_like=True
        )
    page = (folder / "report.html").read_text()
    assert all(model in page for model in MODELS)
    # Of each aspect four pictures for who doubts, and its systems for who decides.
    assert page.count("<svg") == 10
    predictions = pd.read_csv(folder / "predictions-test.csv")
    prompts = (
        read_clips(flow.tree).set_index("clip_id").loc[predictions["clip_id"], "prompt"]
    )
    both = predictions[["mi_true", "ta_true"]], predictions[ASPECTS]
    again = evaluate(*both, predictions["system_id"], ASPECTS, prompt_ids=prompts)
    stack = metrics[(metrics["rows"] == "test") & (metrics["model"] == "stack")]
    assert_same_metrics(again, stack, 1e-9)


def assert_same_metrics(found, expected, tolerance):
    key, numbers = ["aspect", "level", "metric"], ["value", "low", "high"]
    both = found.merge(expected, on=key, suffixes=("", "_expected"))
    assert len(both) == len(found) == 16
    for name in numbers:
        np.testing.assert_allclose(
            both[name], both[f"{name}_expected"], atol=tolerance, rtol=0
        )


def test_the_submission_has_a_line_per_test_clip(flow):
    clips = read_clips(flow.tree)
    lines = (flow.stacks["ridge"] / "answer.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == sorted(
        clips["clip_id"][clips["split"] == "test"]
    )
    assert all(".wav" not in line and len(line.split(",")) == 3 for line in lines)
    assert all(
        1 <= float(score) <= 5 for line in lines for score in line.split(",")[1:]
    )


def test_files_are_scored_in_the_order_given(flow):
    files = [flow.wavs[k] for k in (9, 2, 20)]
    code, out, err = flow.predict(*files, "--prompt", flow.prompt)
    frame = pd.read_csv(io.BytesIO(out))
    assert code == 0
    assert "set aside" not in err
    assert frame["clip_id"].tolist() == [path.stem for path in files]
    assert list(frame) == [
        *("clip_id", "audio", "prompt", "status"),
        *(a + end for a in ASPECTS for end in ("", "_low", "_high")),
        *("flags", *AUDIO_COLUMNS, "reason"),
    ]
    assert set(frame["prompt"]) == {flow.prompt}
    for aspect in ASPECTS:
        assert (frame[f"{aspect}_low"] <= frame[aspect]).all()
        assert (frame[aspect] <= frame[f"{aspect}_high"]).all()


def test_without_a_prompt_its_aspects_are_left_out(flow):
    code, out, err = flow.predict(flow.wavs[0], "--format", "jsonl")
    assert code == 0
    assert "no prompt: ta left out; pass --prompt" in err
    record = json.loads(out)
    scored = {"clip_id", "audio", "mi", "mi_low", "mi_high"}
    assert set(record) == {*scored, "status", "flags", *AUDIO_COLUMNS, "reason"}
    with_prompt = json.loads(
        flow.predict(flow.wavs[0], "--prompt", flow.prompt, "--format", "jsonl")[1]
    )
    assert record["mi"] == with_prompt["mi"]


def test_the_answer_format_is_refused_where_an_aspect_is_left_out(flow, tmp_path):
    target = tmp_path / "answer.txt"
    for words in (["--out", target], ["--format", "answer"]):
        with pytest.raises(
            UsageError,
            match="answer format needs every aspect, and ta is judged"
            r" .* pass --prompt",
        ):
            flow.predict(flow.wavs[0], *words)
    assert not target.exists()


def test_scores_of_a_demo_stack_are_said_to_be_of_no_meaning(flow, tmp_path):
    said = (
        "demo corpus: this stack learnt synthetic music and simulated raters; its "
        "scores say nothing"
    )
    stack, words = (
        shutil.copytree(flow.stacks["mean"], tmp_path / "stack"),
        [flow.wavs[0], "--prompt", "slow piano"],
    )
    for demo in (True, False):
        facts = read_json(stack / "stack.json") | {"demo": demo}
        write_json(stack / "stack.json", facts)
        seal(stack, "stack")
        code, _, err = call(
            "predict_mos", *words, "--stack", stack, "--artifacts", flow.art
        )
        assert code == 0
        assert (said in err) == demo


def test_a_table_without_ratings_or_on_another_scale_is_scored(flow, tmp_path):
    """What stands in it is neither read as a rating nor missed as one."""
    for head, cells in (("split,note", "train,x"), ("quality", "80"), ("mi", "good")):
        table = tmp_path / "clips.csv"
        table.write_text(
            f"audio,prompt,{head}\n"
            + "".join(f"{wav},slow piano,{cells}\n" for wav in flow.wavs[:2])
        )
        code, out, err = flow.predict("--clips", table)
        assert code == 0, err
        assert len(pd.read_csv(io.BytesIO(out))) == 2


def test_every_format_holds_the_same_scores(flow, tmp_path):
    for suffix in ("csv", "jsonl", "parquet", "txt"):
        target = tmp_path / f"scores.{suffix}"
        assert flow.predict("--clips", flow.tree, "--out", target)[:2] == (
            0,
            f"{target}\n".encode(),
        )
    exact = pd.read_parquet(tmp_path / "scores.parquet")
    assert exact["clip_id"].tolist() == read_clips(flow.tree)["clip_id"].tolist()
    lines = pd.read_json(tmp_path / "scores.jsonl", lines=True, precise_float=True)
    pd.testing.assert_frame_equal(
        lines, exact, check_dtype=False
    )  # pandas reads a column of 1.0 as whole numbers
    # An empty cell of text is no missing number.
    rounded = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(rounded, exact, check_dtype=False, atol=1e-6, rtol=0)
    answer = pd.read_csv(tmp_path / "scores.txt", names=["clip_id", *ASPECTS])
    ordered = exact.sort_values("clip_id", ignore_index=True)[["clip_id", *ASPECTS]]
    pd.testing.assert_frame_equal(answer, ordered, atol=1e-8, rtol=0)


def test_a_corrupt_file_changes_no_other_score(flow, tmp_path):
    for path in flow.wavs[:4]:
        os.link(path, tmp_path / path.name)
    (tmp_path / "a-bad.wav").write_bytes(flow.wavs[0].read_bytes()[:30])
    code, out, err = flow.predict(tmp_path, "--prompt", flow.prompt)
    assert code == 3
    assert "1 clip set aside:\n  a-bad: " in err
    found, alone = (
        pd.read_csv(io.BytesIO(out)),
        flow.predict(*flow.wavs[:4], "--prompt", flow.prompt)[1],
    )
    assert found["status"].tolist() == ["truncated", "ok", "ok", "ok", "ok"]
    numbers = ["clip_id", *ASPECTS, *(f"{aspect}_low" for aspect in ASPECTS)]
    pd.testing.assert_frame_equal(
        found[1:].reset_index(drop=True)[numbers],
        pd.read_csv(io.BytesIO(alone))[numbers],
    )


@pytest.mark.parametrize("learner", ["ridge", "lightgbm", "mean"])
def test_scores_of_the_test_clips_have_the_metrics_of_the_report(
    flow, tmp_path, learner
):
    report, metrics = (
        pd.read_csv(flow.stacks[learner] / "metrics.csv"),
        tmp_path / "metrics.csv",
    )
    stack = report[(report["rows"] == "test") & (report["model"] == "stack")]
    for suffix, rounding in (
        ("parquet", 1e-9),
        ("csv", 1e-4),
    ):  # csv: six decimals of a score
        scores = tmp_path / f"scores.{suffix}"
        assert (
            flow.predict("--clips", flow.tree, "--out", scores, learner=learner)[0] == 0
        )
        assert (
            call(
                "evaluate_mos", scores, flow.tree, "--split", "test", "--csv", metrics
            )[0]
            == 0
        )
        assert_same_metrics(pd.read_csv(metrics), stack, rounding)


def test_a_stack_can_be_moved(flow, tmp_path):
    moved = shutil.copytree(flow.stacks["ridge"], tmp_path / "stack")
    words = [flow.wavs[0], "--prompt", flow.prompt]
    elsewhere = call(
        "predict_mos", *words, "--stack", moved, "--artifacts", tmp_path / "new"
    )
    assert elsewhere[1] == flow.predict(*words)[1]


def test_fit_base_alone_is_the_demo_with_the_nine_of_the_paper(tmp_path, monkeypatch):
    planned = {}

    def plan_only(plan, workspace, watch, engine):
        planned["plan"] = plan
        return TrainedRuns(trained=(), failed={})

    monkeypatch.setattr("base_models.clips.demo.corpus.write_demo", small_demo)
    monkeypatch.setattr(
        "ensemble.training.train_base_models.train_base_models", plan_only
    )
    code, out, err = call("fit_base", "--artifacts", tmp_path)
    assert (code, out) == (0, f"{tmp_path / 'level0.json'}\n".encode())
    assert "its numbers say nothing about real music" in err
    plan = planned["plan"]
    assert plan.rated.demo
    assert [run.name for run in plan.runs] == [
        *(f"dora-s{seed}" for seed in range(5)),
        *(
            f"dora_{kind}-s{seed}"
            for kind in ("coral", "decoupled")
            for seed in range(2)
        ),
    ]
    assert {
        (run.audio_encoder, run.text_encoder, run.settings) for run in plan.runs
    } == {("logmel", "hashed_text", "embedded")}


def test_cross_fitted_scores_of_the_fitted_clips_are_their_out_of_fold_ones(
    flow, tmp_path
):
    out = tmp_path / "scores.csv"
    code, _, err = flow.predict("--clips", flow.tree, "--cross-fit", "--out", out)
    assert code == 0, err
    unseen = pd.read_csv(flow.stacks["ridge"] / "out_of_fold.csv", index_col="clip_id")
    assert f"cross-fitting: {len(unseen)} clips that the stack was fitted on" in err
    assert "base models have seen ratings of" in err
    scores = pd.read_csv(out, index_col="clip_id").loc[unseen.index, ASPECTS]
    np.testing.assert_allclose(scores, unseen[ASPECTS], atol=1e-5)
    plain = pd.read_csv(io.BytesIO(flow.predict("--clips", flow.tree)[1]))
    assert (plain.set_index("clip_id").loc[unseen.index, ASPECTS] != scores).any(
        axis=None
    )

    for words, message in (
        ((flow.wavs[0],), "--cross-fit needs the system of every clip"),
        (("--clips", flow.tree, "--explain", tmp_path / "e"), "without --cross-fit"),
        (("--clips", flow.tree, "--systems", "x"), "brings its own"),
    ):
        with pytest.raises(UsageError, match=message):
            flow.predict(*words, "--cross-fit")
