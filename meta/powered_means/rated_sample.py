"""Predictions of all clips and ratings of some: what powered means are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some


@dataclass(frozen=True, eq=False)
class RatedSample:
    """N clips of S systems with predictions, of which some have single ratings.

    Parameters
    ----------
    clip_ids : tuple of N str
    system_names : tuple of S str
    system : int array of shape (N,), the place of each clip's system among the names
    predictions : float array of shape (N,), on any scale
    clip_of : int array of shape (R,), the clip of each rating
    ratings : float array of shape (R,)
    rater : int array of shape (R,), or None where raters are not known
    prompt : int array of shape (N,), -1 where there is none; None without any
    origin : int array of shape (N,), the system that each clip is by, where `system`
        pools them; None where it is `system`
    """

    clip_ids: tuple[str, ...]
    system_names: tuple[str, ...]
    system: np.ndarray
    predictions: np.ndarray
    clip_of: np.ndarray
    ratings: np.ndarray
    rater: np.ndarray | None = None
    prompt: np.ndarray | None = None
    origin: np.ndarray | None = None

    @classmethod
    def from_tables(
        cls,
        clips: pd.DataFrame,
        ratings: pd.DataFrame,
        column: str,
    ) -> RatedSample:
        """Put the ratings beside the predictions of their clips.

        Parameters
        ----------
        clips : DataFrame of N rows
            ``clip_id``, ``system_id`` and ``prediction``; perhaps ``prompt`` (text,
            empty for none).
        ratings : DataFrame
            ``clip_id``, the ratings in `column`, NaN where a rater left one out, and
            perhaps ``rater_id``.
        column : str

        Raises
        ------
        UsageError
            When a clip is predicted twice, a prediction is not a finite number, a
            system has no name, or a rating is of a clip without a prediction.
        """
        _check_clips(clips)
        rated = ratings[ratings[column].notna()]
        row_of = {clip: row for row, clip in enumerate(clips["clip_id"])}
        unknown = [clip for clip in rated["clip_id"].unique() if clip not in row_of]
        if unknown:
            raise UsageError(
                f"{len(unknown)} rated clips have no prediction ({some(unknown)}); "
                "predict all clips, the rated ones too, with the same ids."
            )

        system, names = pd.factorize(clips["system_id"], sort=True)
        rater = None
        if "rater_id" in rated:
            rater = pd.factorize(rated["rater_id"])[0]
        prompt = None
        if "prompt" in clips:
            # An empty text is no prompt, and no two clips share it.
            texts = clips["prompt"].where(clips["prompt"] != "", None)
            prompt = pd.factorize(texts)[0]
        return cls(
            clip_ids=tuple(clips["clip_id"]),
            system_names=tuple(map(str, names)),
            system=system,
            predictions=clips["prediction"].to_numpy(dtype=float),
            clip_of=rated["clip_id"].map(row_of).to_numpy(dtype=np.intp),
            ratings=rated[column].to_numpy(dtype=float),
            rater=rater,
            prompt=prompt,
        )

    def pooled(self) -> RatedSample:
        """The same clips as those of a single system, for simple random samples."""
        return RatedSample(
            clip_ids=self.clip_ids,
            system_names=("all",),
            system=np.zeros_like(self.system),
            predictions=self.predictions,
            clip_of=self.clip_of,
            ratings=self.ratings,
            rater=self.rater,
            prompt=self.prompt,
            origin=self.system,
        )

    @property
    def n_systems(self) -> int:
        """Number of systems."""
        return len(self.system_names)

    @cached_property
    def ratings_per_clip(self) -> np.ndarray:
        """Number of ratings of each of the N clips."""
        return np.bincount(self.clip_of, minlength=len(self.clip_ids))

    @cached_property
    def is_rated(self) -> np.ndarray:
        """Bool array of shape (N,)."""
        return self.ratings_per_clip > 0

    @cached_property
    def prompt_or_clip(self) -> np.ndarray:
        """Codes of shape (N,), equal where clips share a prompt."""
        own = np.arange(len(self.clip_ids))
        if self.prompt is None:
            return own
        first_own = int(self.prompt.max(initial=-1)) + 1
        return np.where(self.prompt >= 0, self.prompt, first_own + own)

    @property
    def shares_prompts(self) -> bool:
        """Whether several rated clips have the same prompt."""
        codes = self.prompt_or_clip[self.is_rated]
        return len(np.unique(codes)) < len(codes)

    @cached_property
    def clips_per_system(self) -> np.ndarray:
        """Number of clips of each system."""
        return np.bincount(self.system, minlength=self.n_systems)

    @cached_property
    def rated_per_system(self) -> np.ndarray:
        """Number of rated clips of each system."""
        return np.bincount(self.system[self.is_rated], minlength=self.n_systems)

    @cached_property
    def clip_means(self) -> np.ndarray:
        """Mean rating of each of the N clips, NaN where there is none."""
        sums = np.bincount(
            self.clip_of, weights=self.ratings, minlength=len(self.clip_ids)
        )
        counts = self.ratings_per_clip
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def system_means(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weighted mean over the clips of each system; NaN where all weights are 0.

        Parameters
        ----------
        values : array of shape (N,), not looked at where the weight is 0
        weights : array of shape (N,), numbers or bools
        """
        weights = weights.astype(float)
        products = np.where(weights > 0, values, 0.0) * weights
        sums = np.bincount(self.system, weights=products, minlength=self.n_systems)
        totals = np.bincount(self.system, weights=weights, minlength=self.n_systems)
        return np.where(totals > 0, sums / np.where(totals > 0, totals, 1), np.nan)


def _check_clips(clips: pd.DataFrame) -> None:
    repeated = clips["clip_id"][clips["clip_id"].duplicated()]
    if len(repeated):
        raise UsageError(
            f"{some(repeated.unique())}: predicted twice; keep one row a clip."
        )
    unnamed = clips["clip_id"][clips["system_id"].isna() | (clips["system_id"] == "")]
    if 0 < len(unnamed) < len(clips):
        raise UsageError(
            f"{len(unnamed)} clips have no system ({some(unnamed)}); name the system "
            "of every clip, or of none."
        )
    is_finite = np.isfinite(clips["prediction"].to_numpy(dtype=float))
    unusable: Sequence[str] = list(clips["clip_id"][~is_finite])
    if unusable:
        raise UsageError(
            f"{len(unusable)} predictions are not finite numbers ({some(unusable)}); "
            "predict every clip, or leave these out of the table."
        )
