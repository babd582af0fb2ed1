"""The average of Gaussian kernels on many points, at some distances."""

from __future__ import annotations

import numpy as np
from scipy import special

# Of more points than this, the kernels stand on so many places of a grid instead.
MOST_KERNELS = 2048


def kernel_average(
    distance: np.ndarray, centres: np.ndarray, width: float
) -> np.ndarray:
    """Mean over the centres of the cumulative normal distribution about each.

    Parameters
    ----------
    distance : array of shape (m,)
    centres : array of shape (n,), n > 0
    width : float, standard deviation of each kernel, > 0

    Returns
    -------
    cumulative : array of shape (m,)

    Notes
    -----
    Of many centres each is shared between the two places of a grid that it lies
    between, in proportion to how near it is to either (linear binning: Jones and
    Lotwick 1984, Applied Statistics 33). With places d apart that changes the result
    by less than 0.03 (d / width)²: 1e-5 for a range of 40 widths.
    """
    if len(centres) <= MOST_KERNELS:
        # One kernel per centre: (m, n).
        return np.asarray(
            special.ndtr((distance[:, None] - centres) / width).mean(axis=1)
        )

    low = centres.min()
    step = (centres.max() - low) / (MOST_KERNELS - 1)
    if step == 0:
        return np.asarray(special.ndtr((distance - low) / width))
    position = (centres - low) / step
    left = np.minimum(position.astype(np.intp), MOST_KERNELS - 2)
    share_of_right = position - left
    shares = np.bincount(left, 1 - share_of_right, MOST_KERNELS)
    shares += np.bincount(left + 1, share_of_right, MOST_KERNELS)

    places = low + step * np.arange(MOST_KERNELS)
    kernels = special.ndtr((distance[:, None] - places) / width)
    return np.asarray(kernels @ (shares / len(centres)))
