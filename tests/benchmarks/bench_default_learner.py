"""The default learner against its rivals: on the published predictions of 51 models in
many shapes, on simulated tables, and against the clock.

Every table holds whole systems out. The real one is cut into halves and fifths, into
few clips, few of its raters and few of its models, and by clusters of systems that are
alike, so that a choice that suits one table alone shows.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA, feature_matrix
from simulated_stacks import KINDS, ScoreTable, simulated
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from base_models.bins import ScoreBins
from base_models.metrics.evaluate import evaluate, mse
from meta.columns.feature_table import Layout
from meta.learners.base import Learner
from meta.learners.ridge import Ridge
from meta.learners.stack import Stack
from meta.learners.weighted_scores import Mean, Skill

DATA = SHARED_DATA / "bvcc-predictions"
FACTS = ("utterance", "system", "mos", "mos_std", "n_ratings")
HALVES = 6
DRAWS = 10
SIMULATED = 20
FEW = (10, 20, 40)
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real predictions are not here"
)


class Constant(Learner):
    """The mean of the ratings of the fit."""

    def fit(self, X, y, layout, sample_weight=None, groups=None):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class TreeMix(Learner):
    """Ridge on scores, ExtraTrees and a small LightGBM, two to one to one."""

    def fit(self, X, y, layout, sample_weight=None, groups=None):
        import lightgbm
        from sklearn.ensemble import ExtraTreesRegressor

        self.layout_ = layout
        scores = layout.scores(X)
        self.ridge_ = Ridge(features="score", group_weight=0.0)
        self.ridge_.fit(X, y, layout, None, groups)
        forest = ExtraTreesRegressor(
            100, min_samples_leaf=3, max_features=0.5, random_state=0
        )
        self.forest_ = forest.fit(scores, y)
        settings = {
            "num_leaves": 4,
            "learning_rate": 0.05,
            "min_data_in_leaf": 10,
            "feature_fraction": 0.4,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "num_threads": 1,
            "verbosity": -1,
            "deterministic": True,
            "seed": 0,
        }
        data = lightgbm.Dataset(scores, y)
        self.boosted_ = lightgbm.train(settings, data, num_boost_round=150)
        return self

    def predict(self, X):
        scores = self.layout_.scores(X)
        trees = self.forest_.predict(scores) + self.boosted_.predict(scores)
        return (2 * self.ridge_.predict(X) + trees) / 4


LEARNERS = {
    "ridge": Ridge,
    "stack": Stack,
    "skill": Skill,
    "mean": Mean,
    "constant": Constant,
    "ridge, trees": TreeMix,
}
REFERENCE = "ridge"
"""The usual learner before the stack was."""


# ---- shapes of the real table


def real_table():
    """All 428 clips, and the 8 ratings of each: array (n, 8)."""
    table = pd.read_csv(DATA / "val_half.csv")
    ratings = pd.read_csv(DATA / "val_half_ratings.csv")
    by_clip = ratings.groupby("utterance")["rating"].apply(list)
    scores = table.drop(columns=list(FACTS)).to_numpy()
    whole = ScoreTable(scores, table["mos"].to_numpy(), table["system"].to_numpy())
    return whole, np.array([by_clip[clip] for clip in table["utterance"]])


def part(table, rows, models=slice(None), y=None):
    y = table.y if y is None else y
    return ScoreTable(table.scores[rows][:, models], y[rows], table.systems[rows])


def halves(table, n, seed):
    """Masks of `n` halves of the systems, and of their other halves."""
    names = np.unique(table.systems)
    for draw in range(n):
        rng = np.random.default_rng([seed, draw])
        chosen = rng.permutation(names)[: len(names) // 2]
        half = np.isin(table.systems, chosen)
        yield half, ~half
        yield ~half, half


def few_clips(table, n, draw):
    """Rows of whole systems up to `n` clips, and those of all other systems."""
    rng = np.random.default_rng([n, draw])
    rows = []
    for name in rng.permutation(np.unique(table.systems)):
        if len(rows) >= n:
            break
        rows += np.flatnonzero(table.systems == name).tolist()
    rows = np.array(rows[:n])
    others = ~np.isin(table.systems, table.systems[rows])
    return rows, np.flatnonzero(others)


def shapes():
    """Name of each shape of the real table to its (fit, new) pairs."""
    table, ratings = real_table()
    pairs = {
        "halves": [
            (part(table, a), part(table, b)) for a, b in halves(table, HALVES, 0)
        ],
        "fifths": [
            (part(table, a), part(table, b))
            for seed in range(2)
            for a, b in GroupKFold(5, shuffle=True, random_state=seed).split(
                table.scores, groups=table.systems
            )
        ],
    }
    for n in (20, 40, 100):
        drawn = [few_clips(table, n, draw) for draw in range(DRAWS)]
        pairs[f"{n} clips"] = [(part(table, a), part(table, b)) for a, b in drawn]
    rng = np.random.default_rng(0)
    for n in (1, 2, 4):
        fewer = rng.permuted(ratings, axis=1)[:, :n].mean(axis=1)
        pairs[f"{n} of 8 ratings"] = [
            (part(table, a, y=fewer), part(table, b))
            for a, b in halves(table, DRAWS // 2, n)
        ]
    for n in (2, 5, 10, 20):
        pairs[f"{n} models"] = []
        for a, b in halves(table, DRAWS // 2, 10 + n):
            models = rng.choice(table.scores.shape[1], n, replace=False)
            pairs[f"{n} models"].append(
                (part(table, a, models), part(table, b, models))
            )
    pairs["5 UTMOS"] = [
        (part(table, a, slice(5)), part(table, b, slice(5)))
        for a, b in halves(table, DRAWS // 2, 40)
    ]
    pairs["other systems"] = list(unlike_systems(table))
    return pairs


def unlike_systems(table):
    """Clusters of systems that are alike in what models say, each left out."""
    names = np.unique(table.systems)
    means = np.array([table.scores[table.systems == s].mean(axis=0) for s in names])
    means = (means - means.mean(axis=0)) / means.std(axis=0)
    for seed in range(4):
        cluster = KMeans(5, n_init=3, random_state=seed).fit_predict(means)
        for number in range(5):
            new = np.isin(table.systems, names[cluster == number])
            if 30 <= new.sum() <= 260:
                yield part(table, ~new), part(table, new)


def scores_of(learner, fit, new):
    """Scores of new clips, on the scale."""
    n_models = fit.scores.shape[1]
    names = tuple(f"m{k:02d}" for k in range(n_models))
    # Scores as a model that gives one number hands them on.
    layout = Layout(names, (0.35,) * n_models, ScoreBins())
    X, X_new = (feature_matrix(t.scores.clip(1, 5).T) for t in (fit, new))
    fitted = learner().fit(X, fit.y, layout, None, np.asarray(fit.systems, str))
    return np.clip(fitted.predict(X_new), 1, 5)


# ---- the benches


@needs_data
def bench_shapes_of_the_real_table():
    """Change of the MSE against ridge in per cent, with its standard error."""
    print(f"\n{'MSE against ' + REFERENCE + ', %':18}", *(f"{k:>16}" for k in LEARNERS))
    changes = {name: [] for name in LEARNERS}
    for shape, pairs in shapes().items():
        errors = {
            name: np.array(
                [mse(new.y, scores_of(kind, fit, new)) for fit, new in pairs]
            )
            for name, kind in LEARNERS.items()
        }
        of_reference = errors[REFERENCE]
        cells = [f"MSE {of_reference.mean():.4f}"]
        for name in list(LEARNERS)[1:]:
            difference = errors[name] - of_reference
            standard_error = difference.std(ddof=1) / np.sqrt(len(pairs))
            change = 100 * difference.mean() / of_reference.mean()
            changes[name].append(change)
            cells.append(
                f"{change:+.1f} ({100 * standard_error / of_reference.mean():.1f})"
            )
        print(f"{shape:18}", *(f"{cell:>16}" for cell in cells), flush=True)
    means = [f"{np.mean(changes[name]):+.1f}" for name in list(LEARNERS)[1:]]
    print(f"{'mean of the rows':18}", f"{'':>16}", *(f"{cell:>16}" for cell in means))


@needs_data
def bench_ranks_on_the_real_table():
    """Correlations on halves and fifths of the systems, and differences to ridge."""
    keys = [
        ("utterance", "mse"),
        ("utterance", "srcc"),
        ("system", "srcc"),
        ("system", "ktau"),
    ]
    print()
    found = shapes()
    for shape in ("halves", "fifths"):
        for name, kind in LEARNERS.items():
            if kind is Constant:
                continue
            rows = []
            for fit, new in found[shape]:
                scores = scores_of(kind, fit, new)
                table = evaluate(
                    new.y[:, None], scores[:, None], new.systems, ["mos"], 0
                )
                rows.append(table.set_index(["level", "metric"])["value"][keys])
            means = pd.DataFrame(rows).mean()
            cells = " ".join(f"{level} {m} {means[level, m]:.4f} " for level, m in keys)
            print(f"{shape} {name:14} {cells}", flush=True)


def bench_few_clips_of_simulated_tables():
    """MSE of the stack less that of the plain mean and of a constant.

    Beside it, in brackets, in units of the standard deviation over tables: what one
    table would show as a standard error.
    """
    print(f"\n{'MSE less that of the mean, of a constant':24}")
    for kind in KINDS:
        cells = []
        for n in FEW:
            excess = []
            for seed in range(SIMULATED):
                fit, new = simulated(kind, n, seed=seed)
                ours = mse(new.y, scores_of(Stack, fit, new))
                of_mean = mse(new.y, new.scores.mean(axis=1))
                of_constant = mse(new.y, np.full(len(new.y), fit.y.mean()))
                excess.append([ours - of_mean, ours - of_constant])
            excess = np.array(excess)
            units = excess.mean(axis=0) / excess.std(axis=0, ddof=1)
            worse = int(np.argmax(units))
            cells.append(
                f"n {n}: {excess[:, worse].mean():+.4f} ({units[worse]:+.2f}, "
                f"{('mean', 'constant')[worse]})"
            )
        print(f"{kind:24}", "; ".join(cells), flush=True)


def bench_many_clips_of_simulated_tables():
    """MSE on 100 and 400 clips."""
    names = ("ridge", "stack", "skill", "mean")
    print(f"\n{'MSE':24}", *(f"{name:>8}" for name in names), "(100 clips, then 400)")
    for kind in KINDS:
        cells = []
        for n in (100, 400):
            for name in names:
                errors = []
                for seed in range(6):
                    fit, new = simulated(kind, n, seed=seed)
                    errors.append(mse(new.y, scores_of(LEARNERS[name], fit, new)))
                cells.append(f"{np.mean(errors):8.4f}")
        print(f"{kind:24}", *cells, flush=True)


@needs_data
def bench_time_to_fit():
    """CPU time on 428 x 51, in units of scikit-learn's RidgeCV on the scores."""
    table, _ = real_table()
    X = feature_matrix(table.scores.clip(1, 5).T)
    names = tuple(f"m{k:02d}" for k in range(51))
    layout = Layout(names, (0.35,) * 51, ScoreBins())
    alphas = np.logspace(-3, 5, 33)

    def seconds(work):
        times = []
        for _ in range(15):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        return min(times)

    unit = seconds(lambda: RidgeCV(alphas).fit(table.scores, table.y))
    print(f"\nRidgeCV, 33 penalties, leave-one-out: {1000 * unit:.1f} ms")
    for name in ("stack", "ridge", "skill", "ridge, trees"):
        took = seconds(
            lambda kind=LEARNERS[name]: kind().fit(
                X, table.y, layout, None, table.systems
            )
        )
        print(f"{name}: {1000 * took:.0f} ms, {took / unit:.1f} x RidgeCV")
