"""What a request to score asks for, read from its form.

The same fields come from the page and from programs; `openapi` describes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ensemble.server.forms import read_text_form
from ensemble.server.refusals import Refusal
from ensemble.server.scoring.prompt_table import (
    LONGEST_PROMPT,
    ClipFacts,
    checked_prompt,
    facts_from_table,
)
from ensemble.server.scoring.uploads import (
    TABLE_SUFFIXES,
    UploadedClip,
    checked_name,
    is_table_name,
    store_clips,
)
from ensemble.server.settings import Limits

FILES = "files"
TABLE = "table"
PROMPT = "prompt"
_CHOICES = ("level", "windows", "attention", "distributions")
FIELDS = (FILES, TABLE, PROMPT, *_CHOICES)
_OTHER_FIELDS = 8
# A character takes four bytes at most.
_LARGEST_FIELD = 4 * LONGEST_PROMPT
_FORM = "multipart/form-data"
_TRUE = ("1", "true", "on", "yes")
_FALSE = ("", "0", "false", "off", "no")


@dataclass(frozen=True)
class ScoreRequest:
    """Clips to score, and how.

    Parameters
    ----------
    clips : tuple of n UploadedClip
    facts : ClipFacts
        Prompts and systems of these clips.
    level : float
        Coverage of the intervals.
    windows : bool
        Whether all of longer clips is scored, window by window.
    attention : bool
        Whether pictures are drawn of what scores rest on.
    distributions : bool
        Whether programs are told the distributions; pages always show them.
    """

    clips: tuple[UploadedClip, ...]
    facts: ClipFacts
    level: float = 0.9
    windows: bool = False
    attention: bool = False
    distributions: bool = False


async def read_form(request: Request, folder: Path, limits: Limits) -> ScoreRequest:
    """Read the form of a request; its files go into a folder.

    Raises
    ------
    Refusal
        When something in it cannot be used; the message names it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refusal(
            415,
            "form",
            f"Clips come as {_FORM}; got '{kind[:60]}'. For example: curl -F "
            "files=@song.wav -F 'prompt=slow piano' …/score",
        )
    try:
        # Beyond a megabyte each, files are on the disk while they come.
        form = await read_text_form(
            request,
            max_files=limits.clips + 1,
            max_fields=limits.clips + _OTHER_FIELDS,
            max_part_size=_LARGEST_FIELD,
        )
    except HTTPException as error:
        raise Refusal(
            400,
            "form",
            f"The form cannot be read ({error.detail}) At most {limits.clips} clips "
            f"come in a request, with prompts of {LONGEST_PROMPT} characters.",
        ) from error
    try:
        return await run_in_threadpool(_request_of, form, folder, limits)
    finally:
        await form.close()


def _request_of(form: FormData, folder: Path, limits: Limits) -> ScoreRequest:
    unknown = sorted(set(form) - set(FIELDS))
    if unknown:
        raise Refusal(
            400,
            "field",
            f"The form has a field '{unknown[0][:60]}'; known are {', '.join(FIELDS)}.",
        )
    # A form that is sent without a choice of files has one without a name.
    files = [file for file in _files(form, FILES) if file.filename]
    tables = [file for file in _files(form, TABLE) if file.filename]
    tables += [file for file in files if is_table_name(file.filename or "")]
    audio = [file for file in files if not is_table_name(file.filename or "")]
    if len(tables) > 1:
        raise Refusal(
            400,
            "table",
            f"{len(tables)} tables of prompts came; put all rows into one.",
        )
    clips = store_clips(audio, folder, limits)
    return ScoreRequest(
        tuple(clips),
        _facts(form, tables, clips, folder=folder),
        level=_level(form),
        windows=_flag(form, "windows"),
        attention=_flag(form, "attention"),
        distributions=_flag(form, "distributions"),
    )


def _files(form: FormData, field: str) -> list[UploadFile]:
    found = []
    for value in form.getlist(field):
        if value == "":
            continue
        if isinstance(value, str):
            # A program that sends a path in the place of a file would wait for a read
            # that never happens.
            raise Refusal(
                400,
                "field",
                f"The field {field} holds text ('{value[:60]}'); it takes a file with "
                "its name, as curl -F files=@song.wav sends one.",
            )
        found.append(value)
    return found


def _facts(
    form: FormData,
    tables: Sequence[UploadFile],
    clips: Sequence[UploadedClip],
    *,
    folder: Path,
) -> ClipFacts:
    prompts = [checked_prompt(text) for text in _texts(form, PROMPT)]
    has_prompts = any(prompts)
    if tables and has_prompts:
        raise Refusal(
            400,
            "prompt",
            "Prompts came in a table and in the form as well; leave one of them out.",
        )
    if tables:
        name = checked_name(tables[0].filename or "")
        if not is_table_name(name):
            raise Refusal(
                415,
                "table",
                f"{name} is no table of prompts; one is text, and its name ends with "
                f"{', '.join(TABLE_SUFFIXES)}: save it as CSV.",
                clip=name,
            )
        # The suffix says how a table is read; the rest of its name is not used.
        path = folder / f"table{Path(name).suffix.lower()}"
        with path.open("xb") as copy:
            shutil.copyfileobj(tables[0].file, copy)
        return facts_from_table(path, name, clips)
    if len(prompts) not in (0, 1, len(clips)):
        raise Refusal(
            400,
            "prompt",
            f"{len(prompts)} prompts came for {len(clips)} clips; send one for all, or "
            "one for each, in the order of the files.",
        )
    of_clips = prompts if len(prompts) == len(clips) else prompts * len(clips)
    return ClipFacts(of_clips or [""] * len(clips), [""] * len(clips))


def _texts(form: FormData, field: str) -> list[str]:
    values = form.getlist(field)
    return [value.strip() for value in values if isinstance(value, str)]


def _level(form: FormData) -> float:
    written = "".join(_texts(form, "level")) or "0.9"
    try:
        level = float(written)
    except ValueError:
        level = -1.0
    if not 0 < level < 1:
        raise Refusal(
            400,
            "level",
            f"level is the coverage of intervals, between 0 and 1; got "
            f"'{written[:40]}'.",
        )
    return level


def _flag(form: FormData, field: str) -> bool:
    written = "".join(_texts(form, field)).lower()
    if written not in (*_TRUE, *_FALSE):
        raise Refusal(400, field, f"{field} is true or false; got '{written[:40]}'.")
    return written in _TRUE
