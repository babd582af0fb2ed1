"""Column names that the readers of tables recognise, and columns that they never use.

This module is the single home of both lists:

- names by meaning: the columns that describe a clip (`ALIASES`), ratings
  (`RATING_NAMES`, `RATING_COLUMNS`), raters (`RATER_COLUMNS`) and predictions
  (`PREDICTION_COLUMNS`, `SCORE_COLUMNS`);
- bookkeeping, such as counts and standard deviations: never taken for ratings
  (`is_bookkeeping_of_ratings`) and never for models (`is_bookkeeping_of_models`).

Notes
-----
The readers differ on purpose in how widely they recognise a name:

- A clip table decides what is a *label*, and a wrong column would be learnt from. Its
  columns are matched in any case, but only in the spellings listed.
- A table of single ratings also accepts spaces and hyphens for underscores.
- A file of predictions is written by another tool, whose header is made for people
  ("Predicted - MOS"), so any run of spaces and hyphens counts as one underscore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from base_models.errors import UsageError

# ---- columns that describe a clip

CLIP_COLUMNS = ("clip_id", "system_id", "prompt", "audio", "split")
"""The text columns of every clip table, in order."""

ALIASES: dict[str, tuple[str, ...]] = {
    "clip_id": (
        "clip_id",
        "id",
        "utt_id",
        "utterance",
        "utterance_id",
        "sample_id",
        "key",
    ),
    "audio": (
        "audio",
        "path",
        "wav_path",
        "data_path",
        "file_path",
        "filename",
        "file",
        "audio_path",
        "wav",
    ),
    # What a clip is judged against, in order of precedence: a corpus of songs may have
    # a caption and lyrics, one of speech a text and its transcript.
    "prompt": ("prompt", "text", "caption", "description", "transcript", "lyrics"),
    "system_id": ("system_id", "system", "sys_id", "sysid"),
    "split": ("split", "set", "subset", "partition"),
}
"""Names under which each column of a clip table is recognised, in lower case."""

STANDARD_NAMES = {
    alias: standard for standard, aliases in ALIASES.items() for alias in aliases
}
"""The standard name of each alias."""

SPLIT_ALIASES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "val", "validation", "development"),
    "test": ("test", "eval", "evaluation"),
}
"""Values under which each split is recognised in the column ``split``."""

SPLITS = tuple(SPLIT_ALIASES)

# ---- columns of ratings

_TEXT_ASPECT_NAMES = (
    "ta",
    "text_alignment",
    "textual_alignment",
    "prompt_alignment",
    "prompt_adherence",
    "text_relevance",
)
_TEXT_ASPECT_SPELLINGS = frozenset(
    name.replace("_", separator)
    for name in _TEXT_ASPECT_NAMES
    for separator in ("_", " ", "-")
)
TEXT_ASPECTS = frozenset(
    change_case(spelling)
    for spelling in _TEXT_ASPECT_SPELLINGS
    for change_case in (str.lower, str.upper, str.title, str.capitalize)
)
"""Names of aspects that are judged against the prompt."""

RATING_NAMES = _TEXT_ASPECT_SPELLINGS | {
    "mi",
    "mos",
    "score",
    "avg_score",
    "mean_score",
    "rating",
    "overall",
    "quality",
    "overall_quality",
    "music_impression",
    "musical_impression",
    "naturalness",
    "relevance",
    # Audiobox Aesthetics
    "ce",
    "cu",
    "pc",
    "pq",
    "content_enjoyment",
    "content_usefulness",
    "production_complexity",
    "production_quality",
    # SongEval
    "coherence",
    "musicality",
    "memorability",
    "clarity",
    # NISQA
    "noisiness",
    "coloration",
    "discontinuity",
}
"""Names under which a column of a clip table is known to hold mean ratings."""

RATING_COLUMNS = (
    "rating",
    "ratings",
    "score",
    "scores",
    "mos",
    "opinion_score",
    "vote",
    "votes",
    "mushra",
)
"""Names of the column of single ratings where only one aspect is rated."""

_RATERS = (
    "rater",
    "listener",
    "annotator",
    "judge",
    "subject",
    "participant",
    "worker",
    "assessor",
    "user",
)
RATER_COLUMNS = (*(f"{rater}_id" for rater in _RATERS), *_RATERS)
"""Names of the column of raters in a table of single ratings."""

# ---- columns of predictions

# Other tools write further names of ids and paths. A clip table does not accept these:
# "deg" (the degraded signal) means an audio file only beside predictions.
ID_COLUMNS = (*ALIASES["clip_id"], "wav_id", "wavid", "utt")
PATH_COLUMNS = (*ALIASES["audio"], "wav_file", "deg", "filepath_deg")

PREDICTION_COLUMNS = (
    "answer",
    "prediction",
    "predictions",
    "predicted",
    "pred",
    "predicted_mos",
    "mos_pred",
    "pred_mos",
    "predicted_score",
    "pred_score",
    "score_pred",
)
"""Names that say of a single column of scores that they are predicted."""

SCORE_COLUMNS = ("score", "scores", "mos")
"""Names of a single column of scores that may be predicted or may be labels."""

# ---- aspects under other names


def aspect_columns(
    words: str | Iterable[str], columns: Iterable[str] = ()
) -> dict[str, str]:
    """The column that each aspect is read from.

    Parameters
    ----------
    words : names of columns, which are then the names of the aspects, or
        ``aspect=column``
    columns : of the table; a word that is one of them is taken as it is

    Raises
    ------
    UsageError
        when a side is empty, an aspect has the name of a column that describes clips,
        or an aspect or a column is named twice.

    Examples
    --------
    >>> aspect_columns(["mi=naturalness", "ta"])
    {'mi': 'naturalness', 'ta': 'ta'}
    """
    known = set(columns)
    column_of: dict[str, str] = {}
    for word in [words] if isinstance(words, str) else words:
        aspect, equals, column = word.partition("=")
        if word in known or not equals:
            aspect = column = word
        aspect = aspect.strip()
        column = column.strip()
        if not (aspect and column):
            raise UsageError(
                f"'{word}' names no aspect: write NAME, or NAME=COLUMN for an aspect "
                "that is read from a column of another name."
            )
        if aspect != column and aspect in CLIP_COLUMNS:
            raise UsageError(
                f"'{word}': '{aspect}' is what describes a clip; give the aspect "
                "another name."
            )
        if aspect in column_of:
            raise UsageError(f"The aspect '{aspect}' is named twice (each once).")
        for other, taken in column_of.items():
            if taken == column:
                raise UsageError(
                    f"The column '{column}' is read as '{other}' and as '{aspect}'; it "
                    "is of one aspect."
                )
        column_of[aspect] = column
    if not column_of:
        raise UsageError("No aspect is named; name at least one rated column.")
    return column_of


# ---- bookkeeping

_BOOKKEEPING_OF_RATINGS = re.compile(
    r"""
    # A word of counting, timing or listing at the start: n_ratings, rater_1, fold2, ci.
    (n|num|nr|no|count|start|end|time|rater|listener|fold|duration|unnamed|ci)
    (_.*|\d*|s|ings)
    # A statistic, number or unit at the end: mos_std, content_id, sample_rate.
    |.*_(n|counts?|std|sd|var|se|sem|ci|ci95|low|high|ids?|idx|index|num|no|folds?|seed
        |year|seconds|rate|time|raters)
    # A bin of a predicted distribution: mi_b07, mi_bins.
    |.*_(b\d{2,}|bins)
    # Whole names.
    |id|idx|index|seed|seconds|length|year|month|day|date|age|bpm|tempo|std|sd|var|sem
    |sr|channels?
    # Unnamed columns, folds, and predictions, which are not ratings.
    |unnamed.*|fold.*|pred.*|answer
    # What this product writes beside its scores.
    |out_of_range|source_hz|bandwidth_hz|audio_flags
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
_BOOKKEEPING_OF_MODELS = frozenset(
    {
        *_SPREADS_AND_COUNTS,
        "fold",
        "index",
        "seed",
        "n_ratings",
        "n_raters",
        "num_ratings",
        "num_raters",
        "out_of_range",
        "source_hz",
        "bandwidth_hz",
        "audio_flags",
    }
)


def is_bookkeeping_of_ratings(name: str) -> bool:
    """Whether a column of a clip table is never taken for a rating unless it is named.

    The list is wide: a numeric column with an unknown name that is not on it becomes a
    label, so any doubt must be resolved against the column.

    >>> is_bookkeeping_of_ratings("mos_std"), is_bookkeeping_of_ratings("groove")
    (True, False)
    """
    return _BOOKKEEPING_OF_RATINGS.fullmatch(with_underscores(name)) is not None


def is_bookkeeping_of_models(name: str, aspects: Sequence[str]) -> bool:
    """Whether a column of a file of predictions is never taken for a model.

    The list is narrow: a model may be called almost anything (``w2v_seed``, ``num_7``),
    so only whole names and statistics of an aspect (``<aspect>_std``) are on it.

    >>> is_bookkeeping_of_models("mos_std", ["mos"])
    True
    >>> is_bookkeeping_of_models("w2v_std", ["mos"])
    False
    """
    name = name.strip().lower()
    if name in _BOOKKEEPING_OF_MODELS:
        return True
    for aspect in aspects:
        own = name.removeprefix(f"{aspect.lower()}_")
        if own != name and (own in _SPREADS_AND_COUNTS or _BIN.fullmatch(own)):
            return True
    return False


# ---- how a name is compared with the lists


def with_underscores(name: str) -> str:
    """Lower case, with underscores for spaces: names of ratings in a clip table.

    >>> with_underscores("Textual Alignment")
    'textual_alignment'
    """
    return name.lower().replace(" ", "_")


def normalize(name: str) -> str:
    """Lower case, with underscores for spaces and hyphens: tables of single ratings.

    >>> normalize("Annotator-ID")
    'annotator_id'
    """
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def normalize_loosely(name: str) -> str:
    """Lower case, with one underscore for a run of spaces and hyphens: predictions.

    >>> normalize_loosely("Predicted - MOS")
    'predicted_mos'
    """
    return re.sub(r"[\s-]+", "_", name.strip().lower())
