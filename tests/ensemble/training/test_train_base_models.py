"""Base models: planned by name, embedded once, trained once, and the same whatever the
number of processes.
"""

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import listening_test, tones
from commands import plan_embedded, short_settings
from gpu.pretend import pretend_gpu

from base_models import settings
from base_models.encoders.base import Encoder
from base_models.errors import UsageError
from base_models.files import is_sealed, read_json
from base_models.predictions import PredictionTable
from ensemble.stacking.stack_data import StackData
from ensemble.training import processes
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.model_sets import expand_sets
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import plan_training, train_base_models
from ensemble.training.training_setup import Compute, TrainingSetup, plan_models
from ensemble.workspace import Workspace

READ_TOML = settings._read_toml


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    """The embedded settings with 3 epochs."""
    with short_settings(3):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of 32 clips; one file is damaged and one clip has no prompt."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    pitch = np.arange(32) % 4
    path = listening_test(
        folder,
        tones(32),
        {"train": 18, "dev": 9, "test": 5},
        labels={
            "mi": 1.5 + 0.8 * pitch + rng.uniform(0, 0.5, 32),
            "ta": rng.uniform(1, 5, 32),
        },
    )
    (folder / "c03.wav").write_bytes(b"RIFF, and no more")
    table = pd.read_csv(path)
    table.loc[20, "prompt"] = ""
    table.to_csv(path, index=False)
    return path


def prepare(data, workspace, models=(("dora", 0),), **options):
    return plan_embedded(RatedClips.read(data), models, workspace, **options)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two base models with out-of-fold predictions, trained one after the other."""
    workspace = Workspace(tmp_path_factory.mktemp("artifacts"))
    ready = prepare(data, workspace, [("dora", 0), ("dora_coral", 1)], folds=3)
    result = train_base_models(ready, workspace)
    assert result.trained == ("dora-s0", "dora_coral-s1")
    assert not result.failed
    return workspace, ready


# ---- the plan


def test_the_kind_of_device_is_part_of_what_a_neural_run_is(data, trained):
    workspace, ready = trained
    models = [("dora", 0), ("pooled_ridge", 0)]
    folders = {}
    for device in ("cpu", "cuda", "cuda:1", "cuda:0,1"):
        with pretend_gpu(n_devices=2):
            plan = prepare(data, workspace, models, device=device, precision="float32")
        folders[device] = [run.folder for run in plan.runs]
    assert folders["cpu"][0] == ready.runs[0].folder
    assert folders["cuda"] == folders["cuda:1"] == folders["cuda:0,1"]
    assert folders["cuda"][0] != folders["cpu"][0]
    # It regresses on the CPU, on embeddings of either device.
    assert folders["cuda"][1] == folders["cpu"][1]


def test_runs_are_dealt_over_devices(data, tmp_path, monkeypatch):
    dealt = []
    monkeypatch.setattr(
        "ensemble.training.train_base_models.train_runs",
        lambda runs, **options: dealt.append((runs, options)) or {},
    )
    workspace = Workspace(tmp_path)
    models = [("dora", 0), ("dora", 1), ("dora_coral", 0)]
    with pretend_gpu(n_devices=2):
        plan = prepare(data, workspace, models, device="cuda:0,1", jobs=0)
        train_base_models(plan, workspace)
    ((runs, options),) = dealt
    assert [run.device for run in runs] == ["cuda:0", "cuda:1", "cuda:0"]
    assert options["jobs"] == 2


def test_several_devices_are_refused_where_each_worker_has_its_own(data, tmp_path):
    engine = {"device": "cuda:0,1", "engine": "dask://127.0.0.1:1"}
    with (
        pretend_gpu(n_devices=2),
        pytest.raises(UsageError, match=r"each worker of dask.* name the kind alone"),
    ):
        prepare(data, Workspace(tmp_path), **engine)


def test_standardise_renames_only_the_runs_that_it_changes(data, trained):
    workspace, ready = trained
    names = {
        word: prepare(data, workspace, overrides={"standardise": word}).runs[0].folder
        for word in ("auto", "never", "always")
    }
    plain = prepare(data, workspace).runs[0].folder
    assert plain == ready.runs[0].folder
    assert names["auto"] == names["never"] == plain
    assert names["always"] != plain


def test_a_width_that_no_head_divides_is_refused_before_anything_is_embedded(
    data, tmp_path
):
    workspace = Workspace(tmp_path)
    message = "'dora' on logmel: Embeddings of width 128 cannot be split into 5"
    with pytest.raises(UsageError, match=message):
        prepare(data, workspace, overrides={"attention_heads": 5})
    assert not workspace.embeddings.exists()


def test_the_default_plan_is_the_papers():
    plan = plan_models(None, 5)
    names = [name for name, _ in plan]
    assert {name: names.count(name) for name in names} == {
        "dora": 5,
        "dora_coral": 2,
        "dora_decoupled": 2,
    }
    assert len(set(plan)) == 9
    assert plan_models(None, 1) == [
        ("dora", 0),
        ("dora_coral", 0),
        ("dora_decoupled", 0),
    ]


def test_a_count_goes_before_the_number_of_seeds():
    assert plan_models(["dora_ce:3", "dora"], 1) == [
        ("dora_ce", 0),
        ("dora_ce", 1),
        ("dora_ce", 2),
        ("dora", 0),
    ]


def test_words_that_are_no_plan_are_refused():
    for word in (
        "dora:0",
        "dora:-1",
        "dora:two",
        "dora:1.5",
        "dora:",
        "dora:²",
        "dora:1:2",
    ):
        with pytest.raises(UsageError, match="write NAME or NAME:COUNT"):
            plan_models([word], 2)
    with pytest.raises(
        UsageError, match=r"Unknown preset 'dorra'\. Did you mean 'dora'\?"
    ):
        plan_models(["dorra"], 2)
    for word in ("small:3", "small@logmel", "small@logmel:2"):
        with pytest.raises(UsageError, match=f"'{word}': 'small' is a set of models"):
            expand_sets([word], EncoderChoice(), with_text=True)
    with pytest.raises(UsageError, match="asked for twice in --models: 'dora'"):
        plan_models(["dora:1", "dora"], 2)
    with pytest.raises(UsageError, match="--seeds must be at least 1; got 0"):
        plan_models(None, 0)


# ---- getting ready


def test_clips_that_cannot_be_used_are_set_aside_by_name(trained):
    _, ready = trained
    assert [bad.clip_id for bad in ready.set_aside] == ["c03"]
    assert len(ready.rated.frame) == 31
    assert "c03" not in set(ready.rated.frame["clip_id"])


def test_a_clip_without_a_prompt_is_learnt_from_for_what_needs_none(trained, data):
    workspace, ready = trained
    assert ready.rated.without_prompt == {"ta": ("c20",)}
    assert "1 without a prompt, ta left out for them" in ready.rated.note
    labels = ready.rated.frame.set_index("clip_id").loc["c20", ["mi", "ta"]]
    given = pd.read_csv(data).set_index("clip_id").loc["c20", "mi"]
    assert labels["mi"] == given
    assert np.isnan(labels["ta"])

    # Its row stands in the dense tables, and in no label that a stack could read.
    stack_data = StackData.from_runs(workspace, cv="dev")
    row = stack_data.fit.rows.ids.tolist().index("c20")
    assert np.isnan(stack_data.fit.rows.labels[row]).tolist() == [False, True]
    assert all("c20" in table.clip_ids for table in stack_data.fit.tables)
    assert stack_data.fit.gaps[row].tolist() == [False, True]


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_split_without_any_prompt_cannot_be_used_for_aspects_that_need_one(
    data, tmp_path, split
):
    table = pd.read_csv(data, dtype=str, keep_default_na=False)
    table.loc[table["split"] == split, "prompt"] = " "
    table.to_csv(tmp_path / "clips.csv", index=False)
    with pytest.raises(
        UsageError, match=f"No {split} clip that is rated for ta has a prompt.*Add"
    ):
        RatedClips.read(tmp_path / "clips.csv")
    assert RatedClips.read(tmp_path / "clips.csv", aspects=["mi"]).without_prompt == {}


def test_without_a_usable_clip_in_a_split_the_first_reason_is_said(data, tmp_path):
    table = pd.read_csv(data, dtype=str, keep_default_na=False)
    table["audio"] = [str(data.parent / name) for name in table["audio"]]
    table.loc[table["split"] == "dev", "audio"] = ""
    table.to_csv(tmp_path / "clips.csv", index=False)
    with pytest.raises(
        UsageError,
        match=r"No dev clip can be used; the first one set aside is 'c\d\d': ",
    ):
        prepare(tmp_path / "clips.csv", Workspace(tmp_path))


def test_a_wrong_name_is_refused_before_anything_is_embedded(data, tmp_path):
    for options in (
        {"settings": "embeded"},
        {"models": [("dora", 0), ("dorra", 0)]},
        {"device": "gpu"},
    ):
        with pytest.raises(UsageError, match=r"Did you mean|not available"):
            prepare(data, Workspace(tmp_path), **options)
    with pytest.raises(UsageError, match="Did you mean 'logmel'"):
        plan_training(
            RatedClips.read(data),
            [("dora", 0)],
            Workspace(tmp_path),
            TrainingSetup(EncoderChoice.parse(["logmell"], ["hashed_text"])),
            Compute(),
        )
    assert not list(tmp_path.iterdir())


def test_each_content_is_encoded_once_for_all_models_and_commands(
    data, tmp_path, monkeypatch
):
    encoded = []
    encode = Encoder.encode
    monkeypatch.setattr(
        Encoder,
        "encode",
        lambda self, batch: (
            encoded.extend([self.name] * len(batch)) or encode(self, batch)
        ),
    )
    seen = []
    for models in ([("dora", 0), ("dora", 1)], [("dora_ce", 0)]):
        prepare(
            data,
            Workspace(tmp_path),
            models,
            on_embed=lambda *progress: seen.append(progress),
        )
    distinct = 4  # the 32 clips are four sounds, of two prompts and a placeholder
    assert (encoded.count("logmel"), encoded.count("hashed_text")) == (distinct, 3)
    names = {name for name, _, _ in seen}
    assert names == {"logmel", "hashed_text", "fingerprints"}


def test_a_run_is_named_by_all_that_decides_it(data, tmp_path):
    workspace = Workspace(tmp_path)
    variants = [
        {},
        {"threads": 2},
        {"settings": "paper"},
        {"dtype": "float32"},
        {"models": [("dora", 1)]},
    ]
    folders = [
        prepare(data, workspace, **options).runs[0].folder for options in variants
    ]
    assert len(set(folders)) == len(variants)
    for rest in (
        {"jobs": 2},
        {"folds": 3},
    ):  # what runs beside it, or is added to it, is no part of it
        assert prepare(data, workspace, **rest).runs[0].folder == folders[0]


# ---- training


def test_every_run_ends_sealed_and_is_pointed_at(trained):
    workspace, ready = trained
    assert all(is_sealed(run.folder) for run in ready.runs)
    assert not ready.unfinished
    pointer = workspace.latest("level0", "fit_base")
    assert [run["name"] for run in pointer["runs"]] == ["dora-s0", "dora_coral-s1"]
    assert not any(
        Path(run["folder"]).is_absolute() for run in pointer["runs"]
    )  # so that the folder can be moved
    assert RatedClips.load(workspace.root / pointer["data"]).frame.equals(
        ready.rated.frame
    )


def test_a_second_run_trains_nothing_and_changes_nothing(trained, data, monkeypatch):
    workspace, ready = trained
    before = {
        path: path.stat().st_mtime_ns for path in (workspace.root / "base").rglob("*")
    }
    monkeypatch.setattr("ensemble.training.base_model_run.BaseRun._new_model", None)
    again = prepare(data, workspace, [("dora", 0), ("dora_coral", 1)], folds=3)
    assert [run.folder for run in again.runs] == [run.folder for run in ready.runs]
    assert train_base_models(again, workspace, watch=None).trained == ()
    assert {
        path: path.stat().st_mtime_ns for path in (workspace.root / "base").rglob("*")
    } == before


def test_moved_audio_is_found_where_it_is_now(trained, data, tmp_path):
    _, ready = trained
    for path in data.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    workspace = Workspace(tmp_path / "artifacts")
    prepare(data, workspace)
    moved = prepare(tmp_path / "clips.csv", workspace)
    assert moved.runs[0].data == workspace.root / "data" / ready.runs[0].data.name
    assert RatedClips.load(moved.runs[0].data).frame["audio"][0] == str(
        tmp_path / "c00.wav"
    )


def test_each_training_clip_is_predicted_once_by_a_model_that_never_saw_it(trained):
    _, ready = trained
    for run in ready.runs:
        tables = [
            PredictionTable.read(run.fold_folder / f"oof-{k}.parquet") for k in range(3)
        ]
        predicted = [clip for table in tables for clip in table.clip_ids]
        assert sorted(predicted) == sorted(ready.rated.rows("train")["clip_id"])
        for table in tables:
            seen = table.trained_on | table.selected_on
            assert not seen & set(table.clip_ids)
            assert len(seen) == 17 - len(table)  # all the others


def test_predictions_cover_dev_and_test_and_list_what_was_seen(trained):
    _, ready = trained
    for run in ready.runs:
        for split in ("dev", "test"):
            table = PredictionTable.read(run.folder / f"predictions-{split}.parquet")
            assert list(table.clip_ids) == ready.rated.rows(split)["clip_id"].tolist()
            assert table.trained_on | table.selected_on == set(
                ready.rated.rows("train")["clip_id"]
            )
            assert not table.trained_on & table.selected_on


def test_two_processes_give_the_numbers_of_one(data, tmp_path, monkeypatch):
    # The workers read the true settings.
    monkeypatch.setattr(settings, "_read_toml", READ_TOML)
    runs = []
    for jobs in (1, 2):
        workspace = Workspace(tmp_path / str(jobs))
        ready = prepare(data, workspace, [("dora", 0), ("dora_coral", 1)], jobs=jobs)
        train_base_models(ready, workspace)
        runs.append(ready.runs)
    for one, two in zip(*runs, strict=True):
        assert read_json(two.folder / "run.json")["threads"] == 1
        for name in (
            "predictions-dev.parquet",
            "predictions-test.parquet",
            "weights.safetensors",
        ):
            assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


def test_the_cores_are_shared_out_as_far_as_memory_goes(monkeypatch):
    monkeypatch.setattr(processes, "n_cores", lambda: 4)
    assert processes.share_out(9, ["cuda:0"], 0, 1) == 1
    assert processes.share_out(9, ["cuda:0", "cuda:1"], 0, 1) == 2
    assert processes.share_out(1, ["cpu"], 0, 1) == 1
    assert processes.share_out(9, ["cpu"], 2**50, 1) == 1
    monkeypatch.setattr(
        processes.os,
        "sysconf",
        lambda name: {"SC_AVPHYS_PAGES": 2**24, "SC_PAGE_SIZE": 2**12}[name],
    )
    assert processes.share_out(9, ["cpu"], 0, 1) == 4
    assert processes.share_out(2, ["cpu"], 0, 1) == 2
    assert processes.share_out(9, ["cpu"], 0, 2) == 2

    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(processes.os, "sysconf", unknown)
    assert processes.share_out(9, ["cpu"], 2**30, 1) == 2


def test_a_watcher_sees_only_what_is_to_be_trained(data, tmp_path, monkeypatch):
    watched = []

    @contextlib.contextmanager
    def watch(runs):
        watched.append([run.name for run in runs])
        yield

    workspace = Workspace(tmp_path)
    ready = prepare(data, workspace)
    train_base_models(ready, workspace, watch)
    more = prepare(data, workspace, [("dora", 0), ("dora", 1)])
    monkeypatch.setattr(
        "ensemble.training.base_model_run.BaseRun.train", lambda run: run.name
    )
    assert train_base_models(more, workspace, watch).trained == ("dora-s1",)
    train_base_models(ready, workspace, watch)
    assert watched == [["dora-s0"], ["dora-s1"]]
