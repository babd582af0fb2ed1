"""Which predictions count as constant."""

from __future__ import annotations

import numpy as np
import pytest

from meta.comparison.constant_predictions import CONSTANT_SHARE, is_constant

LABELS = np.linspace(1.5, 4.5, 50)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_scores_that_hardly_spread_are_constant(share):
    scores = 3.0 + share * CONSTANT_SHARE * LABELS
    assert is_constant(scores, LABELS)
    assert is_constant(scores[::-1], LABELS)


@pytest.mark.parametrize("share", [1.01, 10.0, 100.0])
def test_scores_that_spread_are_not_constant_whether_or_not_they_are_right(share):
    scores = 3.0 + share * CONSTANT_SHARE * LABELS
    assert not is_constant(scores, LABELS)
    assert not is_constant(scores[::-1], LABELS)


def test_constant_scores_explain_at_most_the_stated_share_of_the_variance():
    best = LABELS.mean() + CONSTANT_SHARE * (LABELS - LABELS.mean())
    explained = 1 - np.mean((LABELS - best) ** 2) / LABELS.var()
    assert explained <= 2 * CONSTANT_SHARE


def test_nothing_is_said_of_few_clips_or_of_equal_labels():
    assert not is_constant(np.full(2, 3.0), LABELS[:2])
    assert not is_constant(np.full(50, 3.0), np.full(50, 4.0))
    unlabelled = np.where(np.arange(50) < 2, LABELS, np.nan)
    assert not is_constant(np.full(50, 3.0), unlabelled)
    unpredicted = np.where(np.arange(50) < 20, np.nan, 3.0)
    assert is_constant(unpredicted, LABELS)
