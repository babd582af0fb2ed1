"""Whether clips are those of MusicEval, on which the papers measured.

Our interval may be set against a number of a paper only where both are measured on the
same clips. MusicEval's lists are known by what they hold: the training labels by their
SHA-256, all splits by their numbers of clips and systems.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from base_models.clips.musiceval import ASPECTS, PREFIX
from base_models.files import sha256

MUSICEVAL_SIZES = {"train": (1923, 31), "dev": (412, 29), "test": (413, 30)}
"""Clips and systems of each official split (Liu et al., 2025, and the challenge)."""
MUSICEVAL_SYSTEMS = frozenset(
    f"S{number:03d}" for number in range(1, 34) if number not in (5, 25)
)
TRAIN_SHA256 = "59b0eb38e3fbcf4af01412dbec41b376eb0a5cf61b5d437d6ec05ed35b395b52"
"""Of the official training labels, as `list_digest` writes them."""


@dataclass(frozen=True)
class Corpus:
    """What is known of the clips.

    Parameters
    ----------
    is_musiceval : whether the measured clips are an official split of MusicEval
    sentence : the reason, for people
    """

    is_musiceval: bool
    sentence: str

    @classmethod
    def of(cls, frame: pd.DataFrame, split: str) -> Corpus:
        """Recognise the clips of a table.

        Parameters
        ----------
        frame : clip table with its splits filled
        split : that is measured, or ``"all"``
        """
        found = {
            str(name): (len(rows), rows["system_id"].nunique())
            for name, rows in frame.groupby("split")
        }
        counts = ", ".join(
            f"{name} {clips} clips of {systems} systems"
            for name, (clips, systems) in found.items()
        )
        measured = set(MUSICEVAL_SIZES) if split == "all" else {split}
        sizes = {name: found.get(name) for name in measured}
        is_official = all(sizes[name] == MUSICEVAL_SIZES[name] for name in measured)

        training = frame[frame["split"] == "train"]
        if is_official and list_digest(training) == TRAIN_SHA256:
            return cls(True, "MusicEval, known by the SHA-256 of its training labels.")
        systems_fit = set(frame["system_id"]) <= MUSICEVAL_SYSTEMS
        sizes_fit = all(found[name] == MUSICEVAL_SIZES.get(name) for name in found)
        if is_official and systems_fit and sizes_fit:
            return cls(True, "MusicEval, known by its numbers of clips and systems.")

        # A participant's own split of the official training clips is in use too.
        if list_digest(frame[frame["split"] != "test"]) == TRAIN_SHA256:
            return cls(
                False,
                "MusicEval's training clips alone, split otherwise: not the clips that "
                "the paper measured on.",
            )
        return cls(
            False,
            f"NOT MusicEval as it was published ({counts}): another corpus, or a part "
            "of it.",
        )


def list_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of the labels of clips, whatever their order; "" without MI and TA.

    A line is ``id,mi,ta`` with four decimals, without the suffix of the file.
    """
    if not set(ASPECTS) <= set(frame.columns):
        return ""
    lines = []
    for clip_id, mi, ta in zip(frame["clip_id"], frame["mi"], frame["ta"], strict=True):
        name = str(clip_id).removesuffix(".wav").rpartition("/")[2]
        if not name.startswith(PREFIX):
            name = PREFIX + name
        lines.append(f"{name},{float(mi):.4f},{float(ta):.4f}\n")
    return sha256("".join(sorted(lines)).encode())
