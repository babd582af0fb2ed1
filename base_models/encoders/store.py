"""A store of embeddings: each is computed once, kept, and verified on every read.

An entry is named by the encoder's signature and by the content: the SHA-256 of the
audio file's bytes, or of the prompt. So renamed, repeated and shared clips cost
nothing, and no entry can be out of date. What it holds depends on nothing else: every
content is encoded alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from base_models.clip_status import CHANGED
from base_models.clips.audio import content_hash
from base_models.clips.audio_files.apart.decoding_process import start_early
from base_models.clips.audio_files.read_keys import noted_keys
from base_models.clips.parquet.embedded_audio import row_of_reference
from base_models.clips.read_clips import SetAside
from base_models.clips.segments.reference import segment_of
from base_models.encoders import known_encoders
from base_models.errors import (
    ClipError,
    DamagedArtifact,
    StackedMOSError,
    UsageError,
    one_of,
    raise_machine_fault,
)
from base_models.files import parse_tensors, read_bytes, sha256, write_tensors

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

FLOAT16_ERROR = 1e-3
"""Rounding error of a whole embedding, as a share of its size, that float16 may make.

It is at most 2^-11, or 0.0005, unless numbers below 2^-14 dominate.
"""

Progress = Callable[[str, int, int], None]
"""Called with the encoder's name, the contents that are done, and all contents."""

log = logging.getLogger(__name__)


class _Contents(NamedTuple):
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


class EmbeddingStore:
    """Embeddings by encoder and content.

    Parameters
    ----------
    folder : path or None
        Where entries are kept, as ``<signature>.<dtype>/<2 hex>/<key>.safetensors``;
        None keeps them in memory. Several processes may share a folder, since an entry
        appears whole.
    dtype : {"float16", "float32"}
        Type of the stored numbers. An entry that float16 cannot hold is float32, and so
        are all of an encoder whose embeddings are not normalised.
    """

    def __init__(self, folder: Path | str | None = None, dtype: str = "float16"):
        self.folder = None if folder is None else Path(folder)
        self.dtype = one_of(dtype, ("float16", "float32"), "dtype of stored embeddings")
        self._memory: dict[tuple[str, str], np.ndarray] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> EmbeddingStore:
        """Return the store itself: the clones of an estimator share it."""
        return self

    def fill(
        self,
        encoder: Encoder,
        items: Mapping[str, str],
        on_progress: Progress | None = None,
    ) -> tuple[dict[str, str], list[SetAside]]:
        """Make sure that the store has the embedding of every usable item.

        Parameters
        ----------
        encoder : base_models.encoders.Encoder
        items : mapping from str to str
            Clip id → path (audio) or prompt (text).
        on_progress : callable or None
            Called as ``on_progress(encoder_name, contents_done, contents_in_all)``.

        Returns
        -------
        keys : dict from str to str
            Clip id → key for `get`, in the order of `items`.
        set_aside : list of SetAside
            Clips that cannot be used, with the reason.

        Notes
        -----
        Each distinct content is encoded once, and never again while its entry is
        intact. It is encoded alone: in a batch, the last digits would depend on what
        else is in it, so on what a killed run had finished and on clips that cannot be
        used. What is finished stays when the run is stopped.
        """
        contents = _distinct_contents(encoder, items)
        missing = {
            key: item
            for key, item in contents.items.items()
            if not self._is_intact(encoder, key)
        }

        if missing and encoder.kind == "audio":
            start_early()

        total = len(contents.items)
        done = total - len(missing)
        report = on_progress or _ignore_progress
        report(encoder.name, done, total)

        unusable: dict[str, ClipError] = {}
        for key, prepare in _read_ahead(encoder, _in_order(encoder, missing)):
            try:
                embedding = _embedding(encoder, prepare())
            except ClipError as error:
                unusable[key] = error
                continue
            self._put(encoder, key, embedding)
            done += 1
            report(encoder.name, done, total)

        # Contents that cannot be used are done with, too.
        if unusable:
            report(encoder.name, total, total)
        return _split_by_use(items, contents, unusable)

    def get(self, encoder: Encoder | str, key: str) -> np.ndarray:
        """Read one embedding, and verify that it is what was written.

        Parameters
        ----------
        encoder : base_models.encoders.Encoder or str
            The encoder, or its signature.
        key : str
            As returned by `fill`.

        Returns
        -------
        embedding : array of shape (T, dim), float16 or float32 as stored

        Raises
        ------
        UsageError
            If the store was not filled with it.
        DamagedArtifact
            If its bytes have changed; `fill` computes it again.
        """
        signature = encoder if isinstance(encoder, str) else encoder.signature
        if self.folder is None:
            if (signature, key) not in self._memory:
                raise UsageError(
                    f"No embedding of {key[:12]}… by {signature} in memory; fill the "
                    "store first."
                )
            return self._memory[signature, key]

        path = self.path(signature, key)
        if not path.is_file():
            raise UsageError(f"No embedding {path}; fill the store first.")

        # To safetensors a flipped bit in a tensor is still a valid tensor, so an entry
        # has a digest of its own.
        tensors = parse_tensors(read_bytes(path), str(path))
        embedding = tensors.get("embedding")
        stored_digest = tensors.get("sha256")
        if (
            embedding is None
            or stored_digest is None
            or stored_digest.tobytes() != _digest(signature, key, embedding)
        ):
            raise DamagedArtifact(
                f"{path} was changed after it was written; filling the store computes "
                "it again."
            )
        return embedding

    def path(self, signature: str, key: str) -> Path:
        """Path of an entry, of a store that has a folder."""
        if self.folder is None:
            raise UsageError("A store in memory has no paths; give it a folder.")
        subfolder = self.folder / f"{signature}.{self.dtype}" / key[:2]
        return subfolder / f"{key}.safetensors"

    def _is_intact(self, encoder: Encoder, key: str) -> bool:
        try:
            self.get(encoder, key)
        except UsageError:
            return False
        except DamagedArtifact as error:
            log.warning("%s Computing it again.", error)
            return False
        return True

    def _put(
        self,
        encoder: Encoder,
        key: str,
        embedding: np.ndarray,
    ) -> None:
        # Three digits hold little of a dimension that varies less than its mean.
        fits_float16 = encoder.normalised and _fits_float16(embedding)
        dtype = self.dtype if fits_float16 else np.float32
        embedding = np.ascontiguousarray(embedding, dtype=dtype)

        if self.folder is None:
            # Readers share the array itself, so none of them may change it.
            embedding.flags.writeable = False
            self._memory[encoder.signature, key] = embedding
            return

        digest = _digest(encoder.signature, key, embedding)
        tensors = {
            "embedding": embedding,
            "sha256": np.frombuffer(digest, dtype=np.uint8),
        }
        write_tensors(self.path(encoder.signature, key), tensors)


@contextlib.contextmanager
def _named_failure(encoder: Encoder) -> Iterator[None]:
    """Name an encoder of another package that raises what it must not."""
    try:
        yield
    except StackedMOSError:
        raise
    except Exception as error:
        raise_machine_fault(error)
        if encoder.name not in known_encoders().points:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UsageError(
            f"Encoder '{encoder.name}' of another package fails ({reason}); "
            "check_encoder lists what is wrong with it."
        ) from error


def _fits_float16(embedding: np.ndarray) -> bool:
    """Whether float16 keeps the three digits of an embedding that it usually does.

    A number beyond its range would become infinity, and tiny numbers become 0 or lose
    digits.
    """
    largest = np.abs(embedding).max(initial=0)
    if largest > np.finfo(np.float16).max:
        return False
    rounding = embedding.astype(np.float16).astype(np.float64) - embedding
    # float64, as the squares of tiny numbers are 0 in float32.
    size = np.linalg.norm(embedding.astype(np.float64))
    return bool(np.linalg.norm(rounding) <= FLOAT16_ERROR * size)


def _ignore_progress(
    name: str,
    done: int,
    total: int,
) -> None:
    """Default of `on_progress`."""


def _digest(
    signature: str,
    key: str,
    embedding: np.ndarray,
) -> bytes:
    """SHA-256 over which entry it is and all that it holds."""
    header = f"{signature} {key} {embedding.dtype} {embedding.shape} "
    return hashlib.sha256(header.encode() + embedding.tobytes()).digest()


def _distinct_contents(encoder: Encoder, items: Mapping[str, str]) -> _Contents:
    contents = _Contents(
        items={},
        keys={},
        errors={},
    )
    for clip, item in items.items():
        try:
            # Of the file as it is, undecoded: this is quick, and does not change with
            # the version of a decoder.
            key = content_hash(item) if encoder.kind == "audio" else text_key(item)
        except ClipError as error:
            contents.errors[clip] = error
            continue
        contents.keys[clip] = key
        contents.items.setdefault(key, item)
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


def _in_order(encoder: Encoder, items: Mapping[str, str]) -> dict[str, str]:
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


def _read_ahead(
    encoder: Encoder, items: Mapping[str, str]
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Each key, and what gives the prepared item of it, or raises why it cannot be.

    While an encoder of this package works on a clip, the next one is read already: its
    decoding is done by another process, so that neither waits for the other.
    """
    is_ours = encoder.name not in known_encoders().points
    if encoder.kind != "audio" or not is_ours:
        # Of another package it is not known whether two threads may use it.
        for key, item in items.items():
            yield key, functools.partial(_prepared, encoder, key, item)
        return

    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        waiting: deque[tuple[str, Future[np.ndarray]]] = deque()
        for key, item in items.items():
            waiting.append((key, reader.submit(_prepared, encoder, key, item)))
            if len(waiting) > 1:
                done, future = waiting.popleft()
                yield done, future.result
        for done, future in waiting:
            yield done, future.result
    finally:
        # Whoever stops the work does not wait for a file that hangs.
        reader.shutdown(wait=False, cancel_futures=True)


def _embedding(encoder: Encoder, array: np.ndarray) -> np.ndarray:
    """The embedding of a prepared item, shape (T, dim).

    Raises
    ------
    ClipError
        When the item cannot be used.
    UsageError
        When the encoder gives what is no embedding of its width.
    """
    with _named_failure(encoder):
        embeddings = encoder.encode([array])
    # Otherwise networks would be built for another width.
    is_one = embeddings.ndim == 3 and len(embeddings) == 1
    if not is_one or embeddings.shape[2] != encoder.dim:
        raise UsageError(
            f"Encoder '{encoder.name}' gives embeddings of shape "
            f"{embeddings.shape}, not (clips, frames, {encoder.dim}) as its spec "
            "says; check_encoder lists what else is wrong with it."
        )
    embedding: np.ndarray = embeddings[0]
    if not np.isfinite(embedding).all():
        raise ClipError(f"its embedding by '{encoder.name}' is not finite")
    return embedding


def _prepared(encoder: Encoder, key: str, item: str) -> np.ndarray:
    """What an encoder takes for an item, whose content is that of the key.

    Raises
    ------
    ClipError
        Also when the file has been replaced since its content was looked at: under the
        key of one file would stand the embedding of another, for good.
    """
    with _named_failure(encoder), noted_keys() as read:
        array = encoder.prepare(item)
    # An encoder of another package may read files in a way of its own.
    if encoder.kind == "audio" and (read or {content_hash(item)}) != {key}:
        raise ClipError(
            f"{item!r} was changed while it was read; run again when nobody writes to "
            "it",
            status=CHANGED,
        )
    return array


def _split_by_use(
    items: Mapping[str, str],
    contents: _Contents,
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
