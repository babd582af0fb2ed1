"""The frozen encoders, by name: `ENCODERS` says what each one is, `load_encoder` builds it.

An encoder turns a clip's audio, or its prompt, into an embedding: a float32 array (T, dim). It only ever sees whole
items of equal length, never padding, so a clip's embedding cannot depend on the clips beside it. The trap: this table
is data and loads neither torch nor any weights; each encoder's own file does, when asked for.

Another package adds an encoder by an entry point that names an `EncoderSpec`; whoever has it installed can write its
name wherever ours go. All of it, as ``loudness.py``:

    from base_models.encoders.specs import EncoderSpec

    SPEC = EncoderSpec(
        name="loudness", kind="audio", dim=1, licence="MIT", sample_rate=16_000, frame_rate=10.0,
        # with weights: repository, revision and files=("config.json", "model.safetensors")
    )


    def build(spec, files, device):
        from torch import nn

        from base_models.encoders.base import Encoder, prepare_audio

        class Loudness(nn.Module):
            def forward(self, samples):  # (B, L) to (B, T, dim); B items of one length
                return samples.unfold(-1, 1600, 1600).square().mean(-1, keepdim=True)

        # with weights: files.json("config.json"), files.fill(module, files.tensors()), and digest=files.digest
        return Encoder(**vars(spec), module=Loudness(), prepare=prepare_audio(spec, 1600), device=device)

and in its ``pyproject.toml``:

    [project.entry-points."stackedmos.encoders"]
    loudness = "loudness:SPEC"

Its tests call `base_models.encoders.conformance.check_encoder`, which finds what an encoder gets wrong.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from base_models.encoders.outside import outside_encoders
from base_models.encoders.specs import SPECS, EncoderSpec
from base_models.errors import UsageError, one_of

_loaded: dict = {}
_LAZY = ("Encoder", "state_digest")

__all__ = [
    "ENCODERS",
    "Encoder",
    "EncoderSpec",
    "check_kind",
    "known_encoders",
    "load_encoder",
    "parse_encoder",
]
__all__ += ["state_digest"]


def __getattr__(name: str):
    if (
        name == "ENCODERS"
    ):  # looked up late: a package that offers an encoder imports this one first
        return known_encoders()[0]
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("base_models.encoders.base"), name)


@functools.cache
def known_encoders() -> tuple[dict[str, EncoderSpec], dict[str, str]]:
    """Every encoder by name, ours and those of installed packages; and the names that cannot be used, with reasons."""
    ours = {spec.name: spec for spec in SPECS}
    others, refused = outside_encoders(ours)
    return ours | others, refused


def parse_encoder(text: str) -> tuple[str, str | None]:
    """Name and weights folder from what a user writes.

    >>> parse_encoder("logmel"), parse_encoder("muq=/data/muq")
    (('logmel', None), ('muq', '/data/muq'))
    """
    name, equals, folder = text.partition("=")
    known, refused = known_encoders()
    if name in refused:
        raise UsageError(
            f"Encoder '{name}' cannot be used: {refused[name]}. Repair or remove that package."
        )
    one_of(name, known, "encoder")
    if equals and not folder:
        raise UsageError(
            f"Encoder '{text}' names no folder; write '{name}=FOLDER', or just '{name}'."
        )
    return name, folder or None


def check_kind(text: str, kind: str) -> None:
    """Refuse what a user writes for an encoder of `kind` when it is unknown or of the other kind.

    >>> check_kind("roberta", "audio")
    Traceback (most recent call last):
    base_models.errors.UsageError: 'roberta' encodes text, and an audio encoder is needed, such as 'muq' or 'logmel'.
    """
    name, _ = parse_encoder(text)
    found = known_encoders()[0][name].kind
    if found != kind:
        such = {"audio": "an audio encoder is needed, such as 'muq' or 'logmel'"}
        such |= {"text": "a text encoder is needed, such as 'roberta' or 'hashed_text'"}
        raise UsageError(f"'{name}' encodes {found}, and {such[kind]}.")


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
    spec, folder = known_encoders()[0][name], folder or written
    key = (
        name,
        str(Path(folder).expanduser().absolute()) if folder else None,
        str(device),
    )
    if key in _loaded:
        return _loaded[key]
    if folder is not None and spec.embedded:
        raise UsageError(
            f"Encoder '{name}' needs no weights; leave the folder {folder} out."
        )

    from base_models.encoders.weights import WeightFiles

    files = WeightFiles.find(
        spec, key[1]
    )  # before torch is loaded, so that a refusal is quick
    from base_models.devices import resolve_device

    resolve_device(device)
    builder = importlib.import_module(
        spec.builder or f"base_models.encoders.{spec.kind}.{name}"
    )
    _loaded[key] = builder.build(spec, files, str(device))
    return _loaded[key]
