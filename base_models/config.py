"""BaseConfig: everything that decides what a base model is, as frozen data whose defaults are the paper's.

Presets are TOML files that state only what differs. The trap: a key that nobody reads looks like a setting that
works, so an unknown key is an error that names the file.
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
"""Raised whenever the same config, data and seed would train other weights: older runs are then trained anew."""
CRITERIA = ("gaussian", "ce", "l1", "coral", "huber", "histogram", "beta")
SCALAR_CRITERIA = ("l1", "huber")
RATING_CRITERIA = ("histogram", "beta")
"""Those that learn from single ratings, not from their mean alone."""
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
"""Legal values of the keys that name a part, with the words that stand for the key in a message."""
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
    """One base model and how it is trained. The defaults are DORA-MOS (section II; published code for what it leaves
    out); the presets of WhisQ and of the CLAP baseline state how they differ.

    Parameters
    ----------
    name : str, names the run
    criterion : ``"gaussian"`` soft targets (Eq. 1), ``"ce"`` nearest bin, ``"l1"`` scalar, ``"coral"`` thresholds,
        ``"huber"`` scalar (WhisQ, Eq. 9), ``"histogram"`` the raters' histogram, ``"beta"`` the likelihood of single
        ratings under a Beta distribution (DORA-MOS, section V: annotator disagreement)
    sigma : float, width of the Gaussian targets, in score points; the last two read it for clips without ratings
    coral_ranks : int, 0 puts one threshold on every bin centre and keeps the fractions of the MOS; 5 is the published
        code's form, thresholds at 1, 2, 3, 4
    decoupled : bool, text aspects attend to the encoder's own frames, so their gradients never reach the temporal block
    attention_heads : int, of the temporal block and of the cross-attention
    dropout : float
    learning_rate, weight_decay, batch_size, max_epochs : of the optimizer
    patience : int, epochs without a better `select_on` before training stops
    select_on : ``"loss"`` or ``"srcc"`` (mean utterance SRCC over aspects), on the inner validation clips: the one
        metric that stops training and picks the checkpoint; ``"last"`` trains all epochs and keeps the last
    inner_validation : float, share of the training clips held out for that, stratified by system and score band
    bins : ScoreBins, the scale
    architecture : ``"dual_branch"`` (DORA-MOS, Fig. 1), ``"co_attention"`` (WhisQ, Fig. 1) or ``"pooled"``: clip-level
        means under linear heads (the official CLAP baseline)
    temporal : block over the frames: ``"transformer"``, ``"mamba"`` or ``"bilstm"`` (DORA-MOS, Table II)
    pooling : over frames and over tokens: ``"attention"`` or ``"mean"`` (same table)
    co_attention : ``"sequence"`` both ways (WhisQ, Eq. 3-4), ``"vanilla"`` one module whose queries are the pooled
        vectors, ``"cross"`` text queries audio only, ``"none"`` the plain means (WhisQ, Table II)
    alignment : extra loss that draws the projected tokens to the frames: ``"sinkhorn"`` (WhisQ, Eq. 10),
        ``"gromov_wasserstein"`` or ``"contrastive"`` (its section V), or ``"none"``
    alignment_weight : float, its factor λ (Eq. 8); 0 leaves it out
    alignment_stride : int, frames averaged into one before transport: its cost falls with the square
    optimizer : ``"adamw"`` or ``"sgd"`` with `momentum`
    clip_norm : float, largest gradient norm of each part of the network that shares no weight with the others; 0 never
        clips
    aspect_loss : ``"sum"`` of the aspects' losses, or their ``"mean"`` (WhisQ, Eq. 9)
    start_at_mean : bool, a scalar head starts at the training mean of its aspect instead of mid-scale
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

    def __post_init__(self):
        for key, (what, legal) in CHOICES.items():
            one_of(getattr(self, key), legal, what)
        self._check_numbers()
        self._check_parts()

    def _check_numbers(self) -> None:
        if not 0 < self.inner_validation < 1:
            raise UsageError(
                f"inner_validation must lie between 0 and 1; got {self.inner_validation}."
            )
        counts = (
            "attention_heads",
            "batch_size",
            "max_epochs",
            "patience",
            "alignment_stride",
        )
        for name in (*counts, "learning_rate", "sigma"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive; got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must lie in 0..1; got {self.dropout}.")
        if self.coral_ranks == 1 or self.coral_ranks < 0:
            raise UsageError(
                f"coral_ranks must be 0 (every bin) or at least 2; got {self.coral_ranks}."
            )
        for name in ("weight_decay", "alignment_weight", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise UsageError(
                    f"{name} must not be negative; got {getattr(self, name)}."
                )
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum must lie in 0..1; got {self.momentum}.")

    def _check_parts(self) -> None:
        """Refuse a key that the rest of the config leaves unread: it would look like a setting that works."""
        for key, architecture in READ_BY.items():
            value, default = (
                getattr(self, key),
                type(self).__dataclass_fields__[key].default,
            )
            if self.architecture != architecture and value != default:
                raise UsageError(
                    f"{key} = {value!r} belongs to the architecture '{architecture}', but this one is "
                    f"'{self.architecture}'. Leave it at {default!r}."
                )
        if self.momentum and self.optimizer != "sgd":
            raise UsageError(
                f"momentum belongs to the optimizer 'sgd', but this one is '{self.optimizer}'. Set it to 0."
            )
        if self.start_at_mean and self.criterion not in SCALAR_CRITERIA:
            raise UsageError(
                f"start_at_mean needs a scalar criterion ({', '.join(SCALAR_CRITERIA)}); got '{self.criterion}'."
            )

    @property
    def reads_ratings(self) -> bool:
        """Whether the criterion learns from single ratings."""
        return self.criterion in RATING_CRITERIA

    def updated(self, changes: Mapping[str, Any], source: str) -> BaseConfig:
        """A copy with `changes` applied; `source` (a file or a caller) stands in the message about an unknown key."""
        known = {item.name: item.type for item in fields(self)}
        changes = dict(changes)
        for key, value in changes.items():
            if key not in known:
                raise UsageError(
                    f"{source}: unknown key '{key}'. Known: {', '.join(known)}."
                )
            default = getattr(self, key)
            numeric = isinstance(default, float) and type(value) is int
            if key != "bins" and type(value) is not type(default) and not numeric:
                raise UsageError(
                    f"{source}: '{key}' must be {type(default).__name__}; got {value!r}."
                )
        if isinstance(changes.get("bins"), Mapping):
            try:
                changes["bins"] = ScoreBins(**changes["bins"])
            except TypeError as error:
                raise UsageError(f"{source}: [bins] {error}.") from error
        return replace(self, **changes)

    @classmethod
    def from_toml(cls, path: Path | str) -> BaseConfig:
        """The defaults, changed by a TOML file."""
        return cls().updated(_read_toml(Path(path)), str(path))

    @classmethod
    def preset(cls, name: str, settings: str | None = None) -> BaseConfig:
        """A preset by name, then the training settings of another (such as ``"embedded"``) laid over it."""
        config = cls.from_toml(preset_path(name, MODELS))
        if settings is not None:
            config = config.updated(
                _read_toml(preset_path(settings, SETTINGS)), settings
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> BaseConfig:
        """Back from `to_dict`."""
        return cls().updated(values, source)

    def signature(self, **context: Any) -> str:
        """Ten hex digits of what differs from the defaults (the name aside) and of `context` (data, encoders, seed)."""
        default = BaseConfig().to_dict()
        changed = {
            key: value
            for key, value in self.to_dict().items()
            if value != default[key] and key != "name"
        }
        return sha256(
            to_json(
                {"version": TRAINING_VERSION, "config": changed, "context": context}
            )
        )[:10]


def _preset_names(folder: str) -> tuple[str, ...]:
    entries = (
        files("base_models")
        .joinpath("presets", *([folder] if folder else []))
        .iterdir()
    )
    return tuple(
        sorted(
            Path(str(entry)).stem for entry in entries if str(entry).endswith(".toml")
        )
    )


MODELS = _preset_names("")
SETTINGS = _preset_names("settings")


def preset_path(name: str, legal: tuple[str, ...]) -> Path:
    """Where the TOML of a preset lies; an unknown name is refused with the nearest one."""
    one_of(name, legal, "preset" if legal is MODELS else "training settings")
    folder = Path(str(files("base_models").joinpath("presets")))
    return (folder if legal is MODELS else folder / "settings") / f"{name}.toml"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
