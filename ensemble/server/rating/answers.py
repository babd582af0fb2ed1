"""What a browser sends, checked: answers to one clip, and the codes of raters."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json
from ensemble.server.rating.design import RatingDesign

RATED = "rated"
STATUSES = (RATED, "cannot_judge", "broken")
"""What can be said of a clip: ratings, or why there are none."""

MAX_BODY = 16_384
"""Bytes of an answer; what the page sends has a few hundred."""

MAX_CODE = 64
LATE_SECONDS = 0.25
"""By which a player may report less than the length of a clip."""
_SUBMISSION = re.compile(r"[0-9a-f]{32}")
_FIELDS = {
    "clip",
    "submission",
    "status",
    "ratings",
    "plays",
    "listened_seconds",
    "answer_seconds",
}
_MOST_SECONDS = 1e7
_MOST_PLAYS = 100_000


@dataclass(frozen=True)
class Answer:
    """What one rater says of one clip.

    Parameters
    ----------
    clip : str
        The opaque name under which the clip is served.
    submission : str
        32 hex digits that the browser drew; the same answer sent twice counts once.
    status : str
        One of `STATUSES`.
    ratings : dict of str to float
        By aspect; empty unless the clip was rated.
    plays : int
        How often playing was started.
    listened_seconds : float
        How much of the clip has been heard, each second counted once.
    answer_seconds : float
        From the page to the answer.
    """

    clip: str
    submission: str
    status: str
    ratings: dict[str, float]
    plays: int
    listened_seconds: float
    answer_seconds: float

    def check(
        self, design: RatingDesign, prompt: str, *, needed_seconds: float
    ) -> None:
        """Refuse an answer that does not fit the clip.

        Parameters
        ----------
        design : RatingDesign
        prompt : str
            Of the clip.
        needed_seconds : float
            What is still to be heard of it.

        Raises
        ------
        UsageError
        """
        if self.status != RATED:
            if self.ratings:
                raise UsageError(f"A clip that is {self.status} has no ratings.")
            return
        asked = [aspect.name for aspect in design.asked_of(prompt)]
        if set(self.ratings) != set(asked):
            raise UsageError(
                f"This clip is rated for {some(asked)}, and for nothing else."
            )
        for aspect, value in self.ratings.items():
            refusal = design.scale.refusal(value)
            if refusal:
                raise UsageError(f"{aspect}: {refusal}.")
        if self.listened_seconds < needed_seconds - LATE_SECONDS:
            raise UsageError(
                f"Listen first: {self.listened_seconds:.1f} s of "
                f"{needed_seconds:.1f} s have been heard."
            )


def read_answer(data: bytes) -> Answer:
    """The answer in the body of a request.

    Raises
    ------
    UsageError
        When it is none, with what is wrong.
    """
    try:
        values = from_json(data, "The answer")
    except DamagedArtifact as error:
        raise UsageError(str(error)) from error
    if not isinstance(values, dict) or set(values) != _FIELDS:
        raise UsageError(f"An answer has the fields {', '.join(sorted(_FIELDS))}.")

    submission = values["submission"]
    if not (isinstance(submission, str) and _SUBMISSION.fullmatch(submission)):
        raise UsageError("The submission of an answer has 32 hexadecimal digits.")
    clip = values["clip"]
    if not (isinstance(clip, str) and clip.isascii() and len(clip) <= MAX_CODE):
        raise UsageError("The clip of an answer is the name that the page has for it.")
    if values["status"] not in STATUSES:
        raise UsageError(f"The status of an answer is one of {', '.join(STATUSES)}.")
    ratings = values["ratings"]
    if not isinstance(ratings, dict):
        raise UsageError("The ratings of an answer are numbers by aspect.")
    return Answer(
        clip=clip,
        submission=submission,
        status=values["status"],
        ratings={name: _number(value, "A rating") for name, value in ratings.items()},
        plays=int(_amount(values["plays"], "plays", most=_MOST_PLAYS)),
        listened_seconds=_amount(values["listened_seconds"], "listened_seconds"),
        answer_seconds=_amount(values["answer_seconds"], "answer_seconds"),
    )


def _number(value: Any, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # An integer may have more digits than a float can hold.
    if not is_number or not -1e9 <= value <= 1e9 or not math.isfinite(value):
        raise UsageError(f"{name} is a number; got {str(value)[:MAX_CODE]!r}.")
    return float(value)


def _amount(value: Any, name: str, most: float = _MOST_SECONDS) -> float:
    number = _number(value, name)
    if not 0 <= number <= most:
        raise UsageError(f"{name} lies between 0 and {most:g}; got {number:g}.")
    return number


def rater_code(text: str) -> str:
    """The name or code of a rater as it is kept.

    Spaces at the ends are dropped, and others become one; letters are of one Unicode
    form, so that the same name typed on two machines is one rater.

    Raises
    ------
    UsageError
        When it is empty or too long, or a table program could take it for a formula.

    Examples
    --------
    >>> rater_code("  Anna   B. ")
    'Anna B.'
    """
    code = " ".join(unicodedata.normalize("NFKC", text).split())
    if not code:
        raise UsageError("Enter your name, or the code that you were given.")
    if len(code) > MAX_CODE:
        raise UsageError(f"A name or code has at most {MAX_CODE} characters.")
    if not code.isprintable() or not code[0].isalnum():
        raise UsageError(
            "A name or code starts with a letter or a digit and has no control "
            "characters."
        )
    return code
