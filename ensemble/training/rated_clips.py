"""RatedClips: a clip table made ready for training, kept beside the trained models.

Splits are those of the data. Where it gives none they are made once, seeded, and
stored, so that every later command means the same clips by "dev". The table remembers
whether it is the demo corpus, which must never pass for real data.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.demo.corpus import is_demo
from base_models.clips.labels import (
    SCALE,
    judged_by_text,
    label_scales,
    labels_onto,
    text_gaps,
)
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.musiceval import find_tree
from base_models.clips.ratings import (
    check_against_labels,
    check_ratings,
    find_ratings,
    known_rating_scales,
    read_ratings,
)
from base_models.clips.read_clips import read_clips
from base_models.clips.same_audio.recordings import Recordings
from base_models.clips.splits import (
    assign_splits,
    group_column,
    joined_groups,
    reached,
)
from base_models.errors import MISFITS, DamagedArtifact, UsageError, in_short, some
from base_models.files import (
    MANIFEST,
    Artifact,
    manifest_of,
    parse_parquet,
    read_artifact,
    sha256,
    sweep,
    to_json,
    write_artifact,
)
from base_models.optional_libraries import LazyLibrary, require
from base_models.scales import LabelScales, Scale
from meta.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from ensemble.training.training_setup import TrainingSetup
else:
    pa = LazyLibrary("pyarrow")

ROLE = "clip table"
CLIPS = "clips.parquet"
FACTS = "facts.json"
RATINGS = "ratings.parquet"
CONTENT = "audio_content"
"""Column of what the audio of each clip hashes to, known once it was embedded; copies
of one recording have that of the first of them."""


# Column that is made for a moment, and is not one of the table's.
_TOGETHER = "\0together"


@dataclass(frozen=True)
class SplitRule:
    """How the splits of a listening test are made where its data gives none.

    Parameters
    ----------
    sizes : sequence of 3 floats
        Shares of train, dev and test.
    seed : int
    group : str, optional
        Column whose clips are kept together, in these splits and in all later ones.
    needs_dev : bool
        Whether splits without dev clips are refused, given ones too; stacks can be
        fitted on out-of-fold predictions of the training split instead.
    fingerprints : path, optional
        Folder where fingerprints of clips are kept. Where it is given, copies of one
        recording stay together in the splits that are made.
    """

    sizes: Sequence[float] = (0.7, 0.15, 0.15)
    seed: int = 0
    group: str | None = None
    needs_dev: bool = True
    fingerprints: Path | None = None


@dataclass(frozen=True)
class RatedClips:
    """Clips with labels and splits.

    Parameters
    ----------
    frame : DataFrame
        Clip table with a RangeIndex; ``split`` is filled.
    aspects : tuple of str
        Rated qualities, columns of `frame`.
    needs_text : tuple of bool
        For each aspect, whether it is judged against the prompt.
    source : str
        Where the table came from, for people to read.
    demo : bool
        Whether it is the demo corpus.
    made : str
        How the splits came about, for people to read.
    group : str
        Column whose clips are kept on one side of every split, or "".
    set_aside : int
        How many clips of the source are left out.
    ratings : DataFrame or None
        Single ratings of these clips: ``clip_id``, ``rater_id`` and the aspects.
    scales : mapping of str to Scale
        The scale of an aspect's labels where they came from, if it is not 1..5, onto
        which labels and ratings are mapped here.
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
    scales: Mapping[str, Scale] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        path: Path | str,
        aspects: Sequence[str] | None = None,
        text_aspects: Sequence[str] | None = None,
        splits: SplitRule | None = None,
        ratings: Path | str | None = None,
        rating_scale: Sequence[float] | None = None,
        scales: LabelScales | None = None,
        options: RatingOptions | None = None,
    ) -> RatedClips:
        """Read a listening test and settle its splits.

        Parameters
        ----------
        path
            Anything that `read_clips` reads.
        aspects, text_aspects : sequence of str, optional
            Names; by default the recognised ones.
        splits : SplitRule, optional
            How splits are made, and what is asked of them.
        ratings, rating_scale
            Single ratings, and the ends of their scale, as `read_clips` takes them: the
            labels are their means where the data has none.
        scales : LabelScales, optional
            Of the labels, as `read_clips` takes them; they are mapped onto 1..5.
        options : RatingOptions, optional
            How an export of a listening test is read.

        Raises
        ------
        UsageError
            When there is no aspect, or a split that training needs is empty.
        """
        frame = read_clips(
            path,
            aspects=aspects,
            ratings=ratings,
            rating_scale=rating_scale,
            scales=scales,
            options=options,
        )
        names = tuple(frame.attrs["aspects"])
        if not names:
            raise UsageError(_nothing_rated(Path(path), list(frame.columns)))
        own_scales = {
            aspect: scale
            for aspect, scale in label_scales(frame).items()
            if scale != Scale.of(SCALE)
        }
        frame = labels_onto(frame)
        rule = splits or SplitRule()
        if rule.group is not None:
            rule = replace(rule, group=group_column(frame, rule.group))

        has_split = frame["split"] != ""
        if has_split.any():
            made = "splits as given"
        else:
            made = f"splits made with seed {rule.seed}"
            frame["split"] = _made_splits(frame, rule).to_numpy()
            if rule.needs_dev:
                _check_made_splits(frame, path)
        _check_splits(frame, path, needs_dev=rule.needs_dev)
        needs_text = judged_by_text(names, text_aspects)
        frame = _without_text_labels(frame, names, needs_text)
        return cls(
            frame,
            aspects=names,
            needs_text=needs_text,
            source=str(path),
            demo=is_demo(path),
            made=made,
            group=rule.group or "",
            scales=own_scales,
        )

    def with_ratings(self, ratings: pd.DataFrame) -> RatedClips:
        """The same clips with their single ratings; those of other clips are left out.

        Raises
        ------
        UsageError
            When the table is not one of single ratings, or none is of a clip here.
        """
        check_ratings(ratings, self.aspects)
        kept = ratings[ratings["clip_id"].isin(self.frame["clip_id"])]
        if kept.empty:
            raise UsageError(
                f"No rating is of a clip in {self.source}: one is of "
                f"{some(ratings['clip_id'], 1)}, a clip there is "
                f"{some(self.frame['clip_id'], 1)}. Give both the same ids."
            )
        # In an order of their own: what is learnt, and the fingerprint, must not depend
        # on the order in which ratings were given.
        keys = ["clip_id", "rater_id"]
        kept = kept[[*keys, *self.aspects]].sort_values(keys, ignore_index=True)
        for aspect, clips in self.without_prompt.items():
            kept[aspect] = kept[aspect].mask(kept["clip_id"].isin(clips))
        return replace(self, ratings=kept)

    @property
    def without_prompt(self) -> dict[str, tuple[str, ...]]:
        """Per aspect that is left out for clips without a prompt: their ids."""
        gaps = text_gaps(self.frame, self.needs_text)
        clips_of_aspect = {}
        for aspect, is_left_out in zip(self.aspects, gaps.T, strict=True):
            if is_left_out.any():
                clips_of_aspect[aspect] = tuple(self.frame["clip_id"][is_left_out])
        return clips_of_aspect

    @property
    def note(self) -> str:
        """How the splits came about, their proportions, and how many are left out."""
        left_out = f"; {self.set_aside} clips set aside" if self.set_aside else ""
        for aspect, clips in self.without_prompt.items():
            left_out += f"; {len(clips)} without a prompt, {aspect} left out for them"
        for aspect, scale in self.scales.items():
            left_out += f"; {aspect} is rated on {scale}, and learnt on 1..5"
        return f"{self.made}: {reached(self.frame)}{left_out}"

    def rows(self, split: str) -> pd.DataFrame:
        """The clips of one split, in table order, with a RangeIndex."""
        return self.frame[self.frame["split"] == split].reset_index(drop=True)

    def label_rows(self, clips: pd.DataFrame) -> Rows:
        """Some clips of the table as `Rows`; copies of a recording are in one group."""
        rows = Rows.from_clips(clips, self.aspects, self.group)
        if CONTENT not in clips or clips[CONTENT].is_unique:
            return rows
        together = clips[CONTENT].to_numpy(dtype=object)
        if rows.group_names is not None:
            together = joined_groups(together, rows.group_names)
        return rows.keeping_together(together)

    def take(self, rows: Sequence[int]) -> RatedClips:
        """Only these rows; the others are set aside."""
        kept = self.frame.iloc[list(rows)].reset_index(drop=True)
        ratings = self.ratings
        if ratings is not None:
            is_kept = ratings["clip_id"].isin(kept["clip_id"])
            ratings = ratings[is_kept].reset_index(drop=True)
        return replace(
            self,
            frame=kept,
            set_aside=self.set_aside + len(self.frame) - len(kept),
            ratings=ratings,
        )

    def fingerprint(self, content: Sequence[str], ratings: bool = False) -> str:
        """Ten hex digits of everything that training can see.

        Parameters
        ----------
        content : sequence of n str
            What audio and prompt of each clip hash to.
        ratings : bool
            Whether to include the single ratings, for a model that reads them. Where
            there are none the fingerprint is the same.

        Returns
        -------
        fingerprint : str
            Of ids, splits, systems, prompts, groups, labels, content and `demo`; not of
            where the audio lies.
        """
        # The order of what is hashed names existing runs, so it must not change.
        columns = ["clip_id", "split", "system_id", "prompt"]
        if self.group:
            columns.append(self.group)
        hashed: list[object] = [
            self.frame[column].astype(str).tolist() for column in columns
        ]
        labels = self.frame[list(self.aspects)].to_numpy(dtype=np.float64)
        hashed += [
            list(content),
            list(self.aspects),
            list(self.needs_text),
            labels.tobytes().hex(),
            self.demo,
        ]
        if ratings and self.ratings is not None:
            # JSON has no NaN: a rating that a rater left out becomes null.
            known = self.ratings.notna()
            values = self.ratings.astype(object).where(known, None)
            hashed.append(values.to_numpy().tolist())
        return sha256(to_json(hashed))[:10]

    def save(self, folder: Path) -> None:
        """Write the table to `folder`, unless it is there with these audio paths.

        The name of the folder does not depend on where the audio lies, so a table whose
        audio has moved is written again.
        """
        # pandas would name two libraries, and no extra.
        require("pyarrow")
        # Of equal tables the bytes are equal, so bytes can be compared below.
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        bins = ScoreBins()
        facts = {
            "aspects": self.aspects,
            "needs_text": self.needs_text,
            "source": self.source,
            "demo": self.demo,
            "made": self.made,
            "group": self.group,
            "set_aside": self.set_aside,
            "scale": [bins.low, bins.high],
        }
        # Tables on 1..5 stay as they were before there was a choice.
        if self.scales:
            facts["scales"] = {k: scale.to_json() for k, scale in self.scales.items()}
        files = {CLIPS: buffer.getvalue(), FACTS: to_json(facts)}
        if self.ratings is not None:
            files[RATINGS] = self.ratings.to_parquet(index=False)

        # With the manifest: a writer that was killed may have left another one's.
        hashes = {name: sha256(content) for name, content in files.items()}
        whole = {**files, MANIFEST: manifest_of(ROLE, hashes, folder.name)}
        if all(_holds(folder / name, content) for name, content in whole.items()):
            # One that was killed right after the table had its place left the older.
            sweep(folder.parent, name=folder.name)
            return
        # As a whole: a reader never finds clips of one table and facts of another.
        write_artifact(folder, ROLE, files, identity=folder.name, owned=True)

    @classmethod
    def load(cls, folder: Path) -> RatedClips:
        """Read what `save` wrote.

        Raises
        ------
        DamagedArtifact
            When a file changed.
        """
        # Another fit_base may replace it, where its audio has moved.
        return read_artifact(folder, ROLE, cls._of, identity=Path(folder).name)

    @classmethod
    def _of(cls, artifact: Artifact) -> RatedClips:
        facts = artifact.json(FACTS)
        try:
            frame = parse_parquet(artifact.read(CLIPS)).to_pandas()
            # Tables without single ratings have no such file.
            ratings = None
            if RATINGS in artifact.names:
                ratings = parse_parquet(artifact.read(RATINGS)).to_pandas()
            return cls(
                frame,
                aspects=tuple(facts["aspects"]),
                needs_text=tuple(facts["needs_text"]),
                source=facts["source"],
                demo=facts["demo"],
                made=facts["made"],
                group=facts["group"],
                set_aside=facts["set_aside"],
                ratings=ratings,
                scales={k: Scale(*v) for k, v in facts.get("scales", {}).items()},
            )
        except (*MISFITS, pa.ArrowException) as error:
            raise DamagedArtifact(
                f"{artifact.folder} is not a clip table of this version "
                f"({in_short(error)})."
            ) from error


def _nothing_rated(path: Path, columns: Sequence[str]) -> str:
    """What is said of data without ratings, and the likely cure."""
    if path.is_dir() and find_tree(path) is None:
        return (
            f"{path} holds audio files and no ratings: there is no table in it, and no "
            "MusicEval list (sets/train_mos_list.txt …). Name the table that rates "
            "these clips."
        )
    return (
        f"{path} has no column of ratings; name one with --aspects. It has "
        f"{some(columns, 12)}."
    )


def _made_splits(frame: pd.DataFrame, rule: SplitRule) -> pd.Series:
    """Splits of a table that gives none; copies of a recording share one."""
    group = rule.group
    if rule.fingerprints is not None:
        audio = dict(zip(frame["clip_id"], frame["audio"], strict=True))
        found = Recordings.of_audio(audio, rule.fingerprints)
        if found.pairs:
            together = frame["clip_id"].map(found.first_of).to_numpy(dtype=object)
            if group is not None:
                together = joined_groups(together, frame[group].to_numpy(dtype=object))
            attributes = frame.attrs
            frame = frame.assign(**{_TOGETHER: together})
            frame.attrs = attributes
            group = _TOGETHER
    return assign_splits(frame, sizes=tuple(rule.sizes), seed=rule.seed, group=group)


def _check_made_splits(frame: pd.DataFrame, path: Path | str) -> None:
    """Refuse a table with too few clips to make splits of."""
    n_dev = (frame["split"] == "dev").sum()
    if n_dev == 0:
        raise UsageError(
            f"The splits of {path} have no dev clips, of {len(frame)} in all; base "
            "models train on 'train', stacks on 'dev'. Add clips, give dev a larger "
            "share (--split), name another --group, or stack on out-of-fold "
            "predictions (--folds 5)."
        )


def _check_splits(
    frame: pd.DataFrame, path: Path | str, needs_dev: bool = True
) -> None:
    """Refuse a table with missing splits, or without clips to train or stack on."""
    if (frame["split"] == "").any():
        raise UsageError(
            f"{path}: some clips have a split and some have none; give all or none."
        )
    for split in ("train", "dev") if needs_dev else ("train",):
        if not (frame["split"] == split).any():
            without_dev = ""
            if split == "dev":
                without_dev = ", or stack on out-of-fold predictions (--folds 5)"
            raise UsageError(
                f"{path} has no {split} clips; base models train on 'train', stacks on "
                f"'dev'. Name some clips '{split}', or leave the split column out to "
                f"have splits made{without_dev}."
            )


def _without_text_labels(
    frame: pd.DataFrame, aspects: Sequence[str], needs_text: Sequence[bool]
) -> pd.DataFrame:
    """The same clips; those without a prompt have no label of what is judged by it.

    Raises
    ------
    UsageError
        When a split that training needs has no label of such an aspect left.
    """
    gaps = text_gaps(frame, needs_text)
    if not gaps.any():
        return frame
    masked = frame.copy()
    for aspect, is_left_out in zip(aspects, gaps.T, strict=True):
        masked[aspect] = frame[aspect].mask(is_left_out)

    pairs = zip(aspects, needs_text, strict=True)
    judged_alone = [shlex.quote(aspect) for aspect, by_text in pairs if not by_text]
    for split in ("train", "dev"):
        in_split = frame["split"] == split
        for aspect in aspects:
            had_labels = frame.loc[in_split, aspect].notna().any()
            if had_labels and not masked.loc[in_split, aspect].notna().any():
                raise UsageError(
                    f"No {split} clip that is rated for {aspect} has a prompt, against "
                    "which it is judged. Add prompts, or name only aspects that are "
                    f"judged without one (--aspects {' '.join(judged_alone)})."
                )
    return masked


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file exists and holds exactly these bytes."""
    return path.is_file() and path.read_bytes() == content


def add_ratings(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    setup: TrainingSetup,
    path: str | None = None,
    scale: Sequence[float] | None = None,
) -> tuple[RatedClips, str]:
    """Add single ratings, for models that learn from them and for the noise ceiling.

    Parameters
    ----------
    rated : RatedClips
    models : sequence of (str, int)
        Names as `plan_models` returns them, and seeds.
    setup : TrainingSetup
    path, scale
        As in `read_ratings`; by default the ratings of the MusicEval tree that the
        clips are from.

    Returns
    -------
    rated : RatedClips
        The clips with their ratings, if there are any.
    sentence : str
        What was read, for people; "" when there was nothing to read.

    Raises
    ------
    UsageError
        When ratings that are named, or that a model learns from, cannot be read.
    """
    # Models that learn from single ratings, and cannot do without them.
    readers = [
        preset for preset in dict(models) if setup.model(preset).config.reads_ratings
    ]
    attributes = rated.frame.attrs
    file = path or attributes.get("means_of") or find_ratings(rated.source)
    if file is None:
        return rated, ""

    try:
        columns = attributes.get("columns")
        # Ratings are on the scale of the labels, unless another one is named.
        on_labels = Scale.of(SCALE)
        own = {aspect: rated.scales.get(aspect, on_labels) for aspect in rated.aspects}
        options = RatingOptions.of_attributes(attributes)
        if path and "means_of" not in attributes:
            own |= known_rating_scales(file, rated.aspects, columns, options=options)
        ratings = read_ratings(
            file, rated.aspects, scale or own, columns=columns, options=options
        )
        with_ratings = rated.with_ratings(ratings)
        kept = with_ratings.ratings
        assert kept is not None
        gap = check_against_labels(kept, rated.frame, rated.aspects)
    except UsageError as error:
        # Ratings that nobody named and no model needs must not stop the training.
        if path or readers:
            raise
        return rated, f"single ratings left aside: {error}"

    purpose = ", ".join(readers) or "for the noise ceiling"
    n_raters = kept["rater_id"].nunique()
    n_clips = kept["clip_id"].nunique()
    relation = f"their means {gap:.2f} from the labels"
    if "means_of" in attributes:
        relation = "whose means are the labels"
    sentence = (
        f"{purpose}: {len(kept)} single ratings by {n_raters} raters of {n_clips} of "
        f"{len(rated.frame)} clips, {relation}"
    )
    unknown = len(ratings) - len(kept)
    if unknown:
        sentence += f"; {unknown} of clips that are not in the table are left out"
    return with_ratings, sentence
