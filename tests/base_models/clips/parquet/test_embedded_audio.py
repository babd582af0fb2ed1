"""Audio inside a Parquet table is read as the file that it is, one row at a time."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from builders import RATE, tones

from base_models.clips.audio import (
    content_hash,
    declared_seconds,
    load_audio,
    probe,
)
from base_models.clips.check import inspect_clips
from base_models.clips.parquet import embedded_audio
from base_models.clips.parquet.embedded_audio import read_embedded
from base_models.clips.read_clips import read_clips
from base_models.encoders import load_encoder
from base_models.encoders.embed import fill_clips, load_clips
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, UsageError

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(sound, form="WAV"):
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format=form)
    return file.getvalue()


def write_table(path, cells, group=3, **columns):
    """A table of audio cells and further columns, `group` rows in a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"audio": pa.array(cells, CELL), **columns})
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture(scope="module")
def files():
    """The bytes of 8 audio files."""
    forms = ["WAV", "FLAC", "OGG", "WAV"] * 2
    sounds = tones(8, noise=0.01)
    return [encoded(sound, form) for sound, form in zip(sounds, forms, strict=True)]


@pytest.fixture(scope="module")
def published(tmp_path_factory, files):
    """MusicEval as it is published: three splits, audio and two ratings."""
    folder = tmp_path_factory.mktemp("published")
    shards = {"train": range(4), "validation": range(4, 7), "test": range(7, 8)}
    for split, rows in shards.items():
        cells = [
            {"bytes": files[k], "path": f"S{k % 2:03d}_P{k:03d}.wav"} for k in rows
        ]
        write_table(
            folder / "data" / f"{split}-00000-of-00001.parquet",
            cells,
            **{
                "overall quality": [2.0 + 0.2 * k for k in rows],
                "textual alignment": [4.0 - 0.2 * k for k in rows],
            },
        )
    return folder


def test_a_published_data_set_says_clips_systems_splits_and_ratings(published):
    clips = read_clips(published).set_index("clip_id").sort_values("overall quality")
    assert clips.index.tolist() == [f"S{k % 2:03d}_P{k:03d}" for k in range(8)]
    assert clips["system_id"].tolist() == ["S000", "S001"] * 4
    assert clips["split"].tolist() == ["train"] * 4 + ["dev"] * 3 + ["test"]
    assert clips.attrs["aspects"] == ["overall quality", "textual alignment"]
    assert (clips["prompt"] == "").all()
    # The folder of the files, and one of the files, name the same clips.
    inside = read_clips(published / "data")
    pd.testing.assert_frame_equal(inside, read_clips(published))
    alone = read_clips(published / "data" / "train-00000-of-00001.parquet")
    assert alone["split"].tolist() == [""] * 4  # every data set without splits is so


def test_prompts_are_those_of_a_prompt_file_beside_the_tables(published, tmp_path):
    shards = published / "data"
    for shard in shards.iterdir():
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    (tmp_path / "prompt_info.txt").write_text("id\ttext\nP000\tslow piano\n")
    clips = read_clips(tmp_path).set_index("clip_id")
    assert clips["prompt"]["S000_P000"] == "slow piano"


def test_equal_bytes_are_equal_audio_wherever_they_lie(published, files, tmp_path):
    clips = read_clips(published).set_index("clip_id")
    for k, content in enumerate(files):
        file = tmp_path / f"{k}.wav"
        file.write_bytes(content)
        name = clips["audio"][f"S{k % 2:03d}_P{k:03d}"]
        assert content_hash(name) == content_hash(file)
        assert probe(name) == probe(file)
        assert declared_seconds(name) == declared_seconds(file)
        np.testing.assert_array_equal(
            load_audio(name, 16_000), load_audio(file, 16_000)
        )


def test_a_store_keeps_one_embedding_of_a_file_and_of_a_row_that_equals_it(
    published, files, tmp_path
):
    encoder = load_encoder("logmel", device="cpu")
    store = EmbeddingStore(tmp_path / "store")
    clips = read_clips(published)
    filled = fill_clips(clips, store, encoder, None)
    assert (len(filled.kept), filled.set_aside) == (8, ())

    (tmp_path / "a.wav").write_bytes(files[0])
    lone = pd.DataFrame({"clip_id": ["a"], "audio": [str(tmp_path / "a.wav")]})
    key = fill_clips(lone, store, encoder, None).audio_keys[0]
    row = clips["clip_id"].tolist().index("S000_P000")
    assert filled.audio_keys[row] == key
    frames = load_clips(filled, store, encoder, None).frames
    assert all(np.isfinite(array).all() for array in frames)


@pytest.mark.parametrize("group", [1, 3, 100])
def test_rows_are_read_in_any_order(tmp_path, group):
    contents = [bytes([k]) * (k + 1) for k in range(20)]
    cells = [{"bytes": content, "path": None} for content in contents]
    path = str(write_table(tmp_path / "t.parquet", cells, group))
    rng = np.random.default_rng(0)
    for k in [*range(20), *range(19, -1, -1), *rng.integers(0, 20, 40).tolist()]:
        assert read_embedded(path, k) == contents[k]
    with pytest.raises(ClipError, match="has 20 rows, and no row 20"):
        read_embedded(path, 20)


def test_a_table_that_is_written_again_is_read_again(tmp_path):
    path = tmp_path / "t.parquet"
    for content in (b"one", b"three"):
        write_table(path, [{"bytes": content, "path": "a.wav"}])
        assert read_embedded(str(path), 0) == content


def test_a_pass_in_order_opens_the_table_once(tmp_path, monkeypatch):
    cells = [{"bytes": b"x%d" % k, "path": None} for k in range(20)]
    path = str(write_table(tmp_path / "t.parquet", cells))
    opened = []
    parquet_file = pq.ParquetFile
    monkeypatch.setattr(
        embedded_audio.pq,
        "ParquetFile",
        lambda *a, **k: opened.append(a) or parquet_file(*a, **k),
    )
    for k in range(20):
        read_embedded(path, k)
    assert len(opened) == 1


def test_a_row_that_cannot_be_used_is_set_aside_with_its_reason(tmp_path, files):
    cells = [
        {"bytes": files[0], "path": "good.wav"},
        {"bytes": None, "path": "null.wav"},
        None,
        {"bytes": b"", "path": "empty.wav"},
        {"bytes": b"RIFF, and no more", "path": "damaged.wav"},
        {"bytes": files[3][:-1000], "path": "cut.wav"},
    ]
    path = write_table(tmp_path / "t.parquet", cells, mos=[3.0] * 6)
    clips = read_clips(path)
    assert clips["clip_id"].tolist() == [
        "good",
        "null",
        "t-2",  # without a name, its row names it
        "empty",
        "damaged",
        "cut",
    ]
    filled = fill_clips(clips, EmbeddingStore(None), load_encoder("logmel"), None)
    assert filled.kept == (0,)
    reasons = {bad.clip_id: bad.reason for bad in filled.set_aside}
    assert "row 1 of" in reasons["null"]
    for clip in ("null", "t-2", "empty"):
        assert reasons[clip].endswith("holds no audio")
    assert "not audio of a known kind" in reasons["damaged"]
    assert "cut off" in reasons["cut"]
    kinds = {finding.kind: finding.count for finding in inspect_clips(clips)}
    assert kinds["unreadable_audio"] == 5

    # A table that goes away is a reason too.
    path.unlink()
    gone = fill_clips(clips, EmbeddingStore(None), load_encoder("logmel"), None)
    assert "there is no file" in gone.set_aside[0].reason


def test_damaged_pages_are_a_reason(tmp_path, files):
    cells = [{"bytes": content, "path": f"{k}.wav"} for k, content in enumerate(files)]
    path = write_table(tmp_path / "t.parquet", cells, mos=[3.0] * 8)
    clips = read_clips(path)
    content = bytearray(path.read_bytes())
    middle = (
        content.index(files[0][1000:1100]) if files[0][1000:1100] in content else 300
    )
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(bytes(content))
    filled = fill_clips(clips, EmbeddingStore(None), load_encoder("logmel"), None)
    assert all(bad.reason for bad in filled.set_aside)


def test_bytes_alone_are_audio_too(tmp_path, files):
    table = pa.table({"id": ["a", "b"], "audio": files[:2], "mos": [3.0, 4.0]})
    pq.write_table(table, tmp_path / "t.parquet")
    clips = read_clips(tmp_path / "t.parquet")
    assert clips["clip_id"].tolist() == ["a", "b"]
    assert content_hash(clips["audio"][1]) != content_hash(clips["audio"][0])


def cover(path, files):
    table = pa.table({"audio": files[:1], "cover": files[:1], "mos": [3.0]})
    pq.write_table(table, path / "t.parquet")
    return path / "t.parquet"


def two_sounds(path, files):
    table = pa.table({"audio": files[:1], "wav": files[:1], "mos": [3.0]})
    pq.write_table(table, path / "t.parquet")
    return path / "t.parquet"


def another_file(path, files):
    write_table(path / "train-0.parquet", [{"bytes": files[0], "path": "a.wav"}])
    write_table(path / "mine.parquet", [{"bytes": files[0], "path": "b.wav"}])
    return path


def other_columns(path, files):
    cell = {"bytes": files[0], "path": "a.wav"}
    write_table(path / "train-0.parquet", [cell], mos=[3.0])
    write_table(path / "test-0.parquet", [{**cell, "path": "b.wav"}], score=[3.0])
    return path


def twice(path, files):
    cell = {"bytes": files[0], "path": "a.wav"}
    write_table(path / "train-0.parquet", [cell], mos=[3.0])
    write_table(path / "test-0.parquet", [cell], mos=[3.0])
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cover, "'cover' hold embedded data that is no audio"),
        (two_sounds, "'audio', 'wav' all hold audio; drop all but one"),
        (another_file, "holds 'mine.parquet' beside files named after splits"),
        (other_columns, "differ in the columns 'mos', 'score'"),
        (twice, "2 of 2 rows: the clip is in more than one split .*'a'"),
    ],
)
def test_tables_that_are_no_data_set_are_refused(tmp_path, files, make, message):
    with pytest.raises(UsageError, match=message):
        read_clips(make(tmp_path, files))
