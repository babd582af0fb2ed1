"""PredictionTable: what one base model says of many clips, and which clips it must not be stacked on.

It is the only thing that passes from the base floor to the meta floor: clip × aspect × bins. The ids that the model was
trained on and selected on travel with it, so that a stack can refuse rows that would leak.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base_models.bins import TARGET_SIGMA, ScoreBins
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import atomic_write, from_json, read_bytes, to_json


@dataclass(frozen=True)
class PredictionTable:
    """Distributions of one model.

    Parameters
    ----------
    model : str, the model's name; becomes part of column names
    clip_ids : n unique ids, in row order
    aspects : names of the rated qualities
    distributions : float64 array of shape (n, aspects, bins.count), last axis sums to 1
    bins : the scale
    sigma : float, kernel width with which `scores` decodes the distributions; 0 where nothing was softened
    trained_on, selected_on : ids of clips whose labels the model has seen, in training or in choosing a checkpoint

    Raises
    ------
    UsageError
        when ids repeat, shapes disagree, a row is not a distribution, or sigma is negative or not finite.
    """

    model: str
    clip_ids: tuple[str, ...]
    aspects: tuple[str, ...]
    distributions: np.ndarray
    bins: ScoreBins = field(default_factory=ScoreBins)
    sigma: float = TARGET_SIGMA
    trained_on: frozenset[str] = frozenset()
    selected_on: frozenset[str] = frozenset()

    def __post_init__(self):
        object.__setattr__(self, "clip_ids", tuple(self.clip_ids))
        object.__setattr__(self, "aspects", tuple(self.aspects))
        object.__setattr__(
            self,
            "distributions",
            self.bins.check(self.distributions, f"Predictions of '{self.model}'"),
        )
        expected = (len(self.clip_ids), len(self.aspects), self.bins.count)
        if self.distributions.shape != expected:
            raise UsageError(
                f"Predictions of '{self.model}' have shape {self.distributions.shape}, not {expected}."
            )
        if not 0 <= self.sigma < np.inf:
            raise UsageError(
                f"Predictions of '{self.model}': sigma must be 0 or more; got {self.sigma}."
            )
        if len(set(self.clip_ids)) != len(self.clip_ids):
            raise UsageError(f"Predictions of '{self.model}' hold a clip id twice.")

    @classmethod
    def from_scores(
        cls,
        model: str,
        clip_ids: Sequence[str],
        aspects: Sequence[str],
        scores,
        **options,
    ):
        """A table from scalar predictions, Gaussian-softened (DORA-MOS, section III.D).

        Parameters
        ----------
        scores : array of shape (n, aspects), on the scale
        options : ``bins``, ``sigma`` (default `ScoreBins.soften_sigma`, 0.35 on 1..5), ``trained_on``, ``selected_on``
        """
        options = {"bins": ScoreBins()} | options
        options = {"sigma": options["bins"].soften_sigma} | options
        scores = np.asarray(scores, dtype=np.float64).reshape(
            len(clip_ids), len(aspects)
        )
        return cls(
            model,
            clip_ids,
            aspects,
            options["bins"].soften(scores, options["sigma"]),
            **options,
        )

    @classmethod
    def join(cls, folds: Sequence[PredictionTable]) -> PredictionTable:
        """Out-of-fold predictions as one table: each row is by a model that did not see it, so none is listed as seen.

        Raises
        ------
        UsageError
            when a fold predicts a clip that its own model has seen, a clip stands in two folds, or scales differ.
        """
        first = folds[0]
        for fold in folds:
            seen = [
                clip
                for clip in fold.clip_ids
                if clip in fold.trained_on | fold.selected_on
            ]
            if seen:
                raise UsageError(
                    f"A fold of '{fold.model}' predicts {some(seen)}, which its model was trained on."
                )
            if (fold.bins, fold.sigma, fold.aspects) != (
                first.bins,
                first.sigma,
                first.aspects,
            ):
                raise UsageError(
                    f"The folds of '{fold.model}' differ in scale or aspects."
                )
        ids = tuple(clip for fold in folds for clip in fold.clip_ids)
        values = np.concatenate([fold.distributions for fold in folds])
        return cls(first.model, ids, first.aspects, values, first.bins, first.sigma)

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def scores(self) -> np.ndarray:
        """Decoded scores, shape (n, aspects)."""
        return self.bins.decode(self.distributions, self.sigma)

    def of(self, aspect: str) -> np.ndarray:
        """Distributions of one aspect, shape (n, bins.count)."""
        if aspect not in self.aspects:
            raise UsageError(
                f"'{self.model}' has no predictions for aspect '{aspect}'; it has {some(self.aspects)}."
            )
        return self.distributions[:, self.aspects.index(aspect)]

    def take(self, clip_ids: Sequence[str]) -> PredictionTable:
        """The rows of `clip_ids`, in that order.

        Raises
        ------
        UsageError
            naming the model and the clips that it has no prediction for.
        """
        row = {clip: i for i, clip in enumerate(self.clip_ids)}
        missing = [clip for clip in clip_ids if clip not in row]
        if missing:
            raise UsageError(
                f"'{self.model}' has no prediction for {some(missing)}; a stack needs every model's prediction for "
                "every clip. Predict the missing clips, leave the model or the clips out, or let the other models "
                'stand in (missing="pool"; --missing pool).'
            )
        chosen = self.distributions[[row[clip] for clip in clip_ids]].reshape(
            -1, *self.distributions.shape[1:]
        )
        return PredictionTable(
            self.model,
            tuple(clip_ids),
            self.aspects,
            chosen,
            self.bins,
            self.sigma,
            self.trained_on,
            self.selected_on,
        )

    def write(self, path: Path | str) -> None:
        """Write `to_bytes` to a file."""
        atomic_write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """As Parquet: one row per clip and aspect (``clip_id, aspect, b00 … b19``), page checksums on."""
        n, aspects = len(self), len(self.aspects)
        columns = {
            "clip_id": np.repeat(np.array(self.clip_ids, dtype=object), aspects),
            "aspect": np.tile(np.array(self.aspects, dtype=object), n),
        }
        flat = self.distributions.reshape(n * aspects, self.bins.count)
        columns |= {f"b{k:02d}": flat[:, k] for k in range(self.bins.count)}
        about = {
            "model": self.model,
            "bins": asdict(self.bins),
            "sigma": self.sigma,
            "aspects": list(self.aspects),
            "trained_on": sorted(self.trained_on),
            "selected_on": sorted(self.selected_on),
        }
        table = pa.table(
            {name: pa.array(values) for name, values in columns.items()}
            if n
            else _empty(columns)
        )
        buffer = io.BytesIO()
        pq.write_table(
            table.replace_schema_metadata({b"stackedmos": to_json(about)}),
            buffer,
            write_page_checksum=True,
        )
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path | str) -> PredictionTable:
        """Read what `write` wrote.

        Raises
        ------
        DamagedArtifact
            when the file is not such a table.
        """
        return cls.parse(read_bytes(path), str(path))

    @classmethod
    def parse(cls, data: bytes, name: str) -> PredictionTable:
        """As `read`, from bytes already verified; `name` stands in messages."""
        try:
            table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
            about = from_json((table.schema.metadata or {})[b"stackedmos"], name)
            bins, aspects = ScoreBins(**about["bins"]), tuple(about["aspects"])
            flat = np.column_stack(
                [table.column(f"b{k:02d}").to_numpy() for k in range(bins.count)]
            )
            ids, of = (
                table.column("clip_id").to_pylist(),
                table.column("aspect").to_pylist(),
            )
            clip_ids = tuple(ids[:: len(aspects)])
            if of != list(aspects) * len(clip_ids) or ids != [
                c for c in clip_ids for _ in aspects
            ]:
                raise ValueError("rows are not ordered by clip and aspect")
            distributions = flat.reshape(len(clip_ids), len(aspects), bins.count)
            seen = frozenset(about["trained_on"]), frozenset(about["selected_on"])
            return cls(
                about["model"],
                clip_ids,
                aspects,
                distributions,
                bins,
                about["sigma"],
                *seen,
            )
        except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedArtifact(
                f"{name} is not a readable prediction table ({error})."
            ) from error


def _empty(columns) -> dict[str, pa.Array]:
    return {
        name: pa.array(
            [], pa.string() if name in ("clip_id", "aspect") else pa.float64()
        )
        for name in columns
    }
