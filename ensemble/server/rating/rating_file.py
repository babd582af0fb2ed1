"""The file that ratings are kept in: one SQLite database, and who may open it.

An answer is on the disk before the rater is told so: every change is one transaction
with a rollback journal and ``synchronous = EXTRA``, so that neither a killed server nor
a power cut loses what was acknowledged, and there is no second file to forget when the
file is copied while nobody rates.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

from base_models.errors import StackedMOSError, UsageError, in_one_line, some
from ensemble.server.rating.design import RatedClip, RatingDesign

VERSION = 1
_APPLICATION = 0x4D4F5331
"""Marks SQLite files of ratings ("MOS1"), so that no other one is written to."""
_WAIT_SECONDS = 30.0
_ID_BYTES = 12


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """A connection that cannot change the file, also while a server writes to it.

    Raises
    ------
    UsageError
        When there is no such file, or it is none of ratings.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There is no file of ratings '{path}'.")
    # Not opened read-only: what a killed server left half done has to be rolled back.
    address = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(_connected(address)) as connection:
        connection.execute("PRAGMA query_only = ON")
        _check_kind(connection, path)
        yield connection


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """A connection inside one transaction, which is kept only if nothing is raised."""
    address = f"{Path(path).absolute().as_uri()}?mode=rwc"
    with contextlib.closing(_connected(address)) as connection:
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


@contextlib.contextmanager
def understood(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of a file whose cells another program changed that it is damaged.

    Raises
    ------
    UsageError
        In place of what Python says of values of a wrong kind.
    """
    try:
        yield
    except StackedMOSError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"'{path}' is damaged, or was changed by another program "
            f"({in_one_line(error)[:100]}); use a copy of it that is whole."
        ) from error


def _connected(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None
    )
    # What a stranger put into a file must not call functions, see _check_kind.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is no SQLite database, of something else, or newer."""
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise UsageError(
            f"'{path}' cannot be read as a file of ratings ({error}); name another."
        ) from error
    if application != _APPLICATION:
        raise UsageError(
            f"'{path}' is a database of something else, not of ratings; name another "
            "file (--ratings-db)."
        )
    if version != VERSION:
        raise UsageError(
            f"'{path}' has version {version} of files of ratings; this program knows "
            f"version {VERSION}: use the release that wrote it."
        )
    # Either could drop or make up answers, while raters are told that all are kept.
    added = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
    ).fetchall()
    if added:
        raise UsageError(
            f"'{path}' has a trigger or view '{added[0][0][:60]}', which no file of "
            "ratings has; use a copy from before it was added."
        )


def hold(path: str | os.PathLike[str]) -> BinaryIO:
    """Keep other servers from a file of ratings, until what is returned is closed.

    The operating system lets go of it when a process ends, however it ends.

    Raises
    ------
    UsageError
        When another server has it, or its folder is missing or cannot be written.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"There is no folder '{path.parent}' for the ratings; make it."
        )
    # A file of its own: locks on the database itself are SQLite's.
    lock = path.with_name(f".{path.name}.lock")
    try:
        file = lock.open("ab")
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be written ({error.strerror}); name another file for "
            "the ratings (--ratings-db)."
        ) from error
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UsageError(
            f"Another server keeps ratings in '{path}'; use that one, stop it, or name "
            "another file (--ratings-db)."
        ) from error
    # fcntl is missing on Windows, and some network file systems refuse locks.
    except (ImportError, OSError):
        pass
    return file


def prepare(
    path: str | os.PathLike[str], design: RatingDesign, clips: Sequence[RatedClip]
) -> None:
    """Make the file for a listening test, or check that it is of the same one.

    Raises
    ------
    UsageError
        When it is of other clips, other audio, or another design, or is no file of
        ratings.
    """
    path = Path(path)
    try:
        with understood(path), writing(path) as connection:
            if _is_empty(connection):
                _fill(connection, design, clips)
                return
            _check_kind(connection, path)
            _check_same(connection, path, design=design, clips=clips)
            # The same sound may lie in another folder than last time, and its system,
            # which no rater sees, may have been corrected in the plan.
            connection.executemany(
                "UPDATE clips SET audio = ?, system_id = ? WHERE clip_id = ?",
                [
                    (os.path.abspath(clip.audio), clip.system_id, clip.clip_id)
                    for clip in clips
                ],
            )
    except sqlite3.Error as error:
        raise UsageError(
            f"Ratings cannot be kept in '{path}' ({error}); name another file "
            "(--ratings-db)."
        ) from error


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether a database has just been made; so has one that was killed meanwhile."""
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return bool(tables == 0 and application == 0)


def _fill(
    connection: sqlite3.Connection, design: RatingDesign, clips: Sequence[RatedClip]
) -> None:
    """Write the tables and the clips of a new test."""
    schema = resources.files(__package__).joinpath("schema.sql").read_text("utf-8")
    # executescript would end the transaction.
    for statement in _statements(schema):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    facts = {"design": design.to_json(), "key": secrets.token_urlsafe(_ID_BYTES)}
    connection.executemany(
        "INSERT INTO facts (name, value) VALUES (?, ?)",
        [(name, json.dumps(value)) for name, value in facts.items()],
    )
    connection.executemany(
        "INSERT INTO clips (token, clip_id, system_id, prompt, audio, sha256) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                secrets.token_hex(_ID_BYTES),
                clip.clip_id,
                clip.system_id,
                clip.prompt,
                os.path.abspath(clip.audio),
                clip.sha256,
            )
            for clip in clips
        ],
    )


def _statements(schema: str) -> Iterator[str]:
    """The statements of a schema, one by one."""
    pending = ""
    for line in schema.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _check_same(
    connection: sqlite3.Connection,
    path: Path,
    *,
    design: RatingDesign,
    clips: Sequence[RatedClip],
) -> None:
    """Refuse to go on with a file of another test."""
    kept = fact(connection, "design")
    for name, value in design.to_json().items():
        if kept.get(name) != value:
            raise UsageError(
                f"'{path}' holds ratings of a test whose {name} are {kept.get(name)}, "
                f"and not {value}; start it with the same options, or name another "
                "file (--ratings-db)."
            )
    rows = connection.execute("SELECT clip_id, prompt, sha256 FROM clips")
    known = {clip_id: (prompt, digest) for clip_id, prompt, digest in rows}
    given = {clip.clip_id: (clip.prompt, clip.sha256) for clip in clips}
    if set(known) != set(given):
        other = sorted(set(known) ^ set(given))
        raise UsageError(
            f"'{path}' holds ratings of other clips (the difference: {some(other)}); "
            "rate the same clips, or name another file (--ratings-db)."
        )
    changed = [clip_id for clip_id in known if known[clip_id] != given[clip_id]]
    if changed:
        raise UsageError(
            f"The audio or the prompt of {some(changed)} is not what '{path}' has "
            "ratings of; restore it, or name another file (--ratings-db)."
        )


def fact(connection: sqlite3.Connection, name: str) -> Any:
    """A fact that was written down when the file was made."""
    row = connection.execute(
        "SELECT value FROM facts WHERE name = ?", (name,)
    ).fetchone()
    return json.loads(row[0])


def now() -> str:
    """The time to the second, in UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
