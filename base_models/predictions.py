"""PredictionTable: one base model's distributions of many clips.

It is the only thing that passes from the base models to a stack: clip × aspect × bins.
The ids of the clips that the model was trained and selected on travel with it, so that
a stack can refuse rows that would leak.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import ArrayLike

from base_models.bins import TARGET_SIGMA, ScoreBins
from base_models.errors import (
    MISFITS,
    DamagedArtifact,
    UsageError,
    in_short,
    machine_fault,
    one_of,
    some,
)
from base_models.files import (
    Artifact,
    atomic_write,
    from_json,
    parse_parquet,
    read_bytes,
    to_json,
)
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")

_METADATA_KEY = b"stackedmos"
_FACTS_FILE = "predictions.json"
_ARRAYS_FILE = "predictions.safetensors"
_LISTS_OF_NAMES = ("aspects", "trained_on", "selected_on")

MEAN_LABEL = "mean"
RATINGS = "ratings"
"""What a distribution is of: the mean label, in whose spread nothing but the model's
doubt is; or the single ratings of a clip, in whose spread their disagreement is."""


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
    sigma : float
        Kernel width with which `scores` decodes the distributions; 0 where nothing was
        softened.
    trained_on, selected_on : ids of clips
        Clips whose labels the model has seen, in training or in choosing a checkpoint.
    predicts : `MEAN_LABEL` or `RATINGS`
    distances : float64 array of shape (n,), or None
        How far each clip lies from those that the model was trained on, see
        `base_models.frame_range.FrameRange.distances`; None where it is not known.

    Raises
    ------
    UsageError
        when ids repeat, shapes disagree, a row is not a distribution, or sigma or a
        distance is negative or not finite.
    """

    model: str
    clip_ids: tuple[str, ...]
    aspects: tuple[str, ...]
    distributions: np.ndarray
    bins: ScoreBins = field(default_factory=ScoreBins)
    sigma: float = TARGET_SIGMA
    trained_on: frozenset[str] = frozenset()
    selected_on: frozenset[str] = frozenset()
    predicts: str = MEAN_LABEL
    distances: np.ndarray | None = None

    def __post_init__(self) -> None:
        what = f"Predictions of '{self.model}'"
        distributions = self.bins.check(self.distributions, what)

        # Callers may pass lists; a frozen dataclass allows no plain assignment.
        object.__setattr__(self, "clip_ids", tuple(self.clip_ids))
        object.__setattr__(self, "aspects", tuple(self.aspects))
        object.__setattr__(self, "distributions", distributions)

        one_of(self.predicts, (MEAN_LABEL, RATINGS), "content of a table")
        expected = (len(self.clip_ids), len(self.aspects), self.bins.count)
        if distributions.shape != expected:
            raise UsageError(
                f"{what} have shape {distributions.shape}, not {expected}."
            )
        if not 0 <= self.sigma < np.inf:
            raise UsageError(f"{what}: sigma must be 0 or more; got {self.sigma}.")
        if len(set(self.clip_ids)) != len(self.clip_ids):
            raise UsageError(f"{what} hold a clip id twice.")
        if self.distances is not None:
            self._set_distances(self.distances, what)

    def _set_distances(self, distances: ArrayLike, what: str) -> None:
        """Keep the distances as float64, if there is a legal one for each clip."""
        distances = np.asarray(distances, dtype=np.float64)
        is_legal = np.isfinite(distances).all() and (distances >= 0).all()
        if distances.shape != (len(self.clip_ids),) or not is_legal:
            raise UsageError(
                f"{what} need one finite distance of 0 or more for each of "
                f"{len(self.clip_ids)} clips; got shape {distances.shape}."
            )
        object.__setattr__(self, "distances", distances)

    @classmethod
    def from_scores(
        cls,
        model: str,
        clip_ids: Sequence[str],
        aspects: Sequence[str],
        scores: ArrayLike,
        *,
        bins: ScoreBins | None = None,
        sigma: float | None = None,
        trained_on: Collection[str] = frozenset(),
        selected_on: Collection[str] = frozenset(),
    ) -> PredictionTable:
        """Make a table from scalar predictions (DORA-MOS, section III.D).

        Parameters
        ----------
        model, clip_ids, aspects, trained_on, selected_on : as in the class
        scores : array of shape (n, aspects), on the scale; they are Gaussian-softened
        bins : the scale; None takes the default one
        sigma : float, or None for `ScoreBins.soften_sigma` (0.35 on 1..5)
        """
        if bins is None:
            bins = ScoreBins()
        # The published width is meant for 1..5; on other scales it is in proportion.
        if sigma is None:
            sigma = bins.soften_sigma

        # The scores of a single aspect may come as a flat list.
        shape = (len(clip_ids), len(aspects))
        scores = np.asarray(scores, dtype=np.float64).reshape(shape)
        return cls(
            model=model,
            clip_ids=tuple(clip_ids),
            aspects=tuple(aspects),
            distributions=bins.soften(scores, sigma),
            bins=bins,
            sigma=sigma,
            trained_on=frozenset(trained_on),
            selected_on=frozenset(selected_on),
        )

    @classmethod
    def join(cls, folds: Sequence[PredictionTable]) -> PredictionTable:
        """Join out-of-fold predictions into one table.

        Each row is predicted by a model that did not see it, so the result lists no
        clip as seen.

        Raises
        ------
        UsageError
            when a fold predicts a clip that its own model has seen, a clip is in two
            folds, or scales or aspects differ.
        """
        first = folds[0]
        for fold in folds:
            seen_clips = fold.trained_on | fold.selected_on
            leaked = [clip for clip in fold.clip_ids if clip in seen_clips]
            if leaked:
                raise UsageError(
                    f"A fold of '{fold.model}' predicts {some(leaked)}, "
                    "which its model was trained on."
                )
            same_scale = fold.bins == first.bins and fold.sigma == first.sigma
            same_content = fold.predicts == first.predicts
            if not (same_scale and same_content) or fold.aspects != first.aspects:
                raise UsageError(
                    f"The folds of '{fold.model}' differ in scale or aspects."
                )

        # Lists no clip as seen: every row was checked against its own model above.
        clip_ids = [clip for fold in folds for clip in fold.clip_ids]
        # Each is in units of its own fold's training clips, and they can be compared.
        of_folds = [fold.distances for fold in folds if fold.distances is not None]
        distances = np.concatenate(of_folds) if len(of_folds) == len(folds) else None
        return cls(
            model=first.model,
            clip_ids=tuple(clip_ids),
            aspects=first.aspects,
            distributions=np.concatenate([fold.distributions for fold in folds]),
            bins=first.bins,
            sigma=first.sigma,
            predicts=first.predicts,
            distances=distances,
        )

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
                f"'{self.model}' has no predictions for aspect '{aspect}'; "
                f"it has {some(self.aspects)}."
            )
        return self.distributions[:, self.aspects.index(aspect)]

    def take(self, clip_ids: Sequence[str]) -> PredictionTable:
        """The rows of `clip_ids`, in that order.

        Raises
        ------
        UsageError
            naming the model and the clips that it has no prediction for.
        """
        # Tables are never changed, so all rows in their own order are the table itself.
        if tuple(clip_ids) == self.clip_ids:
            return self
        rows = self.rows_of(clip_ids)
        return replace(
            self,
            clip_ids=tuple(clip_ids),
            distributions=self.distributions[rows],
            distances=None if self.distances is None else self.distances[rows],
        )

    @cached_property
    def _row_of_clip(self) -> dict[str, int]:
        return {clip: row for row, clip in enumerate(self.clip_ids)}

    def place_of(self, clip_ids: Iterable[str]) -> np.ndarray:
        """The row of each clip, shape (n,); -1 for those that are not predicted."""
        row_of = self._row_of_clip
        # The dtype matters for an empty list, which numpy would take for floats.
        return np.array([row_of.get(clip, -1) for clip in clip_ids], dtype=np.intp)

    def rows_of(self, clip_ids: Sequence[str]) -> np.ndarray:
        """The row of each clip, shape (n,).

        Raises
        ------
        UsageError
            naming the model and the clips that it has no prediction for.
        """
        rows = self.place_of(clip_ids)
        if (rows < 0).any():
            missing = [clip_ids[place] for place in np.flatnonzero(rows < 0).tolist()]
            raise UsageError(
                f"'{self.model}' has no prediction for {some(missing)}; a stack needs "
                "every model's prediction for every clip. Predict the missing clips, "
                "leave the model or the clips out, or let the other models stand in "
                '(missing="pool"; --missing pool).'
            )
        return rows

    def write(self, path: Path | str) -> None:
        """Write `to_bytes` to a file, atomically."""
        atomic_write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Serialise as Parquet: one row per clip and aspect, page checksums on.

        The columns are ``clip_id, aspect, b00 … b19``; all else is JSON in the schema's
        metadata.
        """
        n_clips = len(self.clip_ids)
        n_aspects = len(self.aspects)
        clip_ids = np.repeat(np.array(self.clip_ids, dtype=object), n_aspects)
        aspects = np.tile(np.array(self.aspects, dtype=object), n_clips)
        probabilities = self.distributions.reshape(n_clips * n_aspects, self.bins.count)

        # With the types stated, a table without rows has the same schema.
        columns = {
            "clip_id": pa.array(clip_ids, pa.string()),
            "aspect": pa.array(aspects, pa.string()),
        }
        for k in range(self.bins.count):
            columns[bin_column(k)] = pa.array(probabilities[:, k], pa.float64())

        about = self._facts()
        # No column of their own: whoever reads the file takes numbers for bins.
        if self.distances is not None:
            about["distances"] = self.distances.tolist()
        table = pa.table(columns).replace_schema_metadata(
            {_METADATA_KEY: to_json(about)}
        )

        # A table may be read without a manifest, so its pages carry checksums.
        buffer = io.BytesIO()
        pq.write_table(table, buffer, write_page_checksum=True)
        return buffer.getvalue()

    def to_files(self) -> dict[str, bytes]:
        """Serialise for the folder of a stack, as JSON and arrays: name to content.

        Unlike Parquet, which people read, this needs no optional library.
        """
        arrays = {"distributions": np.ascontiguousarray(self.distributions)}
        if self.distances is not None:
            arrays["distances"] = self.distances
        facts = {**self._facts(), "clip_ids": list(self.clip_ids)}
        return {
            _FACTS_FILE: to_json(facts),
            _ARRAYS_FILE: safetensors.numpy.save(arrays),
        }

    def _facts(self) -> dict[str, Any]:
        """What is known of the table as a whole, for JSON."""
        # Sets are sorted so that equal tables have equal bytes.
        facts = {
            "model": self.model,
            "bins": asdict(self.bins),
            "sigma": self.sigma,
            "aspects": list(self.aspects),
            "trained_on": sorted(self.trained_on),
            "selected_on": sorted(self.selected_on),
        }
        # Tables of mean labels stay as they were before there was a choice.
        if self.predicts != MEAN_LABEL:
            facts["predicts"] = self.predicts
        return facts

    @staticmethod
    def is_in(artifact: Artifact, prefix: str) -> bool:
        """Whether an artifact holds what `to_files` gave, below a folder in it."""
        return f"{prefix}{_FACTS_FILE}" in artifact.names

    @classmethod
    def from_artifact(cls, artifact: Artifact, prefix: str) -> PredictionTable:
        """Read what `to_files` gave.

        Parameters
        ----------
        artifact : Artifact
        prefix : str
            Folder of the files in it, with a slash at its end.

        Raises
        ------
        DamagedArtifact
            when the files are not those of such a table.
        """
        facts = artifact.json(f"{prefix}{_FACTS_FILE}")
        arrays = artifact.tensors(f"{prefix}{_ARRAYS_FILE}")
        try:
            return cls._of_facts(
                facts,
                facts["clip_ids"],
                arrays["distributions"],
                distances=arrays.get("distances"),
            )
        except MISFITS as error:
            raise DamagedArtifact(
                f"{artifact.folder}/{prefix}{_FACTS_FILE} is not a readable prediction "
                f"table ({in_short(error)})."
            ) from error

    @classmethod
    def _of_facts(
        cls,
        facts: Mapping[str, Any],
        clip_ids: Sequence[str],
        distributions: np.ndarray,
        distances: np.ndarray | None,
    ) -> PredictionTable:
        """Invert `_facts`; raise ValueError, KeyError or TypeError if it cannot."""
        for names in (clip_ids, *(facts[key] for key in _LISTS_OF_NAMES)):
            is_list = isinstance(names, list | tuple)
            if not is_list or not all(isinstance(name, str) for name in names):
                raise TypeError("ids and aspects must be lists of names")
        if not isinstance(facts["model"], str):
            raise TypeError(f"'model' is a {type(facts['model']).__name__} and no name")
        return cls(
            model=facts["model"],
            clip_ids=tuple(clip_ids),
            aspects=tuple(facts["aspects"]),
            distributions=distributions,
            bins=ScoreBins(**facts["bins"]),
            sigma=facts["sigma"],
            trained_on=frozenset(facts["trained_on"]),
            selected_on=frozenset(facts["selected_on"]),
            predicts=facts.get("predicts", MEAN_LABEL),
            distances=distances,
        )

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
        """As `read`, from bytes; `name` identifies them in messages.

        Raises
        ------
        DamagedArtifact
            when `data` is not such a table.
        """
        try:
            table = parse_parquet(data)
            metadata = table.schema.metadata or {}
            about = from_json(metadata[_METADATA_KEY], name)
            return cls._from_parquet(table, about)
        # Damaged bytes raise whatever the reader meets first.
        except (pa.ArrowException, OSError, *MISFITS) as error:
            raise machine_fault(error, name) or DamagedArtifact(
                f"{name} is not a readable prediction table ({in_short(error)})."
            ) from error

    @classmethod
    def _from_parquet(cls, table: pa.Table, about: dict[str, Any]) -> PredictionTable:
        """Invert `to_bytes`; raise ValueError, KeyError or TypeError if it cannot."""
        bins = ScoreBins(**about["bins"])
        aspects = tuple(about["aspects"])

        # Rows in another order would give clips the predictions of others.
        id_column = table.column("clip_id").to_pylist()
        aspect_column = table.column("aspect").to_pylist()
        clip_ids = tuple(id_column[:: len(aspects)])
        expected_ids = [clip for clip in clip_ids for _ in aspects]
        expected_aspects = list(aspects) * len(clip_ids)
        if aspect_column != expected_aspects or id_column != expected_ids:
            raise ValueError("rows are not ordered by clip and aspect")

        names = [bin_column(k) for k in range(bins.count)]
        probabilities = np.column_stack([table.column(n).to_numpy() for n in names])
        shape = (len(clip_ids), len(aspects), bins.count)
        return cls._of_facts(
            about,
            clip_ids,
            probabilities.reshape(shape),
            distances=about.get("distances"),
        )


def bin_column(k: int) -> str:
    """Name of the column that holds the probability of bin `k`."""
    return f"b{k:02d}"
