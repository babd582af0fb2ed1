"""What the deletion test found, as a table and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from meta.comparison.sign_flip import sign_flip
from meta.multiple_tests import holm

MORE = "more"
LESS = "less"
NONE = "no difference shown"
STILL = "the score hardly moves either way"
EVEN = "the attention is even, so nothing can be said"
TOO_FEW = "no difference shown; the systems are too few to show any"
HARDLY = 0.005
"""Score points; where both removals move the score less, their difference is of no
interest."""

_COMPARED = ("attended", "random", "difference")


class Comparison(NamedTuple):
    """A model, the aspect that it scores, and what is removed from its input.

    Parameters
    ----------
    model, aspect : str
    removed : str
        ``"seconds"`` or ``"words"``.
    """

    model: str
    aspect: str
    removed: str


class Change(NamedTuple):
    """What removing did to the score of one clip.

    Parameters
    ----------
    attended, random : float
        How far the attended removal and, on average, the random ones move the score;
        NaN where the attention is even.
    attended_share, even_share : float
        See `ensemble.attention.removal.Stretches`.
    """

    attended: float
    random: float
    attended_share: float
    even_share: float


@dataclass(frozen=True)
class Deletion:
    """What removing did.

    Parameters
    ----------
    table : DataFrame
        One row per model and aspect, and per aspect the mean of the models. Columns:
        ``model``, ``aspect``, ``removed`` (``"seconds"`` or ``"words"``); ``attended``,
        ``random`` and their ``difference`` in score points, each with ``_low`` and
        ``_high``; ``p`` of the sign-flip test of the difference over systems
        (`meta.comparison.sign_flip.sign_flip`) and ``p_holm``, adjusted over all rows;
        ``verdict``; ``clips`` and ``systems``; ``flat``, how many further clips were
        left out because the attention is even; ``attended_share`` of the attention on
        the removed stretch, beside its ``even_share``.
    share : float
        Of the frames or words that was removed.
    draws : int
        Random stretches per clip.
    trained_on : int
        How many of the clips trained a base model, or chose its epoch.
    left_out : tuple of str
        Models and aspects without attention to test, each with the reason.
    set_aside : tuple of SetAside
        Clips that could not be used, or are too short to take anything away.
    """

    table: pd.DataFrame
    share: float
    draws: int
    trained_on: int
    left_out: tuple[str, ...]
    set_aside: tuple[SetAside, ...]

    def sentences(self) -> Iterator[str]:
        """Yield each row of the table in words."""
        for row in self.table.to_dict("records"):
            finding = row["verdict"]
            if row["clips"]:
                finding = f"{self._movements(row)}: {finding}"
            counts = ", ".join(_counts(row))
            yield f"{row['model']}, {row['aspect']}: {finding} ({counts})"

    def _movements(self, row: Mapping[str, Any]) -> str:
        """How far the removals of one row move the score."""
        attended, random, difference = (_figure(row, name) for name in _COMPARED)
        return (
            f"removing the most attended {self.share:.0%} of the {row['removed']} "
            f"moves the score by {attended}, random ones by {random}; difference "
            f"{difference}"
        )


def summary(
    comparison: Comparison,
    changes: Mapping[str, Change],
    units: Mapping[str, tuple[str, str]],
    *,
    seed: int,
    level: float,
) -> dict[str, Any]:
    """One row of the table, without what depends on the other rows.

    Parameters
    ----------
    comparison : Comparison
    changes : mapping
        Clip id to what removing did.
    units : mapping
        Clip id to its system and prompt.
    seed, level
        Of the test and its intervals.
    """
    every_change = np.array(list(changes.values()))
    is_tested = ~np.isnan(every_change[:, 0])
    moved = every_change[is_tested, :2]
    clips = np.array(list(changes), dtype=object)[is_tested]
    systems = [units[clip][0] for clip in clips]
    prompts = [units[clip][1] for clip in clips]

    row: dict[str, Any] = comparison._asdict()
    attended, random = moved.T
    p = np.nan
    for name, values in zip(
        _COMPARED, (attended, random, attended - random), strict=True
    ):
        mean = low = high = np.nan
        if len(values):
            mean = values.mean()
            p, low, high = sign_flip(values, systems, prompts, seed=seed, level=level)
        row[name] = mean
        row[f"{name}_low"] = low
        row[f"{name}_high"] = high
    # The difference comes last, so p is that of the difference.
    row["p"] = p

    # Clips of a single system count as clips without any.
    n_systems = len(set(systems))
    attended_share, even_share = every_change[:, 2:].mean(axis=0)
    return row | {
        "clips": len(moved),
        "systems": n_systems if n_systems > 1 else 0,
        "flat": int((~is_tested).sum()),
        "attended_share": attended_share,
        "even_share": even_share,
    }


def judged(rows: Sequence[Mapping[str, Any]], level: float) -> pd.DataFrame:
    """The table of all rows, with adjusted p-values and what may be said.

    Parameters
    ----------
    rows : sequence of mappings
        See `summary`.
    level : float
        The chance that any verdict is false is at most ``1 - level``.
    """
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])

    # Sign-flips of k systems have no p-value below 2 ** (1 - k), and Holm multiplies
    # the smallest one by the number of rows.
    least_p = len(table) * 2.0 ** (1 - table["systems"])
    # The first case that holds is the verdict.
    cases = {
        EVEN: table["clips"] == 0,
        STILL: (table["attended"] < HARDLY) & (table["random"] < HARDLY),
        TOO_FEW: (table["systems"] > 0) & (least_p > 1 - level),
        NONE: table["p_holm"] > 1 - level,
    }
    direction = np.where(table["difference"] > 0, MORE, LESS)
    verdict = np.select(list(cases.values()), list(cases), direction)
    return table.assign(verdict=verdict)


def _counts(row: Mapping[str, Any]) -> list[str]:
    """What a row of the table is based on."""
    counts = [f"{row['clips']} clips"]
    if row["systems"]:
        counts.append(f"{row['systems']} systems")
    if row["flat"]:
        counts.append(f"{row['flat']} of even attention left out")
    counts.append(
        f"attention on the stretch {row['attended_share']:.1%}, evenly "
        f"{row['even_share']:.1%}"
    )
    return counts


def _figure(row: Mapping[str, Any], name: str) -> str:
    """A number with its interval, where there are enough units for one."""
    figure = f"{row[name]:.3g}"
    low = row[f"{name}_low"]
    if np.isfinite(low):
        figure += f" [{low:.3g}, {row[f'{name}_high']:.3g}]"
    return figure
