"""Which base models learnt nothing, by their predictions for unseen clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from base_models.files import is_sealed
from ensemble.training.stored_runs import StoredRun
from ensemble.training.train_base_models import TrainingPlan
from meta.comparison.constant_predictions import CONSTANT_SHARE, is_constant

MAX_NAMED = 3
"""How many models a sentence names."""


@dataclass(frozen=True)
class ConstantModel:
    """A base model that predicts nearly the same for every clip.

    Parameters
    ----------
    name : str
    aspects : tuple of str
        Those that it learnt nothing of.
    standardised : bool
        Whether it standardises the embeddings of all of its encoders.
    """

    name: str
    aspects: tuple[str, ...]
    standardised: bool


def constant_models(plan: TrainingPlan) -> list[ConstantModel]:
    """Finished base models whose predictions for unseen clips are constant.

    Parameters
    ----------
    plan : TrainingPlan
        Of which some runs may have failed.
    """
    clips = plan.rated.frame.set_index("clip_id")
    constant = []
    for run in plan.runs:
        if not is_sealed(run.folder):
            continue
        stored = StoredRun(run.folder)
        table = stored.predictions("dev")
        # Without dev clips, the training clips that each fold's model did not see.
        if table is None and run.folds:
            table = stored.out_of_fold(run.folds)
        if table is None:
            continue

        labels = clips.loc[list(table.clip_ids)]
        aspects = tuple(
            aspect
            for aspect, scores in zip(table.aspects, table.scores.T, strict=True)
            if is_constant(scores, labels[aspect].to_numpy(dtype=float))
        )
        if aspects:
            encoders = stored.config["encoders"].values()
            # Pooled embeddings always are.
            standardised = stored.is_pooled or all(
                facts.get("standardised", False) for facts in encoders
            )
            constant.append(ConstantModel(run.name, aspects, standardised))
    return constant


def constant_sentence(constant: Sequence[ConstantModel]) -> str:
    """What to say of constant models, with likely causes and cures; "" of none.

    >>> model = ConstantModel("dora-s0", ("mi", "ta"), standardised=True)
    >>> constant_sentence([model])  # doctest: +ELLIPSIS
    'constant predictions: dora-s0 (mi, ta) spread less than 1 % of the labels on ...'
    """
    if not constant:
        return ""
    named = [f"{model.name} ({', '.join(model.aspects)})" for model in constant]
    shown = ", ".join(named[:MAX_NAMED])
    if len(named) > MAX_NAMED:
        shown += f" and {len(named) - MAX_NAMED} more"

    scale = ""
    if not all(model.standardised for model in constant):
        scale = "embeddings of another scale than 1 (--set standardise=always), "
    share = f"{CONSTANT_SHARE * 100:g} %"
    return (
        f"constant predictions: {shown} spread less than {share} of the labels on "
        f"unseen clips, so they learnt nothing. Likely causes: {scale}an encoder that "
        "hardly tells these clips apart (check_encoder), too few or too small steps "
        "(--set max_epochs=... learning_rate=...)."
    )
