"""The distinct contents of clips: their keys, their order, and which are of use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from base_models.clips.parquet.embedded_audio import row_of_reference
from base_models.clips.read_clips import SetAside
from base_models.clips.segments.reference import segment_of
from base_models.encoders.filling.known_keys import KnownKeys
from base_models.errors import ClipError, raise_machine_fault
from base_models.files import sha256
from base_models.processes.garbage import collection_paused

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder


class Contents(NamedTuple):
    """The distinct contents of some clips.

    Parameters
    ----------
    items : dict from str to str
        Key → one item (path or prompt) of that content.
    keys : dict from str to str
        Clip id → key.
    errors : dict from str to ClipError
        Clip id → why there is no key.
    """

    items: dict[str, str]
    keys: dict[str, str]
    errors: dict[str, ClipError]


@collection_paused()
def distinct_contents(
    encoder: Encoder, items: Mapping[str, str], known: KnownKeys
) -> Contents:
    """The contents of some items.

    Parameters
    ----------
    encoder : base_models.encoders.Encoder
    items : mapping from str to str
        Clip id → path (audio) or prompt (text).
    known : KnownKeys
        Of audio files; it keeps what is found.
    """
    contents = Contents(
        items={},
        keys={},
        errors={},
    )
    # Many clips share a prompt.
    key_of_text = functools.cache(text_key)
    for clip, item in items.items():
        try:
            # Of the file as it is, undecoded: this is quick, and does not change with
            # the version of a decoder.
            key = known.key(item) if encoder.kind == "audio" else key_of_text(item)
        except ClipError as error:
            contents.errors[clip] = error
            continue
        contents.keys[clip] = key
        contents.items.setdefault(key, item)
    known.save()
    return contents


def text_key(prompt: str) -> str:
    """Key of a prompt, the same for every text encoder.

    Raises
    ------
    ClipError
        If it is not valid text.
    """
    try:
        data = prompt.encode()
    except UnicodeEncodeError as error:
        raise ClipError(f"its prompt is not valid text ({error})") from error
    return sha256(data)


def in_order(encoder: Encoder, items: Mapping[str, str]) -> dict[str, str]:
    """Sort items by where they lie, as those that lie together are quicker to read."""
    places = {key: _item_place(encoder, item) for key, item in items.items()}
    # Then by key, so that the order does not depend on that of the clips.
    order = sorted(items, key=lambda key: (places[key], key))
    return {key: items[key] for key in order}


def _item_place(encoder: Encoder, item: str) -> tuple[int, str, int, float]:
    """Size of an item; of one that is a row of a table, its file and row instead.

    Rows of a table are quickest to read in their order, and so are segments of a file.
    """
    if encoder.kind != "audio":
        return len(item), "", 0, 0.0
    segment = segment_of(item)
    start = 0.0 if segment is None else segment.start
    source = item if segment is None else segment.source
    row = row_of_reference(source)
    if row is not None:
        return 0, *row, start
    try:
        size = Path(source).stat().st_size
    # A file that has gone is set aside, with the reason, when it is decoded.
    except OSError as error:
        raise_machine_fault(error, source)
        return 0, "", 0, 0.0
    return size, "" if segment is None else source, 0, start


def split_by_use(
    items: Mapping[str, str],
    contents: Contents,
    unusable: Mapping[str, ClipError],
) -> tuple[dict[str, str], list[SetAside]]:
    """Split clips into the keys of the usable ones, and the others with their reasons.

    Both are in the order of `items`.
    """
    keys: dict[str, str] = {}
    set_aside: list[SetAside] = []
    for clip in items:
        if clip in contents.errors:
            set_aside.append(SetAside.of(clip, contents.errors[clip]))
            continue

        # Clips of one content are set aside together.
        key = contents.keys[clip]
        if key in unusable:
            # One of them was read, and it may have another name than this one.
            error = unusable[key]
            reason = str(error).replace(repr(contents.items[key]), repr(items[clip]))
            set_aside.append(SetAside(clip, reason, status=error.status))
        else:
            keys[clip] = key
    return keys, set_aside
