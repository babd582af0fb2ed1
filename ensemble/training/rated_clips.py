"""RatedClips: a clip table made ready for training, and kept beside the models that were trained on it.

Splits are those of the data; where it gives none they are made once, seeded, and stored, so that every later command
means the same clips by "dev". The trap: a demo must never pass for real data, so the table remembers which it is.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from base_models.bins import ScoreBins
from base_models.clips.demo_corpus import is_demo
from base_models.clips.labels import judged_by_text
from base_models.clips.ratings import check_ratings
from base_models.clips.read_clips import read_clips
from base_models.clips.splits import assign_splits, reached
from base_models.errors import DamagedArtifact, UsageError, one_of, some
from base_models.files import Artifact, atomic_write, is_sealed, seal, sha256, to_json

SPLITS = ("train", "dev", "test")
RATINGS = "ratings.parquet"
CONTENT = "audio_content"
"""Column of what the audio of each clip hashes to, known once it was embedded."""


@dataclass(frozen=True)
class RatedClips:
    """Clips with labels and splits.

    Parameters
    ----------
    frame : clip table, RangeIndex; ``split`` is filled
    aspects : rated qualities, columns of the frame
    needs_text : for each aspect, whether it is judged against the prompt
    source : where the table came from, for people
    demo : whether it is the demo corpus
    made : how the splits came about
    group : column whose clips are kept on one side of every split, or ""
    set_aside : how many clips of the source are left out
    ratings : single ratings of these clips (``clip_id, rater_id`` and the aspects), or None
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    needs_text: tuple[bool, ...]
    source: str
    demo: bool
    made: str
    group: str = ""
    set_aside: int = 0
    ratings: pd.DataFrame | None = None

    @classmethod
    def read(
        cls,
        path: Path | str,
        aspects: Sequence[str] | None = None,
        text_aspects: Sequence[str] | None = None,
        sizes: Sequence[float] = (0.7, 0.15, 0.15),
        group: str | None = None,
        seed: int = 0,
    ) -> RatedClips:
        """Read a listening test and settle its splits.

        Parameters
        ----------
        path : anything that `read_clips` reads
        aspects, text_aspects : names, or None for the recognised ones
        sizes, seed : of the splits, used only when the data gives none
        group : column whose clips are kept together, in these splits and in all later ones

        Raises
        ------
        UsageError
            when there is no aspect, or a split that training needs is empty.
        """
        frame = read_clips(path, aspects=aspects)
        names = tuple(frame.attrs["aspects"])
        if not names:
            raise UsageError(
                f"{path} has no column of ratings; name one with --aspects. Columns: {list(frame.columns)}."
            )
        if group is not None:
            one_of(group, frame.columns, "column for --group")
        given = (frame["split"] != "").any()
        if not given:
            frame["split"] = assign_splits(
                frame, sizes=tuple(sizes), seed=seed, group=group
            ).to_numpy()
        elif (frame["split"] == "").any():
            raise UsageError(
                f"{path}: some clips have a split and some have none; give all or none."
            )
        for split in ("train", "dev"):
            if not (frame["split"] == split).any():
                raise UsageError(
                    f"{path} has no {split} clips; base models train on 'train', stacks on 'dev'. Name some clips "
                    f"'{split}', or leave the split column out to have splits made."
                )
        made = "splits as given" if given else f"splits made with seed {seed}"
        return cls(
            frame,
            names,
            judged_by_text(names, text_aspects),
            str(path),
            is_demo(path),
            made,
            group or "",
        )

    def with_ratings(self, ratings: pd.DataFrame) -> RatedClips:
        """The same clips with their single ratings, in an order of their own; those of other clips are left out.

        Raises
        ------
        UsageError
            when the table is not one of single ratings, or none is of a clip here.
        """
        check_ratings(ratings, self.aspects)
        kept = ratings[ratings["clip_id"].isin(self.frame["clip_id"])]
        if kept.empty:
            raise UsageError(
                f"No rating is of a clip in {self.source}: one is of {some(ratings['clip_id'], 1)}, a clip there is "
                f"{some(self.frame['clip_id'], 1)}. Give both the same ids."
            )
        names = ["clip_id", "rater_id"]
        return replace(
            self,
            ratings=kept[[*names, *self.aspects]].sort_values(names, ignore_index=True),
        )

    @property
    def note(self) -> str:
        """How the splits came about, with the proportions reached, and how many clips are left out."""
        rest = f"; {self.set_aside} clips set aside" if self.set_aside else ""
        return f"{self.made}: {reached(self.frame)}{rest}"

    def rows(self, split: str) -> pd.DataFrame:
        """The clips of one split, in table order."""
        return self.frame[self.frame["split"] == split].reset_index(drop=True)

    def labels(self, split: str) -> pd.DataFrame:
        """Labels of one split, one column per aspect."""
        return self.rows(split)[list(self.aspects)]

    def groups(self, split: str) -> list[str] | None:
        """Groups of the clips of one split, or None when none are kept together."""
        return self.rows(split)[self.group].astype(str).tolist() if self.group else None

    def take(self, rows: Sequence[int]) -> RatedClips:
        """Only these rows; the others are set aside."""
        kept = self.frame.iloc[list(rows)].reset_index(drop=True)
        ratings = self.ratings
        if ratings is not None:
            ratings = ratings[ratings["clip_id"].isin(kept["clip_id"])].reset_index(
                drop=True
            )
        return replace(
            self,
            frame=kept,
            set_aside=self.set_aside + len(self.frame) - len(kept),
            ratings=ratings,
        )

    def fingerprint(self, content: Sequence[str], ratings: bool = False) -> str:
        """Ten hex digits of what training can see: ids, splits, systems, prompts, labels, audio content; and `demo`.

        With ratings=True also of the single ratings, for a model that reads them; where there are none it is the same.
        """
        columns = [
            "clip_id",
            "split",
            "system_id",
            "prompt",
            *([self.group] if self.group else []),
        ]
        labels = self.frame[list(self.aspects)].to_numpy(dtype=np.float64)
        parts = [self.frame[column].astype(str).tolist() for column in columns]
        facts = [
            list(content),
            list(self.aspects),
            list(self.needs_text),
            labels.tobytes().hex(),
            self.demo,
        ]
        if ratings and self.ratings is not None:
            facts.append(
                self.ratings.astype(object)
                .where(self.ratings.notna(), None)
                .to_numpy()
                .tolist()
            )
        return sha256(to_json([*parts, *facts]))[:10]

    def save(self, folder: Path) -> None:
        """Write the table to `folder`, unless it is there already, with the audio where it is now."""
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        facts = {
            "aspects": self.aspects,
            "needs_text": self.needs_text,
            "source": self.source,
            "demo": self.demo,
        }
        facts |= {"made": self.made, "group": self.group, "set_aside": self.set_aside}
        facts |= {"scale": [ScoreBins().low, ScoreBins().high]}
        files = {"clips.parquet": buffer.getvalue(), "facts.json": to_json(facts)}
        if self.ratings is not None:
            files[RATINGS] = self.ratings.to_parquet(index=False)
        if is_sealed(folder) and all(
            _holds(folder / name, data) for name, data in files.items()
        ):
            return
        for name, data in files.items():
            atomic_write(folder / name, data)
        seal(folder, "clip table", files, identity=folder.name)

    @classmethod
    def load(cls, folder: Path) -> RatedClips:
        """Read what `save` wrote.

        Raises
        ------
        DamagedArtifact
            when a file changed.
        """
        artifact = Artifact(folder, "clip table", Path(folder).name)
        facts = artifact.json("facts.json")
        try:
            frame = pd.read_parquet(io.BytesIO(artifact.read("clips.parquet")))
            aspects, text = tuple(facts["aspects"]), tuple(facts["needs_text"])
            rest = (
                facts[name] for name in ("source", "demo", "made", "group", "set_aside")
            )
            ratings = (
                pd.read_parquet(io.BytesIO(artifact.read(RATINGS)))
                if RATINGS in artifact.names
                else None
            )
            return cls(frame, aspects, text, *rest, ratings)
        except (KeyError, ValueError, pa.ArrowException) as error:
            raise DamagedArtifact(
                f"{folder} is not a clip table of this version ({error})."
            ) from error


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
