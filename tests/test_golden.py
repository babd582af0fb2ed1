"""Golden values: what commands and classes say today, number by number.

Moving code about must not change them. Here are stacks; neural base models are in
``test_golden_neural.py``. Everything goes through doors that stay: the names in
`ensemble`, the commands, and the files that commands write. Values are stored in
``tests/golden`` and compared to 1e-9 on the platform that they are from, and less
closely elsewhere (see `golden_values.check`).

After a change that is meant to change numbers, renew them, and look at the difference
before it is committed::

    GOLDEN_WRITE=1 python -m pytest tests/test_golden.py tests/test_golden_neural.py
    git diff --stat tests/golden

On another platform the comparison is loose. To have the sharp one there, renew the
values with the code as it was before a change, make the change, run the test, and leave
the renewed values out of the commit.

Real listening-test data is read from ``../shared/data`` beside the checkout; tests that
need it are skipped where it is absent.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from golden_values import SOLVED, TRAINED, board, call, check, last_line, report, scores
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.tree import DecisionTreeRegressor

from ensemble import StackedMOS, evaluate

DATA = Path(__file__).parents[2] / "shared" / "data" / "bvcc-predictions"

LEARNERS = (
    "ridge",
    "simplex",
    "greedy",
    "mean",
    "best",
    "linear_pool",
    "log_pool",
    "crps",
    "log_score",
    "lightgbm",
    "auto",
)
PREDICTORS = [
    "utmos22_fold0",
    "utmos22_fold3",
    "sslmos",
    "sslft_00",
    "sslft_07",
    "sslft_21",
    "sslft_44",
]


# ---- real predictions of speech models


@pytest.fixture(scope="module")
def bvcc(tmp_path_factory):
    """Predictions and labels of every other system to fit on, and those of the rest."""
    if not DATA.is_dir():
        pytest.skip("the shared data folder is not here")
    folder = tmp_path_factory.mktemp("bvcc")
    table = pd.read_csv(DATA / "val_half.csv")
    systems = sorted(set(table["system"]))
    fitted = table["system"].isin(systems[::2])
    about = ["utterance", "system"]
    table[fitted][[*about, *PREDICTORS]].to_csv(folder / "predictions.csv", index=False)
    table[fitted][[*about, "mos"]].to_csv(folder / "labels.csv", index=False)
    table[~fitted][[*about, *PREDICTORS]].to_csv(folder / "new.csv", index=False)
    table[~fitted][[*about, "mos"]].to_csv(folder / "new_labels.csv", index=False)
    return folder


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_stack_of_speech_models(bvcc, tmp_path, learner):
    words = [
        "--predictions",
        bvcc / "predictions.csv",
        "--labels",
        bvcc / "labels.csv",
    ]
    rivals = ["simplex", "best"] if learner == "ridge" else []
    place = ["--artifacts", tmp_path / "artifacts"]
    if learner == "auto":  # fits several learners in every fold; few models do
        words += ["--models", *PREDICTORS[1:4]]
    words += ["--rivals", *rivals, "--learner", learner]
    folder = last_line(call("fit_meta", *words, *place))
    values = {"report": report(folder)}

    out = ["--out", tmp_path / "scores.parquet", "--level", 0.8]
    call("predict_mos", "--predictions", bvcc / "new.csv", *out, *place)
    values["scores"] = scores(tmp_path / "scores.parquet", 25)

    both = [tmp_path / "scores.parquet", bvcc / "new_labels.csv"]
    rated = ["--bootstrap", 100]
    if learner == "ridge":
        rated = ["--ratings", DATA / "val_half_ratings.csv"]
    call("evaluate_mos", *both, *rated, "--json", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text())
    values["metrics"] = board(found["metrics"])
    values["ceiling"] = board(found["noise_ceiling"])
    check(
        f"bvcc_{learner}",
        values,
        TRAINED if learner in ("lightgbm", "auto") else SOLVED,
    )


@pytest.mark.parametrize(
    "options",
    [(), ("--groups", "system"), ("--missing", "pool")],
    ids=["many", "groups", "gaps"],
)
def test_options_of_a_stack_of_speech_models(bvcc, tmp_path, options):
    """Contributions of many models are drawn, systems kept whole, and gaps filled."""
    place = ["--artifacts", tmp_path / "artifacts"]
    labels = ["--labels", bvcc / "labels.csv", "--rivals"]
    table = pd.read_csv(bvcc / "predictions.csv")
    if not options:
        every = pd.read_csv(DATA / "val_half.csv")
        more = [name for name in every if name.startswith(("utmos22", "sslft"))][:13]
        ids = table[["utterance", "system"]]
        table = ids.merge(every[["utterance", *more]], on="utterance")
    elif "pool" in options:
        table.loc[::7, "sslmos"] = np.nan
    table.to_csv(tmp_path / "given.csv", index=False)
    folder = last_line(
        call(
            "fit_meta",
            "--predictions",
            tmp_path / "given.csv",
            *labels,
            *options,
            *place,
        )
    )
    name = options[-1] if options else "many"
    check(f"bvcc_option_{name}", {"report": report(folder)}, SOLVED)


@pytest.mark.parametrize("learner", ["ridge", "crps", "lightgbm"])
def test_a_stack_of_speech_models_in_python(bvcc, learner):
    given = pd.read_csv(bvcc / "predictions.csv", index_col="utterance")[PREDICTORS]
    new = pd.read_csv(bvcc / "new.csv", index_col="utterance")[PREDICTORS]
    labels = pd.read_csv(bvcc / "labels.csv", index_col="utterance")
    labels = labels.rename(columns={"system": "system_id"})
    truth = pd.read_csv(bvcc / "new_labels.csv").set_index("utterance")["mos"]

    stack = StackedMOS.from_predictions(given, labels, final_estimator=learner)
    values = {
        "predictions": stack.predict(new)[:25],
        "distributions": stack.predict_distribution(new)[:4],
        "features": stack.transform(new).to_numpy()[0],
        "board": board(stack.validation_scores_),
        "sentence": stack.verdict_,
    }
    said = pd.DataFrame(stack.predict(new), columns=["mos"])
    systems = new.index.str.split("-").str[0]
    measured = evaluate(truth.to_frame(), said, systems, ["mos"], 100, 0)
    values["metrics"] = board(measured)

    weights = np.linspace(0.5, 2, len(labels))
    options = {"final_estimator": learner, "validation": None}
    weighted = StackedMOS.from_predictions(given, labels, weights, **options)
    values["weighted"] = weighted.predict(new)[:10]

    if learner == "ridge":
        for count in (3, 30):
            adapted = stack.adapt(new[:count], 0.4 + 0.7 * truth[:count])
            values[f"adapted to {count}"] = adapted.predict(new)[-10:]
    loose = TRAINED if learner == "lightgbm" else SOLVED
    check(f"bvcc_python_{learner}", values, loose)


# ---- stacks of scikit-learn estimators


@pytest.fixture(scope="module")
def matrix():
    """A matrix, labels of two aspects with gaps, weights, and groups of six rows."""
    rng = np.random.default_rng(20)
    X = rng.normal(size=(120, 4))
    y = np.clip(3 + X[:, :2] + 0.4 * X[:, 2:] + rng.normal(0, 0.3, (120, 2)), 1, 5)
    y[::11, 0] = np.nan
    y[5::13, 1] = np.nan
    weights = rng.uniform(0.2, 3, 120)
    weights[::17] = 0
    return X, y, weights, np.repeat(np.arange(20), 6)


def bases():
    """Two regressors and a classifier of whole ratings."""
    tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    return [("ridge", Ridge()), ("tree", tree), ("stars", LogisticRegression())]


def said_by(stack, X):
    """What a fitted stack says, and what is said of it."""
    values = {
        "predictions": stack.predict(X)[:20],
        "distributions": stack.predict_distribution(X)[:3],
        "features": stack.transform(X)[:2],
        "scale": [stack.bins_.low, stack.bins_.high, stack.bins_.count],
    }
    if stack.validation_scores_ is not None:
        values["board"] = board(stack.validation_scores_)
        values["sentence"] = stack.verdict_
    return values


def test_splits_of_a_stack(matrix):
    X, y, weights, groups = matrix
    values = {}
    for name, cv in {"five": 5, "groups": GroupKFold(4), "share": 0.3}.items():
        stack = StackedMOS(bases(), cv=cv, random_state=3).fit(X, y, weights, groups)
        values[name] = said_by(stack, X)

    plain = StackedMOS(bases(), cv=3, validation=None).fit(X, y)
    values["unmeasured"] = said_by(plain, X)

    rated = np.isfinite(y[:60]).all(axis=1)
    fitted = bases()[:2]
    for _, model in fitted:
        model.fit(X[:60][rated], y[:60][rated])
    prefit = StackedMOS(fitted, cv="prefit", validation=0.3).fit(X[60:], y[60:])
    values["prefit"] = said_by(prefit, X)
    check("splits", values, SOLVED)


@pytest.mark.parametrize(
    "final",
    ["ridge", "mean", "simplex", "log_pool", "log_score", "lightgbm", "sklearn"],
)
def test_final_estimators_of_a_stack(matrix, final):
    X, y, _, groups = matrix
    estimator = Ridge(alpha=3.0) if final == "sklearn" else final
    stack = StackedMOS(bases(), estimator, cv=3).fit(X, y, groups=groups)
    loose = TRAINED if final == "lightgbm" else SOLVED
    check(f"final_{final}", said_by(stack, X), loose)


def test_a_stack_on_another_scale(matrix):
    X, y, _, _ = matrix
    bins = type(StackedMOS(bases()[:2], cv=3).fit(X, y).bins_)
    values = {}
    for name, scale in {"given": bins(0.0, 100.0), "found": None}.items():
        stack = StackedMOS(bases()[:2], cv=3, bins=scale).fit(X, 25 * (y[:, 0] - 1))
        values[name] = said_by(stack, X)
    check("another_scale", values, SOLVED)


def test_encoders_that_are_listed(tmp_path):
    call("list_encoders", "--json", tmp_path / "encoders.json")
    found = json.loads((tmp_path / "encoders.json").read_text())["encoders"]
    kept = (
        "name",
        "kind",
        "sample_rate",
        "frame_rate",
        "dim",
        "licence",
        "commercial",
        "megabytes",
        "revision",
    )
    check(
        "encoders",
        {row["name"]: {key: row[key] for key in kept} for row in found},
        SOLVED,
    )
