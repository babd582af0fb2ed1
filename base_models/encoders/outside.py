"""Encoders of other packages, found by entry point.

The trap: one broken package must not take the others with it, so each is loaded by itself, and one that fails is kept
with the reason, to be told when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from base_models.encoders.specs import EncoderSpec

GROUP = "stackedmos.encoders"


def outside_encoders(
    taken: Container[str],
) -> tuple[dict[str, EncoderSpec], dict[str, str]]:
    """The encoders that installed packages offer.

    Parameters
    ----------
    taken : names that are ours

    Returns
    -------
    specs : name → spec
    refused : name → why it cannot be used
    """
    specs: dict[str, EncoderSpec] = {}
    refused: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda it: (it.name, it.value)):
        if (
            point.name in taken
        ):  # ours stays, or an installed package could change what a preset means
            continue
        try:
            specs[point.name] = _load(point)
        except (
            Exception
        ) as error:  # whatever a package raises, it is told and not spread
            package = point.dist.name if point.dist else point.module
            refused[point.name] = (
                f"{type(error).__name__} in '{point.value}' of package '{package}': {error}"
            )
    return specs, refused


def _load(point: EntryPoint) -> EncoderSpec:
    spec = point.load()
    if not isinstance(spec, EncoderSpec):
        raise TypeError(f"it is a {type(spec).__name__}, not an EncoderSpec")
    if spec.name != point.name or not re.fullmatch(r"\w[\w.]*", spec.name):
        raise ValueError(
            f"its spec is named '{spec.name}'; the entry point's name, of letters, digits, '_' and '.'"
        )
    if spec.kind not in ("audio", "text") or spec.dim < 1:
        raise ValueError(
            f"kind '{spec.kind}' and dim {spec.dim}; legal are 'audio' or 'text', and at least 1"
        )
    if spec.kind == "audio" and not (spec.sample_rate and spec.frame_rate):
        raise ValueError("an audio encoder states its sample_rate and frame_rate")
    if spec.files and "config.json" not in spec.files:
        raise ValueError("files lack 'config.json'")
    return spec if spec.builder else replace(spec, builder=point.module)
