"""Laws of standardisation: any scale in, the order of 1 out."""

from __future__ import annotations

import numpy as np
import pytest

from base_models.networks.batches import EmbeddedClips
from base_models.networks.standardisation import LIMIT, Standardisation


@pytest.fixture
def arrays():
    """Three clips of 5, 40 and 7 frames."""
    rng = np.random.default_rng(0)
    return [
        rng.normal(k, 2, (n, 4)).astype(np.float32) for k, n in enumerate((5, 40, 7))
    ]


def test_every_clip_counts_alike_whatever_its_length(arrays):
    scale = Standardisation.of(arrays)
    scaled = [scale.apply(array).astype(float) for array in arrays]
    mean = np.mean([clip.mean(axis=0) for clip in scaled], axis=0)
    square = np.mean([(clip**2).mean(axis=0) for clip in scaled], axis=0)
    np.testing.assert_allclose(mean, 0, atol=1e-6)
    np.testing.assert_allclose(square, 1, atol=1e-5)

    # The slow version: every clip repeated to one length.
    repeated = [np.repeat(clip, 280 // len(clip), axis=0) for clip in arrays]
    together = np.concatenate(repeated).astype(float)
    np.testing.assert_allclose(scale.mean, together.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(1 / scale.factor, together.std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1.0, 1e4, 1e30])
def test_scale_and_offset_of_a_dimension_do_not_matter(arrays, factor):
    moved = [(array * factor + 10 * factor).astype(np.float32) for array in arrays]
    scale, moved_scale = Standardisation.of(arrays), Standardisation.of(moved)
    for array, other in zip(arrays, moved, strict=True):
        expected = scale.apply(array)
        np.testing.assert_allclose(moved_scale.apply(other), expected, atol=1e-5)
        assert expected.dtype == np.float32


@pytest.mark.parametrize("constant", [0.0, 0.3, -1e30, 1e-45])
def test_a_dimension_that_is_dead_in_training_stays_0(arrays, constant):
    for array in arrays:
        array[:, 1] = constant
    scale = Standardisation.of(arrays)
    assert scale.factor[1] == 0
    new = np.array([[1, 3e38, 1, 1], [1, -3e38, 1, 1]], dtype=np.float32)
    assert (scale.apply(new)[:, 1] == 0).all()
    assert (scale.apply(new)[:, 0] != 0).all()


def test_what_varies_by_rounding_alone_is_dead():
    arrays = [np.float32(1000) + np.zeros((3, 2), dtype=np.float32) for _ in range(4)]
    arrays[0][0, 0] = np.nextafter(np.float32(1000), np.float32(2000))
    arrays[0][0, 1] = 1001
    assert (Standardisation.of(arrays).factor > 0).tolist() == [False, True]


def test_what_an_encoder_leaves_in_a_dimension_that_it_never_uses_is_dead(arrays):
    for array in arrays:
        array[:, 2] *= 1e-30
        array[:, 3] *= 1e-10
    factor = Standardisation.of(arrays).factor
    assert (factor > 0).tolist() == [True, True, False, True]


def test_numbers_far_from_those_of_training_are_limited(arrays):
    scale = Standardisation.of(arrays)
    far = scale.apply(np.array([[1e9, -1e9, 3e38, 0]], dtype=np.float32))
    assert far[0, :3].tolist() == [LIMIT, -LIMIT, LIMIT]


def test_a_batch_is_scaled_where_there_are_frames_and_0_elsewhere(arrays):
    scale = Standardisation.of(arrays)
    clips = EmbeddedClips(arrays, arrays[::-1], frame_scale=scale, token_scale=scale)
    batch = clips.batch([2, 0])
    np.testing.assert_array_equal(batch.frames[0], scale.apply(arrays[2]))
    np.testing.assert_array_equal(batch.frames[1, :5], scale.apply(arrays[0]))
    np.testing.assert_array_equal(batch.tokens[1], scale.apply(arrays[2]))
    assert (batch.frames[1, 5:] == 0).all()
    assert (batch.tokens[1] != 0).all()

    # Without scales embeddings are used as they are.
    plain = EmbeddedClips(arrays).batch([1])
    np.testing.assert_array_equal(plain.frames[0], arrays[1])


@pytest.mark.parametrize("most_rows", [None, 6])
def test_clips_are_measured_one_by_one_to_the_same_bits(most_rows, arrays):
    """As if all of them were in memory."""
    clips = [array[:most_rows].astype(np.float64) for array in arrays]
    mean = np.mean([clip.mean(axis=0) for clip in clips], axis=0)
    squares = [np.square(clip - mean).mean(axis=0) for clip in clips]
    spread = np.sqrt(np.mean(squares, axis=0))
    scale = Standardisation.of(arrays, most_rows)
    assert scale.mean.tobytes() == mean.astype(np.float32).tobytes()
    assert scale.factor.tobytes() == (1 / spread).astype(np.float32).tobytes()
