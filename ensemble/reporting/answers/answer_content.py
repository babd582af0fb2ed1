"""AnswerContent: what the sections for those who decide are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from base_models.scales import Scale
from ensemble.formats import Distributions, Scores
from meta.comparison.systems.system_comparison import SystemComparison
from meta.score_columns import FLAGS, OUT_OF_RANGE

OWN_SCALE = Scale(1, 5)
"""Scale of the aspects that none is named for."""


@dataclass(frozen=True)
class Background:
    """What is known of the stack that gave the scores.

    Parameters
    ----------
    stack : name of it; "" where it is not known
    learnt_from : number of rated clips that it was fitted on; 0 where it is not known
    demo : whether these are synthetic music and simulated raters
    is_rated : whether the scores are means of people's ratings, not predictions
    notes : what else must be known to read the scores, a sentence each
    """

    stack: str = ""
    learnt_from: int = 0
    demo: bool = False
    is_rated: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AnswerContent:
    """Clips with scores, in the words of a report.

    Parameters
    ----------
    frame : DataFrame
        A row per clip with a score: ``clip_id``, per aspect ``<aspect>`` and perhaps
        ``<aspect>_low``, ``<aspect>_high`` and ``<aspect>_true`` (what people rated);
        where they are known ``system_id``, ``prompt``, ``audio``, `OUT_OF_RANGE` and
        `FLAGS`
    aspects : names of what is scored
    unscored : clip id to why it has no score
    level : nominal coverage of the intervals of single clips
    scales : of the aspects; 1..5 where none is named
    left_out : aspects without a score, because no clip has a prompt
    distributions : around the scores, or None
    comparison : of the systems, or None where there are not two of them
    background : of the stack
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    unscored: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.9
    scales: Mapping[str, Scale] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    distributions: Distributions | None = None
    comparison: SystemComparison | None = None
    background: Background = Background()

    @classmethod
    def of(
        cls,
        scores: Scores,
        comparison: SystemComparison | None = None,
        level: float = 0.9,
        background: Background | None = None,
    ) -> AnswerContent:
        """The clips of `Scores`.

        Parameters
        ----------
        scores : as `predict_mos` has them
        comparison : of their systems, or None
        level : of the intervals of single clips
        background : of the stack; None where nothing is known of it
        """
        unscored = {clip.clip_id: clip.reason for clip in scores.set_aside}
        return cls(
            frame=scores.usable,
            aspects=scores.aspects,
            unscored=unscored,
            level=level,
            scales=scores.scales,
            left_out=scores.left_out,
            distributions=scores.distributions,
            comparison=comparison,
            background=background or Background(),
        )

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems, in order of appearance; none where clips name none."""
        return self._names("system_id")

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """The different prompts, in order of appearance."""
        return self._names("prompt")

    def _names(self, column: str) -> tuple[str, ...]:
        if column not in self.frame:
            return ()
        names = self.frame[column].fillna("").astype(str)
        return tuple(name for name in dict.fromkeys(names) if name.strip())

    @property
    def has_ratings(self) -> bool:
        """Whether people rated some of the clips."""
        return any(self.frame[name].notna().any() for name in self._columns("true"))

    @cached_property
    def out_of_range(self) -> np.ndarray:
        """Bool array of shape (n,), the clips unlike those that were learnt from."""
        if OUT_OF_RANGE not in self.frame:
            return np.zeros(len(self), dtype=bool)
        return self.frame[OUT_OF_RANGE].fillna(value=False).to_numpy(dtype=bool)

    @cached_property
    def flags(self) -> tuple[tuple[str, ...], ...]:
        """For each clip what to mind about its score, in words of `FLAG_WORDS`."""
        if FLAGS not in self.frame:
            return ((),) * len(self)
        texts = self.frame[FLAGS].fillna("").astype(str)
        return tuple(tuple(text.split()) for text in texts)

    def scale(self, aspect: str) -> Scale:
        """The scale of the scores of an aspect."""
        return self.scales.get(aspect, OWN_SCALE)

    def half_width(self, aspect: str) -> float:
        """Half the median width of the intervals of single clips; NaN without any."""
        if f"{aspect}_low" not in self.frame or self.frame[aspect].isna().all():
            return float("nan")
        widths = self.frame[f"{aspect}_high"] - self.frame[f"{aspect}_low"]
        return float(widths.median()) / 2

    def _columns(self, suffix: str) -> Iterator[str]:
        for aspect in self.aspects:
            if f"{aspect}_{suffix}" in self.frame:
                yield f"{aspect}_{suffix}"
