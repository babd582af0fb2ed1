"""Learners on the published predictions of 51 real models: repeated cross-validation
with whole systems held out.

Every learner is fitted inside each fold on the other systems and judged on all rows by
what was predicted for them out of fold. Intervals of differences resample systems; the
same resamples for both, differences averaged over repeats.
"""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.paired_difference import evaluate_difference
from builders import SHARED_DATA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from base_models.metrics.evaluate import evaluate
from ensemble.prediction_files.stack_inputs import read_stack_inputs
from meta.columns.feature_table import feature_array, layout_of
from meta.learners import LEARNERS
from meta.learners.base import Learner

REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"
REPEATS, FOLDS = 5, 5
DEFAULT = "stack"


class PlainRidge(Learner):
    """scikit-learn's RidgeCV on the plain scores of the models."""

    def fit(self, X, y, layout, sample_weight=None, groups=None):
        self.layout_, self.facts_, self.warnings_ = layout, {}, []
        self.model_ = RidgeCV(np.logspace(-3, 5, 33)).fit(layout.scores(X), y)
        return self

    def predict(self, X):
        return self.model_.predict(self.layout_.scores(X))


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def bench_learners_on_real_predictions():
    external = read_stack_inputs([REAL])
    layout = layout_of(external.tables)
    X = feature_array(external.tables, "mos", external.clips["clip_id"].tolist())
    y, systems = (
        external.clips["mos"].to_numpy(),
        external.clips["system_id"].to_numpy(),
    )
    learners = LEARNERS | {"RidgeCV (scores)": PlainRidge}
    found = {
        name: [
            _out_of_fold(kind, X, y, layout, systems, seed) for seed in range(REPEATS)
        ]
        for name, kind in learners.items()
    }
    print(
        f"\n{len(y)} clips, {len(set(systems))} systems, {len(layout.models)} models; "
        f"{REPEATS} x {FOLDS} folds"
    )
    print(
        f"learner, utterance MSE and SRCC, system SRCC; {DEFAULT} minus it [95 % over "
        f"systems]"
    )
    for name, repeats in found.items():
        tables = [
            evaluate(y[:, None], p[:, None], systems, ["mos"], 0).set_index(
                ["level", "metric"]
            )["value"]
            for p in repeats
        ]
        cells = [np.mean([t[key] for t in tables]) for key in KEYS]
        against = (
            ""
            if name == DEFAULT
            else "  ".join(_difference(y, found[DEFAULT], repeats, systems))
        )
        print(
            f"{name:18} {cells[0]:8.4f} {cells[1]:9.4f} {cells[2]:9.4f}   {against}",
            flush=True,
        )


KEYS = (("utterance", "mse"), ("utterance", "srcc"), ("system", "srcc"))


def _out_of_fold(kind, X, y, layout, systems, seed):
    scores = np.empty(len(y))
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(
        X, y, systems
    ):
        fitted = kind().fit(X[train], y[train], layout, None, systems[train])
        scores[test] = np.clip(fitted.predict(X[test]), 1, 5)
    return scores


def _difference(y, ours, theirs, systems):
    """Mean over repeats of the difference and of the ends of its interval."""
    tables = [
        evaluate_difference(
            y[:, None],
            a[:, None],
            b[:, None],
            system_ids=systems,
            aspects=["mos"],
            n_bootstrap=1000,
        ).set_index(["level", "metric"])
        for a, b in zip(ours, theirs, strict=True)
    ]
    for key in KEYS:
        value, low, high = (
            np.mean([t.loc[key, c] for t in tables]) for c in ("value", "low", "high")
        )
        yield f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
