"""Columns that the readers of tables never use, such as counts and standard deviations.

This module is the single home of their names. In a clip table they are excluded from
the ratings by a wide list, in files of predictions from the models by a narrow one,
since a model may be called almost anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from base_models.clips.columns import (
    DURATION_NAMES,
    END_NAMES,
    START_NAMES,
    fold_name,
)

# Whole names that are neither ratings nor models, whoever wrote the table.
_BOOKKEEPING = frozenset(
    {
        "fold",
        "folds",
        "index",
        "idx",
        "seed",
        "n_ratings",
        "n_raters",
        "num_ratings",
        "num_raters",
        # What this product writes beside its scores.
        "out_of_range",
        "source_hz",
        "bandwidth_hz",
        "audio_flags",
        "flags",
        "status",
        "reason",
        "weight",
        # Lengths, rates and chunks, which tools write beside their scores.
        "len_in_sec",
        "length",
        "seconds",
        "sr",
        "sample_rate",
        "sampling_rate",
        "channels",
        "num_channels",
        "num_hops",
        "num_frames",
        "num_samples",
        *(*START_NAMES, *END_NAMES, *DURATION_NAMES, "offset"),
        # What people and survey tools write beside ratings.
        "comment",
        "comments",
        "note",
        "notes",
        "remark",
        "remarks",
        "timestamp",
        "date",
        "time",
        "datetime",
        "created_at",
        "age",
        "gender",
        "language",
        "country",
    }
)
# The index of a data frame, written without a name.
_UNNAMED = re.compile(r"unnamed(_\d+)*|level_\d+|column_?\d+")

_BOOKKEEPING_OF_RATINGS = re.compile(
    r"""
    # A word of counting, timing or listing at the start: n_ratings, rater_1, fold2, ci.
    (n|num|nr|no|count|start|end|time|rater|listener|fold|duration|unnamed|ci)
    (_.*|\d*|s|ings)
    # A statistic, number or unit at the end: mos_std, content_id, sample_rate.
    |.*_(n|counts?|std|sd|stdev|var|variance|se|sem|ci|ci95|low|high|ids?|idx|index|num
        |no|folds?|seed|year|seconds|sec|rate|time|timestamp|raters|comments?|notes?)
    # A share of a distribution: "MOS (95% CI)".
    |.*_ci(_.*)?
    # A bin of a predicted distribution: mi_b07, mi_bins.
    |.*_(b\d{2,}|bins)
    # Whole names that a model may have and a rating has not.
    |id|year|month|day|bpm|tempo|std|sd|var|sem|channel
    # Unnamed columns, folds, and predictions, which are not ratings.
    |unnamed.*|fold.*|pred.*|answer
    """,
    re.VERBOSE,
)

_SETTINGS = re.compile(
    r"""
    # How a clip was made or came up in a test: "Version", "Guidance scale", "top_k".
    ((model|software|app|prompt)_)?version|variant|random_?seed|temperature|top_[kp]
    |((num|inference|sampling|diffusion)_)*steps?|(guidance|cfg)(_(scale|weight))?|cfg
    |(max_)?tokens|epochs?|checkpoint|take|batch|run|trial|repetition|session(_\d+)?
    |order|position|(play|presentation|trial)_(order|position)|rank|plays?|likes?|views?
    |downloads|size|loudness|lufs|length.*|länge|dauer|durée
    # Names with a unit: "Loudness (LUFS)", "Cost in EUR".
    |.+_(s|ms|min|mins|h|hz|khz|db|dbfs|lufs|lkfs|bpm|kb|mb|gb|kbps|eur|usd)
    """,
    re.VERBOSE,
)

_SPREADS_AND_COUNTS = (
    "std",
    "sd",
    "stdev",
    "var",
    "variance",
    "sem",
    "ci",
    "low",
    "high",
    "count",
    "n",
)
_BIN = re.compile(r"b\d{2,}|bins")


def is_bookkeeping_of_ratings(name: str) -> bool:
    """Whether a column of a clip table is never taken for a rating unless it is named.

    The list is wide: a numeric column with an unknown name that is not on it becomes a
    label, so any doubt must be resolved against the column.

    >>> is_bookkeeping_of_ratings("mos_std"), is_bookkeeping_of_ratings("groove")
    (True, False)
    """
    folded = fold_name(name)
    return _is_bookkeeping(folded) or bool(_BOOKKEEPING_OF_RATINGS.fullmatch(folded))


def cannot_be_a_rating(name: str) -> bool:
    """Whether a column is no rating unless it is named, bookkeeping or not.

    How a clip was made is no rating, though its numbers may lie on the scale; it is no
    bookkeeping either, since "version" may be the system.

    >>> cannot_be_a_rating("version"), is_bookkeeping_of_ratings("version")
    (True, False)
    """
    is_setting = _SETTINGS.fullmatch(fold_name(name)) is not None
    return is_setting or is_bookkeeping_of_ratings(name)


def is_bookkeeping_of_models(name: str, aspects: Sequence[str]) -> bool:
    """Whether a column of a file of predictions is never taken for a model.

    The list is narrow: a model may be called almost anything (``w2v_seed``, ``num_7``),
    so only whole names and statistics of an aspect (``<aspect>_std``) are on it.

    >>> is_bookkeeping_of_models("mos_std", ["mos"])
    True
    >>> is_bookkeeping_of_models("w2v_std", ["mos"])
    False
    """
    folded = fold_name(name)
    if _is_bookkeeping(folded) or folded in _SPREADS_AND_COUNTS:
        return True
    for aspect in aspects:
        own = folded.removeprefix(f"{fold_name(aspect)}_")
        if own != folded and (own in _SPREADS_AND_COUNTS or _BIN.fullmatch(own)):
            return True
    return False


def _is_bookkeeping(folded: str) -> bool:
    return folded in _BOOKKEEPING or bool(_UNNAMED.fullmatch(folded))
