"""Laws of batches: every clip once, the mask says what is padding, and the seed alone
decides the order."""

import numpy as np
import pytest
import torch
from tiny_networks import embedded_clips

from base_models.networks.batches import EmbeddedClips, shuffled_batches

LENGTHS = [4, 1, 7, 3, 7]


@pytest.fixture
def clips():
    """Frames in half precision, tokens in single precision."""
    made = embedded_clips([(t, t + 1) for t in LENGTHS], widths=(6, 2))
    tokens = [array.astype(np.float32) for array in made.tokens]
    return EmbeddedClips(made.frames, tokens)


def test_what_the_mask_keeps_is_the_embedding_and_the_rest_is_zero(clips):
    batch = clips.batch([2, 0, 1])
    assert batch.frames.shape == (3, 7, 6)
    assert batch.tokens.shape == (3, 8, 2)
    for padded, mask, arrays in [
        (batch.frames, batch.frame_mask, clips.frames),
        (batch.tokens, batch.token_mask, clips.tokens),
    ]:
        assert (padded.dtype, mask.dtype) == (torch.float32, torch.bool)
        assert (padded[~mask] == 0).all()
        for row, kept, array in zip(
            padded, mask, [arrays[2], arrays[0], arrays[1]], strict=True
        ):
            np.testing.assert_array_equal(row[kept].numpy(), array.astype(np.float32))


def test_a_batch_is_a_copy_and_leaves_the_embeddings_alone(clips):
    before = [array.copy() for array in clips.frames]
    clips.batch(range(5)).frames.fill_(9)
    assert all(np.array_equal(a, b) for a, b in zip(before, clips.frames, strict=True))


def test_without_text_there_are_no_tokens(clips):
    batch = EmbeddedClips(clips.frames).batch([1])
    assert batch.tokens is None
    assert batch.token_mask is None
    assert batch.to("cpu").tokens is None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 99])
def test_by_length_gives_every_row_once_and_the_longest_first(clips, size):
    batches = list(clips.by_length(size))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(clips)))
    assert [LENGTHS[row] for row in rows] == sorted(LENGTHS, reverse=True)
    assert all(len(batch) == size for batch in batches[:-1])


def test_shuffled_gives_every_row_once_in_an_order_of_the_seed():
    rows = [3, 5, 8, 13, 21, 34, 55]
    batches = list(shuffled_batches(rows, 3, seed=1))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert sorted(row for batch in batches for row in batch) == rows
    assert batches == list(shuffled_batches(rows, 3, seed=1))
    assert len({str(list(shuffled_batches(rows, 3, seed))) for seed in range(5)}) == 5


def test_shuffling_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(5)
    state, order = torch.get_rng_state(), list(shuffled_batches(range(9), 2, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert list(shuffled_batches(range(9), 2, seed=1)) == order
