"""Shapley values of blocks: they add up, and are the mean over all orders."""

import itertools

import numpy as np
import pytest

from base_models.pooled.block_contributions import shapley_values

COUNTS = {"audio": 4, "text": 2, "joint": 3}


def blocks_of(names, n=5, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, COUNTS[name])) for name in names}


def predict(matrix):
    """Any function that mixes the columns."""
    return np.sin(matrix.sum(axis=1)) + matrix[:, 0] * matrix[:, -1] + 3


def over_all_orders(blocks):
    """The slow definition: how far each block moves the score, in every order."""
    orders = list(itertools.permutations(blocks))
    totals = dict.fromkeys(blocks, 0)
    for order in orders:
        columns = {name: np.zeros_like(values) for name, values in blocks.items()}
        before = predict(np.concatenate(list(columns.values()), axis=1))
        for name in order:
            columns[name] = blocks[name]
            after = predict(np.concatenate(list(columns.values()), axis=1))
            totals[name] = totals[name] + (after - before) / len(orders)
            before = after
    return totals


@pytest.mark.parametrize("names", [["audio"], ["audio", "text"], list(COUNTS)])
def test_contributions_are_the_mean_over_all_orders_of_the_blocks(names):
    blocks = blocks_of(names)
    values = shapley_values(blocks, predict)
    for name, expected in over_all_orders(blocks).items():
        np.testing.assert_allclose(values.contributions[name], expected)


@pytest.mark.parametrize("names", [["audio"], ["audio", "text"], list(COUNTS)])
def test_start_and_contributions_add_up_to_the_score(names):
    blocks = blocks_of(names)
    values = shapley_values(blocks, predict)
    total = values.start + sum(values.contributions.values())
    score = predict(np.concatenate(list(blocks.values()), axis=1))
    np.testing.assert_allclose(total, score)
    np.testing.assert_allclose(values.start, 3)


def test_a_block_of_the_mean_clip_contributes_nothing():
    blocks = blocks_of(["audio", "text"])
    blocks["text"][:] = 0
    values = shapley_values(blocks, predict)
    np.testing.assert_array_equal(values.contributions["text"], 0)
