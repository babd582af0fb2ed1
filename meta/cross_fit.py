"""The learners of the folds of a cross-validation, kept to predict with.

What a learner predicts of the clips that it was fitted on knows their ratings. Where
such predictions are put beside ratings of these very clips, as in
`meta.powered_means`, every clip of a system has to be predicted by a learner that knew
no rating of that system, the unrated clips too: scores of the fold learners for the
rated clips beside those of the learner of all clips for the others differ in level, by
what that one learnt of the system's level, and nothing in the ratings reveals it.

Source: T. Zrnic and E. J. Candès, Cross-prediction-powered inference, PNAS 121 (2024)
e2322083121, section 2, where folds are of single clips and each unrated clip is
predicted by the mean over the folds. Folds here leave out whole systems, so that the
clips of a system have one learner, or, where they were in several folds, the mean of
these by their numbers of clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.learners.base import Learner
from meta.learners.sklearn_learner import SklearnLearner
from meta.rows import Rows


@dataclass(frozen=True, eq=False)
class CrossFit:
    """The learners of K folds of the n clips that are labelled for one aspect.

    Parameters
    ----------
    ids, systems : n names; the system is "" where a clip names none
    fold : int array of shape (n,), 0 to K - 1
    scores : float64 array of shape (n,), of each clip by the learner that was fitted
        without its fold; unclipped
    learners : K fitted learners, or none where they could not be stored
    """

    ids: tuple[str, ...]
    systems: tuple[str, ...]
    fold: np.ndarray
    scores: np.ndarray
    learners: tuple[Learner, ...]

    @classmethod
    def fit(
        cls,
        new: Callable[[], Learner],
        X: np.ndarray,
        labelled: Rows,
        layout: Layout,
        fold: np.ndarray,
    ) -> CrossFit:
        """Fit a learner without each fold, and predict that fold by it.

        Parameters
        ----------
        new : makes an unfitted learner
        X, layout : see `Learner.fit`
        labelled : n rows of a single aspect
        fold : int array of shape (n,)
        """
        numbers, fold = np.unique(fold, return_inverse=True)
        labels = labelled.labels[:, 0]
        weights = labelled.weights
        together = labelled.together
        scores = np.empty(len(labels))
        learners = []
        for number in range(len(numbers)):
            test = fold == number
            # Learners keep the same groups together in folds of their own.
            learner = new().fit(
                X[~test],
                labels[~test],
                layout,
                sample_weight=None if weights is None else weights[~test],
                groups=None if together is None else together[~test],
            )
            scores[test] = learner.predict(X[test])
            learners.append(learner)
        return cls(
            ids=tuple(labelled.ids),
            systems=tuple(labelled.systems),
            fold=fold,
            scores=scores,
            learners=tuple(learners),
        )

    def weights(self, clip_ids: Sequence[str], systems: Sequence[str]) -> np.ndarray:
        """What the learner of each fold counts in the prediction of each clip.

        Parameters
        ----------
        clip_ids, systems : m names; the system is "" where it is not known

        Returns
        -------
        weights : array of shape (m, K), rows sum to 1. A clip of the fit has the
            learner without it; another clip of a system of the fit has the learners
            without clips of that system, by their numbers of them; any other clip has
            all learners
        """
        own = np.eye(int(self.fold.max()) + 1)[self.fold]
        of_clip = dict(zip(self.ids, own, strict=True))
        of_system: dict[str, np.ndarray] = {}
        for name in set(self.systems):
            is_of_system = np.array([one == name for one in self.systems])
            of_system[name] = own[is_of_system].mean(axis=0)

        of_all = own.mean(axis=0)
        rows = [
            of_clip.get(clip, of_system.get(system, of_all))
            for clip, system in zip(clip_ids, systems, strict=True)
        ]
        return np.array(rows).reshape(-1, own.shape[1])

    def predict(
        self, X: np.ndarray, clip_ids: Sequence[str], systems: Sequence[str]
    ) -> np.ndarray:
        """Scores by learners that were fitted without the system of each clip.

        Parameters
        ----------
        X : m rows, see `Learner.predict`
        clip_ids, systems : see `weights`

        Raises
        ------
        UsageError
            when the learners are not there.
        """
        if not self.learners:
            raise UsageError(
                "This stack keeps no learners of its folds: those of scikit-learn are "
                "not stored. Fit it with a learner that has a name."
            )
        by_fold = np.column_stack([learner.predict(X) for learner in self.learners])
        return np.sum(by_fold * self.weights(clip_ids, systems), axis=1)

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Facts for JSON, and named arrays."""
        kept = [one for one in self.learners if not isinstance(one, SklearnLearner)]
        arrays = {"scores": self.scores}
        for number, learner in enumerate(kept):
            for name, array in learner.to_arrays().items():
                arrays[f"{number}.{name}"] = array
        facts = {
            "ids": list(self.ids),
            "systems": list(self.systems),
            "fold": self.fold.tolist(),
            "learners": [learner.facts_ for learner in kept],
        }
        return facts, arrays

    @classmethod
    def from_state(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        like: Learner,
    ) -> CrossFit:
        """What `to_state` wrote.

        Parameters
        ----------
        facts, arrays : what `to_state` returned
        like : a fitted learner of the same kind

        Raises
        ------
        KeyError, TypeError, ValueError, DamagedArtifact
            when something is missing, or does not fit the rest.
        """
        ids = tuple(map(str, facts["ids"]))
        systems = tuple(map(str, facts["systems"]))
        fold = np.array(facts["fold"], dtype=np.int64)
        scores = arrays["scores"]
        n_folds = len(facts["learners"])
        if not len(ids) == len(set(ids)) == len(systems) == len(fold) > 0:
            raise ValueError("one system and one fold per clip are needed")
        if scores.shape != fold.shape or not np.isfinite(scores).all():
            raise ValueError("one finite out-of-fold score per clip is needed")
        found = np.unique(fold)
        if not np.array_equal(found, np.arange(len(found))):
            raise ValueError("folds are numbers from 0 on")
        if n_folds not in {0, len(found)}:
            raise ValueError("one learner per fold is needed")

        learners = []
        for number, learner_facts in enumerate(facts["learners"]):
            own = {
                name.removeprefix(f"{number}."): array
                for name, array in arrays.items()
                if name.startswith(f"{number}.")
            }
            learners.append(
                type(like).from_arrays(
                    own, like.layout_, learner_facts, like.get_params(deep=False)
                )
            )
        return cls(
            ids=ids,
            systems=systems,
            fold=fold,
            scores=scores.astype(np.float64),
            learners=tuple(learners),
        )


def out_of_fold_table(
    cross_fits: Mapping[str, CrossFit | None], clip_ids: Sequence[str], bins: ScoreBins
) -> pd.DataFrame:
    """The scores of the rows left out, clipped to the scale.

    Parameters
    ----------
    cross_fits : of each aspect, in order
    clip_ids : all clips that may have a score, in order
    bins : the scale

    Returns
    -------
    scores : see `meta.regressor.MetaRegressor.out_of_fold_`
    """
    columns = {}
    scored: set[str] = set()
    for aspect, known in cross_fits.items():
        columns[aspect] = pd.Series(dtype=float)
        if known is not None:
            clipped = np.clip(known.scores, bins.low, bins.high)
            columns[aspect] = pd.Series(clipped, index=list(known.ids))
            scored.update(known.ids)
    ids = [clip for clip in clip_ids if clip in scored]
    table = {aspect: scores.reindex(ids) for aspect, scores in columns.items()}
    return pd.DataFrame(table, index=pd.Index(ids, name="clip_id", dtype=object))
