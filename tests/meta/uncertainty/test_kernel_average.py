"""Averages of many kernels, against all of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from meta.uncertainty import kernel_average as module
from meta.uncertainty.kernel_average import kernel_average


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_kernels_on_a_grid_average_as_those_on_every_point(spread, monkeypatch):
    centres = spread * np.random.default_rng(0).standard_t(4, 700)
    distance = np.linspace(-4, 4, 90)
    expected = special.ndtr((distance[:, None] - centres) / 0.2).mean(axis=1)
    np.testing.assert_array_equal(kernel_average(distance, centres, 0.2), expected)
    monkeypatch.setattr(module, "MOST_KERNELS", 400)
    np.testing.assert_allclose(
        kernel_average(distance, centres, 0.2), expected, atol=2e-4
    )
