"""What is to be scored, chunk by chunk, and what decides the scores of each chunk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from base_models.devices import kind_of, resolve_device
from base_models.encoders.store import EmbeddingStore
from base_models.files import sha256, to_json
from base_models.optional_libraries import LazyLibrary
from base_models.predictions import PredictionTable
from ensemble.cluster.needs import source_file
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.prepared_stack import clip_models, stored_tables
from ensemble.version import __version__

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """Chunks of clips, and how they are scored.

    Parameters
    ----------
    stack : StackedMOS
        As `ensemble.scoring.prepared_stack.prepared` returns it.
    store : EmbeddingStore
    chunks : sequence of DataFrame
        Prepared tables of clips, with ``system_id``.
    aspects : sequence of str
        Those that are scored.
    level : float
        Coverage of the intervals.
    distributions : str
        See `meta.score_columns.DISTRIBUTIONS`.
    compute : mapping
        What moves the last digits of scores, see `compute_facts`.
    """

    stack: StackedMOS
    store: EmbeddingStore
    chunks: Sequence[pd.DataFrame]
    aspects: Sequence[str]
    level: float
    distributions: str
    compute: Mapping[str, Any]

    @property
    def n_clips(self) -> int:
        """Clips of all chunks."""
        return sum(map(len, self.chunks))

    @cached_property
    def options(self) -> dict[str, Any]:
        """What is asked for of each clip."""
        return {
            "aspects": list(self.aspects),
            "level": self.level,
            "distributions": self.distributions,
            "version": __version__,
        }

    @cached_property
    def models(self) -> dict[str, Any]:
        """The encoders of the base models, and predictions that stand for some."""
        encoders = {
            name: {
                kind: [facts["signature"], model.precision_of(kind)]
                for kind, facts in model.encoders_.items()
            }
            for name, model in self.stack.estimators_
            if not isinstance(model, PredictionTable)
        }
        tables = {table.model: _digest(table) for table in stored_tables(self.stack)}
        return {"encoders": encoders, "predictions": tables}


def compute_facts(stack: StackedMOS, threads: int = 0) -> dict[str, Any]:
    """What moves the last digits of scores: CPU threads, and kinds of devices.

    Parameters
    ----------
    stack : StackedMOS
    threads : int
        Of whoever scores; 0 stands for those of this process.
    """
    devices = {str(resolve_device(model.device)) for model in clip_models(stack)}
    kinds = {kind_of(device) for device in devices}
    return {"threads": threads or torch.get_num_threads(), "devices": sorted(kinds)}


def chunk_facts(chunk: pd.DataFrame) -> list[list[Any]]:
    """What decides the scores of a chunk among its clips, as JSON values.

    A file counts as the same as long as its size and times are: to hash it would be to
    read all audio again. The time of the last change of its record cannot be set by a
    copying program.
    """
    columns = (chunk[name] for name in ("clip_id", "audio", "prompt", "system_id"))
    return [
        [clip, _path(audio), prompt, str(system), _file_facts(audio)]
        for clip, audio, prompt, system in zip(*columns, strict=True)
    ]


def _path(audio: object) -> str:
    # Of a name that is missing, or of a file, the same in every folder.
    return os.path.abspath(audio) if isinstance(audio, str) and audio else ""


def _file_facts(audio: object) -> list[int] | None:
    """Size and times in ns of the file behind a name; None where there is none."""
    if not isinstance(audio, str) or not audio:
        return None
    try:
        found = os.stat(source_file(audio))
    # A name may also hold what no path can, such as a null byte.
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _digest(table: PredictionTable) -> str:
    """SHA-256 over what a table of predictions holds."""
    names = to_json([table.model, list(table.clip_ids), list(table.aspects)])
    numbers = hashlib.sha256(table.distributions.tobytes()).hexdigest()
    return sha256(names + numbers.encode())
