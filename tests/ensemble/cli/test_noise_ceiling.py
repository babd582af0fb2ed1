"""``noise_ceiling``: ceilings of single ratings, without any predictions."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from raters import rated_systems

from base_models.metrics.noise_ceiling import NO_RATER_IDS, noise_ceiling
from ensemble.cli.noise_ceiling import _main, main

SHARED = Path("/work/shared/data")
LIST = SHARED / "audiobox-ratings" / "track2_human_annotations.jsonl"
CODEC = SHARED / "codec-listening-test"


@pytest.fixture
def files(tmp_path):
    """Ratings of 6 systems by a pool, with and without the names of systems."""
    ratings, _, system = rated_systems(
        np.random.default_rng(0), "pool", systems=6, clips=5
    )
    names = {f"c{k:04d}": f"s{s}" for k, s in enumerate(system)}
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    named = ratings.assign(system_id=ratings["clip_id"].map(names))
    named.to_csv(tmp_path / "named.csv", index=False)
    clips = pd.DataFrame({"clip_id": list(names), "system_id": list(names.values())})
    clips.to_csv(tmp_path / "clips.csv", index=False)
    return tmp_path, ratings, names


def call(*words):
    return _main([str(word) for word in words])


def test_the_numbers_are_those_of_the_library(files, capsys):
    folder, ratings, names = files
    options = (
        "--bootstrap",
        50,
        "--json",
        folder / "c.json",
        "--csv",
        folder / "c.csv",
    )
    assert call(folder / "named.csv", *options) == 0
    expected = noise_ceiling(ratings, ["mi"], names, n_bootstrap=50)
    written = pd.read_csv(
        folder / "c.csv", keep_default_na=False, na_values={"low": ""}
    )
    np.testing.assert_allclose(written["ceiling"].astype(float), expected["ceiling"])
    found = json.loads((folder / "c.json").read_text())
    assert (found["clips"], found["systems"], found["aspects"]) == (30, 6, ["mi"])
    assert found["noise_ceiling"][1]["ceiling"] == pytest.approx(expected["ceiling"][1])
    out, err = capsys.readouterr()
    row = expected.iloc[6]
    assert f"{row['ceiling']:.3f} [{row['low']:.2f}, {row['high']:.2f}]" in out
    assert "180 ratings of 30 clips of 6 systems" in err
    assert re.search(r"24 raters of \d+ to \d+ clips each, of \d+ to 6 systems", err)


def test_systems_come_from_a_table_of_clips_or_are_missed_in_words(files, capsys):
    folder, _, _ = files
    assert call(folder / "ratings.csv", "--bootstrap", 20) == 0
    out, err = capsys.readouterr()
    assert out.count("too few systems") == 4
    assert "nan" not in out.lower()
    assert "has the name of a system (column system_id)" in err
    assert call(folder / "ratings.csv", "--clips", folder / "clips.csv") == 0
    assert "too few systems" not in capsys.readouterr().out


def test_without_resamples_no_interval_is_promised(files, capsys):
    folder, _, _ = files
    assert call(folder / "named.csv", "--bootstrap", 0) == 0
    out = capsys.readouterr().out
    assert "without intervals" in out
    assert "95 %" not in out


@pytest.mark.parametrize("cell", ["inf", "nan", "high"])
def test_what_is_no_number_is_no_rating_and_the_cure_is_an_option_that_there_is(
    files, capsys, monkeypatch, cell
):
    folder, ratings, _ = files
    ratings.astype({"mi": object}).replace({"mi": ratings["mi"].iloc[0]}, cell).to_csv(
        folder / "odd.csv"
    )
    monkeypatch.setattr("sys.argv", ["noise_ceiling", str(folder / "odd.csv")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    err = capsys.readouterr().err
    assert re.search(f"mi (is|has|is no number.*) '{cell}'", err, re.S)
    assert "--scale" not in err


def test_few_systems_say_so(files, capsys):
    folder, ratings, names = files
    few = ratings[ratings["clip_id"].map(names).isin(["s0", "s1", "s2"])]
    few.assign(system_id=few["clip_id"].map(names)).to_csv(folder / "few.csv")
    assert call(folder / "few.csv", "--aspects", "mi") == 0
    assert capsys.readouterr().out.count("(too few systems)") == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.csv"], "There is no file or folder"),
        (["named.csv", "--aspects", "mi", "ta"], "has no ratings of 'ta'"),
        (["named.csv", "--rating-scale", "1", "2"], "rows: mi is off the scale 1..2"),
        (["named.csv", "--rating-scale", "5", "1"], "must be below the highest"),
        (
            ["named.csv", "--clips", "named.csv", "--level", "2"],
            "between 0 and 1; got 2",
        ),
        (["clips.csv"], "no column is known to hold ratings|no column of raters"),
        ([], "ratings"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    files, capsys, monkeypatch, words, said
):
    monkeypatch.chdir(files[0])
    monkeypatch.setattr("sys.argv", ["noise_ceiling", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == (3 if "rows:" in said else 2)
    err = capsys.readouterr().err
    assert re.search(said, err), err
    assert "Traceback" not in err


@pytest.mark.skipif(not LIST.exists(), reason="the shared data folder is not here")
def test_a_published_list_is_read_as_it_is(capsys):
    started = time.process_time()
    assert call(LIST, "--bootstrap", 200) == 0
    assert time.process_time() - started < 30  # 3 s on an idle core
    out, err = capsys.readouterr()
    assert "30600 ratings of 3060 clips of 36 systems" in err
    assert "does not say which ratings are of one rater" in err
    assert out.count(NO_RATER_IDS.split()[0]) == 4
    assert "nan" not in out.lower()


@pytest.mark.skipif(not CODEC.exists(), reason="the shared data folder is not here")
def test_ratings_of_a_pool_of_raters_on_a_scale_of_their_own(capsys):
    words = [CODEC / "ratings.csv", "--clips", CODEC / "clips.csv"]
    assert call(*words) == 0
    out, err = capsys.readouterr()
    assert "19 raters" in err
    (line,) = [line for line in out.splitlines() if "SRCC" in line]
    found = [float(number) for number in re.findall(r"(\d\.\d{3}) \[", line)]
    assert found == pytest.approx([0.93, 0.99], abs=0.01)
