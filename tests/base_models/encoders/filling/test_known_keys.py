"""Laws of the keys of audio files that are kept from run to run."""

from __future__ import annotations

import os

import pytest

from base_models.clips.audio import content_hash
from base_models.clips.audio_files import unchanged
from base_models.encoders.filling import known_keys
from base_models.encoders.filling.known_keys import KnownKeys
from base_models.errors import ClipError


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(5)]
    for path in paths:
        path.write_bytes(path.name.encode() * 20)
    return [str(path) for path in paths]


@pytest.fixture
def hashed(monkeypatch):
    """Files that were hashed; all of them count as written long ago."""
    seen = []

    def noted(path):
        seen.append(path)
        return content_hash(path)

    monkeypatch.setattr(known_keys, "content_hash", noted)
    monkeypatch.setattr(known_keys, "FEWEST_KEPT", 1)
    monkeypatch.setattr(unchanged, "_RECENT_NANOSECONDS", -(10**12))
    return seen


@pytest.fixture
def store(tmp_path):
    return tmp_path / "known.safetensors"


def keys_of(store, files):
    known = KnownKeys(store)
    keys = [known.key(path) for path in files]
    known.save()
    return keys


def test_unchanged_files_are_hashed_once_ever(store, files, hashed):
    expected = [content_hash(path) for path in files]
    assert keys_of(store, files) == expected
    assert keys_of(store, files) == expected
    assert hashed == files


def test_a_changed_file_is_hashed_again(store, files, hashed):
    keys_of(store, files)
    hashed.clear()
    status = os.stat(files[1])
    with open(files[1], "r+b") as file:
        file.write(b"x")
    # Whoever sets the time of a file cannot hide that it was changed.
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(files[3], files[2])
    left = [path for path in files if path != files[3]]
    assert keys_of(store, left) == [content_hash(path) for path in left]
    assert files[1] in hashed
    assert files[0] not in hashed


def test_a_file_that_changed_a_moment_ago_is_not_trusted(
    store, files, hashed, monkeypatch
):
    monkeypatch.setattr(unchanged, "_RECENT_NANOSECONDS", 10**12)
    keys_of(store, files)
    assert not store.exists()
    keys_of(store, files)
    assert hashed == files * 2


def test_a_file_that_is_replaced_while_it_is_read_is_not_kept(
    store, files, hashed, monkeypatch
):
    def replaced(path):
        key = content_hash(path)
        os.replace(files[1], path)
        return key

    monkeypatch.setattr(known_keys, "content_hash", replaced)
    keys_of(store, files[:1])
    monkeypatch.setattr(known_keys, "content_hash", content_hash)
    assert keys_of(store, files[:1]) == [content_hash(files[0])]


def test_damaged_keys_are_forgotten(store, files, hashed):
    expected = keys_of(store, files)
    whole = store.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        store.write_bytes(changed)
        assert keys_of(store, files) == expected
    store.write_bytes(whole[:50])
    assert keys_of(store, files) == expected


def test_few_files_are_not_worth_keeping(store, files, hashed, monkeypatch):
    monkeypatch.setattr(known_keys, "FEWEST_KEPT", 6)
    keys_of(store, files)
    assert not store.exists()


def test_of_too_many_those_that_were_asked_for_stay(store, files, hashed, monkeypatch):
    monkeypatch.setattr(known_keys, "MOST_KEPT", 3)
    keys_of(store, files[:3])
    keys_of(store, files[3:])
    hashed.clear()
    keys_of(store, files[3:])
    assert hashed == []
    keys_of(store, files[:3])
    assert hashed == files[:3]


def test_parts_and_missing_files_are_as_without_it(store, files, hashed):
    known = KnownKeys(store)
    part = f"{files[0]}#t=0,1"
    assert known.key(part) == content_hash(part)
    with pytest.raises(ClipError, match="there is no file"):
        known.key(files[0] + ".absent")
    with pytest.raises(ClipError, match="not a regular file"):
        known.key(os.path.dirname(files[0]))
