"""Which clips' labels were used before, by base models or by the stack itself.

A stack's numbers are only honest on clips whose labels nothing has used. The published
stack chose the checkpoints of its base models on the same dev clips that fitted the
stack, and reported in-sample scores as those of the dev set. A clip may also come back
under another name, so ids are compared without regard to spelling, and so are the
audio and the predictions of clips, where they are known.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base_models.clips.names import plain_id
from base_models.errors import UsageError, one_of, some
from base_models.predictions import PredictionTable

SEEN = {"training": "train", "selection": "select a checkpoint of"}
"""What a base model does with labels, and the words of a message for it."""
ROLES = ("meta-training", "meta-validation", "test")
"""What a stack does with labels: fit, choose, and report.

A clip in two roles leaks in the later one.
"""
STACK = "stack"
"""The name of the stack where others have the name of a base model."""
_DOING = {
    "meta-training": "meta-training",
    "meta-validation": "validating",
    "test": "testing",
}

_KNOWN_BY = {
    "spelling": "but for its spelling",
    "audio": "the audio of",
    "predictions": "the predictions of",
}
"""How a clip was recognised under another id, and the words of a message for it."""

# Clip id to a name of what is heard; None where the audio is not known.
Contents = Mapping[str, str | None]
# Base model and use (a key of `SEEN`) to clip ids, and role to clip ids.
BaseUses = Mapping[tuple[str, str], Iterable[str]]
RoleClips = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Overlap:
    """Clips of one role whose labels had another use already.

    Parameters
    ----------
    model : name of the base model that used them, or ``"stack"``
    use : ``"training"``, ``"selection"``, or an earlier role of the stack
    role : where they are used again
    clip_ids : clips of `role`, in its order
    known_as : ids
        For each clip, the id under which it was used before.
    known_by : words
        For each clip, how it was recognised: ``"id"``, ``"spelling"``, ``"audio"`` or
        ``"predictions"``.
    """

    model: str
    use: str
    role: str
    clip_ids: tuple[str, ...]
    known_as: tuple[str, ...]
    known_by: tuple[str, ...]

    @property
    def by_content(self) -> int:
        """Number of clips that were recognised by their audio alone."""
        return self.known_by.count("audio")

    def __str__(self) -> str:
        names = []
        triples = zip(self.clip_ids, self.known_as, self.known_by, strict=True)
        for clip, other, how in triples:
            name = clip
            if how != "id":
                name = f"{clip} ({_KNOWN_BY[how]} {other})"
            names.append(name)
        clips = some(names)

        if self.model == STACK:
            return f"Clips {clips} are in {self.use} and in {self.role}"
        use = SEEN[self.use]
        reuse = _DOING[self.role]
        return f"Clips {clips} were used to {use} '{self.model}'; {reuse} on them leaks"

    def mark(self) -> str:
        """A short warning to print beside every number."""
        n = len(self.clip_ids)
        is_one = n == 1
        noun = "clip" if is_one else "clips"
        clips = f"{n} {noun} of {self.role}"
        known_by = ""
        for how in _KNOWN_BY:
            count = self.known_by.count(how)
            if count:
                known_by += f", {count} by their {how}"

        if self.model == STACK:
            verb = "is" if is_one else "are"
            return f"leaky: {clips} {verb} in {self.use} too{known_by}"
        verb = "was" if is_one else "were"
        use = SEEN[self.use]
        return f"leaky: {clips} {verb} used to {use} '{self.model}'{known_by}"

    def to_json(self) -> dict[str, Any]:
        """The overlap as JSON values."""
        return {
            "model": self.model,
            "use": self.use,
            "role": self.role,
            "clip_ids": list(self.clip_ids),
            "known_as": list(self.known_as),
            "known_by": list(self.known_by),
            "by_content": self.by_content,
        }


@dataclass(frozen=True)
class Audit:
    """The result of `audit`.

    Parameters
    ----------
    overlaps : every pair of uses that share clips; empty when nothing leaks
    unlisted : base models
        They name no clip that they were trained on, and so cannot be checked.
    unhashed : int
        Number of clips whose audio is not known, so that only their ids were compared.
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
        """Raise when something leaks; with `allow_leak`, return marks instead.

        Returns
        -------
        marks : list of str
            To print beside every number, e.g. ``"leaky: 412 clips of meta-training were
            used to select a checkpoint of 'dora-s0'"``; empty when nothing leaks.

        Raises
        ------
        UsageError
            naming clips, when something leaks and `allow_leak` is False.
        """
        # One overlap explains the problem; the message stays on one line.
        if self.overlaps and not allow_leak:
            message = f"{self.overlaps[0]}. Pass clips of another split."
            n_more = len(self.overlaps) - 1
            if n_more:
                message += f" ({n_more} more such overlaps.)"
            raise UsageError(message)
        return [overlap.mark() for overlap in self.overlaps]

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        overlaps = [overlap.to_json() for overlap in self.overlaps]
        counts_of = {name: dict(counts) for name, counts in self.counts.items()}
        return {
            "leaks": bool(self.overlaps),
            "overlaps": overlaps,
            "unlisted": list(self.unlisted),
            "unhashed": self.unhashed,
            "counts": counts_of,
        }


def audit(
    tables: Iterable[PredictionTable],
    rows: RoleClips,
    contents: Contents | None = None,
    equal: Mapping[str, str] | None = None,
) -> Audit:
    """Compare the clips of every use of labels with those of every later one.

    Out-of-fold predictions do not leak: such a table lists no clip that it predicts as
    trained on. Training and selection are not compared with each other: whether a base
    model chose its checkpoint well does not affect the stack.

    Parameters
    ----------
    tables : predictions of the base models, which list their training clips
    rows : role (of `ROLES`) to the ids of its clips
    contents : clip id to a name of what is heard, or None
        Clips of one recording have one name, as in ``Recordings.contents`` of
        `base_models.clips.same_audio.recordings`: a hash of the file would pass over
        copies in other containers. An id that is missing or maps to None has unknown
        audio; None compares ids alone.
    equal : clip of a later role to one of an earlier role with equal predictions, see
        `meta.splits.equal_predictions.equal_predictions`

    Raises
    ------
    UsageError
        when a role is unknown.
    """
    tables = list(tables)
    contents = contents or {}
    for role in rows:
        one_of(role, ROLES, "role")
    # In the order of `ROLES`: of two roles, the later one leaks.
    roles = [role for role in ROLES if role in rows]
    role_clips = {role: list(rows[role]) for role in roles}

    # All of training before any of selection: overlaps are reported in this order.
    base_uses: dict[tuple[str, str], Iterable[str]] = {}
    for table in tables:
        base_uses[table.model, "training"] = table.trained_on
    for table in tables:
        base_uses[table.model, "selection"] = table.selected_on
    compare = _Comparison(contents, equal or {})
    compared = _overlaps(base_uses, role_clips, compare)
    overlaps = [overlap for overlap in compared if overlap.clip_ids]

    # A model that lists nothing may have seen anything, or be out of fold.
    unlisted = []
    for table in tables:
        lists_clips = table.trained_on or table.selected_on
        if not lists_clips:
            unlisted.append(table.model)

    # Clips without known audio may hide a leak, so a report says how many there are.
    all_clips: set[str] = set()
    for clips in (*base_uses.values(), *role_clips.values()):
        all_clips.update(clips)
    unhashed = [clip for clip in all_clips if contents.get(clip) is None]
    return Audit(
        overlaps=tuple(overlaps),
        unlisted=tuple(unlisted),
        unhashed=len(unhashed),
        counts=_counts(base_uses, role_clips),
    )


def refuse_leaks(tables: Iterable[PredictionTable], clip_ids: Iterable[str]) -> None:
    """Refuse clips whose labels a base model has seen.

    Out-of-fold predictions do not leak: such a table does not list the clips that it
    predicts as trained on.

    Raises
    ------
    UsageError
        naming the clips and the model, for training and for selection.
    """
    fitted_on = {"meta-training": list(clip_ids)}
    audit(tables, fitted_on).refuse()


def _counts(
    base_uses: BaseUses,
    role_clips: RoleClips,
) -> dict[str, dict[str, int]]:
    """Number of distinct clips of each use, by model, and of each role of the stack."""
    counts: dict[str, dict[str, int]] = {}
    for (model, use), seen in base_uses.items():
        of_model = counts.setdefault(model, {})
        of_model[use] = len(set(seen))
    for role, clips in role_clips.items():
        of_stack = counts.setdefault(STACK, {})
        of_stack[role] = len(set(clips))
    return counts


def _overlaps(
    base_uses: BaseUses,
    role_clips: RoleClips,
    compare: _Comparison,
) -> list[Overlap]:
    """Compare each use with each later one; pairs that share no clip are included.

    Parameters
    ----------
    base_uses : model and use to ids
    role_clips : role to ids, in the order of `ROLES`
    compare : what is known of the clips
    """
    # Every use of a base model comes before any of the stack's.
    overlaps = []
    for (model, use), seen in base_uses.items():
        for role, clips in role_clips.items():
            again = compare.used_again(seen, clips)
            overlaps.append(_overlap(model, use, role, again=again))

    for earlier, later in itertools.combinations(role_clips, 2):
        again = compare.used_again(role_clips[earlier], role_clips[later])
        overlaps.append(_overlap(STACK, earlier, later, again=again))
    return overlaps


@dataclass(frozen=True)
class _Comparison:
    """By what clips are recognised, besides their ids; see `audit`."""

    contents: Contents
    equal: Mapping[str, str]

    def used_again(
        self, seen: Iterable[str], clips: Sequence[str]
    ) -> dict[str, tuple[str, str]]:
        """Those of `clips` that are in `seen`, the id they have there, and how known.

        How is a word as in `Overlap.known_by`.
        """
        seen = set(seen)
        # Base models that are known by their predictions alone list no clip.
        if not seen:
            return {}

        # Sorted, so that of several clips with one audio always the same is named.
        id_of_audio: dict[str, str] = {}
        for clip in sorted(seen):
            audio = self.contents.get(clip)
            if audio is not None:
                id_of_audio.setdefault(audio, clip)
        twins = self._twins(seen, clips)

        again = {}
        for clip in clips:
            audio = self.contents.get(clip)
            if clip in seen:
                again[clip] = (clip, "id")
            elif audio in id_of_audio:
                again[clip] = (id_of_audio[audio], "audio")
            elif clip in twins:
                again[clip] = (twins[clip], "spelling")
            elif self.equal.get(clip) in seen:
                again[clip] = (self.equal[clip], "predictions")
        return again

    def _twins(self, seen: Iterable[str], clips: Iterable[str]) -> dict[str, str]:
        """Clips whose id is that of a seen one but for its spelling."""
        ids_of_plain: dict[str, set[str]] = {}
        for clip in seen:
            ids_of_plain.setdefault(plain_id(clip), set()).add(clip)
        # Where ids of one side differ in their case alone, case tells clips apart.
        own_plain = Counter(plain_id(clip) for clip in set(clips))

        twins = {}
        for clip in clips:
            plain = plain_id(clip)
            others = ids_of_plain.get(plain, set())
            if len(others) != 1 or own_plain[plain] != 1:
                continue
            (other,) = others
            # Clips of two recordings are two clips, whatever they are called.
            audio = self.contents.get(clip)
            other_audio = self.contents.get(other)
            if audio is None or other_audio is None or audio == other_audio:
                twins[clip] = other
        return twins


def _overlap(
    model: str,
    use: str,
    role: str,
    again: Mapping[str, tuple[str, str]],
) -> Overlap:
    return Overlap(
        model=model,
        use=use,
        role=role,
        clip_ids=tuple(again),
        known_as=tuple(other for other, _ in again.values()),
        known_by=tuple(how for _, how in again.values()),
    )
