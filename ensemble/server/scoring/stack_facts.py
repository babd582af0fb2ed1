"""What is said of the loaded stack; never where it lies."""

from __future__ import annotations

from typing import Any

from base_models.scales import Scale
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.prepared_stack import clip_models


def stack_facts(stack: StackedMOS, name: str) -> dict[str, Any]:
    """Facts of a stack of base models over encoders, as JSON takes them.

    Parameters
    ----------
    stack : StackedMOS
        Fitted.
    name : str
        What it is called.
    """
    own = Scale.of(stack.bins_)
    scales = stack.scales_.of_scores(stack.aspects_)
    models = clip_models(stack)
    encoders = [
        encoder.name for model in models for encoder in model.encoders() if encoder
    ]
    return {
        "name": name,
        "aspects": list(stack.aspects_),
        "scales": {
            aspect: scales.get(aspect, own).to_json() for aspect in stack.aspects_
        },
        "models": [model for model, _ in stack.estimators_],
        "encoders": list(dict.fromkeys(encoders)),
        "is_demo": bool(getattr(stack, "demo_", False)),
    }
