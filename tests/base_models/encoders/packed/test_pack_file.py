"""Laws of packs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from base_models.encoders.packed.pack_file import Pack, is_pack, write_pack
from base_models.errors import DamagedArtifact, DamagedEmbedding
from base_models.files import sha256

SIGNATURE = "toy-v1"


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    made = {}
    for number in range(6):
        key = sha256(str(number).encode())
        made[key] = rng.normal(size=(2 + number, 5)).astype(np.float16)
    return made


def is_equal(first, second):
    return (first.dtype, first.shape, first.tobytes()) == (
        second.dtype,
        second.shape,
        second.tobytes(),
    )


def test_what_comes_back_is_what_was_packed(tmp_path, embeddings):
    pack = Pack.open(write_pack(tmp_path, SIGNATURE, embeddings))
    assert pack.signature == SIGNATURE
    assert pack.keys == sorted(embeddings)
    for place, key in enumerate(pack.keys):
        expected = embeddings[key]
        assert is_equal(pack.read(place), expected)
        assert pack.n_rows(place) == len(expected)
        assert pack.n_bytes(place) == expected.nbytes


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_pack_is_a_safetensors_file(dtype, tmp_path, embeddings):
    typed = {key: array.astype(dtype) for key, array in embeddings.items()}
    path = write_pack(tmp_path, SIGNATURE, typed)
    rows = np.concatenate([typed[key] for key in sorted(typed)])
    assert is_equal(load_file(path)["embeddings"], rows)
    pack = Pack.open(path)
    assert is_equal(pack.read(5), typed[pack.keys[5]])


def test_equal_embeddings_make_one_pack_in_whatever_order(tmp_path, embeddings):
    first = write_pack(tmp_path, SIGNATURE, embeddings)
    whole = first.read_bytes()
    turned = dict(reversed(embeddings.items()))
    assert write_pack(tmp_path, SIGNATURE, turned) == first
    assert first.read_bytes() == whole
    assert is_pack(first.name)
    assert not is_pack("manifest.json")


def test_every_changed_byte_is_found_by_whoever_reads_it(tmp_path, embeddings):
    path = write_pack(tmp_path, SIGNATURE, embeddings)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    places = [0, 7, *rng.integers(8, len(whole), size=200).tolist()]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(DamagedArtifact, match=f"{path.name} was changed"):
            read_all(path)


def read_all(path):
    pack = Pack.open(path)
    for place in range(len(pack.keys)):
        pack.read(place)


def test_one_damaged_embedding_leaves_the_others_readable(tmp_path, embeddings):
    path = write_pack(tmp_path, SIGNATURE, embeddings)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    pack = Pack.open(path)
    for place, key in enumerate(pack.keys[:-1]):
        assert is_equal(pack.read(place), embeddings[key])
    with pytest.raises(DamagedEmbedding, match="filling the store computes it again"):
        pack.read(5)


@pytest.mark.parametrize("n_left", [0, 4, 200, -1])
def test_a_pack_that_was_cut_off_is_damaged(n_left, tmp_path, embeddings):
    path = write_pack(tmp_path, SIGNATURE, embeddings)
    path.write_bytes(path.read_bytes()[:n_left])
    with pytest.raises(DamagedArtifact, match=path.name):
        read_all(path)


def renamed(path, header):
    """A pack with any header, under the name that fits it."""
    data = len(header).to_bytes(8, "little") + header + bytes(72)
    other = path.with_name(f"{sha256(data)}.safetensors")
    other.write_bytes(data)
    return other


INDEX = b'"index":{"shape":[1,72]}'
DATA = b'"embeddings":{"shape":[9,5],"dtype":"F16"}'
ABOUT = b'"__metadata__":{"format":"packed embeddings 1","signature":"a"}'


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"no json", "Expecting value"),
        (b"[]", "list indices"),
        (b"{}", "index"),
        (b'{"index":{"shape":[0,72]}}', "too long"),
        (b'{"index":{"shape":["a"]}}', "not supported"),
        (b'{"index":{"shape":[99999999,72]}}', "too long"),
        (b"{" + INDEX + b"}", "__metadata__"),
        (b"{" + INDEX + b',"__metadata__":{"format":"9"}}', "another format"),
        (b"{" + INDEX + b"," + ABOUT + b"}", "embeddings"),
        (b"{" + INDEX + b"," + DATA.replace(b"16", b"99") + b"," + ABOUT + b"}", "F99"),
        (b" " * 5_000, "header is too long"),
    ],
)
def test_a_header_that_fits_its_name_may_still_be_strange(header, said, tmp_path):
    with pytest.raises(DamagedArtifact, match=said):
        Pack.open(renamed(tmp_path / "a", header))


def test_an_entry_that_lies_nowhere_is_damaged(tmp_path):
    pack = Pack.open(renamed(tmp_path / "a", b"{%b,%b,%b}" % (INDEX, DATA, ABOUT)))
    for n_rows in (2**60, -(2**60), 1):
        records = pack.records.copy()
        records["n_rows"] = n_rows
        with pytest.raises(DamagedEmbedding, match="was changed"):
            replace(pack, records=records).read(0)
