"""Settings: frozen configs whose keys are read from TOML, checked and hashed.

A config is a frozen dataclass; a preset is a TOML file that states only what differs
from its defaults.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Self

from base_models.bins import ScoreBins
from base_models.errors import (
    UsageError,
    machine_fault,
    nearest_name,
    one_of,
    shortened,
)
from base_models.files import sha256, to_json
from base_models.mono_rules import MIX, MONO_RULES

UNHASHED = ("name", "audio_encoder", "text_encoder", "standardise")
"""Keys that are no part of a config's signature.

The context has what they come to: the encoders, and those that are standardised.
"""
TRAINING_VERSION = 1
"""Raised when the same config, data and seed would train other models.

Runs of an older version are then trained anew.
"""
TYPE_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}
"""Types of settings, as messages call them."""
PRESETS = Path(str(files("base_models").joinpath("presets")))
"""Folder of the presets."""


def toml_names(folder: Path) -> tuple[str, ...]:
    """Names of the TOML files of a folder, in order."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the configs of all families of base models have in common.

    Parameters
    ----------
    name : str
        Names the run.
    bins : ScoreBins
        The scale.
    audio_only : bool
        Predict every aspect from the audio alone, text aspects too.
    audio_encoder, text_encoder : str
        Names of the frozen encoders that the model is built on, unless others are
        asked for; see `base_models.encoders`.
    mono : str
        How the channels of a clip become one, one of
        `base_models.mono_rules.MONO_RULES`.
    """

    FOLDER: ClassVar[Path]
    """Where the presets of this family are."""
    TRAINING_SETTINGS: ClassVar[tuple[str, ...]] = ()
    """Names of training settings that can be laid over a preset."""

    name: str = ""
    bins: ScoreBins = field(default_factory=ScoreBins)
    audio_only: bool = False
    audio_encoder: str = "muq"
    text_encoder: str = "roberta"
    mono: str = MIX

    def __post_init__(self) -> None:
        one_of(self.mono, MONO_RULES, "mono")

    def standardises(self, normalised: bool) -> bool:
        """Whether the embeddings of an encoder are standardised before they are read.

        Parameters
        ----------
        normalised : bool
            What the encoder declares, see `EncoderSpec`.
        """
        return False

    def updated(self, changes: Mapping[str, Any], source: str) -> Self:
        """Make a copy with `changes` applied.

        Parameters
        ----------
        changes : key to value
            A key of the group ``bins`` is named ``"bins.grid"``, or stands in a mapping
            under ``"bins"``. What is not named stays as it is.
        source : str, the file or caller that a message names

        Raises
        ------
        UsageError
            when a key is unknown, or a value has the wrong type or is illegal.

        Examples
        --------
        >>> from base_models.config import BaseConfig
        >>> changes = {"sigma": 0.3, "bins.count": 10, "bins": {"grid": "endpoints"}}
        >>> BaseConfig().updated(changes, "here").bins
        ScoreBins(low=1.0, high=5.0, count=10, grid='endpoints')
        """
        current = {item.name: getattr(self, item.name) for item in fields(self)}
        bin_settings = asdict(self.bins)
        known = self.setting_names()
        values = dict(current)
        for key, value in _single_settings(changes, source):
            # A whole scale, as a library user may give it.
            if key == "bins":
                values["bins"] = value
                bin_settings = asdict(value)
                continue
            if key not in known:
                raise UsageError(_unknown_key(key, known, source))
            group, _, inner_key = key.rpartition(".")
            settings = bin_settings if group else values
            inner_key = inner_key or key
            settings[inner_key] = _checked_value(
                key, value, current=settings[inner_key], source=source
            )

        values["bins"] = ScoreBins(**bin_settings)
        return type(self)(**values)

    @classmethod
    def setting_names(cls) -> list[str]:
        """Every key that `updated` knows, those of a group as ``bins.grid``."""
        plain = [item.name for item in fields(cls) if item.name != "bins"]
        return plain + [f"bins.{item.name}" for item in fields(ScoreBins)]

    @classmethod
    def from_toml(cls, path: Path | str) -> Self:
        """The defaults, changed by a TOML file."""
        return cls().updated(_read_toml(Path(path)), str(path))

    @classmethod
    def preset(cls, name: str, settings: str | None = None) -> Self:
        """A preset of this family by name, optionally under other training settings.

        Parameters
        ----------
        name : str
            Of a file in `FOLDER`.
        settings : str
            One of `TRAINING_SETTINGS`, e.g. ``"embedded"``; None changes nothing.
        """
        one_of(name, toml_names(cls.FOLDER), "preset")
        config = cls.from_toml(cls.FOLDER / f"{name}.toml")
        if settings is None:
            return config

        one_of(settings, cls.TRAINING_SETTINGS, "training settings")
        changes = _read_toml(cls.FOLDER / "settings" / f"{settings}.toml")
        return config.updated(changes, settings)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """Invert `to_dict`; `source` is named in messages."""
        return cls().updated(values, source)

    def signature(self, **context: Any) -> str:
        """Ten hex digits that identify the config and `context` (data, encoders, seed).

        Only what differs from the defaults is hashed: a key that is added with a new
        default leaves the signatures of older runs as they were. Names are not hashed;
        the context has the signatures of the encoders that are really used.
        """
        defaults = type(self)().to_dict()
        changed = {
            key: value
            for key, value in self.to_dict().items()
            if key not in UNHASHED and value != defaults[key]
        }
        changed |= self._versions()
        # Names and layout are part of the signature of every run that was trained.
        hashed = {"version": TRAINING_VERSION, "config": changed, "context": context}
        return sha256(to_json(hashed))[:10]

    @property
    def reads_ratings(self) -> bool:
        """Whether the model learns from single ratings."""
        return False

    def _versions(self) -> dict[str, Any]:
        """What else the signature hashes: versions of parts that the config names."""
        return {}


def _single_settings(
    changes: Mapping[str, Any], source: str
) -> Iterable[tuple[str, Any]]:
    """Yield every single setting, those of a group under names such as ``bins.grid``.

    A whole `ScoreBins` is passed on under ``bins``.
    """
    for key, value in changes.items():
        if key != "bins":
            yield key, value
        elif isinstance(value, Mapping):
            for inner_key, inner_value in value.items():
                yield f"bins.{inner_key}", inner_value
        elif isinstance(value, ScoreBins):
            yield key, value
        else:
            names = ", ".join(f"bins.{item.name}" for item in fields(ScoreBins))
            raise UsageError(
                f"{source}: 'bins' is a group of settings and not one value; got "
                f"{shortened(repr(value), 80)}. Set {names} one by one, e.g. "
                "bins.grid=endpoints."
            )


def _unknown_key(
    key: str,
    known: list[str],
    source: str,
) -> str:
    """The message about a key that is not known, with the nearest one that is."""
    nearest = nearest_name(key, known)
    group = key.partition(".")[0]
    if group in known:
        cure = f"'{group}' is one value and has no keys."
    elif nearest:
        cure = f"Did you mean '{nearest}'?"
    else:
        # In one line of a terminal's message: keys of a group stand together.
        plain = [name for name in known if "." not in name]
        inner = [name.partition(".")[2] for name in known if "." in name]
        cure = f"Known: {', '.join(plain)}, bins.{'|'.join(inner)}."
    return f"{source}: unknown key '{shortened(key, 80)}'. {cure}"


def _checked_value(
    key: str,
    value: Any,
    current: Any,
    source: str,
) -> Any:
    """Return `value` in the type of the current one.

    Raises
    ------
    UsageError
        when it is of another type, or NaN or infinite.
    """
    # A whole number in place of a number is the same setting, and must hash alike.
    if isinstance(current, float) and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    # The exact type, because isinstance would take True for an integer.
    if type(value) is not type(current):
        raise UsageError(
            f"{source}: '{key}' must be {TYPE_WORDS[type(current)]}; got "
            f"{shortened(repr(value), 80)}."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{source}: '{key}' must be finite; got {value}.")
    return value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise machine_fault(error, path) or UsageError(
            f"{path} cannot be read: {error.strerror}."
        ) from error
    # Wrong TOML and bytes that are not UTF-8 are both ValueErrors.
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
