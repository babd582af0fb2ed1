"""A line of truth on score, for scores that are off on average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_models.bins import ScoreBins

FEWEST_ROWS = 30
"""With fewer rows no line is tried."""


@dataclass(frozen=True)
class ScoreLine:
    """A line of truth on score.

    Parameters
    ----------
    slope, intercept : float
    left_out_scores : array of shape (n,)
        For each row, the point on the line that is fitted without it.
    """

    slope: float
    intercept: float
    left_out_scores: np.ndarray


def worthwhile_line(
    scores: np.ndarray,
    truth: np.ndarray,
    bins: ScoreBins,
) -> ScoreLine | None:
    """Fit a line of truth on score; None where the score does about as well.

    Notes
    -----
    The error of a row that is left out of least squares is its residual over 1 minus
    its leverage h (Allen 1974), with ``h = 1 / n + (x - mean x)^2 / sum (x - mean
    x)^2``.
    """
    n = len(scores)
    deviation = scores - scores.mean()
    if n < FEWEST_ROWS or not deviation.any():
        return None
    squares = deviation @ deviation
    slope = float(deviation @ truth / squares)
    mean_on_slope = slope * scores.mean()
    intercept = float(truth.mean() - mean_on_slope)

    # A row that alone decides the slope has a leverage of 1: its error would be 0 / 0.
    leverage = 1 / n + deviation**2 / squares
    remainder = np.maximum(1 - leverage, 1 / n)
    residual = truth - intercept - slope * scores
    left_out_error = residual / remainder
    left_out_scores = np.clip(truth - left_out_error, bins.low, bins.high)

    score_squares = (truth - scores) ** 2
    line_squares = (truth - left_out_scores) ** 2
    gain = score_squares - line_squares
    two_standard_errors = 2 * gain.std() / np.sqrt(n)

    # A falling line would reverse the ranks.
    is_falling = slope <= 0
    is_unclear = gain.mean() <= two_standard_errors
    if is_falling or is_unclear:
        return None
    return ScoreLine(
        slope=slope,
        intercept=intercept,
        left_out_scores=left_out_scores,
    )
