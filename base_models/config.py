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
CRITERIA = ("gaussian", "ce", "l1", "coral")
SELECTION = ("loss", "srcc")


@dataclass(frozen=True)
class BaseConfig:
    """One base model of the DORA family and how it is trained (DORA-MOS, section II; published code for what it
    leaves out).

    Parameters
    ----------
    name : str, names the run
    criterion : ``"gaussian"`` soft targets (Eq. 1), ``"ce"`` nearest bin, ``"l1"`` scalar, ``"coral"`` thresholds
    sigma : float, width of the Gaussian targets, in score points
    coral_ranks : int, 0 puts one threshold on every bin centre and keeps the fractions of the MOS; 5 is the published
        code's form, thresholds at 1, 2, 3, 4
    decoupled : bool, text aspects attend to the encoder's own frames, so their gradients never reach the temporal block
    attention_heads : int, of the temporal block and of the cross-attention
    dropout : float
    learning_rate, weight_decay, batch_size, max_epochs : of AdamW
    patience : int, epochs without a better `select_on` before training stops
    select_on : ``"loss"`` or ``"srcc"`` (mean utterance SRCC over aspects), on the inner validation clips: the one
        metric that stops training and picks the checkpoint
    inner_validation : float, share of the training clips held out for that, stratified by system and score band
    bins : ScoreBins, the scale
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

    def __post_init__(self):
        one_of(self.criterion, CRITERIA, "criterion")
        one_of(self.select_on, SELECTION, "selection metric")
        if not 0 < self.inner_validation < 1:
            raise UsageError(f"inner_validation must lie between 0 and 1; got {self.inner_validation}.")
        for name in ("attention_heads", "batch_size", "max_epochs", "patience", "learning_rate", "sigma"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive; got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must lie in 0..1; got {self.dropout}.")
        if self.coral_ranks == 1 or self.coral_ranks < 0:
            raise UsageError(f"coral_ranks must be 0 (every bin) or at least 2; got {self.coral_ranks}.")

    def updated(self, changes: Mapping[str, Any], source: str) -> BaseConfig:
        """A copy with `changes` applied; `source` (a file or a caller) stands in the message about an unknown key."""
        known = {item.name: item.type for item in fields(self)}
        changes = dict(changes)
        for key, value in changes.items():
            if key not in known:
                raise UsageError(f"{source}: unknown key '{key}'. Known: {', '.join(known)}.")
            default = getattr(self, key)
            numeric = isinstance(default, float) and type(value) is int
            if key != "bins" and type(value) is not type(default) and not numeric:
                raise UsageError(f"{source}: '{key}' must be {type(default).__name__}; got {value!r}.")
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
            config = config.updated(_read_toml(preset_path(settings, SETTINGS)), settings)
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
        changed = {key: value for key, value in self.to_dict().items() if value != default[key] and key != "name"}
        return sha256(to_json({"version": TRAINING_VERSION, "config": changed, "context": context}))[:10]


def _preset_names(folder: str) -> tuple[str, ...]:
    entries = files("base_models").joinpath("presets", *([folder] if folder else [])).iterdir()
    return tuple(sorted(Path(str(entry)).stem for entry in entries if str(entry).endswith(".toml")))


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
