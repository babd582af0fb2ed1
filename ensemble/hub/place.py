"""Where a stack is: a folder here, or a repository on a hub; how both are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from base_models.errors import UsageError

HUB = "hub:"
"""What names of repositories begin with, where a folder would be meant otherwise."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class HubPlace:
    """A repository on a hub, and which state of it.

    Parameters
    ----------
    repository : str
        As ``user/name``.
    revision : str or None
        Branch, tag or commit; None is the newest state.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repository}{at}"


def is_hub_word(place: Path | str) -> bool:
    """Whether a place is written as one on a hub, beyond doubt."""
    return isinstance(place, str) and place.startswith(HUB)


def parse_place(place: Path | str, revision: str | None = None) -> Path | HubPlace:
    """Read what a person wrote for the place of a stack.

    A folder that is there is itself. ``user/name`` is a repository otherwise, and so is
    whatever begins with ``hub:``; ``@`` goes before its revision.

    Parameters
    ----------
    place : path or str
    revision : str or None
        Of a repository, where `place` names none.

    Raises
    ------
    UsageError
        When a repository is not named as ``user/name``, or its revision twice.

    Examples
    --------
    >>> print(parse_place("hub:ada/songs@v2"))
    hub:ada/songs@v2
    >>> print(parse_place("./songs"))
    songs
    """
    if not is_hub_word(place):
        path = Path(place)
        repository, _, own = str(place).partition("@")
        looks_like_one = isinstance(place, str) and _REPOSITORY.fullmatch(repository)
        # A folder to write does not exist yet; the one that it goes into does.
        if path.exists() or not looks_like_one or path.parent.is_dir():
            return path
    else:
        repository, _, own = str(place).removeprefix(HUB).partition("@")

    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"'{place}' names no repository; write {HUB}USER/NAME, or "
            f"{HUB}USER/NAME@REVISION."
        )
    if own and revision and own != revision:
        raise UsageError(
            f"'{place}' and the revision '{revision}' contradict each other; name one."
        )
    return HubPlace(repository, own or revision)
