"""The recordings behind some clips, and which of them stand in several splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from base_models.clips.same_audio.fingerprint import Fingerprint
from base_models.clips.same_audio.fingerprint_store import FingerprintStore
from base_models.clips.same_audio.matches import (
    SamePair,
    groups_of,
    pairs_text,
    same_pairs,
)


@dataclass(frozen=True)
class Recordings:
    """Which clips are one recording.

    Parameters
    ----------
    contents : mapping of clip id to clip id
        The first clip, in the order of the ids, of the same recording, as
        `meta.splits.leak_audit.audit` takes it; a clip of unknown audio is not there.
    pairs : tuple of SamePair
    """

    contents: Mapping[str, str]
    pairs: tuple[SamePair, ...] = ()

    @classmethod
    def of(cls, prints: Mapping[str, Fingerprint]) -> Recordings:
        """Compare the fingerprints of some clips."""
        pairs = same_pairs(prints)
        return cls(groups_of(prints, pairs), tuple(pairs))

    @classmethod
    def of_audio(
        cls,
        audio: Mapping[str, str],
        folder: Path | str | None = None,
        track: Callable[[Iterable[tuple[str, str]]], Iterable[tuple[str, str]]] = iter,
    ) -> Recordings:
        """Compare clips, given by id and audio file, whose audio can be read.

        Parameters
        ----------
        audio, track : as in `FingerprintStore.read`
        folder : where fingerprints are kept, or None
        """
        return cls.of(FingerprintStore(folder).read(audio, track))

    def first_of(self, clip: str) -> str:
        """The first clip of the same recording; of unknown audio, the clip itself."""
        return self.contents.get(clip, clip)

    def across(
        self, place_of: Mapping[str, str]
    ) -> tuple[list[SamePair], list[SamePair]]:
        """Pairs of recordings that are in several places, and the other pairs.

        Of three copies two may share a place: all three are counted as across.

        Parameters
        ----------
        place_of : clip id to its place, such as a split
        """
        places: dict[str, set[str]] = {}
        for clip, group in self.contents.items():
            places.setdefault(group, set()).add(place_of.get(clip, ""))
        across: list[SamePair] = []
        within: list[SamePair] = []
        for pair in self.pairs:
            is_across = len(places[self.contents[pair.first]]) > 1
            (across if is_across else within).append(pair)
        return across, within

    def sentence(self, split_of: Mapping[str, str]) -> str:
        """What is wrong with these splits, for people; "" where nothing is."""
        across, _ = self.across(split_of)
        if not across:
            return ""
        return (
            f"the same recording is in more than one split: "
            f"{pairs_text(across, split_of)}; what is trained on one cannot be tested "
            "on the other, and fit_meta refuses it: keep one of each, or put both into "
            "one split"
        )
