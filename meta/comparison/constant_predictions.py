"""Predictions that are nearly the same for every clip: of a model that learnt nothing.

Such a model has a mean squared error near that of a constant, and nothing in a table of
errors tells it from a model of a difficult test.
"""

from __future__ import annotations

import numpy as np

CONSTANT_SHARE = 0.01
"""Spread of scores, as a share of the labels', below which they count as constant.

Scores that spread so little explain at most 2 % of the labels' variance, however well
they rank: with share s and correlation r it is (2 r - s) s.
"""
MIN_CLIPS = 3
"""Fewer labelled clips say too little of a spread."""


def is_constant(scores: np.ndarray, labels: np.ndarray) -> bool:
    """Whether scores are nearly the same for clips that are rated differently.

    Parameters
    ----------
    scores, labels : arrays of shape (n,)
        NaN where there is none; such clips do not count.

    Examples
    --------
    >>> labels = np.array([1.0, 2.0, 3.0])
    >>> is_constant(np.array([2.001, 2.0, 2.0]), labels), is_constant(labels, labels)
    (True, False)
    """
    counted = np.isfinite(scores) & np.isfinite(labels)
    if counted.sum() < MIN_CLIPS:
        return False
    of_labels = labels[counted].std()
    # Where all labels are equal, equal scores are right.
    return bool(of_labels > 0 and scores[counted].std() < CONSTANT_SHARE * of_labels)
