"""Systems by what was predicted of them and by what people rated."""

from __future__ import annotations

import numpy as np
import pandas as pd

from meta.comparison.compared_rows import ComparedRows

COLUMNS = (
    "aspect",
    "system_id",
    "n",
    "predicted",
    "rated",
    "predicted_rank",
    "rated_rank",
)


def judged_systems(compared: ComparedRows) -> pd.DataFrame:
    """Mean prediction of the stack and mean rating of each system, and their ranks.

    Parameters
    ----------
    compared : labelled rows with the scores of a stack

    Returns
    -------
    systems : DataFrame with the columns `COLUMNS`
        One row per aspect and system, in the order of the predicted means, the best
        first. Both means are over the ``n`` labelled clips; of equal means all have the
        better rank. Empty where the clips name fewer than two systems, or there is no
        stack.
    """
    rows = compared.rows
    named = np.array([bool(name) for name in rows.systems], dtype=bool)
    if compared.stack_scores is None or len(set(rows.systems[named])) < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    parts = []
    for k, aspect in enumerate(rows.aspects):
        labels = rows.labels[:, k]
        kept = named & ~np.isnan(labels)
        clips = pd.DataFrame(
            {
                "system_id": rows.systems[kept],
                "predicted": compared.stack_scores[kept, k],
                "rated": labels[kept],
            }
        )
        by_system = clips.groupby("system_id")
        systems = by_system.mean()
        systems.insert(0, "n", by_system.size())
        for column in ("predicted", "rated"):
            ranks = systems[column].rank(method="min", ascending=False)
            systems[f"{column}_rank"] = ranks.astype(int)
        # Names, too, so that systems of equal means always stand in one order.
        ordered = systems.reset_index().sort_values(
            ["predicted", "system_id"], ascending=[False, True]
        )
        ordered.insert(0, "aspect", aspect)
        parts.append(ordered[list(COLUMNS)])
    return pd.concat(parts, ignore_index=True)
