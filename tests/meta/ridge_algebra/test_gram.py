import numpy as np
import pytest

from base_models.errors import UsageError
from meta.ridge_algebra import gram as module
from meta.ridge_algebra.gram import Gram

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6)) + 100
Y = X[:, :2] + RNG.normal(size=(90, 2))
WEIGHT = RNG.integers(0, 4, 90).astype(float)
GROUPS = np.array(["a", "b", "c"])[RNG.integers(0, 3, 90)]


def moments(gram):
    """Weight, mean and central second moments per block name, whatever the shift."""
    found = {}
    for k, name in enumerate(gram.names):
        mean = gram.sums[k] / gram.weight[k]
        found[name] = (
            gram.weight[k],
            mean + gram.shift,
            gram.outer[k] - gram.weight[k] * np.outer(mean, mean),
        )
    return found


def assert_same(one, two, rtol=1e-9):
    one, two = moments(one), moments(two)
    assert set(one) == set(two)
    for name in one:
        for a, b in zip(one[name], two[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9)


def test_blocks_hold_the_weighted_moments_of_their_rows():
    gram = Gram.from_rows(X, Y, WEIGHT, GROUPS)
    for name, (weight, mean, central) in moments(gram).items():
        of = name == GROUPS
        Z, w = np.hstack([X, Y])[of], WEIGHT[of]
        assert weight == w.sum()
        np.testing.assert_allclose(mean, np.average(Z, axis=0, weights=w), rtol=1e-13)
        np.testing.assert_allclose(
            central, (w[:, None] * (Z - mean)).T @ (Z - mean), rtol=1e-9, atol=1e-9
        )


def test_rows_of_weight_0_change_nothing():
    kept = WEIGHT > 0
    with_them = Gram.from_rows(np.where(kept[:, None], X, np.nan), Y, WEIGHT, GROUPS)
    without = Gram.from_rows(X[kept], Y[kept], WEIGHT[kept], GROUPS[kept])
    assert with_them.names == without.names
    np.testing.assert_array_equal(with_them.outer, without.outer)


def test_a_row_of_weight_3_is_three_rows():
    times = WEIGHT.astype(int)
    assert_same(
        Gram.from_rows(X, Y, WEIGHT, GROUPS),
        Gram.from_rows(
            X.repeat(times, axis=0), Y.repeat(times, axis=0), None, GROUPS.repeat(times)
        ),
    )


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_size_of_chunks_does_not_matter(rows, monkeypatch):
    whole = Gram.from_rows(X, Y, WEIGHT, GROUPS)
    monkeypatch.setattr(module, "CHUNK_ROWS", rows)
    assert_same(Gram.from_rows(X, Y, WEIGHT, GROUPS), whole)


def test_rows_and_groups_that_are_taken_away_were_never_there():
    gram, some = (
        Gram.from_rows(X, Y, WEIGHT, GROUPS),
        (np.arange(90) % 3 == 0) | (GROUPS == "c"),
    )
    left = gram - Gram.from_rows(X[some], Y[some], WEIGHT[some], GROUPS[some])
    assert_same(left, Gram.from_rows(X[~some], Y[~some], WEIGHT[~some], GROUPS[~some]))
    assert "c" not in left.names
    kept = GROUPS != "c"
    numbers = [k for k, name in enumerate(gram.names) if name != "c"]
    assert_same(
        gram.take_blocks(numbers),
        Gram.from_rows(X[kept], Y[kept], WEIGHT[kept], GROUPS[kept]),
    )
    with pytest.raises(
        UsageError, match="Blocks 'd' have fewer rows than are to be taken away"
    ):
        gram - Gram.from_rows(X, Y, None, ["d"] * 90)


def test_regrouped_blocks_are_those_of_the_new_groups():
    gram = Gram.from_rows(X, Y, WEIGHT, GROUPS)
    fold = {"a": "0", "b": "1", "c": "0"}
    assert_same(
        gram.regrouped([fold[name] for name in gram.names]),
        Gram.from_rows(X, Y, WEIGHT, [fold[g] for g in GROUPS]),
    )
    assert_same(gram.total(), Gram.from_rows(X, Y, WEIGHT))


def test_float32_input_is_summed_in_float64():
    wide = (X * 1e3).astype(np.float32)
    assert_same(
        Gram.from_rows(wide, Y, WEIGHT, GROUPS),
        Gram.from_rows(wide.astype(np.float64), Y, WEIGHT, GROUPS),
        1e-13,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": Y[:5]}, r"got shapes \(90, 6\) and \(5, 2\)"),
        ({"X": np.full((90, 6), np.nan)}, "must be finite"),
        ({"sample_weight": -np.ones(90)}, "finite and not negative"),
        ({"sample_weight": np.ones(3)}, "90 rows need as many weights and groups"),
        ({"groups": ["a"]}, "90 rows need as many weights and groups"),
    ],
)
def test_rows_that_do_not_add_up_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        Gram.from_rows(**{"X": X, "y": Y} | change)


def test_blocks_that_do_not_fit_are_refused():
    gram = Gram.from_rows(X, Y, None, GROUPS)
    with pytest.raises(
        UsageError, match=r"Grams of 6 \+ 2 and 5 \+ 2 columns cannot be subtracted"
    ):
        gram - Gram.from_rows(X[:, :5], Y, None, GROUPS)
    with pytest.raises(UsageError, match="3 blocks need as many new names; got 2"):
        gram.regrouped(["0", "1"])
