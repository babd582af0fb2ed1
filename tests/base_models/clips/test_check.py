"""Flaws are found by their kind, a sound table has none, and facts are right."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from builders import SHARED_DATA

from base_models.clips.check import (
    inspect_clips,
    probe_clips,
    score_step,
    summarise_clips,
)
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from ensemble.cli.check_clips import _main, main

DATA = SHARED_DATA
RATE = 8_000


def noise(seed, seconds=2.0, channels=1, level=0.1):
    return np.random.default_rng(seed).uniform(
        -level, level, size=(round(seconds * RATE), channels)
    )


@pytest.fixture
def table(tmp_path):
    """A sound table of twelve clips, two systems and three splits."""
    rows = []
    for k in range(12):
        soundfile.write(tmp_path / f"{k}.wav", noise(k), RATE)
        split = ("train", "train", "train", "train", "dev", "test")[k % 6]
        rows.append(
            {
                "audio": f"{k}.wav",
                "system": f"S{k // 6}",
                "split": split,
                "prompt": "x",
                "mos": 1 + k % 4 * 0.2,
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def edit(table, row, **cells):
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    for name, cell in cells.items():
        frame.loc[row, name] = cell
    frame.to_csv(table, index=False)


def findings(table) -> dict[str, tuple[str, ...]]:
    return {
        finding.kind: finding.examples for finding in inspect_clips(read_clips(table))
    }


def test_a_sound_table_has_no_findings(table):
    assert findings(table) == {}


@pytest.mark.parametrize(
    ("kind", "samples", "rate"),
    [
        ("silence", np.zeros(2 * RATE), RATE),
        ("silence", noise(99, level=0.001), RATE),
        (
            "clipping",
            np.clip(noise(1, level=3), -1, 1).repeat(3, axis=0)[: 2 * RATE],
            RATE,
        ),
        ("odd_channels", noise(1, channels=2), RATE),
        ("odd_rate", noise(1, 4), 2 * RATE),
        ("short", noise(1, 0.9), RATE),
        ("partly_silent", np.vstack([np.zeros((9 * RATE // 4, 1)), noise(99)]), RATE),
    ],
)
def test_an_odd_sound_is_found_by_its_kind(table, kind, samples, rate):
    soundfile.write(table.parent / "3.wav", samples, rate)
    assert findings(table) == {kind: ("3",)}


def test_channels_that_cancel_are_found_with_the_cure(table):
    wave = noise(99)
    soundfile.write(table.parent / "3.wav", np.hstack([wave, -wave]), RATE)
    found = {one.kind: one for one in inspect_clips(read_clips(table))}
    assert set(found) == {"cancelling", "odd_channels"}
    assert "the loudest channel is used, unless --mono names" in (
        found["cancelling"].message
    )


def test_resampled_material_is_found_where_its_file_claims_more(table):
    for k in range(12):
        wave = noise(k, 12)
        if k == 3:
            wave = soxr.resample(noise(k), RATE, 6 * RATE)
        soundfile.write(table.parent / f"{k}.wav", wave, 6 * RATE)
    assert findings(table) == {"narrow_band": ("3",)}
    facts = summarise_clips(read_clips(table), probe_clips(read_clips(table)))
    assert facts["bandwidth"]["below_encoders"] == 1
    assert facts["bandwidth"]["median"] == 3 * RATE


@pytest.mark.skipif(sys.platform != "linux", reason="messages are caught in glibc")
def test_what_the_decoder_says_is_a_finding_of_its_clip(table):
    with io.BytesIO() as file:
        soundfile.write(file, noise(3), RATE, format="MP3")
        # Zeros behind the last frame, which the decoder tries to read.
        (table.parent / "3.wav").write_bytes(file.getvalue() + bytes(9_000))
    found = {one.kind: one for one in inspect_clips(read_clips(table))}
    assert found["decoder_messages"].examples == ("3",)
    assert "The first: Warning: Xing stream size off" in (
        found["decoder_messages"].message
    )


def test_notes_of_the_decoder_are_facts_and_no_findings(table):
    sounds = probe_clips(read_clips(table))
    noted = replace(sounds.read["3"], messages=("Note: Skipped 661 bytes in input.",))
    sounds = replace(sounds, read={**sounds.read, "3": noted})
    assert inspect_clips(read_clips(table), sounds) == []
    assert summarise_clips(read_clips(table), sounds)["decoder_notes"] == 1


@pytest.mark.parametrize(("seconds", "kinds"), [(30.4, set()), (30.6, {"long"})])
def test_half_a_second_more_is_not_long(table, seconds, kinds):
    """Lossy formats add some frames: of 104 MP3 files of 30 s, 97 had 30.1 s."""
    soundfile.write(table.parent / "3.wav", noise(3, seconds), RATE)
    assert set(findings(table)) - {"odd_length"} == kinds


def test_a_long_clip_is_told_to_be_cut_and_to_be_an_outlier(table):
    soundfile.write(table.parent / "3.wav", noise(3, 31), RATE)
    found = inspect_clips(read_clips(table))
    assert {f.kind: f.examples for f in found} == {"long": ("3",), "odd_length": ("3",)}
    assert "only the first 30 s are used" in found[0].message


def test_missing_and_unreadable_audio_are_told_apart(table):
    os.remove(table.parent / "3.wav")
    (table.parent / "4.wav").write_bytes(b"<html>")
    edit(table, 5, audio="", clip_id="5")
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame.assign(clip_id=[str(k) for k in range(12)]).to_csv(table, index=False)
    found = inspect_clips(read_clips(table))
    assert {f.kind: f.examples for f in found} == {
        "missing_audio": ("3", "5"),
        "unreadable_audio": ("4",),
    }
    assert "not audio of a known kind" in found[1].message


def test_the_same_recording_within_and_across_splits(table):
    for source, copy in ((0, 1), (2, 4)):
        (table.parent / f"{copy}.wav").write_bytes(
            (table.parent / f"{source}.wav").read_bytes()
        )
    assert findings(table) == {
        "audio_across_splits": ("2", "4"),
        "duplicate_audio": ("0", "1"),
    }


def test_prompts_and_systems_that_are_missing(table):
    edit(table, 3, prompt="", system="")
    assert findings(table) == {"missing_prompts": ("3",), "missing_systems": ("3",)}


def test_systems_that_a_split_lacks(table):
    edit(table, 5, system="S1")
    (found,) = inspect_clips(read_clips(table))
    assert (found.kind, found.count, found.message) == (
        "absent_systems",
        1,
        "Systems without a clip in test: 'S0'.",
    )


def test_labels_that_are_all_equal(table):
    edit(table, slice(None), mos="3")
    assert list(findings(table)) == ["constant_scores"]


def test_a_list_of_labels_is_told_to_have_no_audio_once(tmp_path):
    lines = [
        f"audiomos2025-track1-S{k % 3:03d}_P{k:03d}.wav,{1 + k % 5}.2,3\n"
        for k in range(3, 30)
    ]
    (tmp_path / "train_mos_list.txt").write_text("".join(lines).replace("5.2", "5.0"))
    found = inspect_clips(read_clips(tmp_path))
    assert [f.kind for f in found if "audio" in f.kind] == ["no_audio"]


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ([1, 3, 5], 1),
        ([1.5, 2], 0.5),
        ([1.2, 3.4, 5.0], 0.2),
        ([1.125, 2], 0.125),
        ([1.37], 0.01),
        ([np.pi], None),
    ],
)
def test_the_step_of_scores_is_the_coarsest_that_fits(scores, step):
    assert score_step(scores) == step


def test_facts_are_counts_ranges_and_rates(table):
    clips = read_clips(table)
    facts = summarise_clips(clips, probe_clips(clips))
    assert facts["clips_per_split"] == {"train": 8, "dev": 2, "test": 2}
    assert facts["clips_per_system"]["S0"] == {"train": 4, "dev": 1, "test": 1}
    assert facts["scores"]["mos"] == {
        "labelled": 12,
        "min": 1.0,
        "max": 1.6,
        "mean": pytest.approx(1.3),
        "step": 0.2,
    }
    assert facts["sample_rates"] == {"8000": 12}
    assert facts["seconds"] == {"min": 2.0, "median": 2.0, "max": 2.0}
    json.dumps(facts, allow_nan=False)


def test_the_command_ends_with_0_when_clean_and_3_with_findings(table, capsys):
    assert _main([str(table)]) == 0
    assert "No findings" in capsys.readouterr().out
    soundfile.write(table.parent / "3.wav", np.zeros(RATE * 2), RATE)
    assert (
        _main([str(table), "--json", str(table.parent / "o.json"), "--aspects", "mos"])
        == 3
    )
    assert "silence" in capsys.readouterr().out
    written = json.loads((table.parent / "o.json").read_text())
    assert [finding["kind"] for finding in written["findings"]] == ["silence"]
    assert written["facts"]["clips"] == 12


def test_names_in_brackets_are_shown_as_they_are(table, capsys):
    edit(table, 3, system="[red]odd[/]")
    _main([str(table)])
    assert "[red]odd[/]" in capsys.readouterr().out


def test_a_table_that_cannot_be_read_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(UsageError, match="no file or folder"):
        _main([str(tmp_path / "none.csv")])
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "none.csv")])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        _main([])
    assert caught.value.code == 2
    assert "path" in capsys.readouterr().err


def test_real_clips_are_sound():
    if not DATA.is_dir():
        pytest.skip("the shared data folder is not here")
    clips = read_clips(DATA / "codec-listening-test" / "clips.csv")
    assert inspect_clips(clips) == []
