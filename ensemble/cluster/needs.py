"""What a worker must have to compute what this machine would, and its proof of it.

The demands travel as JSON text, so that a worker of another version can read them.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from base_models.clips.parquet.embedded_audio import row_of_reference
from base_models.clips.segments.reference import segment_of
from base_models.errors import in_one_line
from base_models.precision import FLOAT32
from ensemble.version import __version__

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

MOST_FILES = 256
"""Files that a worker looks for before a piece of work; of more, evenly spread ones."""
_MOST_WORDS = 300
"""Characters that are kept of the message of an error on a worker."""


class NeededEncoder(NamedTuple):
    """An encoder that pieces of work use.

    Parameters
    ----------
    word : str
        Registered name, or ``"name=folder"``.
    device : str
        Each worker takes its own for ``"auto"``.
    mono : str
        See `base_models.encoders.load_encoder`.
    signature : str
        Of the encoder that this word must mean.
    precision : str
        What it computes in, see `base_models.precision`.
    """

    word: str
    device: str
    mono: str
    signature: str
    precision: str = FLOAT32

    @classmethod
    def of(cls, encoder: Encoder, word: str, device: str) -> NeededEncoder:
        """The encoder that `word` was loaded as."""
        return cls(
            word,
            device,
            mono=encoder.mono,
            signature=encoder.signature,
            precision=encoder.precision,
        )


@dataclass(frozen=True)
class Needs:
    """What pieces of work need beside this version of the code.

    Parameters
    ----------
    encoders : tuple of NeededEncoder
    audio_of : callable, optional
        Maps a piece to the absolute names of the audio that it reads.
    """

    encoders: tuple[NeededEncoder, ...] = ()
    audio_of: Callable[[tuple[Any, ...]], Iterable[object]] | None = None

    def sight(self, piece: tuple[Any, ...]) -> tuple[SeenFile, ...]:
        """Files of a piece as they are seen here."""
        if self.audio_of is None:
            return ()
        return seen_files(self.audio_of(piece))


class SeenFile(NamedTuple):
    """A regular file, and its size in bytes."""

    path: str
    size: int


def seen_files(names: Iterable[object]) -> tuple[SeenFile, ...]:
    """The files behind names of audio that are seen here, at most `MOST_FILES`."""
    paths = list(dict.fromkeys(source_file(str(name)) for name in names if name))
    if len(paths) > MOST_FILES:
        spread = np.linspace(0, len(paths) - 1, MOST_FILES).round().astype(int)
        paths = [paths[place] for place in spread]
    sizes = ((path, _size(path)) for path in paths)
    # One that is not seen here either is a fault of the clip, which the work names.
    return tuple(SeenFile(path, size) for path, size in sizes if size is not None)


def source_file(name: str) -> str:
    """The file that holds a clip, which may be a segment of it or a row of a table."""
    segment = segment_of(name)
    source = name if segment is None else segment.source
    row = row_of_reference(source)
    return source if row is None else row[0]


def _size(path: str) -> int | None:
    """Size of a regular file; None where there is none."""
    try:
        found = os.stat(path)
    # A name may also hold what no path can, such as a null byte.
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


@dataclass(frozen=True)
class Demands:
    """What every worker is asked before it works.

    Parameters
    ----------
    version : str
        Of this package.
    probe : str
        A file in the shared folder that a worker must see, or "".
    encoders : tuple of NeededEncoder
    """

    version: str
    probe: str
    encoders: tuple[NeededEncoder, ...]

    def to_text(self) -> str:
        """As a worker reads it."""
        facts = asdict(self)
        facts["encoders"] = [encoder._asdict() for encoder in self.encoders]
        return json.dumps(facts)


# ---- on the worker


async def prove(demands: str, sight: tuple[tuple[str, int], ...]) -> str:
    """What makes this worker unfit, see `unfitness`; "" where nothing does.

    It runs beside the work of the worker, whose answers to its scheduler must not wait
    until an encoder is loaded.
    """
    return await asyncio.to_thread(unfitness, demands, sight)


def unfitness(demands: str, sight: tuple[tuple[str, int], ...]) -> str:
    """What makes this worker unfit, as the end of a sentence; "" where nothing does.

    Parameters
    ----------
    demands : str
        Of `Demands.to_text`.
    sight : tuple of (str, int)
        Paths and sizes of files that it must see.
    """
    asked = json.loads(demands)
    version = asked["version"]
    if version != __version__:
        return (
            f"it runs stackedmos {__version__}, and this command {version}; install "
            "the same version everywhere and start the workers again"
        )
    probe = asked["probe"]
    if probe and not Path(probe).is_file():
        return (
            f"it does not see {Path(probe).parent} as it is here; a cluster needs a "
            "file system that all machines share, under the same path"
        )
    for path, size in sight:
        if _size(path) != size:
            return (
                f"it does not see the audio {path} ({size} bytes) as it is here; audio "
                "must be under the same path on all machines"
            )
    reasons = (_unfit_encoder(NeededEncoder(**facts)) for facts in asked["encoders"])
    return next((reason for reason in reasons if reason), "")


def _unfit_encoder(needed: NeededEncoder) -> str:
    """What is the matter with an encoder on this worker; "" if it is the same."""
    try:
        from base_models.devices import resolve_device
        from base_models.encoders import load_encoder

        device = str(resolve_device(needed.device))
        encoder = load_encoder(
            needed.word,
            device=device,
            mono=needed.mono,
            precision=needed.precision,
        )
    # Whatever it is, the worker cannot encode, and another one may.
    except Exception as error:
        return (
            f"it cannot load the encoder '{needed.word}' on '{needed.device}' "
            f"({in_one_line(error)[:_MOST_WORDS]})"
        )
    if encoder.signature != needed.signature:
        return (
            f"its encoder '{needed.word}' is {encoder.signature}, and it must be "
            f"{needed.signature}; install the same weights and plug-ins everywhere and "
            "start the workers again"
        )
    return ""
