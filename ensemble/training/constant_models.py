"""Which base models learnt nothing, by their predictions for the dev clips."""

from __future__ import annotations

from base_models.files import is_sealed
from ensemble.training.stored_runs import StoredRun
from ensemble.training.train_base_models import TrainingPlan
from meta.comparison.constant_predictions import CONSTANT_SHARE, is_constant


def constant_models(plan: TrainingPlan) -> dict[str, list[str]]:
    """Finished base models whose predictions for the dev clips are constant.

    Parameters
    ----------
    plan : TrainingPlan
        Of which some runs may have failed.

    Returns
    -------
    aspects : dict from str to list of str
        Name of a run → the aspects that it learnt nothing of.
    """
    clips = plan.rated.rows("dev").set_index("clip_id")
    constant: dict[str, list[str]] = {}
    for run in plan.runs:
        if not is_sealed(run.folder):
            continue
        table = StoredRun(run.folder).predictions("dev")
        if table is None:
            continue
        labels = clips.loc[list(table.clip_ids)]
        for aspect, scores in zip(table.aspects, table.scores.T, strict=True):
            if is_constant(scores, labels[aspect].to_numpy(dtype=float)):
                constant.setdefault(run.name, []).append(aspect)
    return constant


def constant_sentence(constant: dict[str, list[str]]) -> str:
    """What to say of constant models, with the likely cause and cure; "" of none.

    >>> constant_sentence({"dora-s0": ["mi", "ta"]})  # doctest: +ELLIPSIS
    'constant predictions: dora-s0 (mi, ta) spread less than 1 % of the labels on ...'
    """
    if not constant:
        return ""
    named = [f"{name} ({', '.join(aspects)})" for name, aspects in constant.items()]
    shown = ", ".join(named[:5])
    if len(named) > 5:
        shown += f" and {len(named) - 5} more"
    share = f"{CONSTANT_SHARE * 100:g} %"
    return (
        f"constant predictions: {shown} spread less than {share} of the labels on dev, "
        "so they learnt nothing. Likely causes: embeddings of another scale than 1 "
        "(--set standardise=always), or too few or too small steps "
        "(--set learning_rate=..., max_epochs=...)."
    )
