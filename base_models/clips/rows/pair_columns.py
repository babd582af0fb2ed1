"""The two columns of a table of pairs: what both sides are called."""

from __future__ import annotations

from collections.abc import Sequence

SIDES = (("a", "b"), ("left", "right"), ("first", "second"), ("1", "2"), ("0", "1"))
"""What tables call the two sides of a pair."""
CLIP_WORDS = (
    "",
    "clip",
    "clip_id",
    "audio",
    "wav",
    "wav_path",
    "path",
    "file",
    "filename",
    "stimulus",
    "sample",
    "item",
    "song",
    "track",
    "option",
    "id",
)
"""Words for a clip, in order of precedence; without one the sides stand alone."""
SYSTEM_WORDS = ("system", "system_id", "model", "method", "condition")
"""Words for the system of a clip."""


def pair_of_columns(
    names: dict[str, str], words: Sequence[str]
) -> tuple[str, str, tuple[str, str]] | None:
    """Two columns of one word for both sides, in any order of word and side.

    Parameters
    ----------
    names : folded name to column, see `base_models.clips.columns.fold_name`
    words : in order of precedence

    Returns
    -------
    pair : the two columns, and what their names call the sides; or None

    Examples
    --------
    >>> names = {"audio_a": "Audio A", "audio_b": "Audio B", "prompt": "Prompt"}
    >>> pair_of_columns(names, CLIP_WORDS)
    ('Audio A', 'Audio B', ('a', 'b'))
    """
    for word in words:
        for side in SIDES:
            head, _, tail = word.partition("_")
            for form in ("{w}_{s}", "{s}_{w}", "{h}_{s}_{t}", "{w}{s}"):
                pair = []
                for one in side:
                    text = form.format(w=word, s=one, h=head, t=tail)
                    pair.append(names.get(text.strip("_")))
                # Columns "1" and "2" alone are no clips.
                is_bare = not word and side in (("1", "2"), ("0", "1"))
                if pair[0] and pair[1] and not is_bare:
                    return pair[0], pair[1], side
    return None
