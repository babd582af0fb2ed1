"""What to do about a clip that could not be scored, by its status."""

from __future__ import annotations

from collections.abc import Mapping

from base_models import clip_status

_CURES: Mapping[str, str] = {
    clip_status.EMPTY: "Export it again, and look whether it plays.",
    clip_status.UNREADABLE: "Look whether it plays; export it as WAV or FLAC.",
    clip_status.TRUNCATED: "Copy or download it again: its end is missing.",
    clip_status.UNSUPPORTED: "Convert it to WAV or FLAC.",
    clip_status.TOO_SHORT: "Upload a longer clip.",
    clip_status.TOO_SLOW: "Upload a shorter part of it, as WAV or FLAC.",
    clip_status.TOO_LARGE: "Upload a shorter part of it, as WAV or FLAC.",
    clip_status.CRASHED: "Look whether it plays; export it as WAV or FLAC.",
    clip_status.NO_PROMPT: "Upload it again with its prompt.",
}
_OTHERS = "Look at the clip, and upload it again."


def cure_of(status: str) -> str:
    """A sentence that says what to do about a clip of a status.

    >>> cure_of("too_short")
    'Upload a longer clip.'
    """
    return _CURES.get(status, _OTHERS)
