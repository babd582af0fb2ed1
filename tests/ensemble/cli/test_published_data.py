"""A published data set, from Parquet to scores: by commands, with prompts for some."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from builders import RATE, tones, write_file
from commands import EMBEDDED, call

from base_models.files import read_json

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SPLITS = {"train": range(24), "validation": range(24, 44), "test": range(44, 56)}
WITHOUT_PROMPT = ["S003_P005", "S003_P025", "S003_P045"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """56 clips by four systems, one of them damaged, three without a prompt."""
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    for split, rows in SPLITS.items():
        cells = []
        for k, sound in zip(rows, tones(len(rows), 0.2, noise=0.02), strict=True):
            file = io.BytesIO()
            # No two clips have the same sound.
            noisy = sound + 1e-3 * rng.normal(size=len(sound))
            soundfile.write(file, noisy, RATE, format="WAV")
            content = file.getvalue() if k != 50 else b"RIFF, and no more"
            cells.append({"bytes": content, "path": f"S{2 + k % 4:03d}_P{k:03d}.wav"})
        labels = {
            "overall quality": [
                1.5 + 0.8 * (k % 4) + rng.uniform(0, 0.5) for k in rows
            ],
            "textual alignment": rng.uniform(1, 5, len(rows)),
        }
        table = pa.table({"audio": pa.array(cells, CELL), **labels})
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, row_group_size=7)
    prompts = [f"P{k:03d}\ttune {k % 3}" for k in range(56) if k % 20 != 5]
    write_file(folder / "prompt_info.txt", "\n".join(["id\ttext", *prompts]))
    return folder


@pytest.fixture(scope="module")
def trained(published, tmp_path_factory):
    """The artifacts of three commands, and what they said."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    words = ["--data", published, *EMBEDDED, "--artifacts", artifacts]
    words += ["--aspects", "mi=overall quality", "ta=textual alignment"]
    words += ["--models", "dora:2", "--set", "max_epochs=2"]
    fitted = call("fit_base", *words)
    again = call("fit_base", *words)
    stacked = call("fit_meta", "--artifacts", artifacts, "--rivals")
    return artifacts, fitted, again, stacked


def test_what_is_left_out_is_said_and_the_rest_is_trained_once(trained):
    _, (code, _, said), (again_code, _, said_again), (stacked_code, *_) = trained
    assert (code, again_code, stacked_code) == (3, 3, 3)
    assert "56 clips, aspects mi, ta; splits as given: train 24" in said
    assert "3 clips have no prompt: ta left out for them ('S003_P005'" in said
    assert "1 clip set aside:\n  S004_P050: " in said
    assert "nothing to do: all 2 base models are finished" in said_again


def test_no_label_of_what_is_left_out_is_counted_on_a_board(trained):
    artifacts, *_ = trained
    stack = artifacts / read_json(artifacts / "stack.json")["folder"]
    metrics = pd.read_csv(stack / "metrics.csv")
    counts = metrics[metrics["level"] == "utterance"].groupby(["rows", "aspect"])["n"]
    assert counts.first()["test"].to_dict() == {"mi": 11, "ta": 10}
    answers = dict(
        line.split(",", 1) for line in (stack / "answer.txt").read_text().splitlines()
    )
    assert len(answers) == 11
    assert answers["S003_P045"].endswith(",")
    listed = pd.read_csv(stack / "predictions-test.csv").set_index("clip_id")
    assert listed.loc["S003_P045", ["ta", "ta_low", "ta_high", "ta_true"]].isna().all()
    assert listed.loc["S003_P045", ["mi", "mi_low", "mi_high", "mi_true"]].notna().all()


@pytest.mark.parametrize("suffix", ["jsonl", "txt"])
def test_scores_lack_what_needs_a_prompt_and_another_command_reads_them(
    trained, published, tmp_path, suffix
):
    artifacts, *_ = trained
    scores = tmp_path / f"scores.{suffix}"
    words = ["--clips", published, "--artifacts", artifacts, "--out", scores]
    code, _, said = call("predict_mos", *words)
    assert code == 3
    assert "3 clips have no prompt: ta left out for them" in said
    if suffix == "jsonl":
        records = {
            record["clip_id"]: record
            for record in map(json.loads, scores.read_text().splitlines())
        }
        # Every clip has its row, the one that cannot be read too.
        assert len(records) == 56
        damaged = records.pop("S004_P050")
        assert damaged["status"] == "unreadable"
        assert (damaged["mi"], damaged["ta"]) == (None, None)
        assert [clip for clip in records if records[clip]["ta"] is None] == (
            sorted(WITHOUT_PROMPT, key=list(records).index)
        )

    labels = [published, "--split", "test", "--bootstrap", 0]
    labels += ["--aspects", "mi=overall quality", "ta=textual alignment"]
    code, out, said = call("evaluate_mos", scores, *labels)
    assert code == 3
    assert "WITHOUT A SCORE of ta, its metrics leave them out: 1 ('S003_P045')" in said
    assert "11 clips" in out
    assert "10 clips" in out


def test_a_check_reads_the_audio_in_the_tables(published):
    code, out, _ = call("check_clips", published)
    assert code == 3
    assert "56 clips, 4 systems" in " ".join(out.split())
    assert "unreadable_audio" in out
    assert "missing_prompts" in out
