"""BaseConfig: everything that decides what a base model is and how it is trained.

It is frozen data whose defaults are DORA-MOS. Presets are TOML files that state only
what differs.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from base_models.bins import TARGET_SIGMA
from base_models.errors import UsageError, one_of
from base_models.settings import PRESETS, Settings, toml_names

CRITERION_VERSIONS = {"ce": 2}
"""As `TRAINING_VERSION`, for the runs of one criterion; 1 where it is not named.

In version 2 of ``"ce"`` a score midway between two bins is no longer shared out.
"""
CRITERIA = (
    "gaussian",
    "ce",
    "two_hot",
    "l1",
    "mse",
    "coral",
    "listwise",
    "huber",
    "histogram",
    "beta",
)
SCALAR_CRITERIA = ("l1", "mse", "huber")
RATING_CRITERIA = ("histogram", "beta")
"""Criteria that learn from single ratings, not from their mean alone."""
SELECTION = ("loss", "srcc", "last")
AT_MOST = {
    "attention_heads": 1_024,
    "hidden_layers": 64,
    "batch_size": 65_536,
    "coral_ranks": 1_000,
    "max_seconds": 86_400.0,
}
"""Largest values: a config may come from a file, and decides how much is built."""
CHOICES = {
    "architecture": ("architecture", ("dual_branch", "co_attention", "pooled")),
    "criterion": ("criterion", CRITERIA),
    "coral_form": ("form of CORAL", ("published", "textbook")),
    "temporal": ("temporal block", ("transformer", "mamba", "bilstm", "none")),
    "pooling": ("pooling", ("attention", "mean")),
    "co_attention": ("co-attention", ("sequence", "vanilla", "cross", "none")),
    "alignment": (
        "alignment",
        ("none", "sinkhorn", "gromov_wasserstein", "contrastive", "anchored"),
    ),
    "optimizer": ("optimizer", ("adamw", "sgd")),
    "aspect_loss": ("aspect loss", ("sum", "mean")),
    "select_on": ("selection metric", SELECTION),
}
"""Keys that name a part: the words for the key in a message, and its legal values."""
STANDARDISE = ("auto", "always", "never")
"""When embeddings are standardised, see `BaseConfig.standardises`."""
READ_BY = {
    "temporal": ("architecture", "dual_branch"),
    "pooling": ("architecture", "dual_branch"),
    "decoupled": ("architecture", "dual_branch"),
    "hidden_layers": ("architecture", "dual_branch"),
    "max_seconds": ("architecture", "dual_branch"),
    "co_attention": ("architecture", "co_attention"),
    "coral_form": ("criterion", "coral"),
    "momentum": ("optimizer", "sgd"),
}
"""The one part that reads a key; under any other the key must keep its default."""
ALIGNED_BY = {
    "sinkhorn": "co_attention",
    "gromov_wasserstein": "co_attention",
    "contrastive": "co_attention",
    "anchored": "dual_branch",
}
"""The one architecture that has an alignment."""
MODELS = toml_names(PRESETS)
"""Presets of neural base models."""
SETTINGS = toml_names(PRESETS / "settings")
"""Training settings that can be laid over them."""


def _default(field: Field[Any]) -> Any:
    """The default of a field, made where it has to be."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


@dataclass(frozen=True, kw_only=True)
class BaseConfig(Settings):
    """One neural base model and how it is trained.

    The defaults are DORA-MOS: architecture, criterion and bins as in its paper (section
    II); learning rate, batch size, epochs, patience, dropout, sigma and weight decay
    are the settings of its published code, since the paper gives none. The presets of
    WhisQ, of the CLAP baseline and of MuQ-Eval state how they differ.

    Parameters
    ----------
    name : str, names the run
    criterion : str
        ``"gaussian"`` soft targets (Eq. 1), ``"ce"`` one bin per label, ``"two_hot"``
        the same but for labels midway between two bins, which are shared out,
        ``"l1"`` and ``"mse"`` scalar, ``"coral"`` thresholds, ``"listwise"`` the
        Gaussian loss and a ranking of the batch, ``"huber"`` scalar (WhisQ, Eq. 9),
        ``"histogram"`` the raters' histogram, ``"beta"`` the likelihood of single
        ratings under a Beta distribution (DORA-MOS, section IV: annotator
        disagreement).
    sigma : float
        Width of the Gaussian targets, in score points; ``"histogram"`` and ``"beta"``
        use it for clips without single ratings.
    coral_form : str
        ``"published"`` as in the code of DORA-MOS: the gaps between the logits of
        neighbouring thresholds depend on the clip. ``"textbook"`` as in Cao et al.,
        2020: one threshold between any two neighbouring bins, one weight vector for all
        of them and a free bias for each.
    coral_ranks : int
        Of the published form: 0 puts one threshold on every bin centre and keeps the
        fractions of the MOS; 5 is the published code's number, thresholds at 1, 2, 3,
        4.
    listwise_weight : float
        Factor of the ranking loss of ``"listwise"``; 0 leaves it out.
    decoupled : bool
        Text aspects attend to the encoder's own frames, so their gradients never reach
        the temporal block.
    attention_heads : int, of the temporal block and of the cross-attention
    hidden_layers : int
        Of the output heads: 2 in the published code of DORA-MOS; with 1 they are
        two-layer MLPs.
    dropout : float
    learning_rate, weight_decay, batch_size, max_epochs : of the optimizer
    patience : int, epochs without a better `select_on` before training stops
    select_on : str
        The one metric that stops training and picks the checkpoint, measured on the
        inner validation clips: ``"loss"`` or ``"srcc"`` (mean utterance SRCC over
        aspects); ``"last"`` trains all epochs and keeps the last.
    inner_validation : float
        Share of the training clips held out for that, stratified by system and score
        band. 0, which only ``select_on = "last"`` allows, trains on all of them.
    bins : ScoreBins, the scale
    architecture : str
        ``"dual_branch"`` (DORA-MOS, Fig. 1), ``"co_attention"`` (WhisQ, Fig. 1) or
        ``"pooled"``: clip-level means under linear heads (the official CLAP baseline).
    audio_only : bool
        Predict every aspect from the audio alone, text aspects too.
    standardise : str
        Which embeddings are standardised, dimension by dimension, as measured on the
        training clips: ``"auto"`` those of encoders that do not declare theirs
        normalised, ``"always"`` or ``"never"``.
    max_seconds : float
        Read only the embeddings of a clip's first seconds; 0 reads all. The encoder has
        still heard the whole clip.
    temporal : str
        Block over the frames: ``"transformer"``, ``"mamba"`` or ``"bilstm"`` (DORA-MOS,
        Table II), or ``"none"``: the encoder's own frames.
    pooling : str
        Over frames and over tokens: ``"attention"`` or ``"mean"`` (same table).
    co_attention : str
        ``"sequence"`` both ways (WhisQ, Eq. 3-4), ``"vanilla"`` one module whose
        queries are the pooled vectors, ``"cross"`` text queries audio only, ``"none"``
        the plain means (WhisQ, Table II).
    alignment : str
        Extra loss on tokens and frames in one space. Of ``"co_attention"``:
        ``"sinkhorn"`` (WhisQ, Eq. 10), ``"gromov_wasserstein"`` or ``"contrastive"``
        (its section V), which draw them together. Of ``"dual_branch"``: ``"anchored"``,
        which makes their similarity follow the score. Or ``"none"``.
    alignment_weight : float, its factor λ (WhisQ, Eq. 8); 0 leaves it out
    alignment_stride : int
        Frames averaged into one before transport, whose cost falls with its square.
    optimizer : ``"adamw"``, or ``"sgd"`` with `momentum`
    momentum : float
    clip_norm : float
        Largest gradient norm of each part of the network that shares no weight with the
        others; 0 never clips.
    aspect_loss : ``"sum"`` of the aspects' losses, or their ``"mean"`` (WhisQ, Eq. 9)
    start_at_mean : bool
        A scalar head starts at the training mean of its aspect instead of mid-scale.
    audio_encoder, text_encoder : str
        Names of the frozen encoders that the model is built on, unless others are
        asked for; see `base_models.encoders`.

    Raises
    ------
    UsageError
        when a value is illegal, or a key is set that the rest of the config leaves
        unread.
    """

    FOLDER: ClassVar[Path] = PRESETS
    TRAINING_SETTINGS: ClassVar[tuple[str, ...]] = SETTINGS

    name: str = "dora"
    criterion: str = "gaussian"
    sigma: float = TARGET_SIGMA
    coral_form: str = "published"
    coral_ranks: int = 0
    listwise_weight: float = 1.0
    decoupled: bool = False
    attention_heads: int = 4
    hidden_layers: int = 2
    dropout: float = 0.3
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    batch_size: int = 32
    max_epochs: int = 100
    patience: int = 15
    select_on: str = "loss"
    inner_validation: float = 0.15
    architecture: str = "dual_branch"
    max_seconds: float = 0.0
    standardise: str = "auto"
    temporal: str = "transformer"
    pooling: str = "attention"
    co_attention: str = "sequence"
    alignment: str = "none"
    alignment_weight: float = 0.0
    alignment_stride: int = 1
    optimizer: str = "adamw"
    momentum: float = 0.0
    clip_norm: float = 0.0
    aspect_loss: str = "sum"
    start_at_mean: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.standardise, STANDARDISE, "standardise")
        for key, (what, legal) in CHOICES.items():
            one_of(getattr(self, key), legal, what)
        self._check_numbers()
        self._check_unread_keys()

    def __repr__(self) -> str:
        """Only what differs from the defaults, as scikit-learn shows estimators."""
        changed = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != _default(field)
        ]
        return f"BaseConfig({', '.join(changed)})"

    def _check_numbers(self) -> None:
        if not 0 <= self.inner_validation < 1:
            raise UsageError(
                "inner_validation must lie in 0..1, below 1; "
                f"got {self.inner_validation}."
            )
        if self.inner_validation == 0 and self.select_on != "last":
            raise UsageError(
                "inner_validation = 0 leaves no clip on which to select the epoch by "
                f"'{self.select_on}'. Set select_on = 'last', or inner_validation to a "
                "share such as 0.15."
            )
        positive = (
            "attention_heads",
            "batch_size",
            "max_epochs",
            "patience",
            "alignment_stride",
            "hidden_layers",
            "learning_rate",
            "sigma",
        )

        # The conditions are negated so that NaN, which compares as False, is refused.
        for name in positive:
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name} must be positive; got {value}.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must lie in 0..1; got {self.dropout}.")
        # One rank has no threshold.
        if self.coral_ranks == 1 or self.coral_ranks < 0:
            raise UsageError(
                "coral_ranks must be 0 (every bin) or at least 2; "
                f"got {self.coral_ranks}."
            )
        not_negative = (
            "weight_decay",
            "alignment_weight",
            "listwise_weight",
            "clip_norm",
            "max_seconds",
        )
        for name in not_negative:
            value = getattr(self, name)
            if not value >= 0:
                raise UsageError(f"{name} must not be negative; got {value}.")
        for name, most in AT_MOST.items():
            value = getattr(self, name)
            if not value <= most:
                raise UsageError(f"{name} must be at most {most:,}; got {value}.")
        # With a momentum of 1 old gradients would never fade.
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum must lie in 0..1; got {self.momentum}.")

    def _check_unread_keys(self) -> None:
        """Refuse a key that nothing reads: it would look like a setting that works."""
        # Fields made by a factory have no default here, but READ_BY names none of them.
        defaults = {item.name: item.default for item in fields(self)}
        for key, (part, legal) in READ_BY.items():
            value = getattr(self, key)
            if getattr(self, part) != legal and value != defaults[key]:
                raise UsageError(
                    f"{key} = {value!r} belongs to the {part} '{legal}', "
                    f"but this one is '{getattr(self, part)}'. "
                    f"Leave it at {defaults[key]!r}."
                )
        aligned_by = ALIGNED_BY.get(self.alignment, self.architecture)
        if self.architecture != aligned_by:
            raise UsageError(
                f"alignment = '{self.alignment}' belongs to the architecture "
                f"'{aligned_by}', but this one is '{self.architecture}'. "
                "Leave it at 'none'."
            )
        if self.coral_form == "textbook" and self.coral_ranks:
            raise UsageError(
                "coral_ranks belongs to the published form of CORAL; the textbook form "
                f"has a threshold between any two bins. Set it to 0, not "
                f"{self.coral_ranks}."
            )
        if self.start_at_mean and self.criterion not in SCALAR_CRITERIA:
            raise UsageError(
                f"start_at_mean needs a scalar criterion ({', '.join(SCALAR_CRITERIA)})"
                f"; got '{self.criterion}'."
            )

    def standardises(self, normalised: bool) -> bool:
        """Whether an encoder's embeddings are standardised, as `standardise` says."""
        if self.standardise == "auto":
            return not normalised
        return self.standardise == "always"

    def _versions(self) -> dict[str, Any]:
        version = CRITERION_VERSIONS.get(self.criterion)
        return {} if version is None else {"criterion_version": version}

    @property
    def reads_ratings(self) -> bool:
        """Whether the criterion learns from single ratings."""
        return self.criterion in RATING_CRITERIA
