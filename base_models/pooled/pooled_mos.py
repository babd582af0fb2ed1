"""PooledMOS: a base model that regresses scores on pooled frozen embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from base_models.clip_model import CONFIG, DEFAULT_STORE, ClipModel
from base_models.clips.labels import FEWEST_LABELLED, check_labels
from base_models.clips.splits import folds as split_folds
from base_models.encoders import known_encoders
from base_models.encoders.embed import system_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.files import Artifact, to_json
from base_models.networks.batches import EmbeddedClips
from base_models.pooled.block_contributions import BlockContributions, shapley_values
from base_models.pooled.pooled_features import ClipStatistics, Pooling
from base_models.pooled.regressors import (
    InnerFolds,
    check_regressor,
    fit_regressor,
    predict_scores,
)
from base_models.pooled_config import FAMILY, PooledConfig
from base_models.precision import AUTO
from base_models.sklearn_files.estimator_files import estimator_bytes, read_estimator

TUNING = "tuning.json"
"""File with the parameters that were chosen."""
POOLING = "pooling.safetensors"
"""File with what embeddings are pooled and standardised by."""


@dataclass(frozen=True)
class _Rows:
    """The clips that an aspect is learnt from, as rows of the whole table."""

    rows: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    folds: InnerFolds


class PooledMOS(ClipModel[PooledConfig]):
    """A regressor on pooled frozen embeddings, and score distributions from it.

    Source: the weak learners of UTMOS22 (Saeki et al., 2022, section 3.2), here with a
    Gaussian process of its own spread, tuned in inner folds that keep groups together.

    Parameters
    ----------
    preset : str or PooledConfig
        Name of a preset (``"pooled_svr"``, ``"pooled_ridge"``, ``"pooled_gp"``,
        ``"pooled_forest"``), or a config.
    settings : mapping or None
        Changes of the preset.
    audio_encoder, text_encoder : str or None
        A registered name, or ``"name=folder"`` for local weights; None takes the
        encoder that the preset names.
    text_aspects : sequence of str or None
        Aspects judged against the prompt; None takes the known names (``ta`` …).
    device : {"auto", "cpu", "cuda", "mps"}
        Of the encoders.
    precision : {"auto", "float32", "bfloat16", "tf32"}, or mapping of kind to one
        What encoders compute in, see `base_models.precision`. The fitted model keeps
        it: ``"auto"`` then is what it was trained with.
    store : str, Path, EmbeddingStore or None
        Folder of stored embeddings; None keeps them in memory only.
    random_state : int
        Seeds the inner folds and the forest.

    Attributes
    ----------
    aspects_ : tuple of str
    needs_text_ : tuple of bool
        For each aspect, whether it is judged against the prompt.
    config_ : PooledConfig
    encoders_ : dict
        Name, signature, width and licence of each encoder, by its kind.
    poolings_ : list of Pooling
        Per aspect, how embeddings become features.
    regressors_ : list
        Per aspect a fitted scikit-learn regressor.
    tuning_ : list of dict
        Per aspect the parameters that were chosen, and their error in the inner folds.
    trained_on_, selected_on_ : frozenset of str
        Ids of the clips that were learnt from; nothing else is selected on.
    sigma_ : float
        Kernel width that decodes the distributions; 0 for the Gaussian process, whose
        distributions have the score as their mean.
    """

    CONFIG_TYPE = PooledConfig
    FITTED = "regressors_"

    def __init__(
        self,
        preset: str | PooledConfig = "pooled_ridge",
        settings: Mapping[str, Any] | None = None,
        audio_encoder: str | None = None,
        text_encoder: str | None = None,
        text_aspects: Sequence[str] | None = None,
        device: str = "auto",
        precision: str | Mapping[str, str] = AUTO,
        store: str | Path | EmbeddingStore | None = DEFAULT_STORE,
        random_state: int = 0,
    ) -> None:
        self.preset = preset
        self.settings = settings
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        self.text_aspects = text_aspects
        self.device = device
        self.precision = precision
        self.store = store
        self.random_state = random_state

    @property
    def sigma_(self) -> float:
        """Kernel width that decodes this model's distributions."""
        return 0.0 if self.config_.regressor == "gp" else self.config_.sigma

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike | pd.DataFrame,
        sample_weight: ArrayLike | None = None,
        groups: Sequence[object] | None = None,
    ) -> PooledMOS:
        """Learn from clips and their mean opinion scores.

        Parameters
        ----------
        X : DataFrame
            Clip table: ``clip_id``, ``audio``, ``prompt`` for text aspects,
            ``system_id`` for the stratified inner folds. A clip whose prompt is blank
            is learnt from for the other aspects alone.
        y : array or DataFrame of shape (n,) or (n, aspects)
            Labels on the scale; NaN is unlabelled. Column names are the aspects.
        sample_weight : array of shape (n,), or None
        groups : sequence of n names, or None
            Clips of equal names (prompts, contents) stay in one inner fold, unless all
            names are equal.

        Raises
        ------
        ClipError
            when a clip cannot be decoded, has no finite embedding, or has no prompt
            where every aspect needs one, with its id and the reason.
        UsageError
            when labels are off the scale, too few, or do not fit the clips.
        """
        ids, labels, _ = self._begin_fit(X, y)
        check_labels(labels, self.config_.bins)
        weights = _check_sample_weight(
            sample_weight, labels.to_numpy(), dtype=np.float64, ensure_non_negative=True
        )
        if groups is not None and len(groups) != len(ids):
            raise UsageError(f"There are {len(ids)} clips but {len(groups)} groups.")

        of_aspects = []
        for aspect in self.aspects_:
            of_aspect = self._rows_of(
                aspect, labels, weights, systems=system_ids(X), groups=groups
            )
            of_aspects.append(of_aspect)

        self.encoders_ = self._encoder_facts()
        self.device_ = "cpu"
        _, clips = self.embed(X)
        # Frames are many: they are read once for all aspects.
        statistics = ClipStatistics.of(clips)
        self.poolings_ = []
        self.tuning_ = []
        regressors = []
        for of_aspect, with_text in zip(of_aspects, self.needs_text_, strict=True):
            training = statistics.take(of_aspect.rows)
            pooling = Pooling.fit(training, with_text, self._shares_space())
            fitted = fit_regressor(
                self.config_.regressor,
                _matrix(pooling.blocks(training)),
                of_aspect.scores,
                weights=of_aspect.weights,
                folds=of_aspect.folds,
                seed=self._seed(),
            )
            self.poolings_.append(pooling)
            self.tuning_.append(fitted.record)
            regressors.append(fitted.estimator)

        rows = np.concatenate([of_aspect.rows for of_aspect in of_aspects])
        self.trained_on_ = frozenset(ids[row] for row in rows)
        self._learn_range(clips, np.unique(rows).tolist())
        self.selected_on_ = frozenset()
        # Set last: it is what marks a finished fit.
        self.regressors_ = regressors
        return self

    def predict_embedded(self, clips: EmbeddedClips) -> np.ndarray:
        """Predict distributions, shape (n, aspects, bins), of embedded clips."""
        check_is_fitted(self, self.FITTED)
        bins = self.config_.bins
        distributions = np.zeros((len(clips), len(self.aspects_), bins.count))
        if len(clips) == 0:
            return distributions

        statistics = ClipStatistics.of(clips)
        pairs = zip(self.poolings_, self.regressors_, strict=True)
        for aspect, (pooling, regressor) in enumerate(pairs):
            matrix = _matrix(pooling.blocks(statistics))
            scores, spreads = predict_scores(regressor, matrix)
            if spreads is not None:
                # Narrower than the bins, a distribution could not have any mean.
                spreads = np.maximum(spreads, bins.width / 2)
                distributions[:, aspect] = bins.gaussians(scores, spreads)
            else:
                distributions[:, aspect] = bins.soften(scores, self.config_.sigma)
        return distributions

    def explain_scores(self, clips: EmbeddedClips) -> list[list[BlockContributions]]:
        """Share each score out between the audio, the prompt and what both share.

        Shapley values: the mean, over all orders of the blocks, of how far the score
        moves when a block of the mean training clip is replaced by the clip's own.

        Returns
        -------
        explained : list of n lists of BlockContributions, one per aspect
            The contributions add up to the difference between the score, before it is
            cut to the scale, and that of the mean training clip.
        """
        check_is_fitted(self, self.FITTED)
        by_clip: list[list[BlockContributions]] = [[] for _ in range(len(clips))]
        if len(clips) == 0:
            return by_clip
        statistics = ClipStatistics.of(clips)
        parts = zip(self.aspects_, self.poolings_, self.regressors_, strict=True)
        for aspect, pooling, regressor in parts:
            blocks = pooling.blocks(statistics)
            explained = shapley_values(blocks, regressor.predict)
            for row, contributions in enumerate(by_clip):
                of_clip = BlockContributions(
                    aspect,
                    start=float(explained.start[row]),
                    contributions={
                        name: float(values[row])
                        for name, values in explained.contributions.items()
                    },
                )
                contributions.append(of_clip)
        return by_clip

    def to_files(self) -> dict[str, bytes]:
        """Return config, tuning, pooling (safetensors) and regressors (skops)."""
        check_is_fitted(self, self.FITTED)
        facts = {**self._facts(), "family": FAMILY}
        files = {CONFIG: to_json(facts), TUNING: to_json(self.tuning_)}
        arrays = {}
        for number, (aspect, regressor) in enumerate(
            zip(self.aspects_, self.regressors_, strict=True)
        ):
            files[_file_of(number)] = estimator_bytes(
                regressor, f"The regressor of '{aspect}'", cure=""
            )
            for name, array in self.poolings_[number].arrays.items():
                arrays[f"{number}.{name}"] = np.ascontiguousarray(array)
        files[POOLING] = safetensors.numpy.save(arrays)
        return files | self._range_files()

    def _read_model(self, artifact: Artifact, prefix: str) -> None:
        arrays = artifact.tensors(f"{prefix}{POOLING}")
        tuning = artifact.json(f"{prefix}{TUNING}")
        if not isinstance(tuning, list) or len(tuning) != len(self.aspects_):
            raise TypeError(f"{TUNING} is not a list of one record per aspect")
        if len(self.needs_text_) != len(self.aspects_):
            raise TypeError("'needs_text' is not of as many aspects as 'aspects'")

        poolings = []
        regressors = []
        for number, with_text in enumerate(self.needs_text_):
            start = f"{number}."
            own = {
                name.removeprefix(start): array
                for name, array in arrays.items()
                if name.startswith(start)
            }
            pooling = Pooling(own, with_text, shares_space="joint_axes" in own)
            name = f"{prefix}{_file_of(number)}"
            regressor = read_estimator(artifact.read(name), f"{artifact.folder}/{name}")
            try:
                text_dim = self.encoders_["text"]["dim"] if with_text else 0
                n_columns = pooling.check(self.encoders_["audio"]["dim"], text_dim)
                check_regressor(self.config_.regressor, regressor, n_columns)
            except ValueError as error:
                raise TypeError(f"aspect {number}: {error}") from error
            poolings.append(pooling)
            regressors.append(regressor)
        self.tuning_ = tuning
        self.poolings_ = poolings
        self.regressors_ = regressors

    def _rows_of(
        self,
        aspect: str,
        labels: pd.DataFrame,
        weights: np.ndarray,
        *,
        systems: Sequence[str],
        groups: Sequence[object] | None,
    ) -> _Rows:
        """The labelled clips of an aspect, and the inner folds of them."""
        scores = labels[aspect].to_numpy()
        # A clip of weight 0 could as well be absent.
        rows = np.flatnonzero(np.isfinite(scores) & (weights > 0))
        if len(rows) < FEWEST_LABELLED:
            raise UsageError(
                f"Training needs at least {FEWEST_LABELLED} labelled clips of every "
                f"aspect; '{aspect}' has {len(rows)}."
            )

        of_rows = None
        n_units = len(rows)
        if groups is not None:
            names = [str(name) for name in groups]
            of_rows = [names[row] for row in rows.tolist()]
            n_units = len(set(of_rows))
        # A single group, all that an outer fold may leave, is divided like none.
        if n_units < 2:
            of_rows = None
            n_units = len(rows)
        n_folds = min(self.config_.inner_folds, n_units)
        fold_of_row = split_folds(
            [systems[row] for row in rows.tolist()],
            scores[rows],
            n_folds,
            seed=self._seed(),
            groups=of_rows,
        )
        inner_folds = []
        for fold in range(n_folds):
            inside = np.flatnonzero(fold_of_row != fold)
            outside = np.flatnonzero(fold_of_row == fold)
            inner_folds.append((inside, outside))
        return _Rows(rows, scores[rows], weights[rows], inner_folds)

    def _shares_space(self) -> bool:
        """Whether audio and text embeddings lie in one space."""
        specs = known_encoders().specs
        spaces = {
            specs[facts["name"]].space
            for facts in self.encoders_.values()
            if facts["name"] in specs
        }
        return len(self.encoders_) == 2 and len(spaces) == 1 and spaces != {""}


def _matrix(blocks: Mapping[str, np.ndarray]) -> np.ndarray:
    """The blocks side by side."""
    return np.concatenate(list(blocks.values()), axis=1)


def _file_of(aspect: int) -> str:
    """File of the regressor of an aspect, by its number."""
    return f"regressor-{aspect}.skops"
