"""The frozen encoders, by name: what each one is, and `load_encoder`, which builds it.

An encoder turns a clip's audio, or its prompt, into an embedding: a float32 array (T, dim). It only ever sees whole
items of equal length, never padding, so a clip's embedding cannot depend on the clips beside it. The trap: this table
is data and loads neither torch nor any weights; each encoder's own file does, when asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from base_models.errors import UsageError, one_of


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderSpec:
    """What is known of an encoder before it is loaded.

    Parameters
    ----------
    name : str, also the name of the file in this package that builds it
    kind : ``"audio"`` (items are paths) or ``"text"`` (items are prompts)
    dim : int, width of an embedding
    licence : of the weights
    sample_rate : int, Hz, audio only
    frame_rate : float, embedding frames per second, audio only
    repository, revision : where the weights are on the Hugging Face hub; none for an embedded encoder
    files : names of the weight files, ``config.json`` first
    batch_size : int, items encoded together by default
    version : int, raised whenever our own preprocessing changes what comes out
    """

    name: str
    kind: str
    dim: int
    licence: str
    sample_rate: int | None = None
    frame_rate: float | None = None
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    batch_size: int = 8
    version: int = 1

    @property
    def embedded(self) -> bool:
        """Whether it needs no weights."""
        return not self.files


_SPECS = (
    EncoderSpec(
        name="muq",
        kind="audio",
        dim=1024,
        licence="CC BY-NC 4.0",
        sample_rate=24_000,
        frame_rate=25.0,
        repository="OpenMuQ/MuQ-large-msd-iter",
        revision="0562a57814f6f8bbd9fdea0a25921a2fce1a841a",
        files=("config.json", "model.safetensors"),
        batch_size=2,  # the convolutions need about 0.8 GB for each 30 s clip
    ),
    EncoderSpec(
        name="roberta",
        kind="text",
        dim=768,
        licence="MIT",
        repository="roberta-base",
        revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        files=("config.json", "model.safetensors", "tokenizer.json"),
        batch_size=16,
    ),
    EncoderSpec(name="logmel", kind="audio", dim=128, licence="MIT", sample_rate=24_000, frame_rate=12.5),
    EncoderSpec(name="hashed_text", kind="text", dim=128, licence="MIT", batch_size=64),
)
ENCODERS: dict[str, EncoderSpec] = {spec.name: spec for spec in _SPECS}

_loaded: dict = {}
_LAZY = ("Encoder", "state_digest")


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("base_models.encoders.base"), name)


def parse_encoder(text: str) -> tuple[str, str | None]:
    """Name and weights folder from what a user writes.

    >>> parse_encoder("logmel"), parse_encoder("muq=/data/muq")
    (('logmel', None), ('muq', '/data/muq'))
    """
    name, equals, folder = text.partition("=")
    one_of(name, ENCODERS, "encoder")
    if equals and not folder:
        raise UsageError(f"Encoder '{text}' names no folder; write '{name}=FOLDER', or just '{name}'.")
    return name, folder or None


def load_encoder(name: str, folder: Path | str | None = None, device: str = "cpu"):
    """The frozen encoder `name`, ready to use; asked for twice in one process, it is built once.

    Parameters
    ----------
    name : a name in `ENCODERS`, or ``"name=FOLDER"``
    folder : local folder with the weight files; default is the Hugging Face cache, then the network
    device : ``"cpu"``, ``"cuda"`` or ``"mps"``

    Returns
    -------
    encoder : `base_models.encoders.base.Encoder`

    Raises
    ------
    UsageError
        when the name is unknown, the device is not there, the weights are not those of this architecture, or they
        cannot be found (in under 5 s, with the command that fetches them).
    DamagedArtifact
        when a weight file cannot be parsed, or holds NaN or infinity.
    """
    name, written = parse_encoder(name)
    spec, folder = ENCODERS[name], folder or written
    key = (name, str(Path(folder).expanduser().absolute()) if folder else None, str(device))
    if key in _loaded:
        return _loaded[key]
    if folder is not None and spec.embedded:
        raise UsageError(f"Encoder '{name}' needs no weights; leave the folder {folder} out.")

    from base_models.encoders.weights import WeightFiles

    files = WeightFiles.find(spec, key[1])  # before torch is loaded, so that a refusal is quick
    from base_models.devices import resolve_device

    resolve_device(device)
    _loaded[key] = importlib.import_module(f"base_models.encoders.{name}").build(spec, files, str(device))
    return _loaded[key]
