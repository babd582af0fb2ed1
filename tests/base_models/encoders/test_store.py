"""Laws of the embedding store."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_encoders import write_wav2vec2
from torch import nn

from base_models.clip_status import CHANGED
from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.base import Encoder
from base_models.encoders.filling import known_keys
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, DamagedArtifact, UsageError

RATE = 24_000
PROMPTS = {
    "a": "slow piano",
    "b": "fast drums",
    "c": "slow piano",
    "d": "a sad violin in the rain",
}


class Scale(nn.Module):
    """Prepared items times a factor."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def forward(self, batch):
        return batch * self.factor


def toy(factor=1.0, prepare=None):
    """A text encoder whose every call is on record: one frame of 4 per letter."""
    calls = []

    def letters(prompt):
        calls.append(prompt)
        if prompt == "broken":
            raise ClipError("it is broken")
        return np.array([[ord(letter), 1, 2, 3] for letter in prompt], dtype=np.float32)

    spec = vars(ENCODERS["hashed_text"]) | {"name": "toy", "dim": 4}
    return Encoder(**spec, module=Scale(factor), prepare=prepare or letters), calls


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    return EmbeddingStore(tmp_path / "embeddings" if request.param == "disk" else None)


@pytest.fixture
def wavs(tmp_path):
    """Clips of two lengths, a copy under another name, and two that cannot be used."""
    paths = {}
    for i, seconds in enumerate([0.5, 0.5, 1.0, 1.0]):
        samples = 0.1 * np.sin(np.arange(int(seconds * RATE)) * 0.05 * (i + 1))
        paths[f"clip{i}"] = str(tmp_path / f"clip{i}.wav")
        soundfile.write(paths[f"clip{i}"], samples, RATE)
    copy = tmp_path / "copy.wav"
    copy.write_bytes((tmp_path / "clip0.wav").read_bytes())
    broken = tmp_path / "broken.wav"
    broken.write_text("no audio")
    return paths | {
        "copy": str(copy),
        "broken": str(broken),
        "absent": str(tmp_path / "absent.wav"),
    }


def entries(store):
    return sorted(store.folder.rglob("*.safetensors"))


def test_what_comes_back_is_what_the_encoder_says(store, wavs):
    encoder = load_encoder("logmel")
    keys, aside = store.fill(encoder, wavs)
    assert list(keys) == ["clip0", "clip1", "clip2", "clip3", "copy"]
    for clip, key in keys.items():
        embedding = store.get(encoder, key)
        expected = encoder.encode([encoder.prepare(wavs[clip])])[0]
        assert embedding.dtype == np.float16
        np.testing.assert_allclose(embedding, expected, atol=2e-3)
        assert store.get(encoder.signature, key).tobytes() == embedding.tobytes()
    assert keys["copy"] == keys["clip0"]
    assert [clip.clip_id for clip in aside] == ["broken", "absent"]
    assert all(clip.reason for clip in aside)


def test_each_content_is_encoded_once_ever(store):
    encoder, calls = toy()
    first, _ = store.fill(encoder, PROMPTS)
    assert sorted(calls) == sorted(set(PROMPTS.values()))
    again, _ = (
        EmbeddingStore(store.folder).fill(encoder, PROMPTS)
        if store.folder
        else store.fill(encoder, PROMPTS)
    )
    assert again == first
    assert len(calls) == 3
    store.fill(encoder, {"e": "new", "f": "fast drums"})
    assert calls[3:] == ["new"]


def test_an_entry_depends_on_its_content_alone(tmp_path, wavs):
    """Also where the last digits of a batch depend on what is in it, as here."""
    write_wav2vec2(tmp_path / "wav2vec2")
    encoder = load_encoder("wav2vec2", tmp_path / "wav2vec2")
    together = EmbeddingStore(dtype="float32")
    keys, aside = together.fill(encoder, wavs)
    assert [clip.clip_id for clip in aside] == ["broken", "absent"]
    for clip in keys:
        alone = EmbeddingStore(dtype="float32")
        alone.fill(encoder, {clip: wavs[clip]})
        embedding = alone.get(encoder, keys[clip])
        assert embedding.tobytes() == together.get(encoder, keys[clip]).tobytes()


def test_one_item_at_a_time_is_in_memory():
    sizes, waiting, most = [], 0, 0

    def prepare(prompt):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        return np.full((len(prompt), 4), 1.0, dtype=np.float32)

    class Count(nn.Module):
        def forward(self, batch):
            nonlocal waiting
            sizes.append(len(batch))
            waiting -= len(batch)
            return batch

    encoder = Encoder(
        **vars(ENCODERS["hashed_text"]) | {"name": "toy", "dim": 4},
        module=Count(),
        prepare=prepare,
    )
    items = {str(i): "x" * (1 + i * 7 % 100) + str(i) for i in range(50)}
    keys, aside = EmbeddingStore().fill(encoder, items)
    assert (len(keys), aside, waiting, most) == (50, [], 0, 1)
    assert set(sizes) == {1}


def test_a_clip_that_cannot_be_prepared_is_set_aside_with_all_its_copies(store):
    encoder, _ = toy()
    items = {"x": "broken", "y": "fine", "z": "broken", "w": "\ud800"}
    keys, aside = store.fill(encoder, items)
    assert list(keys) == ["y"]
    assert [(clip.clip_id, clip.reason) for clip in aside[:2]] == [
        ("x", "it is broken"),
        ("z", "it is broken"),
    ]
    assert aside[2].clip_id == "w"
    assert "not valid text" in aside[2].reason


def test_copies_that_cannot_be_read_are_told_of_by_their_own_names(store, tmp_path):
    paths = [tmp_path / "page.wav", tmp_path / "page (copy).mp3"]
    for path in paths:
        path.write_text("<html>not found</html>")
    items = {path.stem: str(path) for path in paths}
    _, aside = store.fill(load_encoder("logmel"), items)
    assert [clip.reason.split(": ")[0] for clip in aside] == [
        repr(str(path)) for path in paths
    ]


def test_an_embedding_that_is_not_finite_is_set_aside(store):
    encoder, _ = toy(factor=float("inf"))
    keys, aside = store.fill(encoder, {"x": "drum"})
    assert keys == {}
    assert aside[0].reason == "its embedding by 'toy' is not finite"


@pytest.mark.parametrize("factor", [1e-4, 1e-7, 1e-9])
def test_tiny_numbers_are_kept_as_float32(store, factor):
    """As float16 they would be 0, or have lost their digits."""
    encoder, _ = toy(factor)
    keys, _ = store.fill(encoder, {"a": "slow piano"})
    embedding = store.get(encoder, keys["a"])
    expected = encoder.encode([encoder.prepare("slow piano")])[0]
    assert np.abs(embedding - expected).max() <= 1e-3 * expected.max()
    assert (embedding.dtype == np.float32) == (factor < 1e-4)


def test_silence_is_kept_as_float16(store):
    encoder, _ = toy(0.0)
    keys, _ = store.fill(encoder, {"a": "slow piano"})
    assert store.get(encoder, keys["a"]).dtype == np.float16


def test_embeddings_that_are_not_normalised_are_kept_as_float32(store):
    """A dimension of 1000.1 and 1000.2 would be one number as float16."""
    encoder, _ = toy()
    encoder = Encoder(**vars(encoder) | {"normalised": False})
    keys, _ = store.fill(encoder, {"a": "slow piano"})
    embedding = store.get(encoder, keys["a"])
    assert embedding.dtype == np.float32
    assert (embedding == encoder.encode([encoder.prepare("slow piano")])[0]).all()


def test_embeddings_of_another_width_than_stated_are_refused(store):
    encoder, _ = toy()
    wrong = Encoder(**vars(encoder) | {"dim": 5})
    with pytest.raises(UsageError, match=r"'toy' gives .* not \(clips, frames, 5\)"):
        store.fill(wrong, {"a": "slow piano"})


def test_numbers_beyond_float16_are_kept_as_float32(store):
    encoder, _ = toy(factor=1e5)
    keys, _ = store.fill(encoder, {"x": "drum"})
    embedding = store.get(encoder, keys["x"])
    assert embedding.dtype == np.float32
    assert embedding[0, 0] == ord("d") * 1e5


def test_other_weights_and_other_precision_are_other_entries(tmp_path):
    encoder, calls = toy()
    other = Encoder(**vars(encoder) | {"digest": "0123456789abcdef0"})
    keys, _ = EmbeddingStore(tmp_path).fill(encoder, {"x": "drum"})
    EmbeddingStore(tmp_path).fill(other, {"x": "drum"})
    EmbeddingStore(tmp_path, dtype="float32").fill(encoder, {"x": "drum"})
    assert len(calls) == 3
    assert (
        EmbeddingStore(tmp_path, dtype="float32").get(encoder, keys["x"]).dtype
        == np.float32
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "toy-v1-0123456789abcdef.float16",
        "toy-v1.float16",
        "toy-v1.float32",
    ]


def test_no_flipped_bit_gives_other_numbers(tmp_path):
    encoder, _ = toy()
    store = EmbeddingStore(tmp_path)
    keys, _ = store.fill(encoder, {"x": "drums"})
    (path,) = entries(store)
    whole, expected = path.read_bytes(), store.get(encoder, keys["x"])
    caught = 0
    for i in range(len(whole)):
        flipped = bytearray(whole)
        flipped[i] ^= 1 << i % 8
        path.write_bytes(flipped)
        try:
            embedding = store.get(encoder, keys["x"])
        except DamagedArtifact:
            caught += 1
        else:  # white space of the header: nothing depends on it
            assert (embedding.dtype, embedding.shape, embedding.tobytes()) == (
                expected.dtype,
                expected.shape,
                expected.tobytes(),
            )
    assert caught > 0.9 * len(whole)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_entry_is_computed_again_and_logged(damage, tmp_path, caplog):
    encoder, calls = toy()
    store = EmbeddingStore(tmp_path)
    keys, _ = store.fill(encoder, PROMPTS)
    expected = store.get(encoder, keys["a"])
    path = store.path(encoder.signature, keys["a"])
    whole = path.read_bytes()
    other = store.path(encoder.signature, keys["b"]).read_bytes()
    path.write_bytes(
        {"flip": whole[:-1] + b"\xff", "cut": whole[:-5], "empty": b"", "swap": other}[
            damage
        ]
    )
    with pytest.raises(DamagedArtifact, match=path.name):
        store.get(encoder, keys["a"])
    with caplog.at_level(logging.WARNING):
        store.fill(encoder, PROMPTS)
    assert calls[3:] == ["slow piano"]
    assert path.name in caplog.text
    assert store.get(encoder, keys["a"]).tobytes() == expected.tobytes()


def test_what_was_never_filled_is_refused(store):
    with pytest.raises(UsageError, match="fill the store first"):
        store.get("toy-v1", "0" * 64)
    with pytest.raises(UsageError, match="Unknown dtype of stored embeddings 'float8'"):
        EmbeddingStore(dtype="float8")


def test_progress_counts_contents_from_what_is_there_to_all(store):
    encoder, _ = toy()
    seen = []
    store.fill(encoder, {"x": "drum"}, on_progress=lambda *step: seen.append(step))
    assert seen == [("toy", 0, 1), ("toy", 1, 1)]
    seen.clear()
    store.fill(
        encoder, {"x": "drum", "y": "bass"}, on_progress=lambda *step: seen.append(step)
    )
    assert seen == [("toy", 1, 2), ("toy", 2, 2)]


def test_what_is_finished_stays_when_the_run_is_stopped(store):
    encoder, calls = toy()

    def stop(name, done, total):
        if done == 2:
            raise KeyboardInterrupt

    items = {word: word for word in ("a", "bb", "ccc", "dddd")}
    with pytest.raises(KeyboardInterrupt):
        store.fill(encoder, items, on_progress=stop)
    before = len(calls)
    keys, _ = store.fill(encoder, items)
    assert before == len(calls) - 2
    assert list(keys) == list(items)
    if store.folder:
        assert not [
            path for path in store.folder.rglob("*") if path.name.endswith(".tmp")
        ]


def test_an_array_in_memory_cannot_be_changed_by_a_reader():
    encoder, _ = toy()
    store = EmbeddingStore()
    keys, _ = store.fill(encoder, {"x": "drum"})
    with pytest.raises(ValueError, match="read-only"):
        store.get(encoder, keys["x"])[0] = 0


WORKER = """
import sys
from pathlib import Path
import numpy as np
from base_models.encoders.store import EmbeddingStore
from base_models.encoders import EncoderSpec

class Letters(EncoderSpec):
    signature = "letters-v1"
    def prepare(self, prompt):
        return np.array([[ord(letter)] for letter in prompt])
    def encode(self, batch):
        return np.stack(batch).astype(np.float32)

folder, mine, other = map(Path, sys.argv[1:])
store = EmbeddingStore(folder)
encoder = Letters(name="letters", kind="text", dim=1, licence="MIT")
mine.touch()
while not other.exists():
    pass
items = {str(i): f"drum number {i}" for i in range(100)}
keys, aside = store.fill(encoder, items)
total = sum(float(store.get(encoder, key).sum()) for key in keys.values())
print(len(keys), len(aside), total)
"""


def test_two_processes_may_fill_one_folder_at_once(tmp_path):
    flags, store = (
        [tmp_path / "one", tmp_path / "two"],
        EmbeddingStore(tmp_path / "embeddings"),
    )
    commands = [
        [sys.executable, "-c", WORKER, store.folder, *order]
        for order in (flags, flags[::-1])
    ]
    workers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    answers = [worker.communicate(timeout=60)[0] for worker in workers]
    assert answers[0] == answers[1]
    assert answers[0].startswith("100 0 ")
    assert len(entries(store)) == 100
    assert not [path for path in store.folder.rglob("*") if path.name.endswith(".tmp")]


# ---- a file that is replaced while it is read


def logmel_of(path):
    store = EmbeddingStore()
    encoder = load_encoder("logmel")
    keys, _ = store.fill(encoder, {"x": str(path)})
    return store.get(encoder, keys["x"])


def replaced_between(monkeypatch, path, data):
    """Let a file be replaced after its content was looked at, once."""
    look = known_keys.content_hash

    def looked(item):
        key = look(item)
        if str(item) == str(path):
            path.write_bytes(data)
        return key

    monkeypatch.setattr(known_keys, "content_hash", looked)


@pytest.mark.parametrize("way", ["apart", "here"])
def test_under_a_key_is_the_embedding_of_the_content_that_was_looked_at(
    tmp_path, monkeypatch, way, request
):
    if way == "here":
        request.getfixturevalue("decoded_here")
    first, second = (0.1 * np.sin(np.arange(RATE) * k) for k in (0.1, 0.3))
    for name, samples in (("a", first), ("b", second), ("good", first[::-1])):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    path = tmp_path / "a.wav"
    other = (tmp_path / "b.wav").read_bytes()
    store = EmbeddingStore(tmp_path / "store")
    encoder = load_encoder("logmel")
    items = {"a": str(path), "good": str(tmp_path / "good.wav")}

    with monkeypatch.context() as patch:
        replaced_between(patch, path, other)
        keys, set_aside = store.fill(encoder, items)
    assert list(keys) == ["good"]
    (clip,) = set_aside
    assert clip.clip_id == "a"
    assert clip.status == CHANGED
    assert "was changed while it was read" in clip.reason
    assert len(list(store.folder.rglob("*.safetensors"))) == 1

    # The next run takes the file as it is now.
    keys, set_aside = store.fill(encoder, items)
    assert not set_aside
    expected = logmel_of(tmp_path / "b.wav")
    assert np.array_equal(store.get(encoder, keys["a"]), expected)


def test_an_encoder_that_reads_files_by_itself_is_held_to_the_content_too(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.txt"
    path.write_bytes(b"first")
    spec = vars(ENCODERS["hashed_text"]) | {"name": "toy", "dim": 4, "kind": "audio"}
    encoder = Encoder(
        **spec,
        module=Scale(),
        prepare=lambda item: np.full(
            (1, 4), len(Path(item).read_bytes()), dtype=np.float32
        ),
    )
    store = EmbeddingStore()
    keys, _ = store.fill(encoder, {"a": str(path)})
    assert store.get(encoder, keys["a"])[0, 0] == 5
    path.write_bytes(b"other")
    replaced_between(monkeypatch, path, b"third one")
    keys, set_aside = store.fill(encoder, {"a": str(path)})
    assert [clip.status for clip in set_aside] == [CHANGED]
