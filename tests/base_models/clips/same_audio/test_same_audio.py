"""One recording is recognised whatever was done to its file, and no other clip is."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from builders import SHARED_DATA
from copies_of_clips import COPIES, encoded

from base_models.clips.demo.corpus import write_demo
from base_models.clips.same_audio.fingerprint import fingerprint_of, read_fingerprint
from base_models.clips.same_audio.fingerprint_store import FingerprintStore
from base_models.clips.same_audio.matches import same_pairs, similarity
from base_models.clips.same_audio.recordings import Recordings

RATE = 16_000
CODEC_TEST = SHARED_DATA / "codec-listening-test" / "wav"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "tree"
    write_demo(folder, n_systems=4, n_prompts=8)
    return sorted((folder / "wav").glob("*.wav"))


@pytest.fixture(scope="module")
def prints(files):
    return {path.stem: read_fingerprint(path) for path in files}


def names(pairs):
    return {frozenset((pair.first, pair.second)) for pair in pairs}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_among_other_clips(files, prints, tmp_path, kind):
    rng = np.random.default_rng(0)
    copies = {}
    for path in files[::8]:
        samples, rate = soundfile.read(path)
        file = tmp_path / path.stem
        file.write_bytes(COPIES[kind](samples, rate, rng))
        copies[f"copy of {path.stem}"] = read_fingerprint(file)
    wanted = {frozenset((path.stem, f"copy of {path.stem}")) for path in files[::8]}
    assert names(same_pairs(prints | copies)) == wanted


def test_other_clips_are_not_taken_for_one_another(prints):
    assert same_pairs(prints) == []


@pytest.mark.skipif(not CODEC_TEST.is_dir(), reason="the shared data is not there")
def test_versions_through_other_codecs_are_other_clips():
    paths = sorted(CODEC_TEST.glob("TSP_F*.wav"))
    prints = {path.stem: read_fingerprint(path) for path in paths}
    assert len(prints) == 32
    assert same_pairs(prints) == []


def test_a_version_through_a_low_pass_filter_is_another_clip():
    rng = np.random.default_rng(0)
    loudness = 1 + np.sin(2 * np.pi * 3 * np.arange(2 * 24_000) / 24_000)
    clip = 0.1 * loudness * rng.normal(size=2 * 24_000)
    low_pass = scipy.signal.butter(20, 6_000, fs=24_000, output="sos")
    muffled = scipy.signal.sosfiltfilt(low_pass, clip)
    first, second = fingerprint_of(clip, 24_000), fingerprint_of(muffled, 24_000)
    assert similarity(first, second) > 0.999
    assert same_pairs({"clip": first, "muffled": second}) == []


def test_equal_samples_have_equal_digests_in_any_lossless_file(tmp_path):
    samples = np.random.default_rng(0).integers(-9_000, 9_000, RATE) / 2**15
    stereo = np.stack([samples, samples], axis=1)
    files = {
        "wav": encoded(samples, RATE),
        "flac": encoded(samples, RATE, "FLAC"),
        "24": encoded(samples, RATE, subtype="PCM_24"),
        "float": encoded(samples, RATE, subtype="FLOAT"),
        "stereo": encoded(stereo, RATE),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    digests = {read_fingerprint(tmp_path / name).digest for name in files}
    assert len(digests) == 1
    (tmp_path / "other").write_bytes(encoded(samples[1:], RATE))
    assert read_fingerprint(tmp_path / "other").digest not in digests


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(RATE),
        0.1 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE),
        0.1 * np.random.default_rng(0).normal(size=RATE // 4),
    ],
    ids=["silence", "a tone", "a quarter of a second"],
)
def test_what_tells_nothing_is_compared_by_its_samples_alone(sound):
    one = fingerprint_of(sound, RATE)
    louder = fingerprint_of(1.5 * sound + 1e-7, RATE)
    assert names(same_pairs({"a": one, "b": one})) == {frozenset("ab")}
    assert same_pairs({"a": one, "b": louder}) == []


def test_the_similarity_is_symmetric_and_does_not_depend_on_the_sign():
    rng = np.random.default_rng(1)
    sounds = rng.normal(size=(3, RATE))
    prints = [fingerprint_of(sound, RATE) for sound in sounds]
    for first, second in combinations(prints, 2):
        assert similarity(first, second) == pytest.approx(similarity(second, first))
        assert similarity(first, second) < 0.2
    turned = fingerprint_of(-sounds[0], RATE)
    assert similarity(prints[0], turned) == pytest.approx(1, abs=1e-4)
    part = fingerprint_of(sounds[0][: RATE // 3], RATE)
    assert similarity(prints[0], part) == 0


def test_the_order_of_clips_changes_no_pair(files, prints):
    copies = {f"{name}+": found for name, found in list(prints.items())[:6]}
    both = prints | copies
    turned = dict(reversed(both.items()))
    assert names(same_pairs(both)) == names(same_pairs(turned))


def test_copies_are_grouped_and_those_across_splits_are_told(prints):
    a, b, c = list(prints)[:3]
    given = {a: prints[a], "x": prints[a], "y": prints[a], b: prints[b], "z": prints[b]}
    found = Recordings.of(given)
    assert found.contents == {a: a, "x": a, "y": a, b: b, "z": b}
    split_of = {a: "train", "x": "train", "y": "test", b: "dev", "z": "dev"}
    across, within = found.across(split_of)
    assert names(across) == {frozenset((a, "x")), frozenset((a, "y"))}
    assert names(within) == {frozenset((b, "z"))}
    assert found.sentence(split_of).startswith(
        f"the same recording is in more than one split: '{a}' (train) = 'x' (train), "
        f"'{a}' (train) = 'y' (test); "
    )
    assert Recordings.of({c: prints[c]}).sentence({c: "dev"}) == ""


def test_fingerprints_are_read_once_and_damaged_ones_again(
    files, tmp_path, monkeypatch
):
    audio = {path.stem: str(path) for path in files[:3]}
    store = FingerprintStore(tmp_path / "prints")
    first = store.read(audio | {"gone": str(tmp_path / "gone.wav"), "none": ""})
    assert list(first) == list(audio)

    read = []
    from base_models.clips.same_audio import fingerprint_store

    def counted(path):
        read.append(Path(path).stem)
        return read_fingerprint(path)

    monkeypatch.setattr(fingerprint_store, "read_fingerprint", counted)
    again = store.read(audio)
    assert read == []
    for clip, one in first.items():
        assert one.digest == again[clip].digest
        np.testing.assert_array_equal(one.signal, again[clip].signal)
        np.testing.assert_array_equal(one.band_levels, again[clip].band_levels)
        np.testing.assert_array_equal(one.band_spreads, again[clip].band_spreads)

    entry = sorted((tmp_path / "prints").rglob("*.safetensors"))[0]
    data = bytearray(entry.read_bytes())
    data[-10] ^= 1
    entry.write_bytes(data)
    store.read(audio)
    assert len(read) == 1
    # As a power cut may leave them: they are not flushed to the disk.
    whole = entry.read_bytes()
    for number, spoilt in enumerate((b"", bytes(len(whole)), whole[:-1_000]), start=2):
        entry.write_bytes(spoilt)
        assert set(store.read(audio)) == set(audio)
        assert len(read) == number


def test_a_fingerprint_does_not_wait_for_the_disk(files, tmp_path, monkeypatch):
    def wait(handle):
        raise AssertionError("flushed to the disk")

    monkeypatch.setattr(os, "fsync", wait)
    store = FingerprintStore(tmp_path / "prints")
    assert set(store.read({"clip": str(files[0])})) == {"clip"}
    assert len(list((tmp_path / "prints").rglob("*.safetensors"))) == 1


def test_recordings_without_sound_below_2_khz_are_not_one_for_their_clicks():
    time = np.arange(48_000) / 24_000
    prints = {}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        frequencies = rng.uniform(3_200, 6_000, 6)
        swings = rng.uniform(0.3, 4, 6)[:, None] * time
        tones = np.sin(2 * np.pi * frequencies[:, None] * time + np.sin(swings))
        mono = (rng.random(6) @ tones) / 6
        prints[f"c{seed}"] = fingerprint_of(mono, 24_000)
    # Copies of their samples are still found.
    prints["copy"] = fingerprint_of(mono, 24_000)
    found = [(pair.first, pair.second) for pair in same_pairs(prints)]
    assert found == [("c7", "copy")]
