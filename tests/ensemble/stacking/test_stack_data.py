import numpy as np
import pandas as pd
import pytest
import soundfile
from commands import EMBEDDED, call, two_epochs

from base_models.errors import UsageError
from base_models.files import atomic_write, read_json, seal, to_json
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.prediction_files.stack_inputs import read_stack_inputs
from ensemble.stacking.fit_stack import Settings, fit_stack
from ensemble.stacking.stack_data import StackData
from ensemble.training.rated_clips import RatedClips
from ensemble.workspace import Workspace

FOLDS = 3


@pytest.fixture
def workspace(tmp_path):
    """Two finished base models that predict dev and test, and train out of fold."""
    rng = np.random.default_rng(0)
    n = 90
    ids = [f"clip{k}" for k in range(n)]
    frame = pd.DataFrame({"clip_id": ids, "system_id": [f"s{k % 5}" for k in range(n)]})
    frame["mi"] = rng.uniform(1.5, 4.5, n)
    frame["split"] = np.repeat(["train", "dev", "test"], n // 3)
    frame.to_csv(tmp_path / "clips.csv", index=False)
    made = Workspace(tmp_path / "art")
    rated = RatedClips.read(tmp_path / "clips.csv")
    rated.save(made.data("d"))
    runs = []
    for model, noise in (("a", 0.3), ("b", 0.6)):
        scores = frame.set_index("clip_id")["mi"] + rng.normal(0, noise, n)
        folder = made.base_run(model, 0, "0123456789")
        files = {"weights.safetensors": b"{}"}
        files["run.json"] = to_json({"name": model})
        files["config.json"] = to_json({"encoders": {"audio": {"name": f"e{model}"}}})
        train = rated.rows("train")["clip_id"].to_numpy()
        for split in ("dev", "test"):
            named = rated.rows(split)["clip_id"].tolist()
            files[f"predictions-{split}.parquet"] = table(
                model, named, scores, train
            ).to_bytes()
        write(folder, files, "base model")
        parts = [
            (train[k::FOLDS], np.setdiff1d(train, train[k::FOLDS]))
            for k in range(FOLDS)
        ]
        files = {
            f"oof-{k}.parquet": table(model, own, scores, rest).to_bytes()
            for k, (own, rest) in enumerate(parts)
        }
        write(
            folder.with_name(f"{folder.name}-oof{FOLDS}"),
            files,
            "out-of-fold predictions",
        )
        runs.append({"name": model, "folder": str(folder.relative_to(made.root))})
    made.point("level0", {"data": "data/d", "runs": runs, "folds": FOLDS})
    return made


def table(model, ids, scores, trained_on):
    return PredictionTable.from_scores(
        model, ids, ["mi"], scores[ids].to_numpy(), trained_on=frozenset(trained_on)
    )


def write(folder, files, role):
    for name, data in files.items():
        atomic_write(folder / name, data)
    seal(folder, role, files, identity=folder.name)


def ids_of(workspace, split):
    frame = pd.read_csv(workspace.root.parent / "clips.csv")
    return frame.loc[frame["split"] == split, "clip_id"].tolist()


def test_the_dev_split_fits_and_the_test_split_judges(workspace):
    data = StackData.from_runs(workspace, cv="dev")
    assert sorted(data.fit.rows.ids) == sorted(ids_of(workspace, "dev"))
    assert list(data.judges) == ["test"]
    test = data.judges["test"]
    assert sorted(test.rows.ids) == sorted(ids_of(workspace, "test"))
    assert [table.model for table in test.tables] == ["a", "b"]
    assert list(data.bases) == ["a", "b"]
    assert list(StackData.from_runs(workspace, only=["b"]).bases) == ["b"]


def test_out_of_fold_the_training_split_fits_and_both_others_judge(workspace):
    data = StackData.from_runs(workspace, cv="oof")
    assert sorted(data.fit.rows.ids) == sorted(ids_of(workspace, "train"))
    assert list(data.judges) == ["test", "dev"]
    assert sorted(data.fit.tables[0].clip_ids) == sorted(data.fit.rows.ids)
    folder = fit_stack(workspace, data, Settings(rivals=("mean",)))
    report = read_json(folder / "report.json")
    assert set(report["leaderboards"]) == {
        "test",
        "dev",
        "meta-training",
        "meta-validation",
    }
    assert folder != fit_stack(
        workspace, StackData.from_runs(workspace, cv="dev"), Settings(rivals=("mean",))
    )


def test_without_folds_there_is_nothing_out_of_fold(workspace):
    pointer = workspace.latest("level0", "fit_base")
    workspace.point(
        "level0", {name: value for name, value in pointer.items() if name != "folds"}
    )
    with pytest.raises(
        UsageError, match="made no out-of-fold predictions; run it again with --folds 5"
    ):
        StackData.from_runs(workspace, cv="oof")
    with pytest.raises(UsageError, match=r"cv.*'off'"):
        StackData.from_runs(workspace, cv="off")


def test_of_files_of_predictions_those_that_are_named_are_stacked(tmp_path):
    table = {
        "clip_id": [f"u{k}" for k in range(8)],
        "mos": np.linspace(1, 5, 8),
        "one": 3.0,
        "two": 2.0,
    }
    pd.DataFrame(table).to_csv(tmp_path / "all.csv", index=False)
    external = read_stack_inputs([tmp_path / "all.csv"])
    data = StackData.from_predictions(external, "all.csv", ["two"])
    assert [table.model for table in data.fit.tables] == ["two"]
    assert data.note == "1 base model, 8 clips to fit and validate on"
    assert data.identity != StackData.from_predictions(external, "all.csv").identity
    with pytest.raises(UsageError, match=r"Unknown model .tow.\. Did you mean .two."):
        StackData.from_predictions(external, "all.csv", ["tow"])


def test_files_of_predictions_are_stacked_and_grouped(tmp_path):
    rng = np.random.default_rng(0)
    n = 60
    mos = rng.uniform(1.5, 4.5, n)
    frame = pd.DataFrame(
        {
            "utterance": [f"u{k}" for k in range(n)],
            "system": [f"s{k % 6}" for k in range(n)],
        }
    )
    frame = frame.assign(
        mos=mos, one=mos + rng.normal(0, 0.3, n), two=mos + rng.normal(0, 0.3, n)
    )
    frame.to_csv(tmp_path / "all.csv", index=False)
    external = read_stack_inputs([tmp_path / "all.csv"])
    data = StackData.from_predictions(external, "all.csv")
    assert data.judges == {}
    assert data.group == ""
    assert data.fit.rows.groups is None
    grouped = StackData.from_predictions(external, "all.csv", group="system")
    assert grouped.group == "system"
    assert grouped.fit.rows.groups.tolist() == frame["system"].tolist()
    with pytest.raises(UsageError, match=r"column for --groups.*'sistem'"):
        StackData.from_predictions(external, "all.csv", group="sistem")
    frame.assign(split=["test"] * 20 + ["dev"] * 40).to_csv(
        tmp_path / "split.csv", index=False
    )
    external = read_stack_inputs([tmp_path / "split.csv"])
    data = StackData.from_predictions(external, "split.csv")
    assert data.fit.rows.ids.tolist() == frame["utterance"][20:].tolist()
    assert data.judges["test"].rows.ids.tolist() == frame["utterance"][:20].tolist()
    report = read_json(
        fit_stack(Workspace(tmp_path / "art"), data, Settings(rivals=()))
        / "report.json"
    )
    assert [row["model"] for row in report["leaderboards"]["test"]][::8] == [
        "stack",
        "mean",
        "constant",
        "one",
        "two",
    ]


@pytest.mark.parametrize("fits", ["dev", "train"])
def test_train_rows_of_files_fit_only_where_there_is_no_dev_split(tmp_path, fits):
    mos = np.linspace(1, 5, 12)
    split = ["train", fits, "test"] * 4
    ids = [f"u{k}" for k in range(12)]
    table = pd.DataFrame({"clip_id": ids, "mos": mos, "one": 3.0, "split": split})
    table.to_csv(tmp_path / "all.csv", index=False)
    data = StackData.from_predictions(
        read_stack_inputs([tmp_path / "all.csv"]), "all.csv"
    )
    own = [
        clip
        for clip, clips_of_split in zip(ids, split, strict=True)
        if clips_of_split == fits
    ]
    assert data.fit.rows.ids.tolist() == own
    assert data.judges["test"].rows.ids.tolist() == ids[2::3]
    warned = "which the models may have been trained on" in data.note
    assert warned == (fits == "train")


# ---- clips of the same audio

PAIRS = 8


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Base models of clips, some dev clips in pairs of one audio, of two systems."""
    root = tmp_path_factory.mktemp("twins")
    rng = np.random.default_rng(0)
    rows = []

    def add(split, clip, system, samples):
        soundfile.write(root / f"{clip}.wav", samples, 24_000)
        ratings = rng.uniform(1.5, 4.5, 2).round(1)
        rows.append((clip, system, "piano", f"{clip}.wav", split, *ratings))

    for k in range(12):
        add("train", f"t{k}", f"s{k % 4}", rng.normal(0, 0.1, 4_800))
    for k in range(PAIRS):
        samples = rng.normal(0, 0.1, 4_800)
        add("dev", f"first{k}", f"s{k % 4}", samples)
        add("dev", f"second{k}", f"s{(k + 1) % 4}", samples)
    for k in range(12):
        add("dev", f"single{k}", f"s{k % 4}", rng.normal(0, 0.1, 4_800))
    columns = ["clip_id", "system_id", "prompt", "audio", "split", "mi", "ta"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "clips.csv", index=False)
    words = ["--data", root / "clips.csv", *EMBEDDED, "--models", "dora:1", "--jobs", 1]
    with two_epochs():
        code, _, err = call("fit_base", *words, "--artifacts", root / "art")
    assert code == 0, err
    return root / "art"


@pytest.mark.parametrize("seed", range(6))
def test_clips_of_one_audio_are_on_one_side_of_the_meta_split(twins, seed, monkeypatch):
    fitted = []
    fit = StackedMOS.fit

    def keep(stack, *args, **options):
        fitted.append(fit(stack, *args, **options))
        return stack

    monkeypatch.setattr(StackedMOS, "fit", keep)
    words = ["--learner", "mean", "--rivals", "--seed", seed]
    code, _, err = call("fit_meta", "--artifacts", twins, *words)
    assert code == 0, err
    assert "LEAKY" not in err

    train = set(fitted[0].trial_.training.rows.ids)
    held = set(fitted[0].trial_.validation.rows.ids)
    assert len(train | held) == 2 * PAIRS + 12
    assert 0.3 < len(held) / (2 * PAIRS + 12) < 0.5
    for k in range(PAIRS):
        assert (f"first{k}" in train) == (f"second{k}" in train)
