"""Laws of the stored embeddings of one encoder, wherever they are."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest

from base_models.encoders.packed import encoder_entries
from base_models.encoders.packed.encoder_entries import PACKS, EncoderEntries
from base_models.encoders.packed.pack_file import Pack
from base_models.errors import DamagedEmbedding, MachineFault, UsageError
from base_models.files import sha256

SIGNATURE = "toy-v1"
KEYS = [sha256(str(number).encode()) for number in range(40)]


def array_of(key):
    seed = int(key[:8], 16)
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1 + seed % 7, 4)).astype(np.float16)


@pytest.fixture(autouse=True)
def few_are_packed(monkeypatch):
    monkeypatch.setattr(encoder_entries, "FEWEST_PACKED", 10)
    monkeypatch.setattr(encoder_entries, "MOST_ENTRIES", 16)


@pytest.fixture
def entries(tmp_path):
    """Of 40 embeddings, each in a file of its own."""
    made = EncoderEntries(tmp_path / "toy", SIGNATURE)
    for key in KEYS:
        made.write(key, array_of(key))
    return made


def packs(entries):
    return sorted((entries.folder / PACKS).glob("*.safetensors"))


def single(entries):
    return sorted(entries.folder.glob("??/*.safetensors"))


def assert_all_there(entries):
    for key in KEYS:
        assert entries.read(key).tobytes() == array_of(key).tobytes()
    assert entries.lengths(KEYS).tolist() == [len(array_of(key)) for key in KEYS]
    assert entries.lacking(KEYS, is_verified=True) == []
    assert entries.lacking(KEYS, is_verified=False) == []


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_packing_changes_nothing_but_the_number_of_files(entries):
    assert_all_there(entries)
    size = entries.n_bytes(KEYS)
    entries.pack()
    assert len(packs(entries)) == 3
    assert single(entries) == []
    assert_all_there(entries)
    assert_all_there(EncoderEntries(entries.folder, SIGNATURE))
    # Without the headers of the single files.
    assert 0 < entries.n_bytes(KEYS) < size


def test_few_entries_stay_in_files_of_their_own(entries, monkeypatch):
    monkeypatch.setattr(encoder_entries, "FEWEST_PACKED", 41)
    entries.pack()
    assert not packs(entries)
    # Unless they are large.
    monkeypatch.setattr(encoder_entries, "MOST_BYTES", 1_000)
    entries.pack()
    assert len(packs(entries)) > 1
    assert_all_there(entries)


def test_another_process_finds_what_was_packed_meanwhile(entries):
    other = EncoderEntries(entries.folder, SIGNATURE)
    other.refresh()
    entries.pack()
    assert_all_there(other)


def test_new_entries_go_into_packs_of_their_own(entries):
    entries.pack()
    first = packs(entries)
    more = [sha256(f"more {number}".encode()) for number in range(10)]
    for key in more:
        entries.write(key, array_of(key))
    entries.pack()
    assert set(first) < set(packs(entries))
    assert entries.lacking([*KEYS, *more], is_verified=True) == []


def test_a_kill_between_pack_and_removal_leaves_no_second_pack(entries, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self, missing_ok=False):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(entries.folder), "unlink", killed)
        with pytest.raises(Killed):
            entries.pack()
    assert len(packs(entries)) == 1
    assert len(single(entries)) == 40

    again = EncoderEntries(entries.folder, SIGNATURE)
    assert_all_there(again)
    again.pack()
    assert len(packs(again)) == 3
    assert single(again) == []
    assert_all_there(again)


def test_a_full_disk_loses_nothing(entries, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(MachineFault, match="bytes"):
            entries.pack()
    assert packs(entries) == []
    assert_all_there(entries)


def test_a_store_that_may_not_be_written_to_is_read_as_it_is(entries, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    entries.pack()
    assert packs(entries) == []
    assert_all_there(entries)


def test_damage_in_a_pack_is_found_when_it_is_read_and_made_good(entries, caplog):
    entries.pack()
    damaged_pack = packs(entries)[0]
    key = Pack.open(damaged_pack).keys[-1]
    flip_last_byte(damaged_pack)
    assert entries.lacking(KEYS, is_verified=False) == []
    with pytest.raises(DamagedEmbedding, match=damaged_pack.name):
        entries.read(key)
    # Who has met it once need not read everything to find it.
    assert entries.lacking(KEYS, is_verified=False) == [key]
    with caplog.at_level(logging.WARNING):
        assert entries.lacking(KEYS, is_verified=True) == [key]
    assert f"{damaged_pack.name} was changed" in caplog.text

    entries.write(key, array_of(key))
    assert_all_there(entries)
    assert_all_there(EncoderEntries(entries.folder, SIGNATURE))


def test_a_pack_with_a_damaged_index_is_as_if_it_were_not_there(entries, caplog):
    entries.pack()
    path = packs(entries)[0]
    lost = Pack.open(path).keys
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    other = EncoderEntries(entries.folder, SIGNATURE)
    with caplog.at_level(logging.WARNING):
        lacking = other.lacking(KEYS, is_verified=False)
    assert sorted(lacking) == lost
    assert "was changed after it was written" in caplog.text
    with pytest.raises(UsageError, match="fill the store first"):
        other.read(lost[0])


def test_a_pack_of_another_encoder_is_not_read(entries, caplog):
    entries.pack()
    other = EncoderEntries(entries.folder, "other-v1")
    with caplog.at_level(logging.WARNING):
        assert other.lacking(KEYS, is_verified=False) == KEYS
    assert "of another encoder" in caplog.text


def test_entries_of_float32_go_into_packs_of_their_own(entries):
    wide = array_of(KEYS[3]).astype(np.float32) * 1e6
    entries.write(KEYS[3], wide)
    entries.write("no content", wide)
    entries.pack()
    assert single(entries) == [entries.path("no content")]
    kinds = [Pack.open(path).dtype.name for path in packs(entries)]
    assert sorted(kinds) == ["float16"] * 3 + ["float32"]
    assert entries.dtype(KEYS) == np.float32
    assert entries.read(KEYS[3]).tobytes() == wide.tobytes()


def test_what_is_damaged_before_it_is_packed_stays_where_it_is(entries):
    flip_last_byte(entries.path(KEYS[0]))
    entries.pack()
    assert single(entries) == [entries.path(KEYS[0])]
    with pytest.raises(DamagedEmbedding, match=KEYS[0]):
        entries.read(KEYS[0])
