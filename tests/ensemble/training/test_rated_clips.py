"""RatedClips: given splits stay, made splits are seeded and kept, and the fingerprint
is what training can see.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from base_models.clips.demo.corpus import write_demo
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import read_json, write_json
from ensemble.stacking.stack_data import rows_of_clips
from ensemble.training.rated_clips import RatedClips, SplitRule
from meta.rows import Rows


def table(tmp_path, name="clips.csv", n=40, **columns):
    systems = ["06", "NA", "S3", "null"]
    frame = pd.DataFrame(
        {
            "clip_id": [f"{k:03d}" for k in range(n)],
            "system_id": [systems[k % 4] for k in range(n)],
            "prompt": [("slow piano", "NA", "")[k % 3] for k in range(n)],
            "audio": [f"wav/{k}.wav" for k in range(n)],
            "mi": np.linspace(1, 5, n),
            "ta": np.linspace(5, 1, n),
            "song": [f"p{k // 4}" for k in range(n)],
        }
    )
    frame = frame.assign(**columns)
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def read(path, aspects=None, text_aspects=None, **splits):
    return RatedClips.read(path, aspects, text_aspects, SplitRule(**splits))


def same(one, two):
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert one.frame.attrs == two.frame.attrs
    facts = ("aspects", "needs_text", "source", "demo", "note")
    assert all(getattr(one, name) == getattr(two, name) for name in facts)


def test_given_splits_are_used_as_they_are(tmp_path):
    given = ["train"] * 20 + ["dev"] * 15 + ["test"] * 5
    rated = read(table(tmp_path, split=given), seed=7)
    assert rated.frame["split"].tolist() == given
    assert rated.note == (
        "splits as given: train 20 (50.0 %), dev 15 (37.5 %), test 5 (12.5 %); "
        "13 without a prompt, ta left out for them"
    )
    assert rated.rows("dev")["clip_id"].tolist() == [f"{k:03d}" for k in range(20, 35)]
    assert rated.rows("dev").index.tolist() == list(range(15))
    np.testing.assert_array_equal(rated.rows("dev")["mi"], np.linspace(1, 5, 40)[20:35])


def test_splits_are_made_where_the_data_gives_none(tmp_path):
    path = table(tmp_path)
    one, two, other = read(path), read(path), read(path, seed=1)
    assert (
        one.frame["split"].tolist()
        == two.frame["split"].tolist()
        != other.frame["split"].tolist()
    )
    assert one.note.startswith("splits made with seed 0: train 28 (70.0 %)")
    halves = read(path, sizes=(0.5, 0.5, 0.0))
    assert halves.frame["split"].value_counts().to_dict() == {"train": 20, "dev": 20}


def test_made_splits_keep_groups_whole(tmp_path):
    rated = read(table(tmp_path), group="song")
    assert (rated.frame.groupby("song")["split"].nunique() == 1).all()
    with pytest.raises(
        UsageError, match=r"Unknown column for --group 'sing'\. Did you mean 'song'"
    ):
        read(table(tmp_path), group="sing")


def test_groups_may_be_named_as_the_file_names_its_columns(tmp_path):
    frame = pd.read_csv(table(tmp_path))
    called = {"system_id": "Model version", "song": "The song (id)"}
    frame.rename(columns=called).to_csv(tmp_path / "own.csv", index=False)
    by_song = read(tmp_path / "own.csv", group="the song id")
    assert by_song.group == "The song (id)"
    by_system = read(tmp_path / "own.csv", group="Model version")
    assert by_system.group == "system_id"
    # The stored table knows the names of the file, too.
    by_system.save(tmp_path / "stored")
    stored = RatedClips.load(tmp_path / "stored")
    rows = rows_of_clips(stored.frame, stored.aspects, "model version")
    assert rows.groups is not None
    with pytest.raises(UsageError, match="Unknown column for --groups 'singer'"):
        rows_of_clips(stored.frame, stored.aspects, "singer")


def test_aspects_judged_by_text_are_recognised_or_named(tmp_path):
    path = table(tmp_path)
    assert read(path).aspects == ("mi", "ta")
    assert read(path).needs_text == (False, True)
    assert read(path, text_aspects=["mi"]).needs_text == (True, False)
    assert read(path, aspects=["ta"]).aspects == ("ta",)
    with pytest.raises(UsageError, match="text_aspects names"):
        read(path, text_aspects=["tb"])


def test_a_table_that_cannot_train_is_refused(tmp_path):
    bare = pd.DataFrame(
        {"clip_id": ["a", "b"], "audio": ["a.wav", "b.wav"], "words": ["x", "y"]}
    )
    bare.to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(
        UsageError,
        match=r"has no column of ratings; name one with --aspects\. It has .*'words'",
    ):
        read(tmp_path / "bare.csv")
    for split, given in (("train", "dev"), ("dev", "train")):
        message = (
            f"has no {split} clips; base models train .* Name some clips '{split}', or "
            "leave the split column out"
        )
        with pytest.raises(UsageError, match=message):
            read(table(tmp_path, split=[given] * 40))
    with pytest.raises(UsageError, match="20 of 40 rows: no split"):
        read(table(tmp_path, split=["train"] * 20 + [""] * 20))


def test_a_table_comes_back_from_disk_as_it_was(tmp_path):
    rated = dataclasses.replace(
        read(table(tmp_path, mi=[""] * 4 + ["3.5"] * 36), group="song"), demo=True
    )
    rated.save(tmp_path / "data")
    again = RatedClips.load(tmp_path / "data")
    same(rated, again)
    assert again.demo is True
    assert again.frame["system_id"].tolist()[:4] == ["06", "NA", "S3", "null"]
    assert again.frame["prompt"].tolist()[:3] == ["slow piano", "NA", ""]
    assert again.frame["clip_id"][7] == "007"
    assert (
        again.rows("train")["mi"].isna().sum() == rated.rows("train")["mi"].isna().sum()
    )


def test_saving_again_writes_nothing_unless_the_audio_has_moved(tmp_path):
    folder = tmp_path / "data"
    rated = read(table(tmp_path))
    rated.save(folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    read(table(tmp_path)).save(folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    (tmp_path / "moved").mkdir()
    moved = read(table(tmp_path / "moved"))
    assert moved.fingerprint(["k"] * 40) == rated.fingerprint(["k"] * 40)
    moved.save(folder)
    same(RatedClips.load(folder), moved)


def test_a_table_whose_writer_was_killed_or_that_is_damaged_is_written_again(tmp_path):
    rated = read(table(tmp_path))
    folder = tmp_path / "t"
    rated.save(folder)
    for name in ("clips.parquet", "facts.json", "manifest.json"):
        good = (folder / name).read_bytes()
        # Of the table before its audio moved, say; and only one file of two is new.
        for other in (good[:-1] + b"!", b"", None):
            (folder / name).unlink()
            if other is not None:
                (folder / name).write_bytes(other)
            rated.save(folder)
            same(RatedClips.load(folder), rated)
            assert (folder / name).read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == []


def test_saving_mends_a_damaged_table(tmp_path):
    rated = read(table(tmp_path))
    rated.save(tmp_path / "data")
    (tmp_path / "data" / "clips.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedArtifact, match=r"clips\.parquet was changed"):
        RatedClips.load(tmp_path / "data")
    rated.save(tmp_path / "data")
    same(RatedClips.load(tmp_path / "data"), rated)


def test_groups_go_with_their_split(tmp_path):
    rated = read(table(tmp_path), group="song")
    rows = Rows.from_clips(rated.rows("dev"), rated.aspects, rated.group)
    assert rows.groups.tolist() == rated.rows("dev")["song"].tolist()
    bare = read(table(tmp_path))
    assert Rows.from_clips(bare.rows("dev"), bare.aspects, bare.group).groups is None


def test_the_demo_corpus_is_known_whoever_names_it(tmp_path):
    root = write_demo(tmp_path / "demo", n_systems=2, n_prompts=6)
    assert read(root).demo
    assert not read(table(tmp_path)).demo


def test_what_is_set_aside_is_counted_in_the_note(tmp_path):
    rated = read(table(tmp_path))
    fewer = rated.take(range(38))
    assert "2 clips set aside" in fewer.note
    assert fewer.note != rated.note
    assert fewer.take(range(37)).set_aside == 3


def test_a_table_of_another_version_is_refused(tmp_path):
    from base_models.files import seal

    read(table(tmp_path)).save(tmp_path / "data")
    facts = read_json(tmp_path / "data" / "facts.json")
    facts.pop("made")
    write_json(tmp_path / "data" / "facts.json", facts)
    seal(tmp_path / "data", "clip table")
    with pytest.raises(DamagedArtifact, match="not a clip table of this version"):
        RatedClips.load(tmp_path / "data")


def test_rows_can_be_taken(tmp_path):
    rated = read(table(tmp_path)).take([3, 1])
    assert rated.frame["clip_id"].tolist() == ["003", "001"]
    assert rated.frame.index.tolist() == [0, 1]


def test_the_fingerprint_changes_with_what_training_sees(tmp_path):
    content = ["k"] * 40
    base = read(table(tmp_path)).fingerprint(content)
    assert len(base) == 10
    assert base == read(table(tmp_path)).fingerprint(content)
    changed = {
        "label": read(table(tmp_path, mi=np.linspace(1, 4.9, 40))),
        "missing label": read(table(tmp_path, mi=[""] + ["3.5"] * 39)),
        "prompt": read(table(tmp_path, prompt=["other"] * 40)),
        "system": read(table(tmp_path, system_id=["6"] * 40)),
        "id": read(table(tmp_path, clip_id=[f"x{k}" for k in range(40)])),
        "split": read(table(tmp_path), seed=1),
        "aspects": read(table(tmp_path), aspects=["mi"]),
        "text aspects": read(table(tmp_path), text_aspects=["mi"]),
        "group": read(
            table(tmp_path, split=read(table(tmp_path)).frame["split"]), group="song"
        ),
        "demo": dataclasses.replace(read(table(tmp_path)), demo=True),
    }
    prints = {name: rated.fingerprint(content) for name, rated in changed.items()}
    prints["content"] = read(table(tmp_path)).fingerprint(["j", *content[1:]])
    assert len({base, *prints.values()}) == 1 + len(prints)


def test_the_fingerprint_does_not_depend_on_where_the_audio_lies(tmp_path):
    content = ["k"] * 40
    moved = read(table(tmp_path, audio=[f"elsewhere/{k}.flac" for k in range(40)]))
    assert moved.fingerprint(content) == read(table(tmp_path)).fingerprint(content)
