"""ClipModel: what base models over frozen encoders have in common.

Encoders run once per clip, through an `EmbeddingStore`; a family of models says only
how it learns from embeddings and how it predicts from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from base_models.clips.labels import as_labels, judged_by_text, text_gaps
from base_models.devices import resolve_device
from base_models.encoders import (
    Encoder,
    check_kind,
    known_encoders,
    load_encoder,
)
from base_models.encoders.embed import (
    FilledClips,
    clip_ids,
    embed_clips,
    placeholder_for,
)
from base_models.encoders.store import EmbeddingStore
from base_models.errors import (
    MISFITS,
    DamagedArtifact,
    StackedMOSError,
    UsageError,
    in_short,
    one_of,
)
from base_models.file_checks.stored_config import StoredConfig
from base_models.files import Artifact, atomic_write, seal
from base_models.frame_range import FrameRange
from base_models.networks.batches import EmbeddedClips
from base_models.precision import AUTO, FLOAT32, TF32, precision_of, signature_part
from base_models.predictions import MEAN_LABEL, RATINGS, PredictionTable
from base_models.settings import Settings

DEFAULT_STORE = "artifacts/embeddings"
ROLE = "base model"
CONFIG = "config.json"
"""File of a base model with its config and what it has seen."""
RANGE = "range.safetensors"
"""File with how far its training clips lie from each other."""
KINDS = ("audio", "text")
"""Of encoders."""

_STORED_AS = "stored_as"
_PRECISION = "precision"
_USUAL_DTYPE = "float16"

Config = TypeVar("Config", bound=Settings)


class LabelledClips(NamedTuple):
    """Ids and labels of clips, and which aspects a clip is left out of.

    Parameters
    ----------
    ids : list of n str
    labels : DataFrame of n rows, one float column per aspect
        NaN where a clip is unlabelled or left out.
    gaps : bool array of shape (n, aspects)
        Where a clip has no prompt to be judged against.
    """

    ids: list[str]
    labels: pd.DataFrame
    gaps: np.ndarray


class ClipModel(RegressorMixin, BaseEstimator, ABC, Generic[Config]):
    """A base model over frozen encoders; see `NeuralMOS` and `PooledMOS`.

    A subclass has `CONFIG_TYPE`, ``fit``, `predict_embedded`, `sigma_` and `to_files`,
    and restores in `_read_model` what the latter wrote.
    """

    CONFIG_TYPE: type[Config]
    FITTED: str
    """The attribute that marks a finished fit."""

    preset: str | Config
    settings: str | Mapping[str, Any] | None
    audio_encoder: str | None
    text_encoder: str | None
    text_aspects: Sequence[str] | None
    device: str
    precision: str | Mapping[str, str]
    store: str | Path | EmbeddingStore | None
    random_state: int

    aspects_: tuple[str, ...]
    needs_text_: tuple[bool, ...]
    config_: Config
    encoders_: dict[str, dict[str, Any]]
    trained_on_: frozenset[str]
    selected_on_: frozenset[str]
    range_: FrameRange | None
    """Of the training clips; None from too few of them, and in models that were stored
    before there was one."""
    _unasked: frozenset[str] = frozenset()
    """Kinds of encoders that a file named and no caller: their weights are not fetched,
    since a stranger would decide what this machine connects to."""

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy, which fetches no more than this model does."""
        copy: Self = super().__sklearn_clone__()
        copy._unasked = self._unasked
        return copy

    @property
    @abstractmethod
    def sigma_(self) -> float:
        """Kernel width that decodes this model's distributions."""

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict scores on the scale.

        Returns
        -------
        scores : float64 array of shape (n, aspects), or (n,) with one aspect
            NaN for the aspects that are judged against the prompt, of a clip without
            one.
        """
        distributions = self.predict_distribution(X)
        scores = self.config_.bins.decode(distributions, self.sigma_)
        return scores[:, 0] if len(self.aspects_) == 1 else scores

    def predict_distribution(self, X: pd.DataFrame) -> np.ndarray:
        """Predict the distribution over score bins of every clip.

        Returns
        -------
        distributions : float64 array of shape (n, aspects, bins)
            The last axis sums to 1, or is NaN where `predict` is.

        Raises
        ------
        ClipError
            when a clip cannot be decoded, or has no prompt where every aspect needs
            one.
        """
        check_is_fitted(self, self.FITTED)
        _, clips = self.embed(X)
        distributions = self.predict_embedded(clips)
        distributions[text_gaps(X, self.needs_text_)] = np.nan
        return distributions

    @abstractmethod
    def predict_embedded(self, clips: EmbeddedClips) -> np.ndarray:
        """Predict distributions of clips embedded with this model's encoders.

        Returns
        -------
        distributions : float64 array of shape (n, aspects, bins)
            As `predict_distribution` returns, but never NaN: nothing here tells the
            tokens of a placeholder from those of a prompt.
        """

    def prediction_table(
        self,
        name: str,
        ids: Sequence[str],
        clips: EmbeddedClips,
    ) -> PredictionTable:
        """Predict a table that also names the clips the model has seen.

        It says too how far each clip lies from the training clips, where `range_` is
        known.
        """
        return PredictionTable(
            model=name,
            clip_ids=tuple(ids),
            aspects=self.aspects_,
            distributions=self.predict_embedded(clips),
            bins=self.config_.bins,
            sigma=self.sigma_,
            trained_on=self.trained_on_,
            selected_on=self.selected_on_,
            predicts=RATINGS if self.config_.reads_ratings else MEAN_LABEL,
            distances=self.distances(clips),
        )

    def distances(self, clips: EmbeddedClips) -> np.ndarray | None:
        """How far clips lie from the training clips, judged by their audio.

        Parameters
        ----------
        clips : n clips, embedded with this model's encoders

        Returns
        -------
        distances : float64 array of shape (n,), or None where `range_` is
            See `FrameRange.distances`.
        """
        return None if self.range_ is None else self.range_.distances(clips.frames)

    def _learn_range(self, clips: EmbeddedClips, rows: Sequence[int]) -> None:
        """Keep how far the training clips, rows of `clips`, lie from each other."""
        self.range_ = FrameRange.fit(clips.take(rows).frames)

    def _range_files(self) -> dict[str, bytes]:
        """The file of the range; none where it is not known."""
        if self.range_ is None:
            return {}
        return {RANGE: safetensors.numpy.save(self.range_.to_arrays())}

    def _read_range(self, artifact: Artifact, prefix: str) -> None:
        """Restore what `_range_files` wrote."""
        self.range_ = None
        name = f"{prefix}{RANGE}"
        if name in artifact.names:
            self.range_ = FrameRange.from_arrays(
                artifact.tensors(name),
                self.encoders_["audio"]["dim"],
                f"{artifact.folder}/{name}",
            )

    def embed(self, X: pd.DataFrame) -> tuple[FilledClips, EmbeddedClips]:
        """Read the embeddings of every clip from the store, computing missing ones.

        Raises
        ------
        ClipError
            when a clip cannot be used.
        """
        check_is_fitted(self, "encoders_")
        if isinstance(self.store, EmbeddingStore):
            store = self.store
        else:
            store = EmbeddingStore(self.store, dtype=self.store_dtype_)
        audio, text = self.encoders()
        placeholder = placeholder_for(self.needs_text_)
        return embed_clips(X, store, audio, text=text, placeholder=placeholder)

    @property
    def store_dtype_(self) -> str:
        """Type of the stored embeddings that the model was trained on.

        Embeddings that are rounded otherwise are other ones.
        """
        dtype: str = self.encoders_["audio"].get(_STORED_AS, _USUAL_DTYPE)
        return dtype

    def encoder_words(self) -> tuple[str, str]:
        """Audio and text encoder, as a user writes them: ``"name"``, ``"name=folder"``.

        The preset's own, where the parameters name none.
        """
        config = self._config()
        return (
            self.audio_encoder or config.audio_encoder,
            self.text_encoder or config.text_encoder,
        )

    def encoders(self) -> tuple[Encoder, Encoder | None]:
        """Load the frozen audio and text encoders.

        The second is None when no aspect needs text.

        Raises
        ------
        UsageError
            when an encoder is of the other kind, its weights are missing, or they
            differ from those that the model was trained with. Weights of encoders that
            a file named are not fetched; see the parameters of `load`.
        """
        device = str(resolve_device(self.device))
        audio_word, text_word = self.encoder_words()
        words = {"audio": audio_word}
        if any(self.needs_text_):
            words["text"] = text_word

        # A text encoder in place of an audio encoder would take the paths for prompts,
        # and the model would be trained on them.
        for kind, word in words.items():
            check_kind(word, kind)
        mono = self._config().mono
        loaded = {
            kind: load_encoder(
                word,
                device=device,
                mono=mono,
                precision=self.precision_of(kind),
                fetch=kind not in self._unasked,
            )
            for kind, word in words.items()
        }

        # Scores are only valid with the encoder weights of the training. In a new fit
        # there are none yet.
        trained_encoders = getattr(self, "encoders_", {})
        for kind, encoder in loaded.items():
            trained = trained_encoders.get(kind)
            if trained and self.needed_signature(kind) != encoder.signature:
                raise UsageError(
                    f"The model was trained with {trained['signature']}, but {kind} "
                    f"encoder '{encoder.name}' is now {encoder.signature}; its scores "
                    "would be meaningless. Load the weights it was trained with; of an "
                    "encoder of another package, install that release."
                )
        return loaded["audio"], loaded.get("text")

    def precision_of(self, kind: str) -> str:
        """What an encoder computes in: as in training, unless the caller says other.

        Raises
        ------
        UsageError
            when the caller says other than it was trained with.
        """
        asked = precision_of(kind, self.precision)
        facts = getattr(self, "encoders_", {}).get(kind)
        if facts is None:
            return asked
        trained = str(facts.get(_PRECISION, FLOAT32))
        spec = known_encoders().specs.get(facts["name"])
        # One that has a single precision takes whatever is asked of the others.
        if trained == FLOAT32 and spec is not None and not spec.mixed_precision:
            return FLOAT32
        # Without tf32, float32 is the nearest to it, for whoever asks for it.
        if asked in (AUTO, trained) or (trained, asked) == (TF32, FLOAT32):
            return trained if asked == AUTO else asked
        raise UsageError(
            f"The model was trained on {kind} embeddings in {trained}, and its scores "
            f"of others would not be comparable; leave precision='{asked}' out, or "
            "train it again with it."
        )

    def needed_signature(self, kind: str) -> str:
        """Signature of the encoder that a fitted model needs, in `precision_of` it."""
        facts = self.encoders_[kind]
        signature = str(facts["signature"])
        is_in_float32 = self.precision_of(kind) == FLOAT32
        if is_in_float32 and facts.get(_PRECISION) == TF32:
            return signature.removesuffix(f"-{signature_part(TF32)}")
        return signature

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """Return the model as named files, of which `CONFIG` is one.

        These are what `save` writes and what a saved stack contains.
        """

    def save(self, folder: Path | str) -> None:
        """Write `to_files` to `folder`, sealed with a manifest."""
        for name, data in self.to_files().items():
            atomic_write(Path(folder) / name, data)
        seal(folder, ROLE)

    @classmethod
    def load(cls, folder: Path | str, **overrides: Any) -> Self:
        """Read what `save` wrote; the encoders are loaded when first needed.

        Parameters
        ----------
        folder : Path or str
        **overrides
            Parameters to change, such as ``device``, ``store`` or the encoders, where
            their weights are in another folder, or may be fetched from the hub:
            ``audio_encoder="muq"``.

        Raises
        ------
        DamagedArtifact
            when a file changed or the model does not fit the config.
        """
        return cls.from_artifact(Artifact(folder, ROLE), **overrides)

    @classmethod
    def from_artifact(
        cls, artifact: Artifact, prefix: str = "", **overrides: Any
    ) -> Self:
        """Read a model from files below `prefix` in an artifact that may hold more.

        Parameters and errors are those of `load`.
        """
        for name in overrides:
            one_of(name, cls._get_param_names(), f"parameter of {cls.__name__}")

        source = f"{artifact.folder}/{prefix}"
        facts = artifact.json(f"{prefix}{CONFIG}")
        try:
            # A file may come from anywhere: only what is named there may be chosen by
            # it, and never a place to write, a device or a function.
            stored = StoredConfig.parse(facts)
            config = cls.CONFIG_TYPE.from_dict(stored.config, f"{source}{CONFIG}")
            # The whole config stands in for the preset, so that a clone of the loaded
            # model can be fitted again even where presets have changed since.
            params = {"preset": config, **stored.params, **overrides}
            model = cls(**params)
            model.config_ = config
            model.aspects_ = stored.aspects
            model.needs_text_ = stored.needs_text
            model.encoders_ = stored.encoders
            model.trained_on_ = stored.trained_on
            model.selected_on_ = stored.selected_on
            model._unasked = frozenset(
                kind for kind in KINDS if f"{kind}_encoder" not in overrides
            )
            model._read_model(artifact, prefix)
            model._read_range(artifact, prefix)
        except StackedMOSError:
            raise
        except MISFITS as error:
            raise DamagedArtifact(
                f"{source}: not a base model of this version ({in_short(error)})."
            ) from error
        return model

    @abstractmethod
    def _read_model(self, artifact: Artifact, prefix: str) -> None:
        """Restore what is not in `CONFIG`.

        A file that does not fit raises KeyError, TypeError or another of `MISFITS`.
        """

    def _facts(self) -> dict[str, Any]:
        """Everything in `CONFIG`: parameters, config and what was seen."""
        pairs = zip(self.aspects_, self.needs_text_, strict=True)
        text_aspects = [aspect for aspect, needs_text in pairs if needs_text]
        audio_encoder, text_encoder = self.encoder_words()
        return {
            # With the config, these are all that a new fit needs.
            "params": {
                "audio_encoder": audio_encoder,
                "text_encoder": text_encoder,
                "text_aspects": text_aspects,
                "random_state": self._seed(),
            },
            "config": self.config_.to_dict(),
            "aspects": list(self.aspects_),
            "needs_text": list(self.needs_text_),
            "encoders": self.encoders_,
            "trained_on": sorted(self.trained_on_),
            "selected_on": sorted(self.selected_on_),
        }

    def _begin_fit(self, X: pd.DataFrame, y: ArrayLike | pd.DataFrame) -> LabelledClips:
        """Forget an older fit, settle config and aspects, and read the labels."""
        # A fit that fails must leave nothing to predict with.
        self.__dict__.pop(self.FITTED, None)

        ids = clip_ids(X)
        labels = as_labels(y, len(ids))
        self.config_ = self._resolve_config()
        needs_text = judged_by_text(labels.columns, self.text_aspects)
        if self.config_.audio_only:
            needs_text = (False,) * len(needs_text)
        self.aspects_ = tuple(labels.columns)
        self.needs_text_ = needs_text
        gaps = text_gaps(X, needs_text)
        return LabelledClips(ids, labels.mask(gaps), gaps)

    def _config(self) -> Config:
        """The config of the fitted model; before a fit, the one it would have."""
        return getattr(self, "config_", None) or self._resolve_config()

    def _resolve_config(self) -> Config:
        """The preset with the settings laid over it."""
        if isinstance(self.preset, str):
            named_settings = self.settings if isinstance(self.settings, str) else None
            config = self.CONFIG_TYPE.preset(self.preset, named_settings)
        else:
            config = self.preset
        if isinstance(self.settings, Mapping):
            config = config.updated(self.settings, "settings")
        return config

    def _encoder_facts(self) -> dict[str, dict[str, Any]]:
        """Name, signature, width and licence of each encoder, by its kind."""
        # A new fit may use other encoders than the last one.
        self.__dict__.pop("encoders_", None)
        audio, text = self.encoders()
        loaded = {"audio": audio}
        if text is not None:
            loaded["text"] = text

        facts: dict[str, dict[str, Any]] = {}
        for kind, encoder in loaded.items():
            facts[kind] = {
                "name": encoder.name,
                "signature": encoder.signature,
                "dim": encoder.dim,
                "licence": encoder.licence,
                "frame_rate": encoder.frame_rate,
            }
            if self.config_.standardises(encoder.normalised):
                facts[kind]["standardised"] = True
            # Only where they are others, so that usual models keep their bytes.
            if encoder.precision != FLOAT32:
                facts[kind][_PRECISION] = encoder.precision
            dtype = getattr(self.store, "dtype", _USUAL_DTYPE)
            if dtype != _USUAL_DTYPE:
                facts[kind][_STORED_AS] = dtype
        return facts

    def _seed(self) -> int:
        seed = self.random_state
        # True is an int to Python, but not a seed that anybody means.
        is_integer = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not is_integer or not 0 <= seed < 2**32:
            raise UsageError(
                f"random_state must be an integer in 0..2**32 - 1; got {seed!r}."
            )
        return int(seed)
