"""Laws of embeddings that are read as they are needed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from base_models.encoders.packed.encoder_entries import EncoderEntries
from base_models.encoders.packed.stored_arrays import KeptArrays, StoredArrays
from base_models.errors import DamagedEmbedding
from base_models.files import sha256
from base_models.networks.batches import EmbeddedClips

LENGTHS = [3, 7, 1, 5, 7, 2, 9, 4]
KEYS = [sha256(str(number).encode()) for number in range(len(LENGTHS))]


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(rows, 4)).astype(np.float16) for rows in LENGTHS]


@pytest.fixture
def entries(tmp_path, arrays):
    made = EncoderEntries(tmp_path / "toy", "toy-v1")
    for key, array in zip(KEYS, arrays, strict=True):
        made.write(key, array)
    return made


@pytest.fixture
def reads(entries, monkeypatch):
    """Keys that were read from the disk, in their order."""
    seen = []
    read = entries.read

    def noted(key):
        seen.append(key)
        return read(key)

    monkeypatch.setattr(entries, "read", noted)
    return seen


def test_they_are_the_arrays_in_memory(entries, arrays):
    stored = StoredArrays(entries, KEYS, KeptArrays())
    assert len(stored) == len(arrays)
    assert stored.lengths.tolist() == LENGTHS
    for own, expected in zip(stored, arrays, strict=True):
        assert own.tobytes() == expected.tobytes()
    assert [len(array) for array in stored[2:5]] == LENGTHS[2:5]
    assert stored.dtype == np.float16
    taken = stored.take([6, 0, 6])
    assert taken.lengths.tolist() == [9, 3, 9]
    assert taken[1].tobytes() == arrays[0].tobytes()


@pytest.mark.parametrize("most_bytes", [0, 100, 10**6])
def test_batches_are_those_of_clips_in_memory(most_bytes, entries, arrays):
    kept = KeptArrays(most_bytes)
    stored = StoredArrays(entries, KEYS, kept)
    streamed = EmbeddedClips(stored, stored, max_frames=6)
    in_memory = EmbeddedClips(arrays, arrays, max_frames=6)
    plan = list(in_memory.by_length(3))
    assert list(streamed.by_length(3)) == plan
    assert streamed.lengths.tolist() == in_memory.lengths.tolist()

    for _ in range(2):
        pairs = zip(streamed.batches(plan), in_memory.batches(plan), strict=True)
        for own, expected in pairs:
            assert torch.equal(own.frames, expected.frames)
            assert torch.equal(own.frame_mask, expected.frame_mask)
            assert torch.equal(own.tokens, expected.tokens)


def test_what_was_read_is_kept_up_to_a_number_of_bytes(entries, reads):
    # The first two have 24 and 56 bytes.
    stored = StoredArrays(entries, KEYS, KeptArrays(80), lengths=np.array(LENGTHS))
    for _ in range(2):
        for row in range(len(KEYS)):
            stored.read(row)
    assert reads == KEYS + KEYS[2:]


def test_clips_of_one_content_are_read_once(entries, reads):
    lengths = np.array([3, 3, 3])
    stored = StoredArrays(entries, [KEYS[0]] * 3, KeptArrays(), lengths=lengths)
    assert stored[0] is stored[2]
    assert reads == KEYS[:1]


def test_two_batches_are_read_ahead_and_no_more(entries):
    taken = []

    def plan():
        for start in range(0, 8, 2):
            taken.append(start)
            yield [start, start + 1]

    ahead = StoredArrays(entries, KEYS, KeptArrays()).ahead(plan())
    next(ahead)
    assert taken == [0, 2, 4]
    next(ahead)
    assert taken == [0, 2, 4, 6]
    ahead.close()
    left = [thread for thread in threading.enumerate() if "ahead" in thread.name]
    for thread in left:
        thread.join()


def test_damage_is_said_where_the_batch_is_asked_for(entries):
    path = entries.path(KEYS[5])
    data = bytearray(path.read_bytes())
    stored = StoredArrays(entries, KEYS, KeptArrays())
    data[-1] ^= 1
    path.write_bytes(data)
    batches = EmbeddedClips(stored).batches([[0, 1], [4, 5]])
    next(batches)
    with pytest.raises(DamagedEmbedding, match=KEYS[5]):
        next(batches)


def test_nothing_is_kept_of_what_fails(entries, arrays):
    path = entries.path(KEYS[0])
    whole = path.read_bytes()
    kept = KeptArrays()
    stored = StoredArrays(entries, KEYS, kept)
    path.write_bytes(b"")
    with pytest.raises(DamagedEmbedding, match=KEYS[0]):
        stored.read(0)
    path.write_bytes(whole)
    assert stored.read(0).tobytes() == arrays[0].tobytes()
