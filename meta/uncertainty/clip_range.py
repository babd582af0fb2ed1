"""Which clips lie outside of what a stack has learnt from.

Nothing is known of the errors on such clips, so that they are marked and their
intervals widened. How far a clip lies is told by base models that know their training
clips (`base_models.frame_range`); of predictions alone, by how the base models
disagree: models that were made for other clips disagree in ways not seen before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from base_models.predictions import PredictionTable
from base_models.vector_range import FEWEST, OUTSIDE, VectorRange, farthest_of, ranks
from meta.columns.feature_table import Layout, feature_array
from meta.columns.missing_predictions import fill_missing

FALSE_ALARMS = OUTSIDE
"""Share of clips like those learnt from that are marked nevertheless, at most."""
WIDENING = 2.5
"""Least factor of the interval of a marked clip. On the clips of another listening test
intervals for 90 % held 48 %: Gaussian errors 2.5 times as large do that."""
MOST_WIDENING = 10.0
"""Largest factor, with which an interval is nearly the whole scale."""
FEWEST_OF_CORPUS = 10
"""Fewer clips are marked one by one, and not judged as a whole."""
_SURE = 0.001
"""Largest p-value with which a corpus is called shifted."""
_FAR_RANK = 0.25
"""Mean rank, 0.5 for clips like those learnt from, below which it can be."""


@dataclass(frozen=True, eq=False)
class RangeCheck:
    """How far n clips lie from those that a stack has learnt from.

    Parameters
    ----------
    distances : float64 array of shape (n,), NaN where it is not known; 1 is about the
        farthest of the training clips of the base models, left out in turn
    reference : float64 array of shape (m,), of the clips learnt from
    """

    distances: np.ndarray
    reference: np.ndarray = field(repr=False)

    @property
    def ranks(self) -> np.ndarray:
        """Share of the clips learnt from that lie as far, shape (n,); 1 where unknown.

        For clips like them it is evenly distributed over 0..1.
        """
        known = np.isfinite(self.distances)
        shares = np.ones(len(self.distances))
        shares[known] = ranks(self.distances[known], self.reference)
        return shares

    @property
    def false_alarms(self) -> float:
        """Share of clips like those learnt from that are marked, at most."""
        return max(FALSE_ALARMS, 1 / (1 + len(self.reference)))

    @property
    def out_of_range(self) -> np.ndarray:
        """Bool array of shape (n,), whether a clip is marked.

        It lies farther than all but a few of the clips that the stack was fitted on,
        and of those that the base models were trained on: of one kind alone there may
        be so few that the next clip of a rare system lies beyond them.
        """
        # Comparisons with NaN are false. The product guards against rounding.
        is_rare = self.ranks <= self.false_alarms * (1 + 1e-9)
        return is_rare & (self.distances > 1)

    @property
    def widening(self) -> np.ndarray:
        """Factor of each clip's interval, shape (n,): 1 where it is not marked.

        A marked clip's grows with its distance beyond that of the clips learnt from,
        and is at least `WIDENING`.
        """
        farthest = max(farthest_of(self.reference), 1.0)
        beyond = np.nan_to_num(self.distances) / farthest
        factor = np.clip(beyond, WIDENING, MOST_WIDENING)
        return np.where(self.out_of_range, factor, 1.0)

    @property
    def is_shifted(self) -> bool:
        """Whether the clips as a whole lie elsewhere than those learnt from.

        More of them are marked than chance explains, or they lie farther on average,
        both by so much that it matters and surely (p below 0.001). Of fewer than
        `FEWEST_OF_CORPUS` clips nothing is said.
        """
        known = np.isfinite(self.distances)
        n = int(known.sum())
        if n < FEWEST_OF_CORPUS:
            return False
        marked = int(self.out_of_range[known].sum())
        chance = float(stats.binom.sf(marked - 1, n, self.false_alarms))
        is_marked = chance < _SURE and marked / n >= 10 * self.false_alarms

        # Ranks of clips like those learnt from have a mean of 1/2 and a variance of
        # 1/12; the reference itself is a sample as well.
        mean_rank = float(self.ranks[known].mean())
        error = np.sqrt((1 / n + 1 / len(self.reference)) / 12)
        is_far = stats.norm.cdf((mean_rank - 0.5) / error) < _SURE
        return is_marked or bool(is_far and mean_rank < _FAR_RANK)

    @property
    def sentences(self) -> list[str]:
        """What a reader of the scores must know, the whole corpus first."""
        lines = []
        n = len(self.distances)
        marked = int(self.out_of_range.sum())
        plural = "" if n == 1 else "s"
        if self.is_shifted:
            lines.append(
                f"warning: these {n} clips as a whole lie outside of what the stack "
                f"learnt from ({marked} marked, {n * self.false_alarms:.1f} expected "
                "by chance); scores and intervals may not hold for them. Rate some "
                "of them, compare with evaluate_mos, and adapt with fit_meta --adapt."
            )
        if marked:
            verb = "is" if marked == 1 else "are"
            widened = "its interval is" if marked == 1 else "their intervals are"
            least = self.widening[self.out_of_range].min()
            lines.append(
                f"note: {marked} of {n} clip{plural} {verb} unlike those that the "
                "stack learnt from (column out_of_range; of clips like those, at most "
                f"{100 * self.false_alarms:.2g} % would be marked); {widened} "
                f"widened to at least {least:.2g} times that of a typical clip, or to "
                "the ends of the scale"
            )
        return lines

    @classmethod
    def joined(cls, checks: Sequence[RangeCheck]) -> RangeCheck | None:
        """Checks of parts of a corpus by one stack as one; None of none."""
        if not checks:
            return None
        distances = np.concatenate([check.distances for check in checks])
        return cls(distances, checks[0].reference)


@dataclass(frozen=True, eq=False)
class ClipRange:
    """What a stack keeps of the clips that it was fitted on.

    Parameters
    ----------
    reference : float64 array of shape (m,), or None
        Distances of the clips from the training clips of the base models; None where
        these do not know them.
    patterns : VectorRange, or None
        Of the differences between base models; None where there is one model alone, or
        fewer than `base_models.vector_range.FEWEST` clips.
    pattern_reference : float64 array of shape (m',), or None
        Distances by `patterns` of clips that were left out of it.
    """

    reference: np.ndarray | None
    patterns: VectorRange | None
    pattern_reference: np.ndarray | None

    @classmethod
    def fit(
        cls,
        layout: Layout,
        tables: Sequence[PredictionTable],
        aspects: Sequence[str],
        clip_ids: Sequence[str],
    ) -> ClipRange:
        """Learn from the clips that a stack is fitted on.

        Parameters
        ----------
        layout : the base models
        tables : what they predict, none having seen these clips
        aspects : of the stack
        clip_ids : n ids
        """
        aligned = layout.align(tables, gaps=True)
        distances = mean_distances(aligned, clip_ids)
        reference = distances[np.isfinite(distances)]
        patterns = VectorRange.fit(_patterns(layout, aligned, aspects, clip_ids))
        return cls(
            reference=reference if len(reference) >= FEWEST else None,
            patterns=patterns,
            pattern_reference=None if patterns is None else patterns.held_out,
        )

    def check(
        self,
        layout: Layout,
        tables: Sequence[PredictionTable],
        aspects: Sequence[str],
        clip_ids: Sequence[str],
    ) -> RangeCheck | None:
        """How far clips lie from those learnt from; None where nothing tells.

        Parameters as in `fit`. Base models tell it where they know their training
        clips, and their disagreement does elsewhere.
        """
        aligned = layout.align(tables, gaps=True)
        if self.reference is not None:
            distances = mean_distances(aligned, clip_ids)
            if not len(clip_ids) or np.isfinite(distances).any():
                return RangeCheck(distances, self.reference)
        if self.patterns is None or self.pattern_reference is None:
            return None
        vectors = _patterns(layout, aligned, aspects, clip_ids)
        return RangeCheck(self.patterns.distances(vectors), self.pattern_reference)

    def extended(self, check: RangeCheck) -> ClipRange:
        """The same with some more clips among those learnt from."""
        known = check.distances[np.isfinite(check.distances)]
        both = np.concatenate([check.reference, known])
        if check.reference is self.reference:
            return replace(self, reference=both)
        return replace(self, pattern_reference=both)

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `from_state` needs: facts for JSON, and named arrays."""
        arrays: dict[str, np.ndarray] = {}
        if self.reference is not None:
            arrays["reference"] = self.reference
        if self.patterns is not None and self.pattern_reference is not None:
            arrays["pattern_reference"] = self.pattern_reference
            for name, array in self.patterns.to_arrays().items():
                arrays[f"patterns.{name}"] = array
        facts = {
            "distances": self.reference is not None,
            "patterns": self.patterns is not None,
        }
        return facts, arrays

    @classmethod
    def from_state(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        n_scores: int,
    ) -> ClipRange:
        """Restore what `to_state` returned.

        Parameters
        ----------
        facts, arrays : what `to_state` returned
        n_scores : base models times aspects

        Raises
        ------
        KeyError, ValueError
            when an array is missing or no distances.
        DamagedArtifact
            when the range of patterns cannot have been learnt.
        """
        patterns = None
        if facts["patterns"]:
            own = {
                name.removeprefix("patterns."): array
                for name, array in arrays.items()
                if name.startswith("patterns.")
            }
            patterns = VectorRange.from_arrays(own, n_scores, "meta.safetensors")
        return cls(
            reference=_stored(arrays, "reference") if facts["distances"] else None,
            patterns=patterns,
            pattern_reference=(
                None if patterns is None else _stored(arrays, "pattern_reference")
            ),
        )


def _stored(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Stored distances; ValueError where they cannot be any."""
    array = arrays[name]
    is_list = array.ndim == 1 and len(array) >= FEWEST and array.dtype == np.float64
    if not is_list or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"'{name}' holds no distances")
    return array


def mean_distances(
    tables: Sequence[PredictionTable], clip_ids: Sequence[str]
) -> np.ndarray:
    """Geometric mean of what base models tell of each clip, shape (n,).

    NaN for a clip of which none tells anything.
    """
    total = np.zeros(len(clip_ids))
    count = np.zeros(len(clip_ids))
    for table in tables:
        if table.distances is None:
            continue
        distance_of = dict(zip(table.clip_ids, table.distances, strict=True))
        own = np.array([distance_of.get(clip, np.nan) for clip in clip_ids])
        known = np.isfinite(own)
        # A distance of 0 from one model must not outweigh all others.
        total[known] += np.log(np.maximum(own[known], 1e-3))
        count += known
    distances = np.full(len(clip_ids), np.nan)
    told = count > 0
    distances[told] = np.exp(total[told] / count[told])
    return distances


def _patterns(
    layout: Layout,
    tables: Sequence[PredictionTable],
    aspects: Sequence[str],
    clip_ids: Sequence[str],
) -> np.ndarray:
    """How each base model's score differs from their mean: (n, models·aspects).

    The mean itself says how good a clip is, which may differ as it likes.
    """
    columns = []
    for aspect in aspects:
        features = feature_array(tables, aspect, clip_ids, gaps=True)
        scores = layout.scores(fill_missing(layout, features, "pool"))
        columns.append(scores - scores.mean(axis=1, keepdims=True))
    return np.concatenate(columns, axis=1)
