"""Base models of different encoders in one stack, and runs that accumulate."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from commands import EMBEDDED, call, refused, small_demo

from base_models.clips.demo.corpus import write_demo
from base_models.clips.read_clips import read_clips
from base_models.encoders import Encoder
from base_models.files import read_json
from ensemble.estimator.stacked_mos import StackedMOS

BVCC = Path(__file__).parents[4] / "shared" / "data" / "bvcc-predictions"
TWO_EPOCHS = ("--set", "max_epochs=2")
ONE_CPU = ("--device", "cpu", "--jobs", 1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return small_demo(tmp_path_factory.mktemp("runs") / "tree")


@pytest.fixture
def encoded(monkeypatch):
    """How often each encoder has encoded each content."""
    counts = Counter()
    encode = Encoder.encode

    def count(self, batch):
        counts.update((self.name, item.tobytes()) for item in batch)
        return encode(self, batch)

    monkeypatch.setattr(Encoder, "encode", count)
    return counts


def words_of(folders, *names):
    return [f"{name}={folders[name]}" for name in names]


def train(tree, art, *words, encoders=EMBEDDED, settings=()):
    options = (*encoders, *TWO_EPOCHS, *settings, *ONE_CPU, "--artifacts", art)
    code, _, err = call("fit_base", "--data", tree, *words, *options)
    assert code == 0, err
    return err


def stack_folder(printed):
    """The last thing that fit_meta prints."""
    return printed.split()[-1]


def names_of_stack(printed):
    return list(read_json(f"{stack_folder(printed)}/stack.json")["bases"])


def test_models_of_three_pairs_of_encoders_train_stack_and_score_by_command(
    tree, tmp_path, tiny_encoders, encoded
):
    encoders = [
        "--audio-encoder",
        *words_of(tiny_encoders, "muq", "whisper_padded", "clap"),
        "--text-encoder",
        *words_of(tiny_encoders, "roberta", "qwen3", "clap_text"),
    ]
    art = ("--artifacts", tmp_path)
    err = train(
        tree,
        tmp_path,
        *("--models", "dora:2", "whisq:1", "clap_baseline:1"),
        encoders=encoders,
        # Of the 1500 frames of whisper, every 30th is aligned.
        settings=["alignment_stride=30"],
    )
    assert "whisq: encoders whisper_padded=" in err
    assert {name for name, _ in encoded} == {
        *("muq", "whisper_padded", "clap", "roberta", "qwen3", "clap_text")
    }
    assert set(encoded.values()) == {1}

    code, out, err = call("fit_meta", "--rivals", *art)
    assert code == 0, err
    names = ["clap_baseline-s0", "dora-s0", "dora-s1", "whisq-s0"]
    assert names_of_stack(out) == names

    # A new clip: every encoder once, whatever the number of models.
    encoded.clear()
    new = write_demo(tmp_path / "new", n_systems=2, n_prompts=3, seed=9)
    clip = min((new / "wav").iterdir())
    code, out, err = call("predict_mos", clip, "--prompt", "sad piano", *art)
    assert code == 0, err
    assert len(out.splitlines()) == 2
    assert sorted(name for name, _ in encoded) == sorted({name for name, _ in encoded})
    assert len(encoded) == 6

    # The weights of one encoder have moved; those of the others are where they were.
    moved = tmp_path / "moved"
    tiny_encoders["whisper_padded"].rename(moved)
    try:
        again = call(
            *("predict_mos", clip, "--prompt", "sad piano", *art),
            *("--audio-encoder", f"whisper_padded={moved}"),
        )
    finally:
        moved.rename(tiny_encoders["whisper_padded"])
    assert again[:2] == (0, out)


def test_missing_weights_are_named_with_their_presets_before_anything_is_embedded(
    tree, tmp_path, tiny_encoders, encoded
):
    audio = words_of(tiny_encoders, "muq")
    refused(
        2,
        call(
            *("fit_base", "--data", tree, "--models", "dora:1", "whisq:1"),
            *("--audio-encoder", *audio, f"whisper_padded={tmp_path}/none"),
            *("--text-encoder", f"roberta={tmp_path}", f"qwen3={tmp_path}"),
            *("--artifacts", tmp_path / "art"),
        ),
        r"dora: Encoder 'roberta'.*as well of 'whisper_padded=.*\(whisq\), 'qwen3=",
    )
    assert not encoded
    assert not (tmp_path / "art").exists()


@pytest.fixture(scope="module")
def art(tree, tmp_path_factory):
    """Models of four calls, one of them with other settings than its like."""
    folder = tmp_path_factory.mktemp("art")
    train(tree, folder, "--models", "dora:1", settings=["dropout=0.1"])
    train(tree, folder, "--models", "dora:2")
    train(tree, folder, "--models", "clap_baseline:1")
    train(tree, folder, "--models", "dora:1")
    return folder


def listed(art):
    code, _, err = call("list_runs", "--artifacts", art, "--json", art / "runs.json")
    assert code == 0, err
    return {row["name"]: row for row in read_json(art / "runs.json")["runs"]}


def test_runs_of_one_data_accumulate_and_are_all_stacked(art):
    runs = listed(art)
    (older,) = [name for name in runs if name.startswith("dora-s0-")]
    assert set(runs) == {"clap_baseline-s0", "dora-s0", older, "dora-s1"}
    assert runs[older]["changed"]["dropout"] == 0.1
    assert "dropout" not in runs["dora-s0"]["changed"]
    assert all(row["is_stacked"] and row["bytes"] > 0 for row in runs.values())
    assert len({row["data"] for row in runs.values()}) == 1
    assert runs["dora-s1"]["dev"]["mi"]["n"] > 0

    code, out, err = call("fit_meta", "--rivals", "--artifacts", art)
    assert code == 0, err
    assert set(names_of_stack(out)) == set(runs)
    assert "stacks 4 base models" in err


def test_patterns_choose_what_is_stacked(art):
    choose = ("fit_meta", "--rivals", "--artifacts", art, "--models")
    code, out, err = call(*choose, "dora-s?", "clap*")
    assert code == 0, err
    assert names_of_stack(out) == ["clap_baseline-s0", "dora-s0", "dora-s1"]
    refused(
        2, call(*choose, "wisq-*"), r"'wisq-\*' matches no base model of .*; there are"
    )
    refused(2, call(*choose, "dora-s9"), r"Unknown base model 'dora-s9'. Did you mean")


def test_runs_of_other_clips_are_left_out(art, tree, tmp_path):
    before = listed(art)
    train(tree, art, "--models", "dora:1", "--aspects", "mi")
    runs = listed(art)
    assert [name for name, row in runs.items() if row["is_stacked"]] == ["dora-s0"]
    assert len(runs) == len(before) + 1
    # The call that names the older clips brings them back, and trains nothing.
    err = train(tree, art, "--models", "dora:1")
    assert "nothing to do" in err
    assert sum(row["is_stacked"] for row in listed(art).values()) == len(before)


def test_a_removed_run_is_gone_and_the_next_stack_does_without(tree, tmp_path):
    train(tree, tmp_path, "--models", "dora:2", "clap_baseline:1", "--folds", 2)
    remove = ("list_runs", "--artifacts", tmp_path, "--remove")
    refused(2, call(*remove, "dora-s7"), "Unknown base model 'dora-s7'")
    code, out, err = call(*remove, "dora-*")
    assert code == 0
    assert re.search(r"removed dora-s0-\w{10}, dora-s1-\w{10}: \d", err)
    assert "clap_baseline-s0" in out
    left = [path.name for path in (tmp_path / "base").iterdir()]
    assert all(name.startswith("clap_baseline") for name in left)
    code, out, err = call("fit_meta", "--rivals", "--artifacts", tmp_path)
    assert code == 0, err
    assert names_of_stack(out) == ["clap_baseline-s0"]
    # The same fit_base makes them again.
    train(tree, tmp_path, "--models", "dora:2", "clap_baseline:1", "--folds", 2)
    assert len(listed(tmp_path)) == 3


def test_a_damaged_run_is_listed_refused_by_the_stack_and_can_be_removed(
    tree, tmp_path
):
    train(tree, tmp_path, "--models", "dora:2")
    (facts,) = (tmp_path / "base").glob("dora-s0-*/run.json")
    facts.write_text("{}")
    code, _, err = call("list_runs", "--artifacts", tmp_path)
    assert code == 4
    assert f"damaged: base/{facts.parent.name}" in err
    refused(4, call("fit_meta", "--artifacts", tmp_path), "was changed after it")
    code, _, err = call(
        "list_runs", "--artifacts", tmp_path, "--remove", facts.parent.name
    )
    assert code == 0, err
    assert call("fit_meta", "--rivals", "--artifacts", tmp_path)[0] == 0


def test_an_unfinished_run_keeps_its_name_and_others_of_that_name_bear_their_folders(
    tree, tmp_path
):
    train(tree, tmp_path, "--models", "dora:1")
    train(tree, tmp_path, "--models", "dora:1", settings=["dropout=0.1"])
    # The last one was interrupted: it has no manifest yet.
    folder = tmp_path / read_json(tmp_path / "level0.json")["runs"][0]["folder"]
    (folder / "manifest.json").unlink()
    (older,) = listed(tmp_path)
    assert older.startswith("dora-s0-")
    assert read_json(tmp_path / "runs.json")["unfinished"] == [f"base/{folder.name}"]

    stack = ("fit_meta", "--rivals", "--artifacts", tmp_path)
    refused(2, call(*stack), rf"'dora-s0' are not finished; .* --models: '{older}'")
    refused(2, call(*stack, "--models", "dora-s0"), "'dora-s0' is not finished")
    assert call(*stack, "--models", older)[0] == 0

    # Its short name is that of two runs; its folder's is its own.
    remove = ("list_runs", "--artifacts", tmp_path, "--remove")
    refused(2, call(*remove, "dora-s0"), "'dora-s0' is the name of 2 base models")
    assert call(*remove, folder.name)[0] == 0
    assert not folder.exists()
    assert call(*stack)[0] == 0


def test_a_repeated_removal_does_not_delete_the_next_run_of_that_name(tree, tmp_path):
    train(tree, tmp_path, "--models", "dora:1")
    train(tree, tmp_path, "--models", "dora:1", settings=["dropout=0.1"])
    remove = ("list_runs", "--artifacts", tmp_path, "--remove", "dora-s0")
    refused(2, call(*remove), "'dora-s0' is the name of 2 base models; name a folder")
    assert len(listed(tmp_path)) == 2


def test_runs_of_other_clips_are_refused_for_what_they_are(tree, tmp_path):
    train(tree, tmp_path, "--models", "dora:1")
    (folder,) = (tmp_path / "base").iterdir()
    train(tree, tmp_path, "--models", "dora:1", "--aspects", "mi")
    words = ("fit_meta", "--artifacts", tmp_path, "--models", folder.name)
    refused(2, call(*words), "was trained on other clips than those of the last")


def test_labels_that_cannot_be_learnt_are_refused_before_anything_is_embedded(
    tree, tmp_path, encoded
):
    clips = read_clips(tree).assign(mi=np.nan)
    clips.to_csv(tmp_path / "clips.csv", index=False)
    words = ("--data", tmp_path / "clips.csv", "--aspects", "mi", "ta", *EMBEDDED)
    refused(
        2,
        call("fit_base", *words, "--artifacts", tmp_path / "art"),
        "Aspect 'mi' has no label at all",
    )
    assert not encoded
    assert not (tmp_path / "art" / "level0.json").exists()


def test_predictions_on_another_scale_are_refused_or_declared(
    art, predictions, tmp_path
):
    columns = ["mi__tool", "ta__tool"]
    predictions[columns] = predictions[columns] * 20
    predictions.to_csv(tmp_path / "hundred.csv", index=False)
    both = ("fit_meta", "--rivals", "--artifacts", art, "--with-runs")
    refused(
        2,
        call(*both, "--predictions", tmp_path / "hundred.csv"),
        r"off the scale 1..5 \(from .* to .*\), .* Name its scale as FILE:LOW-HIGH",
    )
    hundred = f"{tmp_path / 'hundred.csv'}:20-100"
    code, _, err = call(*both, "--predictions", hundred)
    assert code in (0, 3), err
    assert "scores on 20..100 (declared), mapped onto 1..5: 'tool (mi)'" in err
    one = predictions[["clip_id"]].assign(mi=3.0)
    one.to_csv(tmp_path / "one.csv", index=False)
    refused(
        2,
        call(*both, "--predictions", tmp_path / "one.csv"),
        "no predictions of 'ta'; a stack needs every aspect",
    )


def test_a_setting_that_is_no_finite_number_is_refused(art):
    words = ("fit_meta", "--artifacts", art, "--set")
    for value in ("nan", "inf", "-inf"):
        refused(2, call(*words, f"alpha={value}"), "--set takes finite numbers")


def test_clips_without_a_prompt_are_named_by_the_stack_too(tree, tmp_path):
    clips = read_clips(tree)
    is_first = clips.groupby("split").cumcount() < 2
    clips["prompt"] = clips["prompt"].mask(is_first, "")
    clips.to_csv(tmp_path / "clips.csv", index=False)
    options = (*EMBEDDED, *TWO_EPOCHS, *ONE_CPU, "--artifacts", tmp_path / "art")
    words = ("--data", tmp_path / "clips.csv", "--models", "dora:1")
    assert call("fit_base", *words, *options)[0] == 3
    code, _, err = call("fit_meta", "--rivals", "--artifacts", tmp_path / "art")
    assert code == 3, err
    assert "6 clips have no prompt: ta left out for them" in err


def test_an_empty_workspace_has_no_runs(tmp_path):
    code, out, err = call("list_runs", "--artifacts", tmp_path)
    assert (code, out) == (0, "")
    assert "holds no finished base model" in err
    refused(
        2,
        call("list_runs", "--artifacts", tmp_path, "--remove", "dora-s0"),
        "Unknown base model 'dora-s0'",
    )


@pytest.fixture
def predictions(tree, tmp_path):
    """A tool's predictions of all dev and test clips, and of a part of them."""
    lines = [
        line.split(",")
        for split in ("dev", "test")
        for line in (tree / "sets" / f"{split}_mos_list.txt").read_text().split()
    ]
    frame = pd.DataFrame(lines, columns=["clip_id", "mi__tool", "ta__tool"])
    noise = np.random.default_rng(0).normal(0, 0.3, (len(frame), 2))
    labels = frame[["mi__tool", "ta__tool"]].astype(float)
    frame[["mi__tool", "ta__tool"]] = (labels + noise).clip(1, 5)
    frame.to_csv(tmp_path / "tool.csv", index=False)
    frame.iloc[1:].to_csv(tmp_path / "part.csv", index=False)
    return frame


def test_predictions_and_runs_share_a_stack_and_score_new_clips(
    tree, art, predictions, tmp_path
):
    both = ("fit_meta", "--rivals", "--artifacts", art, "--with-runs")
    code, out, err = call(*both, "--predictions", tmp_path / "tool.csv")
    assert code == 0, err
    stack = StackedMOS.load(stack_folder(out))
    assert stack.final_estimator_.layout_.models[-1] == "tool"
    assert "tool" not in dict(stack.estimators_)

    clips = predictions[["clip_id"]].head(3)
    clips = clips.assign(audio=clips["clip_id"], prompt="sad piano")
    clips["clip_id"] = clips["clip_id"].str.removesuffix(".wav")
    clips["audio"] = [str(tree / "wav" / name) for name in clips["audio"]]
    clips.to_csv(tmp_path / "new.csv", index=False)
    score = ("predict_mos", "--clips", tmp_path / "new.csv", "--artifacts", art)
    code, out, err = call(*score, "--predictions", tmp_path / "tool.csv")
    assert code == 0, err
    assert len(out.splitlines()) == 4

    # A clip that the tool left out is named and set aside; the others are scored.
    code, out, err = call(*score, "--predictions", tmp_path / "part.csv")
    assert code == 3
    assert f"{clips['clip_id'][0]}: no prediction of 'tool'" in err
    # The clip without a prediction has its row too.
    assert len(out.splitlines()) == 4
    refused(2, call(*score), "holds no weights of 'tool': pass what it predicts")


def test_predictions_that_cannot_join_the_runs_are_refused(art, predictions, tmp_path):
    both = ("fit_meta", "--rivals", "--artifacts", art, "--with-runs")
    refused(2, call(*both), "--with-runs stacks base models together with")
    gap = call(*both, "--predictions", tmp_path / "part.csv")
    refused(2, gap, "'tool' has no prediction for")
    taken = predictions.rename(
        columns={"mi__tool": "mi__dora-s0", "ta__tool": "ta__dora-s0"}
    )
    taken.to_csv(tmp_path / "taken.csv", index=False)
    same = call(*both, "--predictions", tmp_path / "taken.csv")
    refused(2, same, "'dora-s0' of --predictions is called like a base model")
    predictions.assign(clip_id=[f"x{k}" for k in range(len(predictions))]).to_csv(
        tmp_path / "others.csv", index=False
    )
    others = call(*both, "--predictions", tmp_path / "others.csv")
    refused(2, others, "'tool' predicts none of the")


@pytest.mark.skipif(not BVCC.is_dir(), reason="needs the predictions of BVCC")
def test_published_predictions_of_real_clips_join_runs_on_the_same_clips(tmp_path):
    table = pd.read_csv(BVCC / "val_half.csv").iloc[:90]
    rng = np.random.default_rng(0)
    audio = []
    for name in table["utterance"]:
        audio.append(tmp_path / f"{name}.wav")
        # The audio of BVCC is not here: noise stands in for it.
        soundfile.write(audio[-1], rng.normal(0, 0.1, 16000), 16000)
    clips = pd.DataFrame({"clip_id": table["utterance"], "system_id": table["system"]})
    clips["mos"] = table["mos"]
    clips["audio"] = [str(path) for path in audio]
    clips["split"] = np.repeat(["train", "dev", "test"], 30)
    clips.to_csv(tmp_path / "clips.csv", index=False)
    art = tmp_path / "art"
    train(tmp_path / "clips.csv", art, "--models", "dora:1", "dora_coral:1")

    models = [name for name in table if name.startswith("utmos22")]
    table[["utterance", *models]].to_csv(tmp_path / "published.csv", index=False)
    both = ("--predictions", tmp_path / "published.csv", "--with-runs")
    code, out, err = call("fit_meta", "--rivals", *both, "--artifacts", art)
    assert code == 0, err
    stack = StackedMOS.load(stack_folder(out))
    assert stack.final_estimator_.layout_.models == (
        *("dora-s0", "dora_coral-s0"),
        *models,
    )
    board = read_json(f"{stack_folder(out)}/report.json")["leaderboards"]["test"]
    known = {row["model"] for row in board}
    assert {"stack", "dora-s0", *models} <= known
