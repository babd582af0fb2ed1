"""Predicted preferences in the layouts that benchmarks of music preference take.

`mirex_lines` is for MIREX 2026, "Music Evaluation via CMI-RewardBench": a JSON line per
pair. The page of the task (music-ir.org, revision of 28 June 2026) asks for "a
prediction file containing a preference score … along with a declaration of the
preferred candidate"; that pairs come as ``sample_id, prompt, audio_A, audio_B`` and go
back as ``sample_id, preferred_candidate`` (``"A"`` or ``"B"``) is as a participant
recorded it from that page. How the score is called is not known, so all names can be
given.

`rewardbench_lines` is ``results.jsonl`` as ``inference_benchmark.py`` of
github.com/Haiwen-Xia/CMI-RewardBench writes it, which ``evaluate_results.py`` there
reads: the cells of the input, and beside them scores and preferences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from base_models.errors import UsageError
from ensemble.scoring.pairs.compare_pairs import OVERALL, ComparedPairs

MIREX_FIELDS = ("sample_id", "preferred_candidate", "preference_score")
"""Names of the id, of what is preferred and of P(A > B) in a line for MIREX."""
REWARDBENCH_NAMES = {"mi": "musicality", "ta": "alignment"}
"""What CMI-RewardBench calls the aspects of MusicEval; others keep their names."""
_SCORE_NAMES = {"alignment": "text-music alignment"}


def mirex_lines(pairs: ComparedPairs, fields: Sequence[str] = MIREX_FIELDS) -> bytes:
    """One JSON object per pair, for MIREX 2026.

    A tie, and a pair that could not be scored, has to be answered as well: with "A" and
    the score 0.5.

    Parameters
    ----------
    pairs : ComparedPairs
    fields : names of two or three fields, see `MIREX_FIELDS`; two leave the score out

    Raises
    ------
    UsageError
        when there are fewer or more names, or one twice.
    """
    if len(fields) not in (2, 3) or len(set(fields)) != len(fields):
        raise UsageError(
            "A line for MIREX has two or three fields of different names: id, "
            f"preferred and, if wanted, score; got {', '.join(fields)}."
        )
    lines = []
    for row in pairs.frame.to_dict("records"):
        score = row[OVERALL] if math.isfinite(row[OVERALL]) else 0.5
        preferred = "B" if row["preferred"] == "b" else "A"
        values = (row["pair_id"], preferred, round(score, 6))
        lines.append(_line(dict(zip(fields, values, strict=False))))
    return "".join(lines).encode()


def rewardbench_lines(pairs: ComparedPairs) -> bytes:
    """One JSON object per pair: the row as it was given, and what is predicted."""
    lines = []
    records = pairs.frame.to_dict("records")
    for given, row in zip(pairs.table.rows, records, strict=True):
        values: dict[str, Any] = dict(given)
        for aspect in pairs.aspects:
            name = REWARDBENCH_NAMES.get(aspect, aspect)
            of_score = f"predicted_{_SCORE_NAMES.get(name, name)}"
            values[of_score] = _number(row[f"{aspect}_a"])
            values[f"{of_score}_b"] = _number(row[f"{aspect}_b"])
            values[f"predicted_preference-{name}"] = _side(row[f"{aspect}_p"])
        values["predicted_preference"] = _side(row[OVERALL])
        values["inference_valid_a"] = row["status"] in ("ok", "failed_b")
        values["inference_valid_b"] = row["status"] in ("ok", "failed_a")
        values["inference_error"] = row["reason"]
        lines.append(_line(values))
    return "".join(lines).encode()


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _side(probability: float) -> str | None:
    """The name of the preferred side; a tie counts as both."""
    if not math.isfinite(probability):
        return None
    if probability == 0.5:
        return "both"
    return "model_a" if probability > 0.5 else "model_b"
