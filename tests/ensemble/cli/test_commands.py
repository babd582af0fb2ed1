"""Laws of the commands: what cannot be used is refused in a line and an exit code."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
from commands import LAUNCH, call, listed, read, refused, start

from ensemble.cli import COMMANDS

pytestmark = pytest.mark.usefixtures("finished")

SLOW_TO_IMPORT = (
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "lightgbm",
    "matplotlib",
    "librosa",
    "numpy",
    "pandas",
    "pyarrow",
    "joblib",
    "asyncio",
    "rich.progress",
)
"""What takes longer to import than ``--help`` may take."""


def sub(pattern, to, split="train"):
    """An edit of one list: the first match is replaced."""
    return lambda tree: listed(tree, split).write_text(
        re.sub(pattern, to, read(tree, split), count=1)
    )


def again(split):
    """An edit of one list: the first clip of the train list stands in it, too."""
    return lambda tree: listed(tree, split).write_text(
        read(tree, split) + read(tree, "train").splitlines()[0] + "\n"
    )


def without_one_prompt(tree):
    prompts = tree / "prompt_info.txt"
    prompts.write_text(
        "".join(
            line
            for line in prompts.read_text().splitlines(True)
            if not line.startswith("P008")
        )
    )


def one_system_in_dev(table):
    """All clips of one system make up the dev split."""
    return table.assign(
        prompt="music",
        split=["dev" if s == "S003" else "train" for s in table["system_id"]],
    )


OPTIONS = {
    "unknown preset": (
        lambda p: p.fit_base(p.tree, "--models", "dorra"),
        "Unknown preset 'dorra'. Did you mean 'dora'",
    ),
    "count of models": (
        lambda p: p.fit_base(p.tree, "--models", "dora:1_0"),
        "NAME:COUNT with a count of at least 1",
    ),
    "models twice": (
        lambda p: p.fit_base(p.tree, "--models", "dora:1", "dora:2"),
        "asked for twice",
    ),
    "seeds 0": (
        lambda p: p.fit_base(p.tree, "--seeds", 0),
        "--seeds must be at least 1; got 0",
    ),
    "seeds 5.5": (
        lambda p: p.fit_base(p.tree, "--seeds", "5.5"),
        "--seeds takes a whole number; got '5.5'",
    ),
    "seeds empty": (
        lambda p: p.fit_base(p.tree, "--seeds", ""),
        "--seeds takes a whole number; got ''",
    ),
    "seed for seeds": (
        lambda p: p.fit_base(p.tree, "--seed", 3),
        "unrecognized arguments: --seed 3. .*--seeds",
    ),
    "jobs": (
        lambda p: p.fit_base(p.tree, "--jobs", -1),
        "--jobs must be 0 or more.* got --jobs -1",
    ),
    "folds": (
        lambda p: p.fit_base(p.tree, "--folds", 1),
        "--folds 0 or at least 2.* got .*--folds 1",
    ),
    "settings": (
        lambda p: p.fit_base(p.tree, "--settings", "embeded"),
        "mean 'embedded'. Known: usual, paper, embedded",
    ),
    "encoder": (
        lambda p: p.fit_base(p.tree, "--audio-encoder", "logmell"),
        "Unknown encoder 'logmell'. .*'logmel'",
    ),
    "encoder kind": (
        lambda p: p.fit_base(p.tree, "--audio-encoder", "hashed_text"),
        "'hashed_text' encodes text, and an audio encoder is needed, such as 'muq'",
    ),
    "encoder kind of text": (
        lambda p: p.fit_base(p.tree, "--text-encoder", "muq=/weights"),
        "'muq' encodes audio, and a text encoder is needed, such as 'roberta'",
    ),
    "encoder kind to score": (
        lambda p: p.predict(p.wav, "--prompt", "x", "--audio-encoder", "hashed_text"),
        "'hashed_text' encodes text, and an audio encoder is needed",
    ),
    "encoder kind of text to score": (
        lambda p: p.predict(p.wav, "--prompt", "x", "--text-encoder", "logmel"),
        "'logmel' encodes audio, and a text encoder is needed",
    ),
    "heads that do not fit": (
        lambda p: p.fit_base(p.tree, "--jobs", 1, "--set", "attention_heads=7"),
        "width 128 cannot be split into 7 attention heads",
    ),
    "a part of another architecture": (
        lambda p: p.fit_base(p.tree, "--set", "architecture=pooled", "decoupled=true"),
        "decoupled = True belongs to the architecture 'dual_branch'",
    ),
    "a part that there is not": (
        lambda p: p.fit_base(p.tree, "--set", "temporal=transfomer"),
        "Unknown temporal block 'transfomer'. Did you mean 'transformer'",
    ),
    "encoder folder": (
        lambda p: p.fit_base(p.tree, "--audio-encoder", f"muq={p.tmp}"),
        "no config.json, model.safetensors in ",
    ),
    "dtype": (
        lambda p: p.fit_base(p.tree, "--store-dtype", "float8"),
        "--store-dtype 'float8'. Did you mean",
    ),
    "device": (
        lambda p: p.fit_base(p.tree, "--device", "cudda"),
        "Device 'cudda' is not available.*Present: auto, cpu",
    ),
    "precision to train in": (
        lambda p: p.fit_base(p.tree, "--precision", "fp8"),
        "Unknown precision 'fp8'. Known: auto, float32, bfloat16, tf32",
    ),
    "precision to reproduce in": (
        lambda p: [
            *("reproduce", "table1", "--quick", "--artifacts", p.tmp / "none"),
            *("--precision", "tf32"),
        ],
        "device 'cpu' has no tf32",
    ),
    "precision to score in": (
        lambda p: p.predict(p.wav, "--prompt", "x", "--precision", "fp8"),
        "--precision 'fp8'",
    ),
    "aspect": (
        lambda p: p.fit_base(p.tree, "--aspects", "mos"),
        "no rated columns 'mos'; it has 'mi', 'ta'",
    ),
    "two shares": (
        lambda p: p.fit_base(p.tree, "--split", "0.7", "0.3"),
        "--split: expected 3 arguments",
    ),
    "config": (
        lambda p: p.fit_base(p.tree, "--config", p.tmp / "none.yaml"),
        "does not exist.*none.yaml",
    ),
    "artifacts is a file": (
        lambda p: p.fit_base(p.tree, "--artifacts", p.wav),
        "no file can be written to .*S002_P001.wav .Not a directory",
    ),
    "flag": (
        lambda p: p.fit_meta("--lerner", "mean"),
        "--lerner mean. Did you mean --learner",
    ),
    "learner": (
        lambda p: p.fit_meta("--learner", "rigde"),
        "Unknown learner 'rigde'. Did you mean 'ridge'",
    ),
    "base model": (
        lambda p: p.fit_meta("--models", "dora-s7"),
        "Unknown base model 'dora-s7'. Did you mean 'dora-s0'",
    ),
    "validation": (
        lambda p: p.fit_meta("--validation", "1.5"),
        "--validation must lie between 0 and 1; got 1.5",
    ),
    "fit_meta first": (
        lambda p: ["fit_meta", "--artifacts", p.tmp],
        "no level0.json: run `fit_base` first",
    ),
    "predict first": (
        lambda p: ["predict_mos", p.wav, "--artifacts", p.tmp],
        r"no stack.json: no trained stack ships; fit one from rated clips \(fit_base "
        r"--help\), or name another --artifacts",
    ),
    "nothing to score": (
        lambda p: p.predict(),
        "Name audio files, or a table with --clips",
    ),
    "both to score": (
        lambda p: p.predict(p.wav, "--clips", p.tree),
        "Name audio files, or a table with --clips",
    ),
    "prompt and table": (
        lambda p: p.predict("--clips", p.tree, "--prompt", "x"),
        "a table brings its own prompts",
    ),
    "level": (
        lambda p: p.predict(p.wav, "--level", 2),
        "level must lie between 0 and 1; got 2",
    ),
    "format": (
        lambda p: p.predict(p.wav, "--format", "cvs"),
        "Unknown output format 'cvs'. Did you mean 'csv'",
    ),
    "suffix": (
        lambda p: p.predict(p.wav, "--out", p.tmp / "x.xls"),
        "x.xls: name a .csv, .jsonl, .parquet, .txt or .zip",
    ),
    "out below a file": (
        lambda p: p.predict(p.wav, "--out", p.wav / "x.csv"),
        "no file can be written to .*S002_P001.wav .Not a directory",
    ),
    "no stack": (
        lambda p: p.predict(p.wav, "--stack", p.tmp),
        "never finished; expected the folder of a finished stack",
    ),
    "not a stack": (
        lambda p: p.predict(p.wav, "--stack", p.only("base/*")),
        "is a 'base model', not a 'stack'",
    ),
    "empty folder": (lambda p: p.predict(p.tmp), "holds no audio file"),
    "no table": (
        lambda p: p.predict("--clips", p.tmp / "none.csv"),
        "There is no file or folder .*none.csv",
    ),
    "no predictions": (
        lambda p: ["evaluate_mos", p.tmp / "none.csv", p.tree],
        "There is no file .*none.csv",
    ),
    "check nothing": (
        lambda p: ["check_clips", p.tmp / "none"],
        "There is no file or folder .*none",
    ),
}
LABELS = {
    "missing folder": (lambda p: p.tmp / "none", "There is no file or folder .*none"),
    "empty folder": (
        lambda p: p.tmp,
        "holds no clips: looked for sets/train_mos_list.txt",
    ),
    "no lists": (
        # Single ratings alone would form the labels.
        lambda p: p.edited(
            lambda tree: [shutil.rmtree(tree / part) for part in ("sets", "person_mos")]
        ),
        "holds audio files and no ratings",
    ),
    "off the scale": (
        lambda p: p.edited(sub(r",[\d.]+\n", ",5.8\n")),
        "train_mos_list.txt, line 1: ta is '5.8'; .*1..5",
        3,
    ),
    "not a number": (
        lambda p: p.edited(sub(r",[\d.]+\n", ",four\n")),
        "train_mos_list.txt, line 1: ta is 'four'",
        3,
    ),
    "a field short": (
        lambda p: p.edited(sub(r",[\d.]+\n", "\n")),
        "line 1: expected file.wav,MI,TA",
        3,
    ),
    "duplicate": (
        lambda p: p.edited(again("train")),
        "line 17: clip id 'audiomos2025-track1-S0.*' stands twice",
        3,
    ),
    "leak": (
        lambda p: p.edited(again("dev")),
        "2 of .* rows: the clip is in more than one split. A clip used for training "
        "cannot be used for testing",
        3,
    ),
    "no dev": (
        lambda p: p.edited(lambda tree: listed(tree, "dev").unlink()),
        "has no dev clips",
    ),
    "no prompts": (
        lambda p: p.edited(lambda t: (t / "prompt_info.txt").unlink()),
        "No train clip that is rated for ta has a prompt.*Add prompts",
    ),
    "no audio": (
        lambda p: p.edited(lambda t: shutil.rmtree(t / "wav")),
        "No train clip can be used; .*no audio file",
    ),
    "no ratings": (
        lambda p: p.csv(lambda t: t.drop(columns=["mi", "ta"])),
        "No rated column was found",
    ),
    "no header": (
        lambda p: p.csv(
            lambda t: t.rename(columns=str.swapcase).drop(columns=["CLIP_ID", "AUDIO"])
        ),
        "neither",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_cannot_be_used_is_refused_in_a_line(place, case):
    words, message = OPTIONS[case]
    refused(2, call(*words(place)), message)


@pytest.mark.parametrize("case", LABELS)
def test_data_that_cannot_be_trained_on_is_refused_in_a_line(place, case):
    data, message, *code = LABELS[case]
    refused(
        code[0] if code else 2, call(*place.fit_base(data(place), "--jobs", 1)), message
    )
    assert not (place.tmp / "new" / "level0.json").exists()


def test_a_device_that_is_not_here_is_refused(place):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refused(
        2,
        call(*place.fit_base(place.tree, "--device", "cuda")),
        "Device 'cuda' is not available here. Present",
    )
    refused(
        2,
        call(*place.predict(place.wav, "--device", "cuda")),
        "Device 'cuda' is not available here. Present",
    )


def test_aspects_that_need_a_prompt_are_left_out_for_clips_without_one(place):
    code, out, err = call(
        *place.fit_base(place.edited(without_one_prompt), "--jobs", 1)
    )
    assert code == 3
    assert out == f"{place.tmp / 'new' / 'level0.json'}\n"
    assert "4 clips have no prompt: ta left out for them (" in err
    assert "set aside" not in err


def test_a_stack_of_one_system_says_that_it_is_about_one(place):
    assert call(*place.fit_base(place.csv(one_system_in_dev), "--jobs", 1))[0] == 0
    code, _, err = call("fit_meta", "--artifacts", place.tmp / "new")
    assert code == 0
    assert "all clips are of one system" in err
    assert "intervals are for further clips of it" in err


def test_split_options_that_change_nothing_are_said_to(place):
    _, _, err = call(*place.fit_base(place.tree, "--split", 0.8, 0.1, 0.1, "--jobs", 1))
    assert "the data gives its splits" in err


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("meta/*/meta.safetensors", lambda p: p.predict(p.wav)),
        ("meta/*/base/dora-s0/weights.safetensors", lambda p: p.predict(p.wav)),
        ("meta/*/manifest.json", lambda p: p.predict(p.wav)),
        ("stack.json", lambda p: p.predict(p.wav)),
        ("base/*/predictions-dev.parquet", lambda p: p.fit_meta("--learner", "mean")),
        ("base/*/predictions-test.parquet", lambda p: p.fit_meta("--learner", "mean")),
        ("data/*/clips.parquet", lambda p: p.fit_meta("--learner", "mean")),
        ("level0.json", lambda p: p.fit_meta("--learner", "mean")),
    ],
)
def test_a_changed_or_missing_file_is_named(place, pattern, words):
    shutil.copytree(place.art, place.tmp / "art")
    place = replace(place, art=place.tmp / "art")
    path = place.only(pattern)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(
        4,
        call(*words(place)),
        f"{re.escape(str(path))} .*(changed|not valid).* Restore it, or delete it",
    )
    if path.name not in ("manifest.json", "stack.json", "level0.json"):
        path.unlink()
        refused(
            4,
            call(*words(place)),
            f"{re.escape(str(path))} cannot be read: No such file",
        )
    path.write_bytes(data)
    assert call(*words(place))[0] == 0


def test_unreadable_audio_is_set_aside(place):
    bad = place.tmp / "bad.wav"
    bad.write_bytes(b"not audio at all")
    code, out, err = call(
        *place.predict(bad, place.wav, place.tmp / "none.wav", "--prompt", "slow piano")
    )
    assert code == 3
    scores = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert scores["clip_id"].tolist() == ["bad", place.wav.stem, "none"]
    assert scores["status"].tolist() == ["unreadable", "ok", "missing"]
    assert (scores["mi"] == "").tolist() == [True, False, True]
    assert "2 clips set aside:" in err
    assert "  bad: " in err
    assert "  none: there is no file" in err


def test_real_data_without_weights_says_where_to_get_them(place):
    hub = {
        "HF_HUB_CACHE": str(place.tmp / "hub"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "0",
    }
    started = time.monotonic()
    running = start(
        "fit_base",
        "--data",
        place.tree,
        "--artifacts",
        place.tmp / "new",
        env=os.environ | hub,
    )
    out, err = running.communicate(timeout=60)
    message = (
        "Encoder 'muq' needs the weights of OpenMuQ/MuQ-large-msd-iter at revision "
        "0562a578; config.json .* hf download OpenMuQ/.* --revision 0562a57814f6.*"
        r"Or --models small, which needs no download\.$"
    )
    refused(2, (running.returncode, out, err), message)
    assert (
        time.monotonic() - started < 20
    )  # under 5 s where the machine is not busy with other tests
    assert not (place.tmp / "new").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_quick_and_complete(command):
    # What makes help slow is what it imports, which does not depend on the load.
    look = (
        f"slow = set({SLOW_TO_IMPORT!r}); "
        "import atexit; "
        "atexit.register(lambda: sys.stderr.write(str(slow & set(sys.modules)))); "
    )
    script = "import sys; " + look + LAUNCH.format(command)
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == "set()"
    words = " ".join(done.stdout.split())
    for code in (
        "0 all well",
        "2 usage",
        "3 some clips set aside",
        "4 damaged artifact",
        "5 the machine failed (disk full, too many open files, …)",
        "130 interr",
    ):
        assert code in words
    assert "null" not in words
    assert "default: " in words
