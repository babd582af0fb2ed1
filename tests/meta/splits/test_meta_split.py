import numpy as np
import pytest

from base_models.errors import UsageError
from meta.rows import Rows
from meta.splits.meta_split import check_meta_rows, meta_split

SYSTEMS = np.repeat([f"s{k}" for k in range(10)], 10)
SCORES = np.random.default_rng(0).uniform(1, 5, (100, 2))


def rows(groups=None):
    """A hundred clips of ten systems, rated for two aspects."""
    return Rows.of(range(100), SCORES, ["mi", "ta"], systems=SYSTEMS, groups=groups)


def rows_of_systems(systems):
    """Clips of these systems, all rated alike."""
    return Rows.of(range(len(systems)), [3.0] * len(systems), ["mi"], systems=systems)


def test_forty_percent_of_each_system_is_held_out():
    held = meta_split(rows())
    assert held.dtype == bool
    assert held.sum() == pytest.approx(40, abs=1)
    assert all(2 <= held[name == SYSTEMS].sum() <= 6 for name in set(SYSTEMS))


def test_the_same_seed_splits_alike_and_another_does_not():
    np.testing.assert_array_equal(
        meta_split(rows(), seed=1), meta_split(rows(), seed=1)
    )
    assert (meta_split(rows(), seed=1) != meta_split(rows(), seed=2)).any()


def test_groups_stay_on_one_side():
    groups = np.tile([f"prompt{k}" for k in range(20)], 5)
    held = meta_split(rows(groups))
    assert all(len(set(held[groups == name])) == 1 for name in set(groups))
    assert 20 <= held.sum() <= 60


@pytest.mark.parametrize("validation", [0, 1, -0.4, 40])
def test_validation_must_be_a_share(validation):
    with pytest.raises(UsageError, match=f"between 0 and 1; got {validation}"):
        meta_split(rows(), validation=validation)


def test_a_handful_of_rows_is_needed():
    with pytest.raises(UsageError, match="at least 5 labelled clips; got 4"):
        check_meta_rows(rows_of_systems(["a", "b", "c", "d"]))


def test_clips_without_system_ids_or_of_one_system_pass():
    check_meta_rows(rows_of_systems([""] * 5))
    check_meta_rows(rows_of_systems(["s1"] * 5))
    check_meta_rows(rows_of_systems(["a", "a", "a", "a", "b"]))
