"""BaseConfig: everything that decides what a base model is and how it is trained.

It is frozen data whose defaults are the paper's. Presets are TOML files that state only
what differs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from base_models.bins import TARGET_SIGMA, ScoreBins
from base_models.errors import UsageError, one_of
from base_models.files import sha256, to_json

TRAINING_VERSION = 1
"""Raised when the same config, data and seed would train other weights.

Runs of an older version are then trained anew.
"""
CRITERIA = ("gaussian", "ce", "l1", "coral", "huber", "histogram", "beta")
SCALAR_CRITERIA = ("l1", "huber")
RATING_CRITERIA = ("histogram", "beta")
"""Criteria that learn from single ratings, not from their mean alone."""
SELECTION = ("loss", "srcc", "last")
CHOICES = {
    "architecture": ("architecture", ("dual_branch", "co_attention", "pooled")),
    "criterion": ("criterion", CRITERIA),
    "temporal": ("temporal block", ("transformer", "mamba", "bilstm")),
    "pooling": ("pooling", ("attention", "mean")),
    "co_attention": ("co-attention", ("sequence", "vanilla", "cross", "none")),
    "alignment": (
        "alignment",
        ("none", "sinkhorn", "gromov_wasserstein", "contrastive"),
    ),
    "optimizer": ("optimizer", ("adamw", "sgd")),
    "aspect_loss": ("aspect loss", ("sum", "mean")),
    "select_on": ("selection metric", SELECTION),
}
"""Keys that name a part: the words for the key in a message, and its legal values."""
UNHASHED = ("name", "audio_encoder", "text_encoder")
"""Keys that are no part of a config's signature."""
READ_BY = {
    "temporal": "dual_branch",
    "pooling": "dual_branch",
    "decoupled": "dual_branch",
    "co_attention": "co_attention",
    "alignment": "co_attention",
}
"""The one architecture that reads a key; under any other it must keep its default."""


@dataclass(frozen=True)
class BaseConfig:
    """One base model and how it is trained.

    The defaults are DORA-MOS (section II; its published code for what the paper leaves
    out). The presets of WhisQ and of the CLAP baseline state how they differ.

    Parameters
    ----------
    name : str, names the run
    criterion : str
        ``"gaussian"`` soft targets (Eq. 1), ``"ce"`` nearest bin, ``"l1"`` scalar,
        ``"coral"`` thresholds, ``"huber"`` scalar (WhisQ, Eq. 9), ``"histogram"`` the
        raters' histogram, ``"beta"`` the likelihood of single ratings under a Beta
        distribution (DORA-MOS, section V: annotator disagreement).
    sigma : float
        Width of the Gaussian targets, in score points; ``"histogram"`` and ``"beta"``
        use it for clips without single ratings.
    coral_ranks : int
        0 puts one threshold on every bin centre and keeps the fractions of the MOS;
        5 is the published code's form, thresholds at 1, 2, 3, 4.
    decoupled : bool
        Text aspects attend to the encoder's own frames, so their gradients never reach
        the temporal block.
    attention_heads : int, of the temporal block and of the cross-attention
    dropout : float
    learning_rate, weight_decay, batch_size, max_epochs : of the optimizer
    patience : int, epochs without a better `select_on` before training stops
    select_on : str
        The one metric that stops training and picks the checkpoint, measured on the
        inner validation clips: ``"loss"`` or ``"srcc"`` (mean utterance SRCC over
        aspects); ``"last"`` trains all epochs and keeps the last.
    inner_validation : float
        Share of the training clips held out for that, stratified by system and score
        band.
    bins : ScoreBins, the scale
    architecture : str
        ``"dual_branch"`` (DORA-MOS, Fig. 1), ``"co_attention"`` (WhisQ, Fig. 1) or
        ``"pooled"``: clip-level means under linear heads (the official CLAP baseline).
    temporal : str
        Block over the frames: ``"transformer"``, ``"mamba"`` or ``"bilstm"`` (DORA-MOS,
        Table II).
    pooling : str
        Over frames and over tokens: ``"attention"`` or ``"mean"`` (same table).
    co_attention : str
        ``"sequence"`` both ways (WhisQ, Eq. 3-4), ``"vanilla"`` one module whose
        queries are the pooled vectors, ``"cross"`` text queries audio only, ``"none"``
        the plain means (WhisQ, Table II).
    alignment : str
        Extra loss that draws the projected tokens to the frames: ``"sinkhorn"`` (WhisQ,
        Eq. 10), ``"gromov_wasserstein"`` or ``"contrastive"`` (its section V), or
        ``"none"``.
    alignment_weight : float, its factor λ (Eq. 8); 0 leaves it out
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

    name: str = "dora"
    criterion: str = "gaussian"
    sigma: float = TARGET_SIGMA
    coral_ranks: int = 0
    decoupled: bool = False
    attention_heads: int = 4
    dropout: float = 0.3
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    batch_size: int = 32
    max_epochs: int = 100
    patience: int = 15
    select_on: str = "loss"
    inner_validation: float = 0.15
    bins: ScoreBins = field(default_factory=ScoreBins)
    architecture: str = "dual_branch"
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
    audio_encoder: str = "muq"
    text_encoder: str = "roberta"

    def __post_init__(self) -> None:
        for key, (what, legal) in CHOICES.items():
            one_of(getattr(self, key), legal, what)
        self._check_numbers()
        self._check_unread_keys()

    def _check_numbers(self) -> None:
        if not 0 < self.inner_validation < 1:
            raise UsageError(
                "inner_validation must lie between 0 and 1; "
                f"got {self.inner_validation}."
            )
        positive = (
            "attention_heads",
            "batch_size",
            "max_epochs",
            "patience",
            "alignment_stride",
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
        for name in ("weight_decay", "alignment_weight", "clip_norm"):
            value = getattr(self, name)
            if not value >= 0:
                raise UsageError(f"{name} must not be negative; got {value}.")
        # With a momentum of 1 old gradients would never fade.
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum must lie in 0..1; got {self.momentum}.")

    def _check_unread_keys(self) -> None:
        """Refuse a key that nothing reads: it would look like a setting that works."""
        # Fields made by a factory have no default here, but READ_BY names none of them.
        defaults = {item.name: item.default for item in fields(self)}
        for key, architecture in READ_BY.items():
            value = getattr(self, key)
            if self.architecture != architecture and value != defaults[key]:
                raise UsageError(
                    f"{key} = {value!r} belongs to the architecture '{architecture}', "
                    f"but this one is '{self.architecture}'. "
                    f"Leave it at {defaults[key]!r}."
                )
        if self.momentum and self.optimizer != "sgd":
            raise UsageError(
                "momentum belongs to the optimizer 'sgd', but this one is "
                f"'{self.optimizer}'. Set it to 0."
            )
        if self.start_at_mean and self.criterion not in SCALAR_CRITERIA:
            raise UsageError(
                f"start_at_mean needs a scalar criterion ({', '.join(SCALAR_CRITERIA)})"
                f"; got '{self.criterion}'."
            )

    @property
    def reads_ratings(self) -> bool:
        """Whether the criterion learns from single ratings."""
        return self.criterion in RATING_CRITERIA

    def updated(self, changes: Mapping[str, Any], source: str) -> BaseConfig:
        """Make a copy with `changes` applied.

        Parameters
        ----------
        changes : key to value; ``bins`` may be a mapping
        source : str, the file or caller that a message names

        Raises
        ------
        UsageError
            when a key is unknown, or a value has the wrong type or is illegal.
        """
        known = [item.name for item in fields(self)]
        for key, value in changes.items():
            if key not in known:
                raise UsageError(
                    f"{source}: unknown key '{key}'. Known: {', '.join(known)}."
                )
            if key != "bins":
                self._check_type(key, value, source)

        values = dict(changes)
        if isinstance(values.get("bins"), Mapping):
            # An unknown key is a TypeError of the constructor.
            try:
                values["bins"] = ScoreBins(**values["bins"])
            except TypeError as error:
                raise UsageError(f"{source}: [bins] {error}.") from error
        return replace(self, **values)

    def _check_type(
        self,
        key: str,
        value: Any,
        source: str,
    ) -> None:
        current = getattr(self, key)

        # The exact type, because isinstance would take True for an integer.
        whole_number_for_float = isinstance(current, float) and type(value) is int
        if type(value) is not type(current) and not whole_number_for_float:
            raise UsageError(
                f"{source}: '{key}' must be {type(current).__name__}; got {value!r}."
            )

    @classmethod
    def from_toml(cls, path: Path | str) -> BaseConfig:
        """The defaults, changed by a TOML file."""
        return cls().updated(_read_toml(Path(path)), str(path))

    @classmethod
    def preset(cls, name: str, settings: str | None = None) -> BaseConfig:
        """A preset by name, optionally under other training settings.

        Parameters
        ----------
        name : str, one of `MODELS`
        settings : str, one of `SETTINGS`, e.g. ``"embedded"``; None changes nothing
        """
        one_of(name, MODELS, "preset")
        config = cls.from_toml(_PRESETS / f"{name}.toml")
        if settings is None:
            return config

        one_of(settings, SETTINGS, "training settings")
        changes = _read_toml(_PRESETS / "settings" / f"{settings}.toml")
        return config.updated(changes, settings)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> BaseConfig:
        """Invert `to_dict`; `source` is named in messages."""
        return cls().updated(values, source)

    def signature(self, **context: Any) -> str:
        """Ten hex digits that identify the config and `context` (data, encoders, seed).

        Only what differs from the defaults is hashed: a key that is added with a new
        default leaves the signatures of older runs as they were. Names are not hashed;
        the context has the signatures of the encoders that are really used.
        """
        defaults = BaseConfig().to_dict()
        changed = {
            key: value
            for key, value in self.to_dict().items()
            if key not in UNHASHED and value != defaults[key]
        }
        # Names and layout are part of the signature of every run that was trained.
        hashed = {"version": TRAINING_VERSION, "config": changed, "context": context}
        return sha256(to_json(hashed))[:10]


_PRESETS = Path(str(files("base_models").joinpath("presets")))


def _preset_names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


MODELS = _preset_names(_PRESETS)
SETTINGS = _preset_names(_PRESETS / "settings")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    # Wrong TOML and bytes that are not UTF-8 are both ValueErrors.
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
