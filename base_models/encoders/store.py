"""A store of embeddings: each is computed once, kept, and verified on every read.

An entry is named by the encoder's signature and by the content: the SHA-256 of the
audio file's bytes, or of the prompt. So renamed, repeated and shared clips cost
nothing, and no entry can be out of date.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from base_models.clips.audio import content_hash
from base_models.clips.read_clips import SetAside
from base_models.errors import ClipError, DamagedArtifact, UsageError, one_of
from base_models.files import parse_tensors, read_bytes, sha256, write_tensors

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

WINDOW = 64
"""Number of prepared items in memory while they wait for others of their length."""

log = logging.getLogger(__name__)


class _Contents(NamedTuple):
    """The distinct contents of some clips.

    Parameters
    ----------
    items : dict from str to str
        Key → one item (path or prompt) of that content.
    keys : dict from str to str
        Clip id → key.
    reasons : dict from str to str
        Clip id → why there is no key.
    """

    items: dict[str, str]
    keys: dict[str, str]
    reasons: dict[str, str]


class EmbeddingStore:
    """Embeddings by encoder and content.

    Parameters
    ----------
    folder : path or None
        Where entries are kept, as ``<signature>.<dtype>/<2 hex>/<key>.safetensors``;
        None keeps them in memory. Several processes may share a folder, since an entry
        appears whole.
    dtype : {"float16", "float32"}
        Type of the stored numbers. An entry with numbers beyond float16 is float32.
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
        on_progress: Callable[[str, int, int], None] | None = None,
        batch_size: int | None = None,
    ) -> tuple[dict[str, str], list[SetAside]]:
        """Make sure that the store has the embedding of every usable item.

        Parameters
        ----------
        encoder : base_models.encoders.Encoder
        items : mapping from str to str
            Clip id → path (audio) or prompt (text).
        on_progress : callable or None
            Called as ``on_progress(encoder_name, contents_done, contents_in_all)``.
        batch_size : int or None
            Number of items that are encoded together; by default the encoder's own.

        Returns
        -------
        keys : dict from str to str
            Clip id → key for `get`, in the order of `items`.
        set_aside : list of SetAside
            Clips that cannot be used, with the reason.

        Notes
        -----
        Each distinct content is encoded once, and never again while its entry is
        intact. What is finished stays when the run is stopped. At most `WINDOW`
        prepared items are in memory at a time.
        """
        contents = _distinct_contents(encoder, items)
        missing = [key for key in contents.items if not self._is_intact(encoder, key)]

        total = len(contents.items)
        done = total - len(missing)
        report = on_progress or _ignore_progress
        report(encoder.name, done, total)

        # Files of one format and equal length have equal sizes, so that this puts
        # items that can share a batch next to each other.
        missing.sort(key=lambda key: (_item_size(encoder, contents.items[key]), key))
        missing_items = {key: contents.items[key] for key in missing}

        unusable: dict[str, str] = {}
        batches = _prepared_batches(
            encoder,
            missing_items,
            batch_size=batch_size or encoder.batch_size,
            unusable=unusable,
        )
        for batch in batches:
            embeddings = encoder.encode([array for _, array in batch])
            for (key, _), embedding in zip(batch, embeddings, strict=True):
                if np.isfinite(embedding).all():
                    self._put(encoder, key, embedding)
                else:
                    unusable[key] = f"its embedding by '{encoder.name}' is not finite"
            done += len(batch)
            report(encoder.name, done, total)
        if unusable:
            # Contents that cannot be used are done with, too.
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

    def _put(self, encoder: Encoder, key: str, embedding: np.ndarray) -> None:
        fits_float16 = np.abs(embedding).max(initial=0) <= np.finfo(np.float16).max
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


def _ignore_progress(name: str, done: int, total: int) -> None:
    """Default of `on_progress`."""


def _digest(signature: str, key: str, embedding: np.ndarray) -> bytes:
    """SHA-256 over which entry it is and all that it holds."""
    header = f"{signature} {key} {embedding.dtype} {embedding.shape} "
    return hashlib.sha256(header.encode() + embedding.tobytes()).digest()


def _distinct_contents(encoder: Encoder, items: Mapping[str, str]) -> _Contents:
    contents = _Contents(items={}, keys={}, reasons={})
    for clip, item in items.items():
        try:
            key = content_hash(item) if encoder.kind == "audio" else _text_hash(item)
        except ClipError as error:
            contents.reasons[clip] = str(error)
            continue
        contents.keys[clip] = key
        contents.items.setdefault(key, item)
    return contents


def _text_hash(prompt: str) -> str:
    try:
        data = prompt.encode()
    except UnicodeEncodeError as error:
        raise ClipError(f"its prompt is not valid text ({error})") from error
    return sha256(data)


def _item_size(encoder: Encoder, item: str) -> int:
    if encoder.kind != "audio":
        return len(item)
    try:
        return Path(item).stat().st_size
    except OSError:
        # The clip is set aside, with the reason, when it is decoded.
        return 0


def _prepared_batches(
    encoder: Encoder,
    items: Mapping[str, str],
    *,
    batch_size: int,
    unusable: dict[str, str],
) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Prepare items and yield them in batches of one length.

    An item that cannot be prepared is added to `unusable`, with the reason.
    """
    waiting: dict[int, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for key, item in items.items():
        try:
            prepared = encoder.prepare(item)
        except ClipError as error:
            unusable[key] = str(error)
            continue

        length = len(prepared)
        waiting[length].append((key, prepared))
        if len(waiting[length]) == batch_size:
            yield waiting.pop(length)
        elif sum(len(group) for group in waiting.values()) >= WINDOW:
            # Memory is full: the fullest batch goes, though it is not complete.
            fullest = max(waiting, key=lambda length: len(waiting[length]))
            yield waiting.pop(fullest)
    yield from waiting.values()


def _split_by_use(
    items: Mapping[str, str], contents: _Contents, unusable: Mapping[str, str]
) -> tuple[dict[str, str], list[SetAside]]:
    """Split clips into the keys of the usable ones, and the others with their reasons.

    Both are in the order of `items`.
    """
    keys: dict[str, str] = {}
    set_aside: list[SetAside] = []
    for clip in items:
        if clip in contents.reasons:
            set_aside.append(SetAside(clip, contents.reasons[clip]))
        elif contents.keys[clip] in unusable:
            set_aside.append(SetAside(clip, unusable[contents.keys[clip]]))
        else:
            keys[clip] = contents.keys[clip]
    return keys, set_aside
