"""Flags: words beside a score that say what to mind about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from meta.score_columns import OUT_OF_RANGE

FLAGS_OF_AUDIO = (
    "silent",
    "silent_channel",
    "partly_silent",
    "clipped",
    "cancelling",
    "unreadable",
    "narrow_band",
)
"""What is the matter with the sound of a clip."""
CUT = "cut"
"""A clip is longer than what is scored of it."""
NO_PROMPT = "no_prompt"
"""A clip has no prompt, and so lacks the scores of aspects judged against one."""

FLAG_WORDS = (*FLAGS_OF_AUDIO, CUT, OUT_OF_RANGE, NO_PROMPT)
"""All flags, in the order in which they are written."""


def flags_text(words: Iterable[str]) -> str:
    """Flags as they are written: each once, in order, with spaces between them.

    >>> flags_text(["cut", "silent", "cut"])
    'silent cut'
    """
    held = set(words)
    return " ".join(flag for flag in FLAG_WORDS if flag in held)


def with_flag(
    flags: Iterable[str], word: str, rows: Sequence[bool] | np.ndarray
) -> list[str]:
    """The flags of n clips, with another one where `rows`, bool (n,), says so."""
    return [
        flags_text([*given.split(), word] if has_flag else given.split())
        for given, has_flag in zip(flags, rows, strict=True)
    ]
