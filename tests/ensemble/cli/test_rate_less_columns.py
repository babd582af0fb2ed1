"""What a user says of columns holds for every table that rate_less reads."""

import numpy as np
import pandas as pd
import pytest
from commands import call, refused
from rated_systems import World

WORLD = World(systems=3, clips=12, rated=6, raters=6, per_clip=2, of_raters=0.3)
NAMED = ("--columns", "id=take", "system=Made by", "prompt=Words")


@pytest.fixture
def folder(tmp_path):
    """Predictions, single ratings, their means, and clips in columns of odd names."""
    sample, _, _ = WORLD.draw(np.random.default_rng(0))
    ids = np.array(sample.clip_ids)
    scores = pd.DataFrame({"clip_id": ids, "mos": sample.predictions})
    scores.to_csv(tmp_path / "scores.csv", index=False)
    made_by = np.array(sample.system_names)[sample.system]
    words = ["n.v.", *(f"prompt {k % 12}" for k in range(1, len(ids)))]
    clips = pd.DataFrame({"clip_id": ids, "system": made_by, "prompt": words})
    clips.to_csv(tmp_path / "clips.csv", index=False)
    names = {"clip_id": "take", "system": "Made by", "prompt": "Words"}
    clips.rename(columns=names).to_csv(tmp_path / "odd.csv", index=False)

    ratings = pd.DataFrame(
        {
            "clip_id": ids[sample.clip_of],
            "rater_id": [f"r{k}" for k in sample.rater],
            "mos": np.clip(sample.ratings.round(1), 1, 5),
        }
    )
    ratings.to_csv(tmp_path / "single.csv", index=False)
    means = ratings.groupby("clip_id", as_index=False)["mos"].mean()
    means.to_csv(tmp_path / "means.csv", index=False)
    names = {"clip_id": "take", "mos": "How?"}
    means.rename(columns=names).to_csv(tmp_path / "odd_means.csv", index=False)
    return tmp_path


def numbers(folder, ratings, clips, *words):
    out = folder / "out.csv"
    options = ["--clips", folder / clips] if clips else []
    result = call(
        *("rate_less", folder / "scores.csv", folder / ratings),
        *(*options, *words, "-o", out),
    )
    assert result[0] == 0, result[2]
    return out.read_text(encoding="utf-8")


@pytest.mark.parametrize("ratings", ["single.csv", "means.csv"])
def test_a_table_of_clips_is_read_as_the_user_says(folder, ratings):
    expected = numbers(folder, ratings, "clips.csv")
    assert numbers(folder, ratings, "odd.csv", *NAMED) == expected


def test_each_table_has_the_named_columns_that_it_has(folder):
    expected = numbers(folder, "means.csv", "clips.csv")
    both = (*NAMED, "mos=How?")
    assert numbers(folder, "odd_means.csv", "odd.csv", *both) == expected


@pytest.mark.parametrize("ratings", ["single.csv", "means.csv"])
def test_a_column_that_no_table_has_is_refused(folder, ratings):
    words = ("rate_less", folder / "scores.csv", folder / ratings)
    clips = ("--clips", folder / "odd.csv", "--columns", "id=take", "system=Made for")
    refused(2, call(*words, *clips), "'Made for'")


def test_predictions_that_name_systems_are_read_so_too(folder):
    scores = pd.read_csv(folder / "scores.csv")
    made_by = pd.read_csv(folder / "odd.csv")["Made by"]
    scores.assign(system=made_by).to_csv(folder / "scores.csv", index=False)
    expected = numbers(folder, "single.csv", "")
    scores.assign(**{"Made by": made_by}).to_csv(folder / "scores.csv", index=False)
    assert numbers(folder, "single.csv", "") != expected
    found = numbers(folder, "single.csv", "", "--columns", "system=Made by")
    assert found == expected


def test_a_plan_reads_clips_with_codes_and_audio_as_the_user_says(folder):
    odd = pd.read_csv(folder / "odd.csv")
    odd["Sound"] = odd["take"] + ".wav"
    odd.to_csv(folder / "odd.csv", index=False)
    sounds = folder / "sounds"
    sounds.mkdir()
    for name in odd["Sound"]:
        (sounds / name).write_bytes(b"RIFF")
    plan = folder / "plan.csv"
    code, _, err = call(
        *("rate_less", folder / "scores.csv", "--plan", "--budget", len(odd)),
        *("--allocate", "equal", "--clips", folder / "odd.csv"),
        *(*NAMED, "audio=Sound", "--missing-code", "n.v."),
        *("--audio-root", sounds, "-o", plan),
    )
    assert code == 0, err
    made = pd.read_csv(plan, keep_default_na=False)
    assert len(made) == len(odd)
    assert "n.v." not in set(made["prompt"])
    assert all(name.startswith(str(sounds)) for name in made["audio"])
