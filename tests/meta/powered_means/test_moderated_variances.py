"""Laws of variances that steady one another."""

import numpy as np
import pytest

from meta.powered_means.moderated_variances import ENOUGH_FREEDOM, moderated


def test_equal_variances_lend_until_there_is_enough_freedom():
    variances, freedom = moderated(np.full(20, 4.0), np.full(20, 2.0))
    assert variances == pytest.approx(np.full(20, 2.0))
    assert freedom == pytest.approx(np.full(20, ENOUGH_FREEDOM))


def test_no_more_is_known_of_one_than_of_all_together():
    _, freedom = moderated(np.full(3, 4.0), np.full(3, 2.0))
    assert freedom == pytest.approx(np.full(3, 6.0))


def test_a_system_with_enough_values_keeps_its_own_variance():
    sums = np.array([40.0, 400.0, 20.0])
    variances, freedom = moderated(sums, np.full(3, 20.0))
    assert variances == pytest.approx(sums / 20)
    assert freedom == pytest.approx(np.full(3, 20.0))


def test_a_lone_system_has_its_own_variance():
    variances, freedom = moderated(np.array([6.0]), np.array([3.0]))
    assert variances == pytest.approx([2.0])
    assert freedom == pytest.approx([3.0])


def test_a_system_without_a_degree_of_freedom_takes_the_usual_variance():
    sums = np.array([4.0, 4.4, 3.6, 0.0])
    variances, freedom = moderated(sums, np.array([2.0, 2.0, 2.0, 0.0]))
    assert variances[3] == pytest.approx(2.0)
    assert freedom[3] == pytest.approx(6.0)


def test_one_other_system_is_not_enough_to_borrow_from():
    variances, _ = moderated(np.array([4.0, 0.0]), np.array([4.0, 0.0]))
    assert variances[0] == pytest.approx(1.0)
    assert np.isnan(variances[1])


def test_values_that_happen_to_be_equal_show_no_variance():
    for sums, freedom in ((np.zeros(3), np.full(3, 2.0)), (np.zeros(2), np.zeros(2))):
        variances, _ = moderated(sums, freedom)
        assert np.isnan(variances).all()


def test_the_more_systems_differ_the_less_they_lend():
    rng = np.random.default_rng(0)
    chance = rng.chisquare(4, size=200)
    alike, freedom_alike = moderated(chance, np.full(200, 4.0))
    unlike, freedom_unlike = moderated(
        chance * np.exp(rng.normal(size=200)), np.full(200, 4.0)
    )
    assert np.std(np.log(alike)) < 0.3 < np.std(np.log(unlike))
    assert freedom_unlike[0] < 8 < freedom_alike[0]
