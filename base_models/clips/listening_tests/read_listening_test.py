"""Read an export of a listening test, whatever its layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips import musiceval
from base_models.clips.columns import ALIASES, STANDARD_NAMES, first_column, fold_name
from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.listening_tests.conditions import role_of_condition
from base_models.clips.listening_tests.known_scales import known_scale
from base_models.clips.listening_tests.layouts.annotations import (
    annotation_column,
    read_annotations,
)
from base_models.clips.listening_tests.layouts.beaqlejs import (
    is_beaqlejs,
    read_beaqlejs,
)
from base_models.clips.listening_tests.layouts.long_table import is_long, read_long
from base_models.clips.listening_tests.layouts.voicemos import (
    is_voicemos,
    read_voicemos,
)
from base_models.clips.listening_tests.layouts.votes import are_votes, read_votes
from base_models.clips.listening_tests.layouts.webmushra import (
    is_webmushra,
    read_webmushra,
)
from base_models.clips.listening_tests.layouts.wide_table import (
    has_raters_in_columns,
    has_raters_in_rows,
    read_raters_in_columns,
    read_raters_in_rows,
)
from base_models.clips.listening_tests.listening_test import (
    CONTENT,
    EXPECTED,
    SECONDS,
    ListeningTest,
    rater_column,
    rows_where,
)
from base_models.clips.listening_tests.names_in_ids import names_in_ids
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    LAYOUTS,
    RatingOptions,
)
from base_models.clips.listening_tests.screening import LeftOut, screen_raters
from base_models.clips.rating_tables import (
    are_nameless,
    clip_names,
    holds_lists,
    list_columns,
    rated_columns_of,
)
from base_models.clips.tables.read_table import (
    TABLE_SUFFIXES,
    is_table,
    read_table,
    table_file,
)
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError
from base_models.scales import Scale

_Layout = tuple[
    str,
    Callable[[TextTable], bool],
    Callable[[TextTable, Path], ListeningTest],
]


def _read_lists(table: TextTable, path: Path) -> ListeningTest:
    if not holds_lists(table):
        raise UsageError(f"{path} has no column with lists of ratings ([3, 4, 5]).")
    # The ratings of AudioMOS 2025 track 2 (Audiobox Aesthetics) are published so.
    scales = {}
    if any(name.startswith("audiomos2025-track2-") for name in clip_names(table)):
        scales = {name: Scale(0, 10) for name in list_columns(table)}
    return ListeningTest("lists", table, scales=scales)


def _has_annotations(table: TextTable) -> bool:
    return annotation_column(table) is not None


# In this order: what has names of its own comes before what only looks like ratings.
_TABLES: tuple[_Layout, ...] = (
    ("webmushra", is_webmushra, read_webmushra),
    ("votes", are_votes, read_votes),
    ("annotations", _has_annotations, read_annotations),
    ("lists", holds_lists, _read_lists),
    ("long", is_long, read_long),
    ("raters-in-columns", has_raters_in_columns, read_raters_in_columns),
    ("raters-in-rows", has_raters_in_rows, read_raters_in_rows),
)


def read_listening_test(
    path: Path,
    options: RatingOptions = AS_THEY_ARE,
    read_cells: Callable[[Path], TextTable] = read_table,
) -> ListeningTest | None:
    """Read an export of a listening test.

    Parameters
    ----------
    path : a table, or results of BeaqleJS (a file per rater, or their folder)
    options : the layout, what is done with anchors, and how raters are screened
    read_cells : reads a table, for callers that want its cells too

    Returns
    -------
    test : ListeningTest or None
        With the column ``system_id``, where columns or ids name systems, and ``audio``,
        where files lie beside the table; without raters and conditions that are left
        out; its notes say what was read first, then what was left out and why. None
        where `path` is no listening test (and no layout is named).

    Raises
    ------
    UsageError
        when the file cannot be read, is not of the layout that is named, or nothing is
        left of it.
    """
    test = _in_its_layout(path, options, read_cells)
    if test is None:
        return None
    if test.has_labels:
        if options.screen != "none":
            raise UsageError(
                f"{path} holds votes, and --screen {options.screen} is of ratings; "
                "leave it out."
            )
        test = _completed(test, path)
        title = f"read as {LAYOUTS[test.layout]}: {_many(test.table.n_rows, 'vote')}"
        test = replace(test, notes=(title, *test.notes))
        return _without_anchors(test, options.anchors, path)

    test = _completed(test, path)
    # What the layout fixes comes before what a name says.
    test = replace(test, scales={**_scales_in_names(test), **test.scales})
    test = replace(test, notes=(_title(test), *test.notes))
    # Raters are judged by references and control questions too, so these stay in it
    # until raters are screened.
    test = _screened(test, options.screen, path)
    test = _without_controls(test)
    test = _without_anchors(test, options.anchors, path)
    return test


def _in_its_layout(
    path: Path, options: RatingOptions, read_cells: Callable[[Path], TextTable]
) -> ListeningTest | None:
    """The test in the layout that is named, else in the first that knows it."""
    name = options.format
    if name == "clips":
        return None
    if name is not None and not path.exists():
        raise UsageError(f"There is no file or folder {path}.")
    if name == "voicemos" or (name is None and is_voicemos(path)):
        return read_voicemos(path)
    if name == "beaqlejs" or (name is None and is_beaqlejs(path)):
        return read_beaqlejs(path)
    table = read_cells(path) if _has_cells(path) else None
    if table is None:
        if name is None:
            return None
        raise UsageError(
            f"{path}: --format {name} is of a table ({', '.join(TABLE_SUFFIXES)})."
        )
    table = options.reading.applied(table)
    # A layout that is named is read as such, whether or not the table looks like it.
    for layout, is_of_it, read in _TABLES:
        if name == layout or (name is None and is_of_it(table)):
            test = read(table, path)
            return replace(test, notes=(*table.notes, *test.notes))
    return None


def _has_cells(path: Path) -> bool:
    """Whether there is a table that is no label list."""
    is_there = is_table(path) and table_file(path).is_file()
    return is_there and not musiceval.is_list(path)


# ---- what a table leaves unsaid


def _of_clips(test: ListeningTest) -> TextTable:
    """The table whose rows are of one clip each, however many of it there are."""
    return test.table if test.clips is None else test.clips


def _with_clips(test: ListeningTest, table: TextTable) -> ListeningTest:
    """The same test with another such table."""
    if test.clips is None:
        return replace(test, table=table)
    return replace(test, clips=table)


def _completed(test: ListeningTest, path: Path) -> ListeningTest:
    """The same test with systems out of ids, and with audio files beside the table."""
    table = _of_clips(test)
    ids = clip_names(table)
    known = {STANDARD_NAMES.get(fold_name(name), "") for name in table.columns}
    columns = dict(table.columns)
    notes: list[str] = []
    if "system_id" not in known:
        has_ids = "clip_id" in known
        # A path of a file names a system by the file, not by its folders.
        named = names_in_ids([name if has_ids else Path(name).stem for name in ids])
        if any(named.systems):
            columns["system_id"] = list(named.systems)
            notes.append(named.note)
        if named.contents and CONTENT not in columns:
            columns[CONTENT] = list(named.contents)
    if "audio" not in known:
        audio = audio_beside(path, ids)
        if any(audio):
            columns["audio"] = audio
    return _with_clips(test, replace(table, columns=columns)).saying(*notes)


def _scales_in_names(test: ListeningTest) -> dict[str, Scale]:
    """Scales of columns whose names say theirs."""
    scales = {
        name: known_scale(name, cells) for name, cells in test.table.columns.items()
    }
    return {name: scale for name, scale in scales.items() if scale is not None}


def _title(test: ListeningTest) -> str:
    """What was read, in one line."""
    table = test.table
    raters = rater_column(table)
    n_clips = len(set(clip_names(table)))
    title = f"read as {LAYOUTS[test.layout]}: "
    if raters is not None:
        n_ratings = _count_ratings(test, [True] * table.n_rows)
        names = set(table.columns[raters])
        who = "raters without names"
        if not are_nameless(names):
            who = _many(len(names), "rater")
        title += f"{who}, {_many(n_ratings, 'rating')} of "
    title += _many(n_clips, "clip")
    systems = {name.strip() for name in _column(table, "system_id") or () if name}
    if systems:
        title += f" by {_many(len(systems), 'system')}"
    # Scales may also be of columns that the layout has, and this table lacks.
    own = {name: scale for name, scale in test.scales.items() if name in table.columns}
    for name, scale in own.items():
        title += f"; '{name}' is on {scale}"
    return title


def _count_ratings(test: ListeningTest, is_counted: Sequence[bool]) -> int:
    """The ratings in some rows; rows, where the columns of ratings are not known."""
    if not test.aspects:
        return sum(is_counted)
    return sum(
        bool(cell.strip())
        for name in test.aspects
        for cell, counts in zip(test.table.columns[name], is_counted, strict=True)
        if counts
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# ---- who and what is left out


def _without_anchors(test: ListeningTest, anchors: str, path: Path) -> ListeningTest:
    """The same test, where asked without reference and anchor conditions."""
    of_clips = _of_clips(test)
    systems = _column(of_clips, "system_id")
    if systems is None:
        return test
    roles = {name.strip(): role_of_condition(name.strip()) for name in systems}
    special = [name for name, role in roles.items() if role]
    if not special:
        return test
    listed = ", ".join(f"'{name}' ({roles[name]})" for name in special)
    if anchors == "keep":
        return test.saying(
            f"reference and anchor conditions are taken like systems: {listed} "
            "(--anchors drop leaves them out)"
        )
    keeps = [not roles[name.strip()] for name in systems]
    if not any(keeps):
        raise UsageError(
            f"{path} rates only reference and anchor conditions: {listed}. Take them "
            "with --anchors keep."
        )
    # There a row is a clip, and not a rating.
    if test.has_labels or test.layout == "lists":
        left_out = _many(keeps.count(False), "clip")
    else:
        is_left_out = [not is_kept for is_kept in keeps]
        left_out = _many(_count_ratings(test, is_left_out), "rating")
    return _with_clips(test, rows_where(of_clips, keeps)).saying(
        f"reference and anchor conditions are left out: {listed}, "
        f"{left_out} (--anchors keep takes them)"
    )


def _without_controls(test: ListeningTest) -> ListeningTest:
    """The same test without control questions, which only raters are judged by."""
    expected = test.table.columns.get(EXPECTED, [])
    is_control = [bool(cell.strip()) for cell in expected]
    if not any(is_control) or all(is_control):
        return test
    table = rows_where(test.table, [not is_one for is_one in is_control])
    n_left_out = _many(_count_ratings(test, is_control), "rating")
    return replace(test, table=table).saying(
        f"control questions are no clips under test: {n_left_out} of them left out"
    )


def _screened(test: ListeningTest, screen: str, path: Path) -> ListeningTest:
    """The same test without the raters whom the screening leaves out."""
    if screen == "none":
        return test
    raters = rater_column(test.table)
    if raters is None:
        raise UsageError(
            f"{path} names no raters, so that none can be left out; leave --screen "
            f"{screen} out."
        )
    left_out = screen_raters(_as_shares(test, raters, path), screen)
    names = {one.rater_id for one in left_out}
    keeps = [cell.strip() not in names for cell in test.table.columns[raters]]
    test = replace(test, table=rows_where(test.table, keeps))
    return test.saying(*_screening_notes(left_out, screen))


def _screening_notes(left_out: Sequence[LeftOut], screen: str) -> list[str]:
    title = {
        "bs1534": "post-screening of BS.1534-3, 4.1.2",
        "p808": "screening in the manner of P.808",
    }[screen]
    if not left_out:
        return [f"{title}: no rater is left out"]
    n_ratings = sum(one.n_ratings for one in left_out)
    return [
        f"{title}: {_many(len(left_out), 'rater')} left out, with "
        f"{_many(n_ratings, 'rating')}",
        *(f"left out: {one}" for one in left_out),
    ]


def _as_shares(test: ListeningTest, raters: str, path: Path) -> pd.DataFrame:
    """The ratings as `screen_raters` takes them."""
    table = test.table
    aspects = test.aspects or tuple(rated_columns_of(table, str(path)).values())
    ids = clip_names(table)
    systems = _column(table, "system_id") or [""] * table.n_rows
    items = table.columns.get(CONTENT) or [
        _without_system(name, system) for name, system in zip(ids, systems, strict=True)
    ]
    seconds = _numbers(table.columns.get(SECONDS), table.n_rows)
    expected = _numbers(table.columns.get(EXPECTED), table.n_rows)
    parts = []
    for aspect in aspects:
        values = _numbers(table.columns[aspect], table.n_rows)
        scale = test.scales.get(aspect) or _likely_scale(values, aspect, path)
        parts.append(
            pd.DataFrame(
                {
                    # Ratings of two aspects are not compared with each other.
                    "clip_id": [f"{name}\0{aspect}" for name in ids],
                    "rater_id": [cell.strip() for cell in table.columns[raters]],
                    "item": items,
                    "role": [role_of_condition(name.strip()) for name in systems],
                    "value": (values - scale.low) / scale.width,
                    "seconds": seconds,
                    "expected": (expected - scale.low) / scale.width,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _without_system(clip_id: str, system: str) -> str:
    """The item that a clip is a version of, as far as its id says."""
    return clip_id.replace(system, "") if system else clip_id


def _likely_scale(values: np.ndarray, aspect: str, path: Path) -> Scale:
    """The scale of ratings that nobody named: 1..5, 0..10 or 0..100."""
    # The narrowest that holds them: 0..100 holds any of the others.
    for scale in (Scale(1, 5), Scale(0, 10), Scale(0, 100)):
        if not scale.is_off(values).any():
            return scale
    raise UsageError(
        f"{path}: ratings of '{aspect}' lie in {np.nanmin(values):g}.."
        f"{np.nanmax(values):g}, on no known scale; raters cannot be screened. Write "
        f"the scale into the name of the column, as '{aspect} (-3..3)'."
    )


def _numbers(cells: Sequence[str] | None, n: int) -> np.ndarray:
    """Cells as numbers; NaN where there is none, or what readers of scores refuse."""
    values = np.full(n, np.nan)
    for row, cell in enumerate(cells or ()):
        number = parse_number(cell.strip())
        if number is not None:
            values[row] = number
    return values


def _column(table: TextTable, standard: str) -> list[str] | None:
    """The cells of a column under any of its usual names."""
    name = first_column(table.columns, ALIASES[standard])
    return None if name is None else table.columns[name]
