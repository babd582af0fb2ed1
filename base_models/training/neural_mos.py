"""NeuralMOS: one base model as a scikit-learn style estimator over a table of clips.

Frozen encoders run once per clip, through an `EmbeddingStore`; `fit` trains only the network on top of them. The
trap: scores mean nothing under other encoder weights than those trained with, so a model keeps its encoders'
signatures and refuses any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from base_models.clips.labels import as_labels, check_labels, judged_by_text, mean_label
from base_models.clips.ratings import check_ratings, histograms
from base_models.clips.splits import stratified_holdout
from base_models.config import BaseConfig
from base_models.devices import resolve_device
from base_models.encoders import Encoder, check_kind, load_encoder
from base_models.encoders.embed import FilledClips, clip_ids, embed_all, system_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import DamagedArtifact, UsageError, one_of
from base_models.files import Artifact, atomic_write, seal, sha256, to_json
from base_models.networks.attention import Attention, explain_network
from base_models.networks.batches import Embedded
from base_models.networks.criteria import build_criterion
from base_models.networks.models import Network, build_model
from base_models.predictions import PredictionTable
from base_models.training.loop import Progress, Task, raw_outputs, seeded, train_network

DEFAULT_STORE = "artifacts/embeddings"


class NeuralMOS(RegressorMixin, BaseEstimator):
    """One base model: frozen encoders, a small network, a distribution over score bins per clip and aspect.

    Parameters
    ----------
    preset : name of a preset (``"dora"``, ``"dora_coral"`` …), or a BaseConfig
    settings : name of training settings laid over the preset (``"embedded"``), or a dict of changes, or None
    audio_encoder, text_encoder : a registered name, or ``"name=folder"`` for local weights
    text_aspects : aspects judged against the prompt; None takes the known names (``ta`` …)
    device : ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``
    store : folder of stored embeddings, an EmbeddingStore, or None to keep them in memory only
    checkpoint : file that training writes after every epoch and resumes from, or None
    random_state : int, seeds the weights, the order of clips and dropout
    on_epoch : called with the record of every epoch

    Attributes
    ----------
    aspects_ : tuple of str
    config_ : BaseConfig
    history_ : list of one record per epoch
    trained_on_, selected_on_ : frozenset of clip ids

    Source: DORA-MOS, section II.
    """

    def __init__(
        self,
        preset="dora",
        settings=None,
        audio_encoder="muq",
        text_encoder="roberta",
        text_aspects=None,
        device="auto",
        store=DEFAULT_STORE,
        checkpoint=None,
        random_state=0,
        on_epoch: Progress | None = None,
    ):
        self.preset = preset
        self.settings = settings
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        self.text_aspects = text_aspects
        self.device = device
        self.store = store
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.on_epoch = on_epoch

    def fit(
        self, X: pd.DataFrame, y, sample_weight=None, groups=None, ratings=None
    ) -> NeuralMOS:
        """Train on clips and their mean opinion scores.

        Parameters
        ----------
        X : clip table: ``clip_id``, ``audio``, ``prompt`` for text aspects, ``system_id`` for the stratified inner
            split
        y : array or DataFrame of shape (n,) or (n, aspects), on the scale; NaN is unlabelled. Column names are the
            aspects
        sample_weight : array of shape (n,), or None
        groups : n names whose clips stay on one side of the inner split (prompts, contents), or None
        ratings : single ratings, as `read_ratings` gives them, for a criterion that learns from them, else None. Those
            of other clips are not read; a labelled clip without any is learnt from its mean

        Raises
        ------
        ClipError
            when a clip cannot be decoded or has no prompt, with its id and the reason.
        UsageError
            when labels are off the scale, too few, or do not fit the clips; when ratings are missing, or given to a
            criterion that would not read them.
        """
        vars(self).pop(
            "model_", None
        )  # a fit that fails leaves nothing to predict with
        ids, systems = clip_ids(X), system_ids(X)
        labels = as_labels(y, len(ids))
        self.config_ = self._config()
        check_labels(labels, self.config_.bins)
        scores = labels.to_numpy()
        weights = _check_sample_weight(
            sample_weight, scores, dtype=np.float64, ensure_non_negative=True
        )
        train, validation = _inner_split(
            systems, labels, weights, self.config_.inner_validation, groups
        )
        counted = self._count_ratings(
            ratings, [ids[row] for row in train], ids, labels.columns
        )
        self.aspects_, self.needs_text_ = (
            tuple(labels.columns),
            judged_by_text(labels.columns, self.text_aspects),
        )
        self.encoders_ = self._encoder_facts()
        model = self._build()
        filled, clips = self.embed(X)
        device = resolve_device(self.device)
        self.device_ = str(device)
        self.history_ = train_network(
            model,
            build_criterion(self.config_),
            Task(clips, scores, weights, train, validation, counted),
            self.config_,
            self._seed(),
            device,
            None if self.checkpoint is None else Path(self.checkpoint),
            self._identity(filled, scores, weights, ids, validation, counted),
            self.on_epoch,
        )
        self.model_ = model
        self.trained_on_ = frozenset(ids[row] for row in train)
        self.selected_on_ = frozenset(ids[row] for row in validation)
        return self

    def predict_distribution(self, X: pd.DataFrame) -> np.ndarray:
        """Distribution over score bins of every clip, shape (n, aspects, bins), float64, last axis sums to 1.

        Raises
        ------
        ClipError
            when a clip cannot be decoded or has no prompt.
        """
        check_is_fitted(self, "model_")
        return self.predict_embedded(self.embed(X)[1])

    def embed(self, X: pd.DataFrame) -> tuple[FilledClips, Embedded]:
        """Embeddings of every clip under this model's encoders, from the store.

        Raises
        ------
        ClipError
            when a clip cannot be used.
        """
        check_is_fitted(self, "encoders_")
        store = (
            self.store
            if isinstance(self.store, EmbeddingStore)
            else EmbeddingStore(self.store)
        )
        return embed_all(X, store, *self.encoders())

    def predict_embedded(self, clips: Embedded) -> np.ndarray:
        """As `predict_distribution`, for clips already embedded with this model's encoders."""
        check_is_fitted(self, "model_")
        bins = self.config_.bins
        if not len(clips):
            return np.zeros((0, len(self.aspects_), bins.count))
        device = resolve_device(self.device)
        logits = raw_outputs(
            self.model_.to(device), clips, self.config_.batch_size, device
        )
        if not torch.isfinite(logits).all():
            raise DamagedArtifact(
                "The network gave NaN or infinity; its weights or the stored embeddings are damaged."
            )
        criterion = build_criterion(self.config_)
        return np.stack(
            [
                criterion.distribution(logits[:, a]).numpy()
                for a in range(len(self.aspects_))
            ],
            1,
        )

    def explain_embedded(self, clips: Embedded) -> list[tuple[Attention, ...]]:
        """What the model attended to in clips embedded with its encoders: one `Attention` per clip and aspect."""
        check_is_fitted(self, "model_")
        device = resolve_device(self.device)
        return explain_network(
            self.model_,
            clips,
            self.aspects_,
            self.needs_text_,
            self.config_.batch_size,
            device,
        )

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Scores on the scale: shape (n, aspects), or (n,) with one aspect."""
        distributions = self.predict_distribution(X)
        scores = self.config_.bins.decode(distributions, self.sigma_)
        return scores[:, 0] if len(self.aspects_) == 1 else scores

    @property
    def sigma_(self) -> float:
        """Kernel width that decodes this model's distributions."""
        return build_criterion(self.config_).sigma

    def prediction_table(
        self, name: str, ids: Sequence[str], clips: Embedded
    ) -> PredictionTable:
        """Predictions as a table that remembers what the model was trained and selected on."""
        distributions = self.predict_embedded(clips)
        seen = self.trained_on_, self.selected_on_
        return PredictionTable(
            name,
            tuple(ids),
            self.aspects_,
            distributions,
            self.config_.bins,
            self.sigma_,
            *seen,
        )

    def encoders(self) -> tuple[Encoder, Encoder | None]:
        """The frozen encoders; no text encoder when no aspect needs one.

        Raises
        ------
        UsageError
            when an encoder is of the other kind, or its weights are missing, or differ from those that the model was
            trained with.
        """
        device = str(resolve_device(self.device))
        specs = [
            self.audio_encoder,
            *([self.text_encoder] if any(self.needs_text_) else []),
        ]
        for spec, kind in zip(specs, ("audio", "text"), strict=False):
            check_kind(
                spec, kind
            )  # a text encoder would take the paths for prompts, and train on them
        loaded = [load_encoder(spec, device=device) for spec in specs]
        for kind, encoder in zip(("audio", "text"), loaded, strict=False):
            trained = getattr(self, "encoders_", {}).get(kind)
            if trained and trained["signature"] != encoder.signature:
                raise UsageError(
                    f"The model was trained with {trained['signature']}, but {kind} encoder '{encoder.name}' is now "
                    f"{encoder.signature}; its scores would mean nothing. Load the weights it was trained with."
                )
        return loaded[0], loaded[1] if len(loaded) == 2 else None

    def to_files(self) -> dict[str, bytes]:
        """Config, weights (safetensors) and history as named files: what `save` writes and a stack carries along."""
        check_is_fitted(self, "model_")
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.model_.state_dict().items()
        }
        return {
            "config.json": to_json(self._facts()),
            "weights.safetensors": safetensors.torch.save(weights),
            "history.json": to_json(self.history_),
        }

    def save(self, folder: Path | str) -> None:
        """Write `to_files` to `folder`, sealed with a manifest."""
        for name, data in self.to_files().items():
            atomic_write(Path(folder) / name, data)
        seal(folder, "base model")

    @classmethod
    def load(cls, folder: Path | str, **overrides: Any) -> NeuralMOS:
        """Read what `save` wrote; the encoders are loaded when first needed.

        Parameters
        ----------
        overrides : parameters to change, such as ``device``, ``store`` or where the encoder's weights lie

        Raises
        ------
        DamagedArtifact
            when a file changed or the weights do not fit the config.
        """
        return cls.from_artifact(Artifact(folder, "base model"), **overrides)

    @classmethod
    def from_artifact(
        cls, artifact: Artifact, prefix: str = "", **overrides: Any
    ) -> NeuralMOS:
        """As `load`, from files below `prefix` in an artifact that may hold more."""
        for name in overrides:
            one_of(name, cls._get_param_names(), "parameter of NeuralMOS")
        facts = artifact.json(f"{prefix}config.json")
        try:
            config = BaseConfig.from_dict(
                facts["config"], f"{artifact.folder}/{prefix}config.json"
            )
            self = cls(**({"preset": config} | facts["params"] | overrides))
            self.config_ = config
            self.aspects_, self.needs_text_ = (
                tuple(facts["aspects"]),
                tuple(facts["needs_text"]),
            )
            self.encoders_ = facts["encoders"]
            self.trained_on_, self.selected_on_ = (
                frozenset(facts["trained_on"]),
                frozenset(facts["selected_on"]),
            )
            self.history_ = artifact.json(f"{prefix}history.json")
            self.model_ = self._build()
            tensors = artifact.tensors(f"{prefix}weights.safetensors")
            self.model_.load_state_dict(
                {name: torch.from_numpy(array) for name, array in tensors.items()}
            )
        except (KeyError, TypeError, RuntimeError) as error:
            raise DamagedArtifact(
                f"{artifact.folder}/{prefix}: not a base model of this version ({error})."
            ) from error
        return self

    def _facts(self) -> dict[str, Any]:
        text = [
            aspect
            for aspect, needed in zip(self.aspects_, self.needs_text_, strict=True)
            if needed
        ]
        params = {
            "audio_encoder": self.audio_encoder,
            "text_encoder": self.text_encoder,
            "text_aspects": text,
        }
        return {
            "params": params
            | {
                "random_state": self._seed()
            },  # with the config, all that a new fit would need
            "config": self.config_.to_dict(),
            "aspects": list(self.aspects_),
            "needs_text": list(self.needs_text_),
            "encoders": self.encoders_,
            "trained_on": sorted(self.trained_on_),
            "selected_on": sorted(self.selected_on_),
        }

    def _config(self) -> BaseConfig:
        if isinstance(self.preset, BaseConfig):
            config = self.preset
        else:
            config = BaseConfig.preset(
                self.preset, self.settings if isinstance(self.settings, str) else None
            )
        return (
            config.updated(self.settings, "settings")
            if isinstance(self.settings, Mapping)
            else config
        )

    def _count_ratings(
        self, ratings: pd.DataFrame | None, train, ids, aspects
    ) -> np.ndarray | None:
        """Histograms of single ratings, (n, aspects, bins), for a criterion that reads them."""
        criterion, bins = self.config_.criterion, self.config_.bins
        if not self.config_.reads_ratings:
            if ratings is not None:
                raise UsageError(
                    f"The criterion '{criterion}' learns from means; it would not read the ratings."
                )
            return None
        if ratings is None:
            raise UsageError(
                f"The criterion '{criterion}' learns from single ratings; pass them as ratings."
            )
        check_ratings(ratings, aspects, bins)
        for aspect in aspects:
            if not ratings.loc[ratings["clip_id"].isin(train), aspect].notna().any():
                raise UsageError(
                    f"No training clip has a single rating of '{aspect}', from which the criterion '{criterion}' "
                    "learns. Give such ratings, or use a criterion that learns from means."
                )
        return np.stack(
            [histograms(ratings, ids, aspect, bins) for aspect in aspects], 1
        )

    def _encoder_facts(self) -> dict[str, dict[str, Any]]:
        self.__dict__.pop("encoders_", None)  # a new fit may use other encoders
        pairs = zip(("audio", "text"), self.encoders(), strict=True)
        return {
            kind: {
                "name": encoder.name,
                "signature": encoder.signature,
                "dim": encoder.dim,
                "licence": encoder.licence,
            }
            for kind, encoder in pairs
            if encoder is not None
        }

    def _build(self) -> Network:
        dims = {kind: facts["dim"] for kind, facts in self.encoders_.items()}
        with seeded(self._seed(), torch.device("cpu")):
            return build_model(
                self.config_, self.needs_text_, dims["audio"], dims.get("text")
            )

    def _seed(self) -> int:
        seed = self.random_state
        if (
            isinstance(seed, bool)
            or not isinstance(seed, int | np.integer)
            or not 0 <= seed < 2**32
        ):
            raise UsageError(
                f"random_state must be an integer in 0..2**32 - 1; got {seed!r}."
            )
        return int(seed)

    def _identity(
        self, filled: FilledClips, scores, weights, ids, validation, counted
    ) -> str:
        """What this training run is; a checkpoint of anything else is not resumed."""
        rows = [
            filled.content,
            ids,
            validation,
            scores.tobytes().hex(),
            weights.tobytes().hex(),
        ]
        rows += [] if counted is None else [counted.tobytes().hex()]
        data = sha256(
            to_json([self.aspects_, self.needs_text_, *map(list, rows[:3]), *rows[3:]])
        )
        signatures = {
            kind: facts["signature"] for kind, facts in self.encoders_.items()
        }
        return self.config_.signature(data=data, encoders=signatures, seed=self._seed())


def _inner_split(
    systems, labels: pd.DataFrame, weights, fraction, groups=None
) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to select on: those with a label and a weight."""
    scores = labels.to_numpy()
    rows = np.flatnonzero(np.isfinite(scores).any(1) & (weights > 0))
    if len(rows) < 4:
        raise UsageError(f"Training needs at least 4 labelled clips; got {len(rows)}.")
    if groups is not None and len(groups) != len(scores):
        raise UsageError(f"There are {len(scores)} clips but {len(groups)} groups.")
    together = None if groups is None else [str(list(groups)[row]) for row in rows]
    held = stratified_holdout(
        [systems[row] for row in rows], mean_label(scores[rows]), fraction, 0, together
    )
    if held.all() or not held.any():
        raise UsageError(
            "All clips are of one group; the inner split needs at least 2."
        )
    for aspect in labels:
        if not np.isfinite(labels[aspect].to_numpy()[rows[~held]]).any():
            raise UsageError(
                f"Aspect '{aspect}' has too few labels: with {held.sum()} of {len(rows)} clips held out to select on, "
                "none is left to train on. Label more clips, or leave the aspect out."
            )
    return rows[~held].tolist(), rows[held].tolist()
