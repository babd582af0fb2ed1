import numpy as np
import pytest

from base_models.errors import DamagedArtifact
from base_models.vector_range import FEWEST, MOST, VectorRange, ranks


def vectors(n, seed=0, dimensions=40, shift=0.0):
    """Vectors that vary along few directions, of different sizes in each dimension."""
    axes = np.random.default_rng(99).normal(0, 1, (5, dimensions))
    rng = np.random.default_rng(seed)
    plain = rng.normal(0, 1, (n, 5)) @ axes + rng.normal(0, 0.3, (n, dimensions))
    return (plain + shift) * np.logspace(-2, 2, dimensions)


@pytest.mark.parametrize("n", [30, 120, 600])
def test_of_vectors_alike_no_more_are_far_than_stated(n):
    shares = []
    for seed in range(40):
        known = VectorRange.fit(vectors(n, seed))
        distances = known.distances(vectors(200, 1000 + seed))
        shares.append(np.mean(ranks(distances, known.held_out) <= 0.05))
    assert np.mean(shares) <= 0.06


def test_vectors_off_the_axes_and_far_along_them_are_far():
    known = VectorRange.fit(vectors(200))
    off = vectors(20, 1, shift=np.random.default_rng(5).normal(0, 3, 40))
    along = 8 * vectors(20, 1)
    for far in (off, along, np.zeros((1, 40)) + 1e4):
        assert (ranks(known.distances(far), known.held_out) == 1 / 201).all()
    near = known.distances(vectors(1000, 1))
    assert np.mean(near > 1) < 0.02
    assert np.median(near) > 0.5


def test_the_unit_of_each_dimension_does_not_matter():
    some = vectors(100)
    unit = np.logspace(3, -3, 40)
    one = VectorRange.fit(some).distances(vectors(10, 1))
    # The first axes of many are found by random directions, the same ones each time.
    other = VectorRange.fit(some * unit).distances(vectors(10, 1) * unit)
    np.testing.assert_allclose(one / other, 1, atol=0.25)


def test_too_few_or_equal_vectors_tell_nothing_and_many_are_thinned_out():
    assert VectorRange.fit(vectors(FEWEST - 1)) is None
    assert VectorRange.fit(np.ones((100, 4))) is None
    assert VectorRange.fit(np.zeros((100, 0))) is None
    assert len(VectorRange.fit(vectors(MOST + 5)).held_out) == MOST


def test_dimensions_that_never_varied_count_once_they_do():
    some = vectors(100)
    some[:, :3] = 7
    known = VectorRange.fit(some)
    new = vectors(1, 1)
    new[:, :3] = 7
    near = known.distances(new)
    new[:, 0] = 8e4
    assert known.distances(new) > 10 * near


def test_a_rank_is_the_share_that_lies_as_far():
    found = ranks(np.array([0.5, 2.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found, [1, 3 / 4, 1 / 4])


def test_a_stored_range_is_read_bit_for_bit_and_a_damaged_one_is_refused():
    known = VectorRange.fit(vectors(50))
    arrays = known.to_arrays()
    again = VectorRange.from_arrays(arrays, 40, "here")
    new = vectors(9, 1)
    np.testing.assert_array_equal(again.distances(new), known.distances(new))

    changes = {
        "center": np.zeros(39),
        "scale": np.zeros(40),
        "axes": np.zeros((40, 2)),
        "variances": known.variances.astype(np.float32),
        "units": np.array([1.0, np.nan]),
        "held_out": -known.held_out,
    }
    for name, array in changes.items():
        with pytest.raises(DamagedArtifact, match=r"^here: the range .* is damaged"):
            VectorRange.from_arrays(arrays | {name: array}, 40, "here")
    with pytest.raises(DamagedArtifact, match="missing, or too many"):
        VectorRange.from_arrays({}, 40, "here")
    with pytest.raises(DamagedArtifact, match="'held_out' holds no distances"):
        VectorRange.from_arrays(arrays | {"held_out": np.zeros(3)}, 40, "here")
