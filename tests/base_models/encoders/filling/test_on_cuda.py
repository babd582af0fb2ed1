"""Encoding on a CUDA device, shown on the pretend one: what is kept, and no wait."""

import re

import numpy as np
import pytest
import soundfile
import torch
from gpu.pretend import pretend_gpu
from gpu.rates import random_muq
from gpu.sizes import SMALL

from base_models.encoders import load_encoder
from base_models.encoders.filling import on_cuda
from base_models.encoders.filling.same_length import MOST_WAITING, SameLength
from base_models.encoders.store import EmbeddingStore
from base_models.errors import MachineFault

pytestmark = pytest.mark.usefixtures("few_objects")

RATE = 16_000
SECONDS = (0.5, 0.5, 0.5, 1.0, 0.5, 0.7, 1.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of three lengths, one of them no audio."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = {}
    for number, seconds in enumerate(SECONDS):
        path = folder / f"{number}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=round(seconds * RATE)), RATE)
        paths[f"c{number}"] = str(path)
    broken = folder / "broken.wav"
    broken.write_bytes(b"RIFF, but no more")
    return paths | {"broken": str(broken)}


@pytest.fixture
def gpu(decoded_here):
    with pretend_gpu() as device:
        yield device


def on_the_gpu(size=2, name="logmel"):
    encoder = load_encoder(name, device="cuda")
    object.__setattr__(encoder, "batch_size", size)
    return encoder


def test_embeddings_are_those_of_the_cpu_and_broken_clips_are_named(gpu, clips):
    encoder, store = on_the_gpu(), EmbeddingStore(dtype="float32")
    steps = []
    keys, aside = store.fill(
        encoder, clips, on_progress=lambda *step: steps.append(step)
    )
    plain = EmbeddingStore(dtype="float32")
    expected, also_aside = plain.fill(load_encoder("logmel"), clips)
    assert keys == expected
    assert aside == also_aside
    assert [clip.clip_id for clip in aside] == ["broken"]
    for key in keys.values():
        one, other = store.get(encoder, key), plain.get(encoder, key)
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-5
    assert steps[0] == ("logmel", 0, 8)
    assert steps[-1] == ("logmel", 8, 8)


def test_the_host_never_waits_and_copies_from_pinned_memory(gpu, clips):
    encoder, store = on_the_gpu(), EmbeddingStore()
    gpu.forget()
    store.fill(encoder, clips)
    assert gpu.synchronisations == {}
    assert gpu.pageable_uploads == {}
    # Of 0.5 s: two of two. Of 1 s: one of two. Of 0.7 s: one, filled up.
    assert gpu.n_uploads == 4


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_muq_makes_the_host_wait_in_no_precision(gpu, clips, precision):
    encoder = random_muq(torch.device("cuda:0"), SMALL, precision)
    gpu.forget()
    keys, _ = EmbeddingStore().fill(encoder, clips)
    assert len(keys) == len(SECONDS)
    assert gpu.synchronisations == {}


def test_all_batches_of_a_length_have_one_shape(gpu, clips, monkeypatch):
    encoder = on_the_gpu(size=3)
    shapes = []
    run = type(encoder).run

    def noted(self, inputs):
        shapes.append(tuple(inputs.shape))
        return run(self, inputs)

    monkeypatch.setattr(type(encoder), "run", noted)
    EmbeddingStore().fill(encoder, clips)
    assert {shape[0] for shape in shapes} == {3}
    assert len(shapes) == 4


def test_a_content_gives_the_same_whatever_its_company(gpu, clips):
    encoder = on_the_gpu(size=4)
    together, alone = EmbeddingStore(), EmbeddingStore()
    keys, _ = together.fill(encoder, clips)
    for clip in ("c0", "c4", "c5"):
        alone.fill(encoder, {clip: clips[clip]})
        one, other = (s.get(encoder, keys[clip]) for s in (together, alone))
        assert one.tobytes() == other.tobytes()


def test_prompts_are_encoded_in_batches_too(gpu):
    encoder, store = on_the_gpu(name="hashed_text"), EmbeddingStore()
    prompts = {"a": "slow piano", "b": "fast drums", "c": "slow piano", "d": " "}
    keys, aside = store.fill(encoder, prompts)
    assert keys["a"] == keys["c"] != keys["b"]
    assert [clip.clip_id for clip in aside] == ["d"]
    assert gpu.synchronisations == {}


def test_without_memory_for_a_batch_a_part_of_it_is_computed(
    gpu, clips, monkeypatch, caplog
):
    encoder, store = on_the_gpu(size=4), EmbeddingStore()
    run = type(encoder).run

    def small(self, inputs):
        if len(inputs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(type(encoder), "run", small)
        keys, _ = store.fill(encoder, clips)
    assert len(keys) == len(SECONDS)
    assert [record.args[1] for record in caplog.records] == [4, 2]
    assert "no memory for a batch of 4 items of 'logmel'; going on with 2" in (
        caplog.text
    )


def test_without_memory_for_an_item_the_work_ends_with_its_cure(
    gpu, clips, monkeypatch
):
    def full(self, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    encoder = on_the_gpu(size=2)
    monkeypatch.setattr(type(encoder), "run", full)
    message = re.escape("cuda:0 has no memory for a single item of the encoder 'log")
    with pytest.raises(MachineFault, match=message):
        EmbeddingStore().fill(encoder, clips)


def test_what_a_writer_fails_with_is_raised_and_what_is_kept_stays(
    gpu, clips, monkeypatch, tmp_path
):
    encoder, store = on_the_gpu(size=1), EmbeddingStore(tmp_path)
    put = EmbeddingStore.put
    n_put = []

    def failing(self, encoder, key, embedding):
        n_put.append(key)
        if len(n_put) > 2:
            raise MachineFault("the disk is full")
        put(self, encoder, key, embedding)

    monkeypatch.setattr(EmbeddingStore, "put", failing)
    with pytest.raises(MachineFault, match="the disk is full"):
        store.fill(encoder, clips)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_an_encoder_elsewhere_takes_one_item_at_a_time():
    assert not on_cuda.takes_batches(load_encoder("logmel"))


def test_few_items_wait_for_others_of_their_length():
    waiting = SameLength(size=2)
    given = [waiting.add(str(n), np.zeros(n)) for n in range(MOST_WAITING * 2)]
    assert [batch is None for batch in given] == [True] * 7 + [False]
    # The one that has waited longest goes first.
    assert given[-1].keys == ("0",)
    assert [batch.keys for batch in waiting.rest()] == [(str(n),) for n in range(1, 8)]


def test_a_batch_is_given_when_it_is_whole():
    waiting = SameLength(size=2)
    assert waiting.add("a", np.zeros(3)) is None
    assert waiting.add("b", np.zeros(4)) is None
    batch = waiting.add("c", np.ones(3))
    assert batch.keys == ("a", "c")
    assert np.array_equal(np.stack(batch.arrays), [np.zeros(3), np.ones(3)])
