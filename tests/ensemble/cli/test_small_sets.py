"""``--models small`` from the clips to the scores, as its user runs it."""

import io
import json
import os
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA, loudness_test
from commands import EMBEDDED, call, refused, two_epochs

from base_models.files import read_json
from base_models.pooled.pooled_mos import PooledMOS
from ensemble.cli import fit_base as fit_base_command
from ensemble.training import model_sets

ONE_CPU = ("--device", "cpu", "--jobs", 1)
TWO_INNER_FOLDS = ("--set", "inner_folds=2")
POOLED = {f"pooled_{name}-s0" for name in ("forest", "gp", "ridge", "svr")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return loudness_test(tmp_path_factory.mktemp("data"))


def fit_base(data, art, *more, models=("small",)):
    words = ["--data", data, "--artifacts", art, "--models", *models, *ONE_CPU, *more]
    return call("fit_base", *words)


def fit_quickly(data, art, *more, models=("small",)):
    """As `fit_base`, with two epochs, and two folds wherever there are folds."""
    with two_epochs(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_sets, "SMALL_FOLDS", 2)
        return fit_base(data, art, *more, *TWO_INNER_FOLDS, models=models)


@pytest.fixture(scope="module")
def art(data, tmp_path_factory):
    """Artifacts of the set on the embedded encoders."""
    folder = tmp_path_factory.mktemp("small") / "art"
    code, _, err = fit_quickly(data, folder, *EMBEDDED)
    assert code == 0, err
    assert "train 26" in err
    assert "dev 0" in err
    assert "trained 5 of 5" in err
    return folder


@pytest.fixture(scope="module")
def stack(art):
    """The folder of its stack."""
    code, _, err = call("fit_meta", "--artifacts", art)
    assert code == 0, err
    (folder,) = (art / "meta").glob("stack-*")
    return folder


def scores(art, data, *more):
    code, out, err = call("predict_mos", "--clips", data, "--artifacts", art, *more)
    assert code == 0, err
    return pd.read_csv(io.StringIO(out))


# from clips to scores


def test_a_stack_is_fitted_on_out_of_fold_predictions_without_a_dev_split(art, stack):
    assert stack.name.startswith("stack-")
    report = (stack / "report.html").read_text()
    assert "pooled_gp-s0" in report
    # With one encoder there is nothing to compare.
    assert "by audio encoder" not in report


def test_scores_are_close_to_the_ratings_and_rows_per_member_are_named(
    art, stack, data, tmp_path
):
    file = tmp_path / "d.csv"
    words = ["--stack", stack, "--distributions", file, "--members"]
    found = scores(art, data, *words)
    ratings = pd.read_csv(data)
    for aspect in ("mi", "ta"):
        assert np.corrcoef(found[aspect], ratings[aspect])[0, 1] > 0.8
    members = pd.read_csv(file)
    assert set(members["model"]) == {"stack", *POOLED, "dora-s0"}
    shares = members[[name for name in members if name.startswith("mi_b")]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_runs_are_listed_with_what_they_predict_out_of_fold(art, tmp_path):
    file = tmp_path / "runs.json"
    code, out, err = call("list_runs", "--artifacts", art, "--json", file)
    assert code == 0, err
    assert "out-of-fold mi" in out + err
    assert "dev mi" not in out + err
    runs = json.loads(file.read_text())["runs"]
    assert len(runs) == 5
    for run in runs:
        assert run["dev"] == {}
        assert set(run["out_of_fold"]) == {"mi", "ta"}
        assert run["out_of_fold"]["mi"]["n"] == 26
    (ridge,) = [run for run in runs if run["name"] == "pooled_ridge-s0"]
    assert ridge["out_of_fold"]["mi"]["srcc"] > 0.8


def test_asking_for_dev_predictions_of_data_without_any_is_refused(art):
    refused(2, call("fit_meta", "--artifacts", art, "--cv", "dev"), "dev")


def test_the_set_is_predicted_out_of_five_folds_as_the_help_says():
    asked = Namespace(folds=None, models=["small", "dora_l1:1"])
    assert fit_base_command._folds(asked) == 5
    _, out, _ = call("fit_base", "--help")
    assert "default: 5 with --models small" in " ".join(out.split())


def test_a_second_call_trains_nothing(art, data, monkeypatch):
    monkeypatch.setattr(PooledMOS, "fit", None)
    code, _, err = fit_quickly(data, art, *EMBEDDED)
    assert code == 0, err
    assert "nothing to do: all 5 base models are finished" in err


def test_an_interrupted_call_goes_on_with_what_is_not_finished(
    data, tmp_path, monkeypatch
):
    fit = PooledMOS.fit
    calls = []

    def interrupted(self, *args, **kwargs):
        calls.append(self.preset)
        # Three fits are one run: all the clips, and two folds.
        if len(calls) == 5:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(PooledMOS, "fit", interrupted)
    models = ("pooled_ridge:1", "pooled_gp:1")
    words = (*EMBEDDED, *TWO_INNER_FOLDS, "--folds", 2, "--split", 0.85, 0, 0.15)
    code, _, err = fit_base(data, tmp_path / "a", *words, models=models)
    assert (code, "Traceback" in err) == (130, False)
    first = calls[:3]
    assert len(set(first)) == 1

    code, _, err = fit_base(data, tmp_path / "a", *words, models=models)
    assert code == 0, err
    assert "(1 were there already)" in err
    assert first[0] not in calls[5:]

    code, _, err = fit_base(data, tmp_path / "b", *words, models=models)
    assert code == 0, err
    tables = [
        {
            path.parent.name + path.name: path.read_bytes()
            for path in (tmp_path / part).glob("base/*/*.parquet")
        }
        for part in "ab"
    ]
    assert tables[0] == tables[1]


def test_an_adapted_stack_of_pooled_models_is_fitted(art, stack, data, tmp_path):
    new = pd.read_csv(data).head(12)
    new["audio"] = [str(Path(data).parent / Path(name).name) for name in new["audio"]]
    new["clip_id"] = [f"n{k}" for k in range(12)]
    new["mi"] = (new["mi"] - 0.8).clip(1, 5)
    new.to_csv(tmp_path / "new.csv", index=False)
    words = ["--artifacts", art, "--data", tmp_path / "new.csv"]
    code, _, err = call("fit_meta", "--adapt", stack, *words)
    assert code == 0, err
    assert "mi: adapted: on 12 clips" in err

    code, _, err = call("fit_meta", "--artifacts", art, "--learner", "skill")
    assert code == 0, err
    (skill,) = (art / "meta").glob("skill-*")
    result = call("fit_meta", "--adapt", skill, *words)
    refused(2, result, "Skill cannot be adapted; of the learners, 'stack', 'ridge'")


# names with an encoder


@pytest.fixture(scope="module")
def named(data, tmp_path_factory):
    """Runs whose names say their encoder, and one of another family."""
    folder = tmp_path_factory.mktemp("named") / "art"
    words = ["--text-encoder", "hashed_text", "--folds", 2, *TWO_INNER_FOLDS]
    models = ("pooled_ridge@logmel:1", "pooled_gp@logmel:2")
    code, _, err = fit_base(data, folder, *words, models=models)
    assert code == 0, err
    return folder


def test_runs_of_a_named_encoder_are_chosen_and_removed_by_name(named):
    code, _, err = call("fit_meta", "--artifacts", named, "--models", "pooled_gp@*")
    assert code == 0, err
    remove = ("list_runs", "--artifacts", named, "--remove")
    code, _, err = call(*remove, "pooled_gp@logmel-s1")
    assert (code, "removed pooled_gp@logmel-s1" in err) == (0, True)
    code, out, err = call(*remove, "pooled_*")
    assert code == 0, err
    assert "holds no finished base model" in out + err
    assert not list((named / "base").glob("pooled_*"))


@pytest.mark.parametrize(
    ("models", "more", "message"),
    [
        (["pooled_gp@logmel"], ["--set", "max_epochs=2"], "--set max_epochs: none of"),
        (["pooled_gp@nothing"], [], "nothing"),
        (["small"], ["--set", "inner_folds=1"], "inner_folds must be at least 2"),
        (["small"], ["--audio-encoder", "logmel", "logmel"], "names 'logmel' twice"),
        (["dora:1"], ["--audio-encoder", "logmel", "basic_pitch"], "one word is the"),
        (["small", "pooled_gp:1"], [], "pooled_gp"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_trained(
    models, more, message, data, tmp_path
):
    words = list(more)
    if "--audio-encoder" not in more and "@" not in models[0]:
        words += ["--audio-encoder", "logmel"]
    result = fit_base(
        data, tmp_path, "--text-encoder", "hashed_text", *words, models=models
    )
    refused(2, result, message)
    assert not (tmp_path / "base").exists()


def test_the_set_and_a_model_beside_it_on_several_encoders(tmp_path):
    cache = Path(os.environ["STACKEDMOS_CACHE"])
    codec = SHARED_DATA / "codec-listening-test" / "clips.csv"
    if not codec.exists() or not (cache / "basic_pitch").exists():
        pytest.skip("needs the codec listening test, and make for basic_pitch")
    table = pd.read_csv(codec)
    table["audio"] = [str(codec.parent / name) for name in table["audio"]]
    few = table.head(16)
    few.to_csv(tmp_path / "few.csv", index=False)
    words = ["--aspects", "quality"]
    words += ["--audio-encoder", "logmel", "basic_pitch", "dora_l1=logmel"]
    code, _, err = fit_quickly(
        tmp_path / "few.csv",
        tmp_path / "art",
        *words,
        models=("small", "dora_l1:1"),
    )
    assert code == 0, err
    assert "trained 10 of 10" in err
    configs = [
        read_json(path) for path in (tmp_path / "art" / "base").glob("*/config.json")
    ]
    encoders = {config["encoders"]["audio"]["name"] for config in configs}
    assert encoders == {"logmel", "basic_pitch"}
    assert call("fit_meta", "--artifacts", tmp_path / "art")[0] == 0
    (report,) = (tmp_path / "art").glob("meta/*/report.json")
    (records,) = read_json(report)["encoder_contributions"].values()
    assert {record["model"] for record in records} == {"logmel", "basic_pitch"}
    page = report.with_name("report.html").read_text()
    assert "what each audio encoder contributes" in page
