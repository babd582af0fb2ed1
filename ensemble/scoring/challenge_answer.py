"""What the challenge (AudioMOS 2025, track 1) would not take of a submission.

A submission is a zip with ``answer.txt`` at its root: UTF-8, no header, and one line
``id,MI,TA`` for each clip of the list of the evaluation, without ``.wav``. All that is
wrong is found at once, since the server says little and counts attempts.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from base_models.clips.text_table import parse_number
from base_models.errors import UsageError, some
from base_models.files import read_bytes
from ensemble.formats import ANSWER_FILE

_N_SCORES = 2
_LOW = 1.0
_HIGH = 5.0
_LARGEST = 64 << 20
"""Bytes of an answer; one of all clips has 0.1 MB."""


def read_eval_list(path: str | Path) -> list[str]:
    """The ids of the clips that an answer must have, of lines ``id`` or ``id,…``.

    Raises
    ------
    UsageError
        When there is no such file, it lists nothing, or one clip twice.
    """
    if not Path(path).is_file():
        raise UsageError(f"There is no file {path} to list the clips of an answer.")
    text = read_bytes(path).decode("utf-8-sig", "replace")
    cells = [line.partition(",")[0].strip() for line in text.splitlines()]
    ids = [cell.removesuffix(".wav") for cell in cells if cell]
    if not ids:
        raise UsageError(f"{path} lists no clips; it has one id a line.")
    twice = [clip for clip, count in Counter(ids).items() if count > 1]
    if twice:
        raise UsageError(f"{path} lists {some(twice)} more than once.")
    return ids


def id_problems(ids: Sequence[str], listed: Sequence[str]) -> list[str]:
    """Clips that are missing of an answer, that are too many, or that stand twice."""
    own = [clip.removesuffix(".wav") for clip in ids]
    missing = [clip for clip in listed if clip not in set(own)]
    extra = [clip for clip in dict.fromkeys(own) if clip not in set(listed)]
    twice = [clip for clip, count in Counter(own).items() if count > 1]
    found = {
        "missing, though the list has them": missing,
        "not in the list": extra,
        "there more than once": twice,
    }
    return [_of_clips(clips, what) for what, clips in found.items() if clips]


def answer_problems(
    data: bytes, is_zip: bool, listed: Sequence[str] | None = None
) -> list[str]:
    """All that is wrong with a submission, a sentence each.

    Parameters
    ----------
    data : bytes
        Of the zip, or of ``answer.txt`` itself.
    is_zip : bool
    listed : sequence of str, optional
        Ids of the clips that it must have.
    """
    problems: list[str] = []
    if is_zip:
        data, problems = _unpacked(data)
    if not data:
        return problems or ["it is empty"]
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return [*problems, f"it is not UTF-8 text ({error.reason})"]
    if text.startswith("\ufeff"):
        problems.append("it begins with a byte order mark")
        text = text.removeprefix("\ufeff")

    lines = text.splitlines()
    malformed = []
    unscored = []
    off_scale = []
    with_suffix = []
    ids = []
    for number, line in enumerate(lines, start=1):
        clip, *scores = line.split(",")
        values = [parse_number(cell) for cell in scores]
        is_header = number == 1 and scores and not any(map(_is_number, scores))
        if len(scores) != _N_SCORES or is_header or clip != clip.strip() or not clip:
            malformed.append(str(number))
            continue
        ids.append(clip)
        if clip.endswith(".wav"):
            with_suffix.append(clip)
        if None in values:
            unscored.append(clip)
        elif not all(_LOW <= value <= _HIGH for value in values if value is not None):
            off_scale.append(clip)

    if malformed:
        problems.append(
            f"{len(malformed)} lines are not id,MI,TA (line {some(malformed, 3)})"
        )
    found = {
        "written with .wav": with_suffix,
        "without a number for each score": unscored,
        f"with a score outside {_LOW:g}..{_HIGH:g}": off_scale,
    }
    problems += [_of_clips(clips, what) for what, clips in found.items() if clips]
    return problems + id_problems(
        ids, list(dict.fromkeys(ids if listed is None else listed))
    )


def check_answer_file(path: str | Path, eval_list: str | Path) -> list[str]:
    """All that is wrong with a submission in a file, see `answer_problems`.

    Raises
    ------
    UsageError
        When a file is not there.
    """
    listed = read_eval_list(eval_list)
    if not Path(path).is_file():
        raise UsageError(f"There is no file {path} to check.")
    is_zip = Path(path).suffix.lower() == ".zip"
    problems = answer_problems(read_bytes(path), is_zip, listed=listed)
    if not is_zip and Path(path).name != ANSWER_FILE:
        problems.append(
            f"within a submission it is to be called {ANSWER_FILE}, not "
            f"{Path(path).name}"
        )
    return problems


def _is_number(cell: str) -> bool:
    # A score that is no finite number, such as nan, is no name of a column either.
    return (
        cell == ""
        or cell.lower() in ("nan", "inf", "-inf")
        or (parse_number(cell) is not None)
    )


def _of_clips(clips: Sequence[str], what: str) -> str:
    verb = "is" if len(clips) == 1 else "are"
    subject = "clip" if len(clips) == 1 else "clips"
    return f"{len(clips)} {subject} {verb} {what} ({some(clips, 3)})"


def _unpacked(data: bytes) -> tuple[bytes, list[str]]:
    """The answer within a zip, and what is wrong with the zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if ANSWER_FILE not in names:
                held = some(names, 3) or "nothing"
                return b"", [f"the zip holds no {ANSWER_FILE} at its root ({held})"]
            others = [name for name in names if name != ANSWER_FILE]
            problems = [f"the zip holds more: {some(others, 3)}"] if others else []
            if archive.getinfo(ANSWER_FILE).file_size > _LARGEST:
                return b"", [*problems, f"{ANSWER_FILE} has over {_LARGEST >> 20} MB"]
            return archive.read(ANSWER_FILE), problems
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        return b"", [f"it is no whole zip file ({error})"]
