"""Column names that the readers of tables recognise.

This module is the single home of names by meaning: the columns that describe a clip
(`ALIASES`, `WEAK_ALIASES`), ratings (`RATING_NAMES`, `RATING_COLUMNS`), raters
(`RATER_COLUMNS`) and predictions (`PREDICTION_COLUMNS`, `SCORE_COLUMNS`). What is never
taken for one of the latter stands in `base_models.clips.bookkeeping`.

Notes
-----
Names are listed as `fold_name` writes them, and every reader compares them so. What
keeps a wrong column from becoming a label is the lists themselves, not the spelling: in
a clip table a column is a rating by its name, or by a name that is on no list and
values on the scale.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from base_models.errors import UsageError, some
from base_models.scales import Scale

# ---- how a name is compared with the lists

_LONGEST_NAME = 500
_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_INSIDE_A_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SEPARATORS = re.compile(r"[\W_]+")
_END = r"([+-]?\d+(?:\.\d+)?)"
_UNITS = r"(?:\s+(?:stars?|points?|scale|likert))?"
# "1-5", "0 to 100", "1–5 scale"; "1 = bad, 5 = excellent".
_SCALE = re.compile(
    rf"(?:scale\s*:?\s*)?{_END}\s*(?:-|\u2013|\u2014|\u2026|\.{{2,3}}|to)\s*{_END}{_UNITS}"
    rf"|{_END}\s*=\s*[^\d=]+[,;]\s*{_END}\s*=\s*[^\d=]+",
    re.IGNORECASE,
)
_SCALE_AT_THE_END = re.compile(
    r"\s+([+-]?\d+(?:\.\d+)?\s*(?:-|\u2013|\u2014|\.{2,3})\s*\d+(?:\.\d+)?)\s*$"
)


def fold_name(name: str) -> str:
    """The name of a column as the lists here have it: lower-case words and underscores.

    Letters are of one case and in one Unicode form; blanks, punctuation and brackets
    separate words, as a capital letter within a word does. A scale is no part of the
    name; other words in brackets are, since "MOS (std)" is not "MOS".

    Examples
    --------
    >>> fold_name("File name"), fold_name("sysID"), fold_name("Predicted - MOS")
    ('file_name', 'sys_id', 'predicted_mos')
    >>> fold_name("Rating (1-5)"), fold_name("MOS (std)")
    ('rating', 'mos_std')
    """
    plain = unicodedata.normalize("NFKC", without_scale(name))
    words = _SEPARATORS.sub("_", _INSIDE_A_WORD.sub("_", plain)).casefold()
    return words.strip("_") or name.strip().casefold()


def without_scale(name: str) -> str:
    """The name of a column without the scale that it states.

    >>> without_scale("Rating (1-5)"), without_scale("Rating (mean)")
    ('Rating', 'Rating (mean)')
    """
    return _split_scale(name)[0]


def scale_in_name(name: str) -> Scale | None:
    """The scale that the name of a column states, or None.

    Examples
    --------
    >>> scale_in_name("Rating (0-100)"), scale_in_name("rating_3")
    (Scale(low=0.0, high=100.0), None)
    >>> scale_in_name("Quality [1 = bad, 5 = excellent]")
    Scale(low=1.0, high=5.0)
    """
    return _split_scale(name)[1]


def _split_scale(name: str) -> tuple[str, Scale | None]:
    """The name without its scale, and the scale; the name itself where it has none."""
    # Cells are asked whether they are names; a long one could take the patterns ages.
    if len(name) > _LONGEST_NAME:
        return name.strip(), None
    matches = [*_BRACKETS.finditer(name), *_SCALE_AT_THE_END.finditer(name)]
    for match in matches:
        written = _SCALE.fullmatch(match[1].strip())
        rest = f"{name[: match.start()].rstrip()}{name[match.end() :]}".strip()
        if written is None or not rest:
            continue
        low, high = (float(end) for end in written.groups() if end is not None)
        # "session 2-3" is no scale: one starts at 1, at 0, or below.
        if low <= 1 and low < high:
            return rest, Scale(low, high)
    return name.strip(), None


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
        "filepath",
        "filename",
        "file_name",
        "file",
        "audio_path",
        "audio_file",
        "audio_filename",
        "audio_file_name",
        "audiofile",
        "wav",
        "wav_file",
        "wavfile",
        "wav_name",
        # German, French, Polish, Spanish.
        "datei",
        "dateiname",
        "dateipfad",
        "audiodatei",
        "fichier",
        "nom_du_fichier",
        "plik",
        "nazwa_pliku",
        "archivo",
    ),
    # What a clip is judged against, in order of precedence: a corpus of songs may have
    # a caption and lyrics, one of speech a text and its transcript.
    "prompt": (
        "prompt",
        "prompt_text",
        "text_prompt",
        "text",
        "caption",
        "description",
        "transcript",
        "lyrics",
    ),
    "system_id": ("system_id", "system", "sys_id", "sysid", "system_name"),
    "split": ("split", "set", "subset", "partition"),
}
"""Names under which each column of a clip table is recognised, see `fold_name`."""

WEAK_ALIASES: dict[str, tuple[str, ...]] = {
    "clip_id": ("clip_name", "song_id", "track_id", "stimulus", "stimulus_id"),
    "audio": ("clip_path", "clip_file"),
    "system_id": (
        "model",
        "model_id",
        "model_name",
        "model_version",
        "generator",
        "generator_id",
        "generator_name",
        "method",
        "modell",
        "modèle",
        "modele",
        "modelo",
    ),
}
"""Names that have a meaning only in a table without a name of `ALIASES` for it.

A table with ``system`` and ``model`` has its systems in the former.
"""

STANDARD_NAMES = {
    alias: standard
    for names in (ALIASES, WEAK_ALIASES)
    for standard, aliases in names.items()
    for alias in aliases
}
"""The standard name of each alias, weak ones included."""

SEGMENT_COLUMNS = ("start_time", "end_time")
"""Columns that say which seconds of a file a clip is; never ratings."""
_UNITS_OF_TIME = ("", "_s", "_sec", "_secs", "_seconds", "_in_s", "_in_seconds")
START_NAMES, END_NAMES, DURATION_NAMES = (
    tuple(f"{word}{unit}" for word in words for unit in _UNITS_OF_TIME)
    for words in (
        ("start_time", "start", "start_offset", "onset", "begin", "begin_time"),
        ("end_time", "end", "end_offset", "stop", "stop_time"),
        ("duration", "dur"),
    )
)
"""Names of columns with the start, the end or the length of a segment."""

SPLIT_ALIASES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "val", "validation", "development"),
    "test": ("test", "eval", "evaluation"),
}
"""Values under which each split is recognised in the column ``split``."""

SPLITS = tuple(SPLIT_ALIASES)

# ---- columns of ratings

TEXT_ASPECTS = frozenset(
    {
        "ta",
        "text_alignment",
        "textual_alignment",
        "prompt_alignment",
        "prompt_adherence",
        "text_relevance",
    }
)
"""Names of aspects that are judged against the prompt, see `is_judged_by_text`."""

GENERAL_RATINGS = frozenset(
    {
        "mos",
        "mean_opinion_score",
        "score",
        "avg_score",
        "mean_score",
        "rating",
        "mean_rating",
        "avg_rating",
        "overall",
        "quality",
        "overall_quality",
        "mean",
        "average",
        "avg",
        # German, French, Polish, Spanish.
        "bewertung",
        "mittlere_bewertung",
        "qualität",
        "mittelwert",
        "moyenne",
        "qualité",
        "ocena",
        "średnia",
        "ocena_średnia",
        "średnia_ocena",
        "jakość",
        "puntuación",
        "calidad",
    }
)
"""Names of ratings that do not say of what: beside another, one may be it again."""

RATING_NAMES = (
    TEXT_ASPECTS
    | GENERAL_RATINGS
    | {
        "mi",
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
)
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
    "bewertung",
    "ocena",
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
PATH_COLUMNS = (*ALIASES["audio"], "deg", "filepath_deg")

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


# ---- columns of a table, by legal names


def first_column(columns: Iterable[str], legal: Collection[str]) -> str | None:
    """The first column with a legal name, or None; see `only_column`.

    >>> first_column(["MOS", "Rater", "Listener"], RATER_COLUMNS)
    'Rater'
    """
    return next((name for name in columns if fold_name(name) in legal), None)


def only_column(
    columns: Iterable[str],
    legal: Collection[str],
    *,
    what: str,
    path: Path,
) -> str | None:
    """The one column of a table with a legal name, or None.

    Parameters
    ----------
    columns : names, as they stand in the table
    legal : names as `fold_name` returns them
    what : what the column holds, for the message
    path : of the table, likewise

    Raises
    ------
    UsageError
        when several columns have a legal name.

    Examples
    --------
    >>> only_column(["Rater", "MOS"], RATER_COLUMNS, what="rater", path=Path("r.csv"))
    'Rater'
    """
    matches = [name for name in columns if fold_name(name) in legal]
    if len(matches) > 1:
        raise UsageError(
            f"{path}: columns {some(matches)} may all be the {what}; drop or rename "
            "all but one."
        )
    return matches[0] if matches else None


def is_judged_by_text(aspect: str) -> bool:
    """Whether an aspect has a known name of one that is judged against the prompt.

    >>> is_judged_by_text("Textual alignment"), is_judged_by_text("mi")
    (True, False)
    """
    return fold_name(aspect) in TEXT_ASPECTS
