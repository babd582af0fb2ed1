"""Uploaded files: which names and kinds are taken, and where they are put."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import UploadFile

from base_models.clips.audio import declared_seconds
from base_models.clips.audio_files.containers.check_container import KINDS
from base_models.clips.segments.reference import stem_of
from ensemble.server.refusals import Refusal
from ensemble.server.settings import Limits

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
"""Suffixes of uploaded tables; spreadsheets are archives, which are not unpacked."""
_LONGEST_NAME = 200
_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}
_TAR_MARK = slice(257, 262)


@dataclass(frozen=True)
class UploadedClip:
    """A clip as it was uploaded.

    Parameters
    ----------
    clip_id : str
        Its name without suffix, numbered where another has the same.
    name : str
        Of the file, as its owner calls it.
    path : Path
        Where it lies now, under a name that we gave it.
    seconds : float
        Length that its header declares; NaN where it is no audio.
    """

    clip_id: str
    name: str
    path: Path
    seconds: float = float("nan")


def checked_name(name: str) -> str:
    """Return the name of an uploaded file, if it is one without a folder.

    No file is ever written under it; but a name with a folder is a mistake or an
    attack, and would be shown to people.

    Raises
    ------
    Refusal
        Otherwise.
    """
    is_plain = _NOT_IN_NAMES.search(name) is None and name.strip(". ") != ""
    if is_plain and len(name) <= _LONGEST_NAME:
        return name
    shown = name.encode("unicode_escape").decode()[:80]
    raise Refusal(
        400,
        "name",
        f"A file is called '{shown}'; names have at most {_LONGEST_NAME} letters, and "
        "neither folders nor control characters: rename it.",
        clip=shown,
    )


def is_table_name(name: str) -> bool:
    """Whether a file is called as a table with prompts is."""
    return name.lower().endswith(TABLE_SUFFIXES)


def store_clips(
    files: Sequence[UploadFile], folder: Path, limits: Limits
) -> list[UploadedClip]:
    """Write uploaded clips into a folder, under names of our own.

    Raises
    ------
    Refusal
        When there are none or too many, or one is empty, an archive or too long. What
        is no audio is left to the scoring, which sets it aside by name.
    """
    if not files:
        raise Refusal(
            400,
            "no_clips",
            "No clip came with this request; choose audio files (form field files).",
        )
    if len(files) > limits.clips:
        raise Refusal(
            413,
            "too_many",
            f"{len(files)} clips in one request; at most {limits.clips} are taken: "
            "send them in several, or use predict_mos.",
        )
    names = [checked_name(file.filename or "") for file in files]
    clips = []
    taken: set[str] = set()
    for number, (name, file) in enumerate(zip(names, files, strict=True)):
        path = folder / f"{number:04d}"
        with path.open("xb") as copy:
            shutil.copyfileobj(file.file, copy)
        _refuse_kind(path, name)
        seconds = declared_seconds(path)
        if seconds > limits.seconds:
            raise Refusal(
                413,
                "too_long",
                f"{name} lasts {seconds:.0f} s; clips of at most {limits.seconds:g} s "
                "are taken: cut it, or start the server with a larger --max-seconds.",
                clip=name,
            )
        clip_id = _free_id(stem_of(name), taken)
        taken.add(clip_id)
        clips.append(UploadedClip(clip_id, name, path, seconds=seconds))
    return clips


def _free_id(stem: str, taken: set[str]) -> str:
    """An id that no earlier clip has: the second ``a`` is ``a (2)``."""
    clip_id = stem
    number = 1
    while clip_id in taken:
        number += 1
        clip_id = f"{stem} ({number})"
    return clip_id


def _refuse_kind(path: Path, name: str) -> None:
    with path.open("rb") as file:
        head = file.read(_TAR_MARK.stop)
    if not head:
        raise Refusal(
            422,
            "empty",
            f"{name} is empty; upload it again, or look whether it was written.",
            clip=name,
        )
    for magic, kind in _ARCHIVES.items():
        if head.startswith(magic):
            _refuse_archive(name, kind)
    if head[_TAR_MARK] == b"ustar":
        _refuse_archive(name, "a tar archive")


def _refuse_archive(name: str, kind: str) -> None:
    raise Refusal(
        415,
        "archive",
        f"{name} is {kind}; unpack it, and upload the audio files in it ({KINDS}).",
        clip=name,
    )
