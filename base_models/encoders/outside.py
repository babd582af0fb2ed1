"""Encoders that other installed packages offer, found by entry point.

Another package adds an encoder by an entry point of the group `GROUP` that names an
`EncoderSpec`. Once it is installed, the encoder's name can be used wherever the
built-in names can. ``docs/how-to/encoders.md`` shows a whole package and says what an
encoder must do.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from base_models.encoders.specs import EncoderSpec

GROUP = "stackedmos.encoders"


class KnownEncoders(NamedTuple):
    """Encoders by name, and the names that cannot be used, each with the reason.

    `points` are the entry points of those that other packages offer.
    """

    specs: dict[str, EncoderSpec]
    refused: dict[str, str]
    points: dict[str, EntryPoint]


def outside_encoders(taken: Container[str]) -> KnownEncoders:
    """Find the encoders that installed packages offer.

    Parameters
    ----------
    taken : container of str
        Names of the built-in encoders, which a package cannot replace.
    """
    specs: dict[str, EncoderSpec] = {}
    refused: dict[str, str] = {}
    points: dict[str, EntryPoint] = {}
    found = entry_points(group=GROUP)
    for point in sorted(found, key=lambda point: (point.name, point.value)):
        # Otherwise an installed package could change what a preset means.
        if point.name in taken:
            continue

        try:
            specs[point.name] = _load_spec(point)
            points[point.name] = point
        # Importing a package runs its code, which may raise anything. One broken
        # package must not make the others unusable.
        except Exception as error:
            package = point.dist.name if point.dist else point.module
            refused[point.name] = (
                f"{type(error).__name__} in '{point.value}' of package '{package}': "
                f"{error}"
            )
    return KnownEncoders(specs, refused, points)


def _load_spec(point: EntryPoint) -> EncoderSpec:
    spec = point.load()
    if not isinstance(spec, EncoderSpec):
        raise TypeError(f"it is a {type(spec).__name__}, not an EncoderSpec")

    # Names become folder names and stand before '=' on the command line.
    if spec.name != point.name or not re.fullmatch(r"\w[\w.]*", spec.name):
        raise ValueError(
            f"its spec is named '{spec.name}'; it must be named like the entry point, "
            "with letters, digits, '_' and '.' only"
        )
    if spec.kind not in ("audio", "text") or spec.dim < 1:
        raise ValueError(
            f"kind is '{spec.kind}' and dim is {spec.dim}; kind must be 'audio' or "
            "'text', and dim at least 1"
        )
    if spec.kind == "audio" and not (spec.sample_rate and spec.frame_rate):
        raise ValueError("an audio encoder states its sample_rate and frame_rate")
    if spec.files and "config.json" not in spec.files:
        raise ValueError("files lack 'config.json'")

    # A package usually has its `build` beside its spec.
    return spec if spec.builder else replace(spec, builder=point.module)
