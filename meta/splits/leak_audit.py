"""Who has seen which clip: training, checkpoint selection, meta-training and meta-validation of every base model.

The traps: the published stack chose the checkpoints of its base models on the same dev clips that fitted the stack, and
reported in-sample scores as those of the dev set; and a clip may come back under another name, so that ids differ while
the audio is the same. Ids and content hashes are both compared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base_models.errors import UsageError, one_of, some
from base_models.predictions import PredictionTable

SEEN = {"training": "train", "selection": "select a checkpoint of"}
"""What a base model does with labels, and how a message says it."""
ROLES = ("meta-training", "meta-validation", "test")
"""What a stack does with labels: fit, choose, and report; of two roles of one clip, the later is the leaky one."""
STACK = "stack"


@dataclass(frozen=True)
class Overlap:
    """Clips of one role whose labels had another use already.

    Parameters
    ----------
    model : name of the base model that used them, or ``"stack"``
    use : ``"training"``, ``"selection"``, or an earlier role of the stack
    role : where they are used again
    clip_ids : clips of `role`, in its order
    same_audio_as : for each, the id under which its audio was used before; its own id where the ids agree
    """

    model: str
    use: str
    role: str
    clip_ids: tuple[str, ...]
    same_audio_as: tuple[str, ...]

    @property
    def by_content(self) -> int:
        """How many are known by their audio alone."""
        return sum(
            a != b for a, b in zip(self.clip_ids, self.same_audio_as, strict=True)
        )

    def __str__(self) -> str:
        pairs = zip(self.clip_ids, self.same_audio_as, strict=True)
        clips = some(
            clip if clip == other else f"{clip} (the audio of {other})"
            for clip, other in pairs
        )
        if self.model == STACK:
            return f"Clips {clips} are in {self.use} and in {self.role}"
        return f"Clips {clips} were used to {SEEN[self.use]} '{self.model}'; {_DOING[self.role]} on them leaks"


_DOING = {
    "meta-training": "meta-training",
    "meta-validation": "validating",
    "test": "testing",
}


@dataclass(frozen=True)
class Audit:
    """What was found.

    Parameters
    ----------
    overlaps : every pair of uses that share clips; empty when nothing leaks
    unlisted : base models that name no clip that they were trained on, and so cannot be checked
    unhashed : clips whose audio is not known, so that only their ids were compared
    counts : model to use, and ``"stack"`` to role, to the number of clips
    """

    overlaps: tuple[Overlap, ...]
    unlisted: tuple[str, ...]
    unhashed: int
    counts: Mapping[str, Mapping[str, int]]

    @property
    def marks(self) -> tuple[str, ...]:
        """What to print beside every number of a stack that leaks; see `refuse`."""
        return tuple(self.refuse(allow_leak=True))

    def refuse(self, allow_leak: bool = False) -> list[str]:
        """Marks to print beside every number; without `allow_leak` there are none, or else an error.

        Returns
        -------
        marks : e.g. ``"leaky: 412 clips of meta-training were used to select a checkpoint of 'dora-s0'"``

        Raises
        ------
        UsageError
            naming clips, when something leaks and `allow_leak` is False.
        """
        if self.overlaps and not allow_leak:
            more = (
                f" ({len(self.overlaps) - 1} more such overlaps.)"
                if len(self.overlaps) > 1
                else ""
            )
            raise UsageError(f"{self.overlaps[0]}. Pass clips of another split.{more}")
        return [self._mark(overlap) for overlap in self.overlaps]

    @staticmethod
    def _mark(overlap: Overlap) -> str:
        n, known = (
            len(overlap.clip_ids),
            f", {overlap.by_content} by their audio" if overlap.by_content else "",
        )
        clips = f"leaky: {n} clip{'s' if n > 1 else ''} of {overlap.role}"
        if overlap.model == STACK:
            return f"{clips} {'is' if n == 1 else 'are'} in {overlap.use} too{known}"
        return f"{clips} {'was' if n == 1 else 'were'} used to {SEEN[overlap.use]} '{overlap.model}'{known}"

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        overlaps = [
            {
                "model": overlap.model,
                "use": overlap.use,
                "role": overlap.role,
                "clip_ids": list(overlap.clip_ids),
                "same_audio_as": list(overlap.same_audio_as),
                "by_content": overlap.by_content,
            }
            for overlap in self.overlaps
        ]
        facts = {
            "leaks": bool(overlaps),
            "overlaps": overlaps,
            "unlisted": list(self.unlisted),
        }
        return facts | {
            "unhashed": self.unhashed,
            "counts": {name: dict(of) for name, of in self.counts.items()},
        }


def audit(
    tables: Iterable[PredictionTable],
    rows: Mapping[str, Sequence[str]],
    contents: Mapping[str, str | None] | None = None,
) -> Audit:
    """Compare the clips of every use of labels with those of every later one, by id and by audio.

    Out-of-fold predictions do not leak: such a table lists no clip that it predicts as trained on. Training and
    selection are not compared with each other: whether a base model chose its checkpoint well is its own affair.

    Parameters
    ----------
    tables : predictions of the base models, which list what each was trained and selected on
    rows : role (of `ROLES`) to the ids of its clips
    contents : clip id to the SHA-256 of its audio (of the decoded samples, where containers may differ), or to None
        where that is not known; None compares ids alone

    Raises
    ------
    UsageError
        when a role is unknown.
    """
    tables, contents = list(tables), contents or {}
    for role in rows:
        one_of(role, ROLES, "role")
    later = {role: list(rows[role]) for role in ROLES if role in rows}
    earlier = {(table.model, "training"): table.trained_on for table in tables}
    earlier |= {(table.model, "selection"): table.selected_on for table in tables}
    overlaps = []
    for (model, use), seen in earlier.items():
        overlaps += [
            _overlap(model, use, seen, role, clips, contents)
            for role, clips in later.items()
        ]
    for k, role in enumerate(later):
        overlaps += [
            _overlap(STACK, before, later[before], role, later[role], contents)
            for before in list(later)[:k]
        ]
    counts: dict[str, dict[str, int]] = {}
    for (model, use), seen in [
        *earlier.items(),
        *(((STACK, role), clips) for role, clips in later.items()),
    ]:
        counts.setdefault(model, {})[use] = len(set(seen))
    clips = set().union(*earlier.values(), *later.values())
    unlisted = tuple(
        table.model
        for table in tables
        if not table.trained_on and not table.selected_on
    )
    unhashed = sum(contents.get(clip) is None for clip in clips)
    return Audit(
        tuple(overlap for overlap in overlaps if overlap.clip_ids),
        unlisted,
        unhashed,
        counts,
    )


def _overlap(
    model: str, use: str, seen: Iterable[str], role: str, clips: Sequence[str], contents
) -> Overlap:
    seen, audio = set(seen), {}
    for clip in sorted(seen):
        audio.setdefault(contents.get(clip), clip)
    audio.pop(None, None)
    found = {
        clip: clip if clip in seen else audio.get(contents.get(clip))
        for clip in dict.fromkeys(clips)
    }
    again = {clip: other for clip, other in found.items() if other is not None}
    return Overlap(model, use, role, tuple(again), tuple(again.values()))
