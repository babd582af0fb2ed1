"""A segment is read as if it had been cut out and saved, and is a clip of its own."""

import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from builders import music
from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.clips.audio import (
    content_hash,
    declared_seconds,
    decode_audio,
    load_audio,
    probe,
)
from base_models.clips.audio_files import open_file, unchanged
from base_models.clips.parquet.embedded_audio import reference
from base_models.clips.same_audio.fingerprint_store import FingerprintStore
from base_models.clips.same_audio.matches import pairs_text
from base_models.clips.same_audio.recordings import Recordings
from base_models.clips.segments.reference import Segment, segment_of
from base_models.encoders import load_encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError

RATE = 16_000
SECONDS = 12.0


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(3)
    whole = music(SECONDS, rate=RATE) + 0.01 * rng.standard_normal(int(SECONDS * RATE))
    return np.stack([whole, 0.5 * whole], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def song(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return str(path)


def cut(samples, first, last, path):
    soundfile.write(path, samples[first:last], RATE, subtype="PCM_16")
    return str(path)


# ---- names


@given(
    start=st.floats(0, 1e6, allow_subnormal=False),
    length=st.one_of(st.floats(1e-3, 1e4), st.just(np.inf)),
    source=st.sampled_from(["a.wav", "a b#t=1,2.mp3", "ä/t.parquet#17", "x#t=3,4"]),
)
def test_a_segment_is_found_again_by_its_name(start, length, source):
    segment = Segment(source, start, start + length)
    assert segment_of(segment.reference) == segment


@pytest.mark.parametrize(
    "name", ["a.wav", "a.parquet#3", "a#t=", "a#t=-1,2", "a#t=1,", "a#t=x", "#t=1,2"]
)
def test_other_names_are_those_of_whole_files(name):
    assert segment_of(name) is None


# ---- samples


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 150_000), length=st.integers(2_000, 40_000))
def test_a_segment_of_pcm_is_read_as_the_file_cut_to_it(song, samples, first, length):
    last = min(first + length, len(samples))
    name = Segment(song, first / RATE, last / RATE).reference
    path = cut(samples, first, last, os.path.dirname(song) + "/cut.wav")
    for rate in (RATE, 22_050):
        np.testing.assert_array_equal(load_audio(name, rate), load_audio(path, rate))
    np.testing.assert_array_equal(decode_audio(name)[0], decode_audio(path)[0])
    ours = vars(probe(name))
    theirs = vars(probe(path))
    assert ours.pop("sha256") != theirs.pop("sha256")
    assert ours == theirs
    assert declared_seconds(name) == declared_seconds(path)


def test_a_segment_has_the_embedding_and_fingerprint_of_the_file_cut_to_it(
    song, samples, tmp_path
):
    clips = {
        "segment": Segment(song, 2.5, 7.25).reference,
        "cut": cut(samples, 40_000, 116_000, tmp_path / "cut.wav"),
    }
    store = EmbeddingStore(tmp_path / "embeddings", dtype="float32")
    encoder = load_encoder("logmel")
    keys, set_aside = store.fill(encoder, clips)
    assert set_aside == []
    assert len(set(keys.values())) == 2
    ours, theirs = (store.get(encoder, keys[clip]) for clip in clips)
    np.testing.assert_array_equal(ours, theirs)
    prints = FingerprintStore().read(clips)
    assert prints["segment"].digest == prints["cut"].digest


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("flac", {}),
        ("ogg", {"format": "OGG", "subtype": "VORBIS"}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
        ("mp3", {"bitrate_mode": "CONSTANT"}),
        ("mp3", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
        ("aiff", {}),
    ],
)
@pytest.mark.parametrize("start", [0.0, 0.1, 3.3333, 10.9])
def test_a_segment_of_any_kind_of_file_is_a_part_of_the_whole_decoding(
    samples, tmp_path, suffix, kind, start
):
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, samples, RATE, **kind)
    whole, rate = decode_audio(path)
    part, _ = decode_audio(Segment(str(path), start, start + 1).reference)
    first = round(start * rate)
    wanted = whole[first : first + rate]
    # The portions in which MPEG is decoded move its last bit.
    np.testing.assert_allclose(part, wanted, rtol=0, atol=2e-7)
    assert len(part) == len(wanted)


def test_without_an_end_a_segment_goes_to_the_end_of_its_file(song):
    whole, _ = decode_audio(song)
    part, _ = decode_audio(f"{song}#t=11.5")
    np.testing.assert_array_equal(part, whole[round(11.5 * RATE) :])


def test_a_rounded_end_is_that_of_the_file(song):
    whole, _ = decode_audio(song)
    part, _ = decode_audio(f"{song}#t=11,12.5")
    np.testing.assert_array_equal(part, whole[11 * RATE :])


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ("5,12.6", r"segment 5-12\.6 s is not in the file, which ends at 12\.000 s"),
        ("12,13", "segment 12-13 s is not in the file"),
        ("3600", "segment 3600 s is not in the file"),
        ("5,5", "segment 5-5 s holds no samples"),
        ("7,5", "segment 7-5 s holds no samples"),
        ("5,5.05", "too short"),
    ],
)
def test_a_segment_that_is_not_there_is_refused(song, times, reason):
    name = f"{song}#t={times}"
    for read in (lambda: load_audio(name, RATE), lambda: probe(name)):
        with pytest.raises(ClipError, match=reason) as caught:
            read()
        assert name in str(caught.value)


def test_a_segment_of_a_missing_file_is_refused_like_the_file(tmp_path):
    name = f"{tmp_path}/gone.wav#t=1,2"
    for read in (probe, content_hash):
        with pytest.raises(ClipError, match=re.escape("there is no file")):
            read(name)
    assert np.isnan(declared_seconds(name))


def test_damage_elsewhere_in_the_file_is_no_matter_of_a_segment(samples, tmp_path):
    damaged = samples.copy()
    damaged[100_000] = np.nan
    path = tmp_path / "song.wav"
    soundfile.write(path, damaged, RATE, subtype="FLOAT")
    assert len(load_audio(f"{path}#t=0,6", RATE)) == 6 * RATE
    with pytest.raises(ClipError, match="NaN"):
        load_audio(f"{path}#t=6,7", RATE)


def test_a_segment_of_audio_in_a_table_is_read_like_one_of_a_file(song, tmp_path):
    with open(song, "rb") as file:
        cells = [{"bytes": b"", "path": "x"}, {"bytes": file.read(), "path": "song"}]
    path = tmp_path / "songs.parquet"
    pq.write_table(pa.table({"audio": cells}), path)
    row = Segment(reference(str(path), 1), 3, 5).reference
    np.testing.assert_array_equal(
        load_audio(row, RATE), load_audio(f"{song}#t=3,5", RATE)
    )
    assert content_hash(row) == content_hash(f"{song}#t=3,5")
    assert declared_seconds(row) == 2


# ---- contents


def test_contents_differ_by_time_and_by_file_and_not_by_spelling(song, tmp_path):
    other = tmp_path / "other.wav"
    other.write_bytes(b"RIFF")
    names = [song, f"{song}#t=1,2", f"{song}#t=1,3", f"{song}#t=1", f"{other}#t=1,2"]
    assert len({content_hash(name) for name in names}) == len(names)
    assert content_hash(f"{song}#t=1.0,2.00") == content_hash(f"{song}#t=1,2")


def test_the_bytes_behind_segments_are_read_again_once_they_have_changed(
    tmp_path, monkeypatch
):
    path = tmp_path / "song.wav"
    path.write_bytes(b"first")
    reads = []
    digest_of = open_file.digest_of
    monkeypatch.setattr(
        open_file, "digest_of", lambda handle: reads.append(1) or digest_of(handle)
    )
    # A file that was just written may be written again without another time.
    keys = [content_hash(f"{path}#t=1,2") for _ in range(2)]
    assert len(reads) == 2
    monkeypatch.setattr(unchanged, "_RECENT_NANOSECONDS", -1)
    keys += [content_hash(f"{path}#t=1,2") for _ in range(3)]
    assert len(reads) == 3
    assert len(set(keys)) == 1
    path.write_bytes(b"second")
    assert content_hash(f"{path}#t=1,2") != keys[0]


# ---- which clips are one recording


def test_segments_that_overlap_are_one_recording_and_neighbours_are_not(tmp_path):
    # Noise, since bars of music may recur.
    song = tmp_path / "song.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(12 * RATE)
    soundfile.write(song, noise, RATE)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(song.read_bytes())
    audio = {
        "a": f"{song}#t=0,4",
        "b": f"{song}#t=3.5,6",
        "c": f"{song}#t=6,9",
        "d": f"{copy}#t=8.8,12",
    }
    for folder in (None, tmp_path / "prints", tmp_path / "prints"):
        found = Recordings.of_audio(audio, folder)
        assert found.contents == {"a": "a", "b": "a", "c": "c", "d": "c"}
    splits = {"a": "train", "b": "test", "c": "train", "d": "train"}
    assert "'a' (train) = 'b' (test) (with 0.5 s in common)" in found.sentence(splits)
    assert pairs_text(found.pairs, {}, 1).endswith("and 1 more pairs")


def test_a_whole_file_is_one_recording_with_each_of_its_segments(song):
    audio = {"late": f"{song}#t=10", "whole": song, "middle": f"{song}#t=5,6"}
    found = Recordings.of_audio(audio)
    assert set(found.contents.values()) == {"late"}
    assert "the end of the file in common" in pairs_text(found.pairs, {})
