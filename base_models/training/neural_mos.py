"""NeuralMOS: one base model as a scikit-learn style estimator over a table of clips.

Frozen encoders run once per clip, through an `EmbeddingStore`; `fit` trains only the
network on top of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from base_models.clip_model import CONFIG, DEFAULT_STORE, ClipModel
from base_models.config import BaseConfig
from base_models.devices import CPU, kind_of, resolve_device, seeded
from base_models.encoders.embed import FilledClips, system_ids
from base_models.encoders.store import EmbeddingStore
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import Artifact, sha256, to_json
from base_models.networks.attention import Attention, explain_network
from base_models.networks.batches import EmbeddedClips
from base_models.networks.criteria import build_criterion
from base_models.networks.models import Network, build_model
from base_models.networks.standardisation import Standardisation
from base_models.precision import AUTO
from base_models.training.checkpoints import CheckpointFile
from base_models.training.loop import (
    EpochCallback,
    raw_outputs,
    train_network,
)
from base_models.training.task import TrainingTask
from base_models.training.training_data import TrainingData, check_training_data

WEIGHTS = "weights.safetensors"
HISTORY = "history.json"
AUDIO = "audio"
TEXT = "text"
SCALES = "scales.safetensors"
"""File with mean and factor of every dimension of the encoders that it standardises."""


class NeuralMOS(ClipModel[BaseConfig]):
    """One base model: frozen encoders, a small network, and score distributions.

    Source: DORA-MOS, section II.

    Parameters
    ----------
    preset : str or BaseConfig
        Name of a preset (``"dora"``, ``"dora_coral"`` …), or a config.
    settings : str, mapping or None
        Name of training settings laid over the preset (``"embedded"``), or a dict of
        changes.
    audio_encoder, text_encoder : str or None
        A registered name, or ``"name=folder"`` for local weights; None takes the
        encoder that the preset names.
    text_aspects : sequence of str or None
        Aspects judged against the prompt; None takes the known names (``ta`` …).
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"auto", "float32", "bfloat16", "tf32"}, or mapping of kind to one
        What encoders compute in, see `base_models.precision`. The fitted model keeps
        it: ``"auto"`` then is what it was trained with.
    store : str, Path, EmbeddingStore or None
        Folder of stored embeddings; None keeps them in memory only.
    checkpoint : str, Path or None
        File that training writes after every epoch and resumes from.
    random_state : int
        Seeds the weights, the order of clips and dropout.
    on_epoch : callable or None
        Called with the record of every epoch.

    Attributes
    ----------
    aspects_ : tuple of str
    needs_text_ : tuple of bool
        For each aspect, whether it is judged against the prompt.
    config_ : BaseConfig
    encoders_ : dict
        Name, signature, width and licence of each encoder, by its kind.
    model_ : Network
    history_ : list of dict
        One record per epoch.
    trained_on_, selected_on_ : frozenset of str
        Ids of the clips that the weights were trained on, and of those that chose the
        epoch (none where nothing chose it); the meta level refuses both.
    sigma_ : float
        Kernel width that decodes the distributions.
    """

    CONFIG_TYPE = BaseConfig
    FITTED = "model_"

    def __init__(
        self,
        preset: str | BaseConfig = "dora",
        settings: str | Mapping[str, Any] | None = None,
        audio_encoder: str | None = None,
        text_encoder: str | None = None,
        text_aspects: Sequence[str] | None = None,
        device: str = "auto",
        precision: str | Mapping[str, str] = AUTO,
        store: str | Path | EmbeddingStore | None = DEFAULT_STORE,
        checkpoint: str | Path | None = None,
        random_state: int = 0,
        on_epoch: EpochCallback | None = None,
    ) -> None:
        self.preset = preset
        self.settings = settings
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        self.text_aspects = text_aspects
        self.device = device
        self.precision = precision
        self.store = store
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.on_epoch = on_epoch

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike | pd.DataFrame,
        sample_weight: ArrayLike | None = None,
        groups: Sequence[object] | None = None,
        ratings: pd.DataFrame | None = None,
    ) -> NeuralMOS:
        """Train on clips and their mean opinion scores.

        Parameters
        ----------
        X : DataFrame
            Clip table: ``clip_id``, ``audio``, ``prompt`` for text aspects,
            ``system_id`` for the stratified inner split. A clip whose prompt is blank
            is learnt from for the other aspects alone.
        y : array or DataFrame of shape (n,) or (n, aspects)
            Labels on the scale; NaN is unlabelled. Column names are the aspects.
        sample_weight : array of shape (n,), or None
        groups : sequence of n names, or None
            Clips of equal names (prompts, contents) stay on one side of the inner
            split.
        ratings : DataFrame or None
            Single ratings, as `read_ratings` returns them, for a criterion that learns
            from them. Ratings of other clips are not read; a labelled clip without any
            is learnt from its mean.

        Raises
        ------
        ClipError
            when a clip cannot be decoded, or has no prompt where every aspect needs
            one, with its id and the reason.
        UsageError
            when labels are off the scale, too few, or do not fit the clips; when
            ratings are missing, or given to a criterion that does not read them.
        """
        ids, labels, gaps = self._begin_fit(X, y)
        data = check_training_data(
            self.config_,
            ids=ids,
            systems=system_ids(X),
            labels=labels,
            sample_weight=sample_weight,
            groups=groups,
            ratings=ratings,
        )
        return self._fit_network(X, data, prompted=np.all(~gaps, axis=1))

    def _fit_network(
        self, X: pd.DataFrame, data: TrainingData, prompted: np.ndarray
    ) -> NeuralMOS:
        """Embed the clips and train the network on checked data."""
        self.encoders_ = self._encoder_facts()
        model = self._build()
        # Refused before anything is embedded, which may take hours.
        max_frames = self._max_frames()
        filled, clips = self.embed(X)
        clips = replace(clips, max_frames=max_frames)
        self._measure_scales(clips, data.train, prompted)
        device = resolve_device(self.device)
        self.device_ = str(device)

        task = TrainingTask(
            clips=self._as_read(clips),
            scores=data.scores,
            weights=data.weights,
            train=data.train,
            validation=data.validation,
            histograms=data.histograms,
            prompted=prompted,
        )
        checkpoint = None
        if self.checkpoint is not None:
            identity = self._identity(filled, data)
            checkpoint = CheckpointFile(Path(self.checkpoint), identity)

        # `model_` is set last: it is what marks a finished fit.
        self.history_ = train_network(
            model,
            criterion=build_criterion(self.config_),
            task=task,
            config=self.config_,
            seed=self._seed(),
            device=device,
            checkpoint=checkpoint,
            on_epoch=self.on_epoch,
        )
        self._learn_range(clips, data.train)
        self.model_ = model
        self.trained_on_ = data.ids_of(data.train)
        self.selected_on_ = data.ids_of(data.validation)
        return self

    def predict_embedded(self, clips: EmbeddedClips) -> np.ndarray:
        """Predict distributions, shape (n, aspects, bins), of embedded clips.

        Raises
        ------
        DamagedArtifact
            when the network gives NaN or infinity.
        """
        check_is_fitted(self, "model_")
        bins = self.config_.bins
        if len(clips) == 0:
            return np.zeros((0, len(self.aspects_), bins.count))

        device = resolve_device(self.device)
        model = self.model_.to(device)
        read = self._as_read(clips)
        logits = raw_outputs(model, read, self.config_.batch_size, device=device)
        if not torch.isfinite(logits).all():
            raise DamagedArtifact(
                "The network gave NaN or infinity; its weights or the stored "
                "embeddings are damaged."
            )

        # Distributions are in float64 on the CPU, whatever the device.
        criterion = build_criterion(self.config_)
        distributions = [
            criterion.distribution(logits[:, aspect]).numpy()
            for aspect in range(len(self.aspects_))
        ]
        return np.stack(distributions, 1)

    def explain_embedded(self, clips: EmbeddedClips) -> list[tuple[Attention, ...]]:
        """Compute what the model attended to in clips embedded with its encoders.

        Returns
        -------
        explained : list of tuple of Attention
            One tuple per clip, one item per aspect.
        """
        check_is_fitted(self, "model_")
        return explain_network(
            self.model_,
            clips=self._as_read(clips),
            aspects=self.aspects_,
            needs_text=self.needs_text_,
            size=self.config_.batch_size,
            device=resolve_device(self.device),
        )

    @property
    def sigma_(self) -> float:
        """Kernel width that decodes this model's distributions."""
        return build_criterion(self.config_).sigma

    def to_files(self) -> dict[str, bytes]:
        """Return config, weights (safetensors) and history as named files.

        These are what `save` writes and what a saved stack contains.
        """
        check_is_fitted(self, "model_")
        # Weights are written from the CPU, so the bytes do not depend on the device.
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.model_.state_dict().items()
        }
        return {
            CONFIG: to_json(self._facts()),
            WEIGHTS: safetensors.torch.save(weights),
            HISTORY: to_json(self.history_),
            **self._scale_files(),
            **self._range_files(),
        }

    def _read_model(self, artifact: Artifact, prefix: str) -> None:
        self.history_ = artifact.json(f"{prefix}{HISTORY}")
        self.scales_ = _read_scales(artifact, prefix, self.encoders_)

        # Built without memory first: a config could ask for more than there is.
        arrays = artifact.tensors(f"{prefix}{WEIGHTS}")
        with torch.device("meta"):
            expected = self._build().state_dict()
        _check_weights(arrays, expected)

        # The initial weights are replaced at once.
        self.model_ = self._build()
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.model_.load_state_dict(tensors)
        # Refused now, not when the first clip is predicted.
        self._max_frames()

    def _measure_scales(
        self, clips: EmbeddedClips, rows: Sequence[int], prompted: np.ndarray
    ) -> None:
        """Measure the embeddings that are to be standardised, on the training rows.

        Parameters
        ----------
        clips : EmbeddedClips
        rows : sequence of int
            Those that the model is trained on.
        prompted : bool array of shape (n,)
            Whether a clip has a prompt of its own. The placeholder of the others says
            nothing of what prompts are like.
        """
        self.scales_ = {}
        if is_standardised(self.encoders_, AUDIO):
            frames = clips.take(rows).frames
            self.scales_[AUDIO] = Standardisation.of(frames, clips.max_frames)
        if is_standardised(self.encoders_, TEXT) and clips.tokens is not None:
            with_prompt = [row for row in rows if prompted[row]] or rows
            tokens = clips.take(with_prompt).tokens
            assert tokens is not None
            self.scales_[TEXT] = Standardisation.of(tokens)

    def _as_read(self, clips: EmbeddedClips) -> EmbeddedClips:
        """The clips as this model reads them: standardised, where it does that."""
        return replace(
            clips,
            frame_scale=self.scales_.get(AUDIO),
            token_scale=self.scales_.get(TEXT),
            max_frames=self._max_frames(),
        )

    def _scale_files(self) -> dict[str, bytes]:
        """The file of the scales; none where no encoder is standardised."""
        arrays = {}
        for kind, scale in self.scales_.items():
            arrays[f"{kind}.mean"] = scale.mean
            arrays[f"{kind}.factor"] = scale.factor
        return {SCALES: safetensors.numpy.save(arrays)} if arrays else {}

    def _max_frames(self) -> int | None:
        """Whole frames of the audio encoder in `max_seconds`; None without a limit.

        Raises
        ------
        UsageError
            when a single frame is longer.
        """
        seconds = self.config_.max_seconds
        if not seconds:
            return None
        facts = self.encoders_["audio"]
        frame_rate = facts["frame_rate"]
        # A hair more, as 0.3 s at 10 frames a second are 2.9999999 of them.
        n_frames = int(seconds * frame_rate + 1e-6)
        if n_frames < 1:
            raise UsageError(
                f"max_seconds = {seconds:g} cannot be cut from the encoder "
                f"'{facts['name']}', of which one frame stands for "
                f"{1 / frame_rate:g} s. Set max_seconds to at least that, or to 0."
            )
        return n_frames

    def _build(self) -> Network:
        """Build the network with initial weights drawn from the seed."""
        text_facts = self.encoders_.get("text")
        with seeded(self._seed(), torch.device("cpu")):
            return build_model(
                self.config_,
                self.needs_text_,
                audio_dim=self.encoders_["audio"]["dim"],
                text_dim=None if text_facts is None else text_facts["dim"],
            )

    def _identity(self, filled: FilledClips, data: TrainingData) -> str:
        """Hash what this training run is: data, encoders, config and seed.

        A checkpoint of another run is not resumed. The order of the items is part of
        the hash.
        """
        # The arrays are hashed bit by bit: labels that differ by rounding are other
        # labels.
        described = [
            self.aspects_,
            self.needs_text_,
            filled.content,
            data.ids,
            data.validation,
            data.scores.tobytes().hex(),
            data.weights.tobytes().hex(),
        ]
        if data.histograms is not None:
            described.append(data.histograms.tobytes().hex())

        context: dict[str, Any] = {
            "data": sha256(to_json(described)),
            "encoders": {
                kind: facts["signature"] for kind, facts in self.encoders_.items()
            },
            "seed": self._seed(),
        }
        # Only where they change what is trained, so that other runs keep their names.
        if kind_of(self.device_) != CPU:
            context["device"] = kind_of(self.device_)
        if self.scales_:
            context["standardised"] = sorted(self.scales_)
        return self.config_.signature(**context)


def is_standardised(encoders: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    """Whether a model standardises its encoder of a kind.

    Parameters
    ----------
    encoders : dict
        The `encoders_` of the model.
    kind : {"audio", "text"}
    """
    return bool(encoders.get(kind, {}).get("standardised", False))


def _check_weights(
    arrays: Mapping[str, np.ndarray], expected: Mapping[str, torch.Tensor]
) -> None:
    """Raise a TypeError where arrays are not the weights of a network.

    Parameters
    ----------
    arrays : mapping from str to array
    expected : mapping from str to tensor
        Of the network, without contents.
    """
    others = sorted(set(arrays) ^ set(expected))
    if others:
        raise TypeError(f"{WEIGHTS} and the network differ in {some(others)}")
    for name, tensor in expected.items():
        array = arrays[name]
        # torch.float32 is the type that numpy calls float32.
        is_of_type = str(tensor.dtype) == f"torch.{array.dtype}"
        if array.shape != tuple(tensor.shape) or not is_of_type:
            raise TypeError(
                f"{WEIGHTS}: '{name}' is {array.dtype} of shape {array.shape}, and the "
                f"network has {tensor.dtype} of shape "
                f"{tuple(tensor.shape)}"
            )


def _read_scales(
    artifact: Artifact, prefix: str, encoders: Mapping[str, Mapping[str, Any]]
) -> dict[str, Standardisation]:
    """Read what `_scale_files` wrote; a file that does not fit raises a TypeError."""
    kinds = [kind for kind in encoders if is_standardised(encoders, kind)]
    if not kinds:
        return {}

    arrays = artifact.tensors(f"{prefix}{SCALES}")
    scales = {}
    for kind in kinds:
        scale = Standardisation(arrays[f"{kind}.mean"], arrays[f"{kind}.factor"])
        shape = (encoders[kind]["dim"],)
        if scale.mean.shape != shape or scale.factor.shape != shape:
            raise TypeError(f"{SCALES} is of another width than the {kind} encoder")
        scales[kind] = scale
    return scales
