"""Golden values of neural base models and their stacks, on the demo corpus.

See ``test_golden.py`` for what they are for and how they are renewed.
"""

from __future__ import annotations

import json

import pandas as pd
import pytest
import safetensors.numpy
from golden_values import (
    TRAINED,
    TRAINED_LONGER,
    board,
    call,
    check,
    last_line,
    report,
    scores,
)
from tiny_networks import embedded_model

from ensemble import StackedMOS, read_clips

ONE_CPU = ["--jobs", 1, "--device", "cpu"]
BASE_MODELS = ("dora:1", "dora_coral:1", "dora_decoupled:1", "dora_beta:1", "whisq:1")
PRESETS = (
    "clap_baseline",
    "dera",
    "dora",
    "dora_beta",
    "dora_bilstm",
    "dora_bilstm_mean",
    "dora_ce",
    "dora_coral",
    "dora_coral_textbook",
    "dora_decoupled",
    "dora_l1",
    "dora_mamba",
    "dora_mamba_mean",
    "dora_mean",
    "dora_raters",
    "dora_two_hot",
    "muq_eval",
    "muq_mulan",
    "whisq",
    "whisq_contrastive",
    "whisq_cross",
    "whisq_gromov_wasserstein",
    "whisq_mlp",
    "whisq_no_ot",
    "whisq_vanilla",
    "whisq_wav2vec2_modernbert",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Artifacts of fit_base on the demo corpus that it writes itself."""
    folder = tmp_path_factory.mktemp("golden") / "artifacts"
    words = [
        "--models",
        *BASE_MODELS,
        "--settings",
        "embedded",
        "--set",
        "max_epochs=2",
        "attention_heads=2",
        "batch_size=64",
        "alignment_stride=8",
    ]
    call("fit_base", *words, *ONE_CPU, "--artifacts", folder)
    return folder


@pytest.fixture(scope="module")
def clips(demo):
    """The first clips of the demo corpus, four a system of its first six."""
    every = read_clips(demo / "demo")
    return of_systems(every, 6).groupby("system_id").head(4)


def of_systems(frame, count):
    """The clips of the first systems."""
    first = sorted(set(frame["system_id"]))[:count]
    return frame[frame["system_id"].isin(first)]


def small_model(preset, demo):
    """A base model on the embedded encoders that is trained for one epoch."""
    settings = {"max_epochs": 1, "batch_size": 8, "learning_rate": 0.003}
    return embedded_model(preset, settings, store=str(demo / "embeddings"))


def single_ratings(demo):
    """The demo corpus's single ratings, as a table."""
    files = sorted((demo / "demo" / "person_mos").iterdir())
    names = ["clip_id", "rater_id", "mi", "ta"]
    lists = [pd.read_csv(file, names=names) for file in files]
    table = pd.concat(lists, ignore_index=True)
    return table.assign(clip_id=table["clip_id"].str.removesuffix(".wav"))


def test_the_demo_corpus(demo, tmp_path):
    call("check_clips", demo / "demo", "--json", tmp_path / "check.json")
    found = json.loads((tmp_path / "check.json").read_text())
    # Sentences for people, which follow from the counts.
    del found["facts"]["advice"]

    frame = read_clips(demo / "demo")
    labels = frame[["mi", "ta"]].describe().to_dict()
    check(
        "demo_corpus",
        {"facts": found["facts"], "findings": found["findings"], "labels": labels},
        TRAINED,
    )


def test_base_models_of_the_demo(demo):
    values = {}
    for run in json.loads((demo / "level0.json").read_text())["runs"]:
        folder = demo / run["folder"]
        epochs = json.loads((folder / "history.json").read_text())
        for epoch in epochs:
            epoch.pop("seconds", None)
        said = pd.read_parquet(folder / "predictions-test.parquet")
        values[run["name"]] = {
            "history": epochs,
            "distributions": said.select_dtypes("number").head(6).to_numpy(),
            "means": said.groupby("aspect").mean(numeric_only=True).to_numpy(),
        }
    check("demo_base_models", values, TRAINED_LONGER)


@pytest.mark.parametrize("learner", ["ridge", "lightgbm"])
def test_a_stack_of_the_demo(demo, tmp_path, learner):
    rivals = ["simplex", "log_pool"] if learner == "ridge" else []
    words = ["--learner", learner, "--rivals", *rivals]
    folder = last_line(call("fit_meta", *words, "--artifacts", demo))
    values = {"report": report(folder)}

    words = ["--clips", demo / "demo", "--stack", folder, "--artifacts", demo]
    call("predict_mos", *words, "--out", tmp_path / "scores.parquet")
    values["scores"] = scores(tmp_path / "scores.parquet", 20)

    truth = ["--split", "test", "--json", tmp_path / "metrics.json"]
    call("evaluate_mos", tmp_path / "scores.parquet", demo / "demo", *truth)
    found = json.loads((tmp_path / "metrics.json").read_text())
    values["metrics"] = board(found["metrics"])

    stack = StackedMOS.load(folder, store=str(demo / "embeddings"), device="cpu")
    rows = read_clips(demo / "demo").head(4)
    values["predictions"] = stack.predict(rows)
    values["distributions"] = stack.predict_distribution(rows)
    check(f"demo_{learner}", values, None)


def test_single_ratings_of_the_demo_under_a_base_model(demo, tmp_path):
    (folder,) = (demo / "base").glob("dora_beta-*")
    words = [folder / "predictions-test.parquet", demo / "demo", "--split", "test"]
    call(
        "evaluate_mos",
        *words,
        "--ratings",
        demo / "demo",
        "--json",
        tmp_path / "metrics.json",
    )
    found = json.loads((tmp_path / "metrics.json").read_text())
    values = {
        "metrics": board(found["metrics"]),
        "ceiling": board(found["noise_ceiling"]),
        "likelihood": found["likelihood"],
    }
    check("demo_single_ratings", values, TRAINED)


def test_out_of_fold_predictions_of_the_demo(demo, tmp_path):
    few = of_systems(read_clips(demo / "demo"), 3)
    few.to_csv(tmp_path / "clips.csv", index=False)

    encoders = ["--audio-encoder", "logmel", "--text-encoder", "hashed_text"]
    models = ["--models", "dora_mean:1", "clap_baseline:1"]
    models += ["--settings", "embedded", "--set", "max_epochs=1"]
    place = ["--artifacts", tmp_path / "artifacts"]
    words = ["--data", tmp_path / "clips.csv", "--folds", 2, *ONE_CPU]
    call("fit_base", *words, *encoders, *models, *place)

    options = ["--cv", "oof", "--rivals", "--learner", "simplex"]
    folder = last_line(call("fit_meta", *options, *place))
    check("demo_out_of_fold", {"report": report(folder)}, TRAINED)


def test_attention_of_the_demo(demo, clips, tmp_path):
    options = ["--learner", "mean", "--rivals", "--artifacts", demo]
    folder = last_line(call("fit_meta", *options))
    clips.iloc[::4].to_csv(tmp_path / "clips.csv", index=False)
    place = ["--clips", tmp_path / "clips.csv", "--stack", folder, "--artifacts", demo]

    clips.head(1).to_csv(tmp_path / "one.csv", index=False)
    words = [
        "--clips",
        tmp_path / "one.csv",
        *place[2:],
        "--out",
        tmp_path / "scores.csv",
    ]
    call("predict_mos", *words, "--explain", tmp_path / "why")
    (file,) = (tmp_path / "why").glob("*.safetensors")
    maps = safetensors.numpy.load_file(file)
    values = {}
    for name, map_ in maps.items():
        values[name] = {"shape": list(map_.shape), "first": map_.ravel()[:12]}

    call(
        "evaluate_mos",
        "--deletion",
        *place,
        "--draws",
        2,
        "--csv",
        tmp_path / "deletion.csv",
    )
    table = pd.read_csv(tmp_path / "deletion.csv")
    values["deletion"] = table.select_dtypes("number").to_dict("list")
    check("demo_attention", values, TRAINED)


def test_every_preset(demo, clips):
    rated = single_ratings(demo)
    few = clips.iloc[:16]
    values = {}
    for preset in PRESETS:
        model = small_model(preset, demo)
        more = {"ratings": rated} if preset in ("dora_raters", "dora_beta") else {}
        model.fit(few, few[["mi", "ta"]], **more)
        values[preset] = {
            "loss": model.history_[0]["loss"],
            "train_loss": model.history_[0]["train_loss"],
            "predictions": model.predict(clips.head(3)),
            "distribution": model.predict_distribution(clips.head(1)),
        }
    check("presets", values, TRAINED)


def test_a_stack_fitted_on_clips(demo, clips):
    names = ("dora", "clap_baseline")
    models = [(name, small_model(name, demo)) for name in names]
    stack = StackedMOS(models, cv=2).fit(clips, clips[["mi", "ta"]])
    values = {
        "predictions": stack.predict(clips.head(4)),
        "distributions": stack.predict_distribution(clips.head(2)),
        "board": board(stack.validation_scores_),
        "sentence": stack.verdict_,
    }
    check("stack_of_clips", values, TRAINED)


def test_a_table_of_a_paper(demo, tmp_path):
    few = of_systems(read_clips(demo / "demo"), 5)
    few.to_csv(tmp_path / "clips.csv", index=False)

    words = ["table4", "--quick", "--data", tmp_path / "clips.csv", *ONE_CPU]
    quick = ["--seeds", 1, "--set", "max_epochs=1", "--artifacts", demo]
    folder = last_line(call("reproduce", *words, *quick))
    table = pd.read_csv(folder / "table.csv").select_dtypes("number")
    check("paper_table", {"table": table.to_dict("list")}, TRAINED)
