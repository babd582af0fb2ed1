"""Stacks of predictions alone and tables of pairs of their clips, for several tests."""

import numpy as np
import pandas as pd
from builders import Predictor, prediction_tables

from ensemble.estimator.stacked_mos import StackedMOS

GOOD = {"one": Predictor(noise=0.4), "other": Predictor(noise=0.6, bias=0.3)}


def predicted_stack(aspects=("mos",), n=160, systems=16, seed=0):
    """A stack fitted on predictions of two models, and the predictions of new clips.

    Returns
    -------
    stack : StackedMOS
    tables : predictions of n clips ``new-0`` …
    labels : array of shape (n, aspects), their ratings
    """
    rng = np.random.default_rng(seed)
    labels = np.clip(rng.normal(3, 0.8, (2 * n, len(aspects))), 1, 5)
    ids = [f"old-{k}" for k in range(n)] + [f"new-{k}" for k in range(n)]
    tables = prediction_tables(labels, GOOD, ids=ids, aspects=aspects, rng=rng)
    y = pd.DataFrame(labels[:n], columns=list(aspects)).assign(
        clip_id=ids[:n], system_id=[f"s{k % systems}" for k in range(n)]
    )
    old = [table.take(ids[:n]) for table in tables]
    stack = StackedMOS.from_predictions(old, y)
    return stack, [table.take(ids[n:]) for table in tables], labels[n:]


def scores_files(folder, tables):
    """Files of scores of one aspect, a column of each model, as csv."""
    frame = pd.DataFrame({"clip_id": list(tables[0].clip_ids)})
    for table in tables:
        frame[table.model] = table.scores[:, 0]
    path = folder / "new.csv"
    frame.to_csv(path, index=False)
    return path
