"""Shares of one run that are scored apart, as in the jobs of a batch system.

Chunks are dealt out in turn, so that shards hold about as many clips, and every clip is
scored among the clips that it would be scored among without shards: joined, they are
the scores of one run, to the last digit. Where there are few chunks for so many shards,
these only fill the store of embeddings, each for its share of the clips, and joining
them scores the clips.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import from_guarded_json, read_bytes

CHUNKS_PER_SHARD = 4
"""With fewer chunks for each shard, some would have much more to do than others."""
_MOST_LISTED = 5
_RECORD = re.compile(r"shard-(\d+)-of-(\d+)\.json")


@dataclass(frozen=True)
class Shard:
    """One of several shares.

    Parameters
    ----------
    number : int
        From 1.
    count : int
        Of all shares.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that is written as ``2/8``.

        Raises
        ------
        UsageError
            When it is written otherwise, or there is no such shard.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(
                f"--shard is I/N with I from 1 to N, as 2/8 for the second of 8; got "
                f"'{text}'."
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def record(self) -> str:
        """Name of the file that says that the shard is done."""
        return f"shard-{self.number}-of-{self.count}.json"

    def takes(self, place: int) -> bool:
        """Whether what stands at a place, from 0, is of this shard."""
        return place % self.count == self.number - 1

    def rows(self, n_rows: int) -> slice:
        """The rows of this shard, where rows are divided into stretches."""
        start = (self.number - 1) * n_rows // self.count
        return slice(start, self.number * n_rows // self.count)


def check_shards(folder: Path, run: Mapping[str, str]) -> dict[str, Any]:
    """Check that all shards of a run are done.

    Parameters
    ----------
    folder : Path
        Of the kept chunks.
    run : mapping of str to str
        What the records of its shards must hold.

    Returns
    -------
    compute : dict
        What all of them were computed with, as of
        `ensemble.scoring.chunks.chunk_plan.compute_facts`.

    Raises
    ------
    UsageError
        When a shard is missing, doubled, of another run, or was computed otherwise.
    """
    shards = _shards_in(folder)
    counts = sorted({shard.count for shard in shards})
    if not counts:
        raise UsageError(
            f"{folder} holds no finished shard; run the same command with --shard 1/N "
            "to N/N in place of --join first."
        )
    if len(counts) > 1:
        held = _listed([str(shard) for shard in shards])
        raise UsageError(
            f"{folder} holds the clips more than once, in shards of {len(counts)} "
            f"divisions ({held}); delete the shard-*.json of all but one."
        )
    (count,) = counts
    done = {shard.number for shard in shards}
    missing = [
        str(Shard(number, count))
        for number in range(1, count + 1)
        if number not in done
    ]
    if missing:
        others = f" (and {_listed(missing[1:])})" if len(missing) > 1 else ""
        raise UsageError(
            f"{folder} lacks {len(missing)} of {count} shards; run the same command "
            f"with --shard {missing[0]}{others} in place of --join."
        )
    computed = [_checked_record(folder, shard, run)["compute"] for shard in shards]
    for shard, compute in zip(shards, computed, strict=True):
        if compute != computed[0]:
            raise UsageError(
                f"Shard {shard} was computed with {_in_words(compute)}, and shard "
                f"{shards[0]} with {_in_words(computed[0])}, which moves last digits; "
                f"run --shard {shard} again as the other (--threads, --device)."
            )
    first: dict[str, Any] = computed[0]
    return first


def _listed(words: Sequence[str]) -> str:
    """The first words and how many more there are, without quotes."""
    shown = ", ".join(words[:_MOST_LISTED])
    n_more = len(words) - _MOST_LISTED
    return f"{shown} and {n_more} more" if n_more > 0 else shown


def _in_words(compute: Mapping[str, Any]) -> str:
    n_threads = compute["threads"]
    plural = "" if n_threads == 1 else "s"
    return f"{n_threads} thread{plural} on {_listed(compute['devices'])}"


def _shards_in(folder: Path) -> list[Shard]:
    found = []
    for path in folder.glob("shard-*.json"):
        match = _RECORD.fullmatch(path.name)
        if match is not None:
            found.append(Shard(int(match[1]), int(match[2])))
    return sorted(found, key=lambda shard: (shard.count, shard.number))


def _checked_record(folder: Path, shard: Shard, run: Mapping[str, str]) -> Any:
    """The record of a shard, which must be of this run."""
    path = folder / shard.record
    try:
        record = from_guarded_json(read_bytes(path), str(path), known=())
    except DamagedArtifact as error:
        raise UsageError(f"{error} Run --shard {shard} again.") from error
    if not {"shard", "compute", *run} <= set(record):
        raise UsageError(f"{path} is no record of a shard. Run --shard {shard} again.")
    if record["shard"] != str(shard):
        raise UsageError(
            f"{path} is the record of shard {record['shard']} under another name; run "
            f"--shard {shard}."
        )
    others = [name for name, value in run.items() if record[name] != value]
    if others:
        raise UsageError(
            f"Shard {shard} in {folder} is of another run, with other "
            f"{_listed(others)}; run --shard {shard} again, or join with the table, "
            "stack and options of that run."
        )
    return record
