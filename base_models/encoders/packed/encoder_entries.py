"""All stored embeddings of one encoder: in packs, and in files of their own."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, repeat
from pathlib import Path

import numpy as np

from base_models.encoders.packed.entry_files import (
    entries_in,
    entry_path,
    read_entry,
    write_entry,
)
from base_models.encoders.packed.pack_file import (
    MOST_BYTES,
    MOST_ENTRIES,
    Pack,
    can_be_packed,
    is_pack,
    write_pack,
)
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import locked, sweep

PACKS = "packs"
"""Subfolder of the packs."""
FEWEST_PACKED = 1_000
"""Fewer entries, unless they are large, stay in files of their own."""

_Place = tuple[Pack, int]
"""A pack, and the place of an entry in its index."""

log = logging.getLogger(__name__)


class EncoderEntries:
    """Embeddings of one encoder in a folder, which several processes may share.

    Parameters
    ----------
    folder : Path
        It may be missing.
    signature : str
        Of the encoder.

    Notes
    -----
    An entry may stand in several places: in a pack, and in a file of its own where the
    pack was damaged, or its writer killed. All hold the same, so that the first intact
    one serves.
    """

    def __init__(self, folder: Path, signature: str) -> None:
        self.folder = folder
        self.signature = signature
        self._packs: dict[str, Pack | None] = {}
        self._places: dict[str, _Place] = {}
        self._damaged: set[str] = set()

    def path(self, key: str) -> Path:
        """The file of an entry that is in no pack."""
        return entry_path(self.folder, key)

    def refresh(self) -> None:
        """Look which packs there are; only the indices of new ones are read."""
        names: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            names.update(filter(is_pack, os.listdir(self.folder / PACKS)))
        if names == self._packs.keys():
            return
        packs = {}
        for name in sorted(names):
            known = name in self._packs
            packs[name] = self._packs[name] if known else self._opened(name)
        places: dict[str, _Place] = {}
        for pack in packs.values():
            if pack is not None:
                keys = pack.keys
                places.update(zip(keys, zip(repeat(pack), count()), strict=False))

        # As a whole, as threads that read ahead look into it meanwhile.
        self._packs = packs
        self._places = places

    def _opened(self, name: str) -> Pack | None:
        """A pack, or None where it is damaged: its entries are made again."""
        try:
            pack = Pack.open(self.folder / PACKS / name)
        except DamagedArtifact as error:
            log.warning("%s", error)
            return None
        if pack.signature != self.signature:
            log.warning("%s is of another encoder; it is not read.", pack.path)
            return None
        return pack

    def lacking(self, keys: Iterable[str], *, is_verified: bool) -> list[str]:
        """Keys of which there is no entry, or a damaged one.

        Parameters
        ----------
        keys : iterable of str
        is_verified : bool
            Whether every entry is read; otherwise those alone are taken for damaged
            that have been found to be so.
        """
        self.refresh()
        is_usable = self._is_intact if is_verified else self._is_there
        return [key for key in keys if not is_usable(key)]

    def _is_there(self, key: str) -> bool:
        if key in self._damaged:
            return False
        return key in self._places or self.path(key).is_file()

    def _is_intact(self, key: str) -> bool:
        try:
            self._read_known(key)
        except UsageError:
            return False
        except DamagedArtifact as error:
            log.warning("%s Computing it again.", error)
            return False
        return True

    def read(self, key: str) -> np.ndarray:
        """Read one embedding, and verify that it is what was written.

        Raises
        ------
        UsageError
            If it is nowhere.
        DamagedEmbedding
            If its bytes have changed, wherever it is.
        """
        try:
            return self._read_known(key)
        except UsageError:
            # Another process may have put it into a pack.
            self.refresh()
            return self._read_known(key)
        except DamagedArtifact:
            self._damaged.add(key)
            raise

    def _read_known(self, key: str) -> np.ndarray:
        """The same, of what is known of packs."""
        path = self.path(key)
        packed = self._places.get(key)
        if packed is None:
            return read_entry(path, self.signature, key)
        pack, place = packed
        try:
            return pack.read(place)
        except DamagedArtifact:
            # It may have been made again.
            with contextlib.suppress(DamagedArtifact, UsageError):
                return read_entry(path, self.signature, key)
            raise

    def write(self, key: str, embedding: np.ndarray) -> None:
        """Write one embedding to a file of its own."""
        write_entry(self.path(key), self.signature, key, embedding=embedding)
        self._damaged.discard(key)

    def lengths(self, keys: Sequence[str]) -> np.ndarray:
        """Rows of some embeddings; only those in files of their own are read.

        Returns
        -------
        lengths : int64 array of shape (n,)
        """
        n_rows: dict[str, int] = {}
        for key in keys:
            if key in n_rows:
                continue
            if key in self._places:
                pack, place = self._places[key]
                n_rows[key] = pack.n_rows(place)
            else:
                n_rows[key] = len(self.read(key))
        return np.array([n_rows[key] for key in keys], dtype=np.int64)

    def dtype(self, keys: Iterable[str]) -> np.dtype:
        """The type that holds all of some embeddings; packed ones are not read."""
        dtypes = set()
        for key in set(keys):
            packed = self._places.get(key)
            dtypes.add(self.read(key).dtype if packed is None else packed[0].dtype)
        return np.result_type(*dtypes)

    def n_bytes(self, keys: Iterable[str]) -> int:
        """About how many bytes some embeddings have, each counted once."""
        self.refresh()
        total = 0
        for key in set(keys):
            if key in self._places:
                pack, place = self._places[key]
                total += pack.n_bytes(place)
                continue
            # Another process may be putting it into a pack.
            with contextlib.suppress(FileNotFoundError):
                total += self.path(key).stat().st_size
        return total

    def pack(self) -> None:
        """Put entries that have files of their own into packs, where they are many.

        A kill loses nothing: an entry has its file until its pack is written.
        """
        # A store that others filled may be one to read alone.
        if not _is_worth_packing(self._single()) or not os.access(self.folder, os.W_OK):
            return

        packs = self.folder / PACKS
        with locked(packs):
            sweep(packs)
            self.refresh()
            # Another process may have done it while this one waited.
            for keys in _groups(self._single()):
                self._pack_group(packs, keys)
        self.refresh()

    def _single(self) -> dict[str, int]:
        """Size in bytes of every entry that has a file of its own, by key."""
        entries = entries_in(self.folder)
        return {key: n_bytes for key, n_bytes in entries if can_be_packed(key)}

    def _pack_group(self, packs: Path, keys: Sequence[str]) -> None:
        """Write one pack, and remove the files of what is in it."""
        packed = []
        # A pack is of one type and width. Few entries are too large for float16.
        by_kind: dict[tuple[np.dtype, int], dict[str, np.ndarray]] = {}
        for key in keys:
            path = self.path(key)
            # What is damaged is named and made again when it is needed.
            with contextlib.suppress(DamagedArtifact, UsageError):
                if not self._is_packed(key):
                    embedding = read_entry(path, self.signature, key)
                    kind = (embedding.dtype, embedding.shape[1])
                    by_kind.setdefault(kind, {})[key] = embedding
                packed.append(path)
        for embeddings in by_kind.values():
            write_pack(packs, self.signature, embeddings)
        for path in packed:
            path.unlink(missing_ok=True)

    def _is_packed(self, key: str) -> bool:
        """Whether an intact copy is in a pack, whose writer was killed after it."""
        if key not in self._places:
            return False
        pack, place = self._places[key]
        with contextlib.suppress(DamagedArtifact):
            pack.read(place)
            return True
        return False


def _is_worth_packing(sizes: Mapping[str, int]) -> bool:
    return len(sizes) >= FEWEST_PACKED or sum(sizes.values()) >= MOST_BYTES


def _groups(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Keys of entries, by their sizes in bytes, as they go into packs."""
    group: list[str] = []
    total = 0
    for key, n_bytes in sorted(sizes.items()):
        if group and (total + n_bytes > MOST_BYTES or len(group) >= MOST_ENTRIES):
            yield group
            group = []
            total = 0
        group.append(key)
        total += n_bytes
    if group:
        yield group
