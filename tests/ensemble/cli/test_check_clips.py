"""``check_clips`` as its users meet it: a sheet from somebody else's computer."""

import json

import pandas as pd
import pytest
import soundfile
from builders import RATE, tones, write_file
from commands import call, refused

N_SONGS = 6


@pytest.fixture
def folder(tmp_path):
    for k, sound in enumerate(tones(N_SONGS, seconds=1.5, noise=0.01)):
        path = tmp_path / "Meine Songs" / f"Größe {k}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, sound, RATE)
    return tmp_path


def sheet(folder, *more, ratings=(3, 4, 2, 3.5, 5, 1)):
    rows = ["File name,Prompt,model,Rating (1-5),Remark"]
    for k, rating in enumerate(ratings):
        rows.append(f"C:\\me\\Meine Songs\\GRÖSSE {k},song {k},m{k % 2},{rating},ok")
    # In another case a sharp s has two letters.
    text = "\n".join([*rows, *more]).replace("GRÖSSE", "GRÖßE") + "\n"
    return write_file(folder / "sheet.csv", text)


def test_a_sheet_from_another_computer_is_read_at_the_first_try(folder):
    code, out, err = call("check_clips", sheet(folder))
    assert code == 0, err
    assert "6 clips, 2 systems, 6 prompts" in " ".join(out.split())
    assert "system from 'model', Rating from 'Rating (1-5)'; ignored: 'Remark'" in err
    assert "6 of 6 audio paths: found by the ends of the paths" in err
    assert "found by adding the extension" in err


def test_all_that_is_wrong_is_said_at_once_and_the_rest_is_looked_at(folder):
    path = sheet(
        folder,
        "Meine Songs\\Größe 0.wav,again,m0,3,ok",
        "Meine Songs\\gone.wav,gone,m0,3,ok",
        ratings=(9, "NA", 2, "good", 5, 1),
    )
    code, out, err = call(
        *("check_clips", path, "--problems", folder / "problems.jsonl"),
        *("--json", folder / "facts.json"),
    )
    assert code == 3
    assert "4 of 8 rows can be used" in err
    assert "4 clips, 2 systems" in " ".join(out.split())
    assert "sheet.csv: 5 problems" in err
    for place in (
        "line 2: '9'",
        "line 3: 'NA'",
        "line 5: 'good'",
        "line 8: 'Meine Songs\\Größe 0.wav'",
    ):
        assert f"    {place}" in err
    lines = (folder / "problems.jsonl").read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line) for line in lines]
    # What the audio lacks is listed as well.
    assert [one["line"] for one in problems] == [2, 8, 2, 3, 5, 9]
    assert problems[-1]["value"] == "Meine Songs\\gone.wav"
    assert problems[-1]["column"] == "File name"
    assert json.loads((folder / "facts.json").read_text())["problems"] == problems


def test_a_list_that_says_nothing_is_empty(folder):
    path = folder / "problems.jsonl"
    path.write_text("of an earlier run")
    code, _, err = call("check_clips", sheet(folder), "--problems", path)
    assert code == 0, err
    assert path.read_bytes() == b""


def test_a_fixed_table_needs_no_word(folder):
    path = sheet(folder, ratings=(3, 4, 2, 9, 5, 1))
    out = folder / "clean" / "clean.csv"
    code, _, err = call("check_clips", path, "--fix", out)
    assert code == 3
    assert f"written: {out}, 5 of 6 rows" in err
    assert "left out: 1 row with the problems above" in err
    code, _, err = call("check_clips", out)
    assert code == 0, err
    assert err == ""
    assert pd.read_csv(out)["audio"][0] == "../Meine Songs/Größe 0.wav"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fix", "sheet.csv"], "--fix would write over"),
        (["--fix", "clean.xlsx"], "--fix writes csv"),
        (["--fix", "a.csv", "--problems", "a.csv"], "each needs a file of its own"),
        (["--columns", "system=modle"], "Did you mean 'model'"),
        (["--columns", "sytem=model"], "did you mean 'system'"),
        (
            ["--audio-root", "none"],
            "--audio-root takes a folder; there is none called none",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(folder, monkeypatch, words, message):
    sheet(folder)
    monkeypatch.chdir(folder)
    refused(2, call("check_clips", "sheet.csv", *words), message)
    assert (folder / "sheet.csv").read_text().startswith("File name")


def test_a_folder_of_audio_and_one_file_are_checked_without_a_table(folder):
    code, out, err = call("check_clips", folder / "Meine Songs")
    assert code == 0, err
    assert "note: no table: 6 audio files" in err
    assert "6 clips" in " ".join(out.split())
    code, out, err = call("check_clips", folder / "Meine Songs" / "Größe 0.wav")
    assert code == 0, err


def test_a_folder_with_one_table_is_that_table(folder):
    sheet(folder).rename(folder / "Meine Songs" / "answers.csv")
    code, _, err = call("check_clips", folder / "Meine Songs")
    assert code == 0, err
    assert "clips are read from answers.csv" in err
