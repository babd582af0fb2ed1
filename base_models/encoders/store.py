"""EmbeddingStore: what a frozen encoder says of each clip, computed once, kept, and verified on every read.

An entry is named by the encoder's signature and the content: SHA-256 of the audio file's bytes, or of the prompt.
Renamed, repeated and shared clips cost nothing, and nothing can be stale. The trap: a flipped bit in a stored tensor
is still a valid tensor to safetensors, so each entry carries a hash over its name, dtype, shape and numbers;
one that does not match is damaged, and `fill` computes it again.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from base_models.clips.audio import content_hash
from base_models.clips.read_clips import SetAside
from base_models.encoders import EncoderSpec
from base_models.errors import ClipError, DamagedArtifact, UsageError, one_of
from base_models.files import parse_tensors, read_bytes, sha256, write_tensors

WINDOW = 64
"""Prepared items held in memory while waiting for others of their length."""

log = logging.getLogger(__name__)


class EmbeddingStore:
    """Embeddings by encoder and content.

    Parameters
    ----------
    folder : where entries are kept, ``<signature>.<dtype>/<2 hex>/<key>.safetensors``; None keeps them in memory.
        Several processes may share it: an entry appears whole
    dtype : ``"float16"`` or ``"float32"``, as stored; numbers beyond float16 make their entry float32
    """

    def __init__(self, folder: Path | str | None = None, dtype: str = "float16"):
        self.folder = None if folder is None else Path(folder)
        self.dtype = one_of(dtype, ("float16", "float32"), "dtype of stored embeddings")
        self._memory: dict[tuple[str, str], np.ndarray] = {}

    def __deepcopy__(self, memo) -> EmbeddingStore:
        """Itself: a store is shared, also by the clones of an estimator."""
        return self

    def fill(
        self,
        encoder,
        items: Mapping[str, str],
        on_progress: Callable[[str, int, int], None] | None = None,
        batch_size: int | None = None,
    ) -> tuple[dict[str, str], list[SetAside]]:
        """Make sure that the embedding of every usable item is there; each distinct content is encoded once, ever.

        Whatever is finished stays when the run is stopped. Memory is flat: at most `WINDOW` decoded items at a time.

        Parameters
        ----------
        encoder : `base_models.encoders.Encoder`
        items : clip id → path (audio) or prompt (text)
        on_progress : called as ``on_progress(encoder name, contents done, contents in all)``
        batch_size : items encoded together; default is the encoder's own

        Returns
        -------
        keys : clip id → key for `get`, in the order of `items`
        set_aside : clips that cannot be used, and why
        """
        sources, key_of, reasons = _by_content(encoder, items)
        missing = [key for key in sources if not self._intact(encoder, key)]
        done, total = len(sources) - len(missing), len(sources)
        report = on_progress or (lambda *_: None)
        report(encoder.name, done, total)
        failed: dict[str, str] = {}
        # files of one format and equal length have equal sizes: neighbours can share a batch
        missing.sort(key=lambda key: (_size(encoder, sources[key]), key))
        for batch in _batches(
            encoder,
            {key: sources[key] for key in missing},
            batch_size or encoder.batch_size,
            failed,
        ):
            for (key, _), embedding in zip(
                batch, encoder.encode([array for _, array in batch]), strict=True
            ):
                if np.isfinite(embedding).all():
                    self._put(encoder, key, embedding)
                else:
                    failed[key] = f"its embedding by '{encoder.name}' is not finite"
            done += len(batch)
            report(encoder.name, done, total)
        if failed:
            report(
                encoder.name, total, total
            )  # those that cannot be used are done with, too
        reasons |= {clip: failed[key] for clip, key in key_of.items() if key in failed}
        keys = {clip: key for clip, key in key_of.items() if key not in failed}
        return keys, [
            SetAside(clip, reasons[clip]) for clip in items if clip in reasons
        ]

    def get(self, encoder, key: str) -> np.ndarray:
        """One embedding, array of shape (T, dim), float16 or float32 as stored; bytes are checked.

        Parameters
        ----------
        encoder : the encoder, or its signature
        key : as `fill` returned it

        Raises
        ------
        UsageError
            when it was never filled.
        DamagedArtifact
            when its bytes changed; `fill` computes it again.
        """
        signature = encoder if isinstance(encoder, str) else encoder.signature
        if self.folder is None:
            if (signature, key) not in self._memory:
                raise UsageError(
                    f"No embedding of {key[:12]}… by {signature} in memory; fill the store first."
                )
            return self._memory[signature, key]
        path = self.path(signature, key)
        if not path.is_file():
            raise UsageError(f"No embedding {path}; fill the store first.")
        tensors = parse_tensors(read_bytes(path), str(path))
        embedding, stated = tensors.get("embedding"), tensors.get("sha256")
        if (
            embedding is None
            or stated is None
            or stated.tobytes() != _digest(signature, key, embedding)
        ):
            raise DamagedArtifact(
                f"{path} was changed after it was written; filling the store computes it again."
            )
        return embedding

    def path(self, signature: str, key: str) -> Path:
        """Where an entry is kept."""
        return (
            self.folder / f"{signature}.{self.dtype}" / key[:2] / f"{key}.safetensors"
        )

    def _intact(self, encoder, key: str) -> bool:
        try:
            self.get(encoder, key)
        except UsageError:
            return False
        except DamagedArtifact as error:
            log.warning("%s Computing it again.", error)
            return False
        return True

    def _put(self, encoder, key: str, embedding: np.ndarray) -> None:
        fits = np.abs(embedding).max(initial=0) <= np.finfo(np.float16).max
        embedding = np.ascontiguousarray(
            embedding, dtype=self.dtype if fits else np.float32
        )
        if self.folder is None:
            embedding.flags.writeable = False
            self._memory[encoder.signature, key] = embedding
            return
        digest = np.frombuffer(
            _digest(encoder.signature, key, embedding), dtype=np.uint8
        )
        write_tensors(
            self.path(encoder.signature, key),
            {"embedding": embedding, "sha256": digest},
        )


def _digest(signature: str, key: str, embedding: np.ndarray) -> bytes:
    """SHA-256 over which entry it is and all that it holds."""
    head = f"{signature} {key} {embedding.dtype} {embedding.shape} "
    digest = hashlib.sha256(head.encode())
    digest.update(np.ascontiguousarray(embedding))
    return digest.digest()


def _by_content(encoder: EncoderSpec, items: Mapping[str, str]):
    """The distinct contents: key → one item, clip id → key, and clip id → reason where there is none."""
    sources: dict[str, str] = {}
    key_of: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for clip, item in items.items():
        try:
            key_of[clip] = (
                content_hash(item) if encoder.kind == "audio" else _text_hash(item)
            )
        except ClipError as error:
            reasons[clip] = str(error)
        else:
            sources.setdefault(key_of[clip], item)
    return sources, key_of, reasons


def _text_hash(prompt: str) -> str:
    try:
        return sha256(prompt.encode())
    except UnicodeEncodeError as error:
        raise ClipError(f"its prompt is not valid text ({error})") from error


def _size(encoder: EncoderSpec, item: str) -> int:
    try:
        return Path(item).stat().st_size if encoder.kind == "audio" else len(item)
    except OSError:  # it will be set aside, with the reason, when it is decoded
        return 0


def _batches(
    encoder, sources: Mapping[str, str], batch_size: int, failed: dict[str, str]
) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Prepared items in batches of one length; an item that cannot be prepared goes to `failed` with the reason."""
    waiting: dict[int, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for key, item in sources.items():
        try:
            prepared = encoder.prepare(item)
        except ClipError as error:
            failed[key] = str(error)
            continue
        group = waiting[len(prepared)]
        group.append((key, prepared))
        if len(group) == batch_size:
            yield waiting.pop(len(prepared))
        elif sum(map(len, waiting.values())) >= WINDOW:
            yield waiting.pop(max(waiting, key=lambda length: len(waiting[length])))
    yield from waiting.values()
