"""What raters do, as changes and questions to the file of ratings."""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from base_models.errors import UsageError
from ensemble.server.rating.answers import LATE_SECONDS, Answer, rater_code
from ensemble.server.rating.design import RatedClip, RatingDesign
from ensemble.server.rating.rating_file import (
    fact,
    hold,
    now,
    prepare,
    reading,
    understood,
    writing,
)

_COOKIE_BYTES = 24


@dataclass(frozen=True)
class Rater:
    """Somebody who rates.

    Parameters
    ----------
    number : int
    code : str
        Name or code, as first entered.
    n_clips, n_done : int
        Clips to rate, and those with an answer.
    """

    number: int
    code: str
    n_clips: int
    n_done: int


@dataclass(frozen=True)
class Place:
    """One clip in the order of one rater.

    Parameters
    ----------
    position : int
        From 1 on.
    token : str
        The opaque name of the clip.
    clip : RatedClip
    answer : Answer or None
        The last one.
    listened_seconds : float
        The most that any answer to it reports.
    """

    position: int
    token: str
    clip: RatedClip
    answer: Answer | None
    listened_seconds: float


class RatingStore:
    """The ratings of one listening test.

    Nothing is kept in memory but the clips, which do not change: servers may be killed
    and started again at any time. Every method may be called from any thread.

    Parameters
    ----------
    path : path-like
        The file of ratings, which is made where it is missing, and held (see
        `ensemble.server.rating.rating_file.hold`) until the store is closed.
    design : RatingDesign
    clips : sequence of RatedClip

    Raises
    ------
    UsageError
        When the file is of another test, no file of ratings, or another server's.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        design: RatingDesign,
        clips: Sequence[RatedClip],
    ) -> None:
        self._lock = hold(path)
        try:
            prepare(path, design, clips)
        except BaseException:
            self._lock.close()
            raise
        self.path = Path(path)
        self.design = design
        by_id = {clip.clip_id: clip for clip in clips}
        with understood(path), reading(path) as connection:
            rows = connection.execute("SELECT token, clip_id FROM clips").fetchall()
            self.key = str(fact(connection, "key"))
        self.clips = {token: by_id[clip_id] for token, clip_id in rows}

    def close(self) -> None:
        """Leave the file to another server."""
        self._lock.close()

    def n_answered(self) -> int:
        """How many clips have an answer, of all raters together."""
        with reading(self.path) as connection:
            counted = connection.execute(
                "SELECT COUNT(*) FROM (SELECT DISTINCT rater, clip FROM answers)"
            ).fetchone()
        return int(counted[0])

    # ---- raters

    def join(self, text: str, allowed: Collection[str] = ()) -> str:
        """Begin, or go on, as a rater; returns what the browser shows from now on.

        Parameters
        ----------
        text : str
            Name or code.
        allowed : collection of str
            Codes of those who may rate; empty: anybody.

        Raises
        ------
        UsageError
            When it is no code, or none of those.
        """
        code = rater_code(text)
        if allowed and code.casefold() not in {each.casefold() for each in allowed}:
            raise UsageError(
                f"'{code}' is not among the codes of this test; check how it is "
                "written, or ask whoever gave it to you."
            )
        cookie = secrets.token_urlsafe(_COOKIE_BYTES)
        with writing(self.path) as connection:
            number = self._rater_number(connection, code)
            connection.execute(
                "INSERT INTO sessions (sha256, rater, started_at) VALUES (?, ?, ?)",
                (_digest(cookie), number, now()),
            )
        return cookie

    def _rater_number(self, connection: sqlite3.Connection, code: str) -> int:
        """The number of a rater, who gets an order of clips on first sight."""
        folded = code.casefold()
        known = connection.execute(
            "SELECT number FROM raters WHERE folded = ?", (folded,)
        ).fetchone()
        if known:
            return int(known[0])
        made = connection.execute(
            "INSERT INTO raters (code, folded, joined_at) VALUES (?, ?, ?)",
            (code, folded, now()),
        )
        number = int(made.lastrowid or 0)
        order = self._order(connection, folded)
        connection.executemany(
            "INSERT INTO queue (rater, position, clip) VALUES (?, ?, ?)",
            [(number, position, clip) for position, clip in enumerate(order, start=1)],
        )
        return number

    def _order(self, connection: sqlite3.Connection, folded: str) -> list[int]:
        """Numbers of the clips of a new rater, in an order of the rater's own."""
        counts = connection.execute(
            "SELECT clips.number, COUNT(queue.rater) FROM clips "
            "LEFT JOIN queue ON queue.clip = clips.number "
            "GROUP BY clips.number ORDER BY clips.number"
        ).fetchall()
        draw = random.Random(f"{self.design.seed} {folded}")
        draw.shuffle(counts)
        if self.design.clips_per_rater is None:
            return [clip for clip, _ in counts]
        # Those that the fewest raters have; ties stay as they were drawn.
        fewest = sorted(counts, key=lambda row: row[1])
        chosen = [clip for clip, _ in fewest[: self.design.clips_per_rater]]
        draw.shuffle(chosen)
        return chosen

    def rater(self, cookie: str) -> Rater | None:
        """Whose session a browser shows; None where it is nobody's."""
        with reading(self.path) as connection:
            row = connection.execute(
                "SELECT raters.number, raters.code, "
                "(SELECT COUNT(*) FROM queue WHERE queue.rater = raters.number), "
                "(SELECT COUNT(DISTINCT clip) FROM answers "
                "WHERE answers.rater = raters.number) "
                "FROM sessions JOIN raters ON raters.number = sessions.rater "
                "WHERE sessions.sha256 = ?",
                (_digest(cookie),),
            ).fetchone()
        return None if row is None else Rater(*row)

    def leave(self, cookie: str) -> None:
        """End a session; the ratings stay."""
        with writing(self.path) as connection:
            connection.execute(
                "DELETE FROM sessions WHERE sha256 = ?", (_digest(cookie),)
            )

    # ---- clips and answers

    def next_position(self, rater: Rater) -> int | None:
        """The first clip without an answer; None where all have one."""
        with reading(self.path) as connection:
            row = connection.execute(
                "SELECT MIN(position) FROM queue WHERE rater = ? AND clip NOT IN "
                "(SELECT clip FROM answers WHERE rater = ?)",
                (rater.number, rater.number),
            ).fetchone()
        return None if row[0] is None else int(row[0])

    def place(self, rater: Rater, position: int) -> Place | None:
        """The clip at a position of a rater's order; None beyond its end."""
        with reading(self.path) as connection:
            row = connection.execute(
                "SELECT clips.number, clips.token FROM queue "
                "JOIN clips ON clips.number = queue.clip "
                "WHERE queue.rater = ? AND queue.position = ?",
                (rater.number, position),
            ).fetchone()
            if row is None:
                return None
            number, token = row
            answer, listened = _last_answer(connection, rater.number, number, token)
        return Place(
            position,
            token,
            clip=self.clips[token],
            answer=answer,
            listened_seconds=listened,
        )

    def has(self, rater: Rater, token: str) -> bool:
        """Whether a clip is one of those that a rater is to rate."""
        with reading(self.path) as connection:
            return _clip_number(connection, rater, token) is not None

    def save(self, rater: Rater, answer: Answer) -> bool:
        """Write an answer; it is on the disk when this returns.

        Returns
        -------
        is_new : bool
            False where the browser sent the same answer before.

        Raises
        ------
        UsageError
            When the clip is not one of the rater's, the answer does not fit it, or
            another answer was sent under the same submission.
        """
        with writing(self.path) as connection:
            number = _clip_number(connection, rater, answer.clip)
            if number is None:
                raise UsageError("This clip is not one of yours; reload the page.")
            if _was_sent(connection, rater.number, number, answer=answer):
                return False
            _, listened = _last_answer(connection, rater.number, number, answer.clip)
            clip = self.clips[answer.clip]
            # What was heard before an earlier answer need not be heard again.
            needed = clip.needed_seconds(self.design)
            still = 0.0 if listened >= needed - LATE_SECONDS else needed
            answer.check(self.design, clip.prompt, needed_seconds=still)
            _add(connection, rater.number, number, answer=answer)
        return True


def _digest(cookie: str) -> str:
    # Who reads the file of ratings must not be able to go on as one of the raters.
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()


def _clip_number(
    connection: sqlite3.Connection, rater: Rater, token: str
) -> int | None:
    row = connection.execute(
        "SELECT clips.number FROM clips JOIN queue ON queue.clip = clips.number "
        "WHERE queue.rater = ? AND clips.token = ?",
        (rater.number, token),
    ).fetchone()
    return None if row is None else int(row[0])


def _last_answer(
    connection: sqlite3.Connection, rater: int, clip: int, token: str
) -> tuple[Answer | None, float]:
    """The answer that counts, and the most that was heard before any."""
    rows = connection.execute(
        "SELECT number, submission, status, plays, listened_seconds, answer_seconds "
        "FROM answers WHERE rater = ? AND clip = ? ORDER BY number",
        (rater, clip),
    ).fetchall()
    if not rows:
        return None, 0.0
    number, submission, status, plays, listened, seconds = rows[-1]
    ratings = connection.execute(
        "SELECT aspect, rating FROM ratings WHERE answer = ?", (number,)
    )
    answer = Answer(
        token,
        submission,
        status,
        ratings=dict(ratings.fetchall()),
        plays=plays,
        listened_seconds=listened,
        answer_seconds=seconds,
    )
    return answer, max(row[4] for row in rows)


def _was_sent(
    connection: sqlite3.Connection, rater: int, clip: int, *, answer: Answer
) -> bool:
    """Whether this very answer is in the file, as when a reply was lost."""
    row = connection.execute(
        "SELECT number, rater, clip, status FROM answers WHERE submission = ?",
        (answer.submission,),
    ).fetchone()
    if row is None:
        return False
    ratings = connection.execute(
        "SELECT aspect, rating FROM ratings WHERE answer = ?", (row[0],)
    )
    is_same = dict(ratings.fetchall()) == answer.ratings
    if row[1:] != (rater, clip, answer.status) or not is_same:
        raise UsageError(
            "Another answer was sent under this number; reload the page and rate the "
            "clip again."
        )
    return True


def _add(
    connection: sqlite3.Connection, rater: int, clip: int, *, answer: Answer
) -> None:
    added = connection.execute(
        "INSERT INTO answers (rater, clip, submission, status, plays, "
        "listened_seconds, answer_seconds, given_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            rater,
            clip,
            answer.submission,
            answer.status,
            answer.plays,
            answer.listened_seconds,
            answer.answer_seconds,
            now(),
        ),
    )
    connection.executemany(
        "INSERT INTO ratings (answer, aspect, rating) VALUES (?, ?, ?)",
        [(added.lastrowid, name, value) for name, value in answer.ratings.items()],
    )
