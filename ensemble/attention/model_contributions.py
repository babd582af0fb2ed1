"""ModelContributions: what the score of a base model without attention consists of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from base_models.networks.batches import EmbeddedClips
from base_models.pooled.block_contributions import BlockContributions
from base_models.pooled.pooled_mos import PooledMOS


@dataclass(frozen=True)
class ModelContributions:
    """What one base model on pooled embeddings scores one clip by.

    Parameters
    ----------
    model : str
        Its name.
    aspects : tuple of BlockContributions
        One per aspect that was asked for, in score points. A block is named with the
        encoders that it comes from, such as ``"audio (logmel)"``.
    """

    model: str
    aspects: tuple[BlockContributions, ...]

    def of(self, aspect: str) -> BlockContributions | None:
        """What is known of an aspect, or None where it was not asked for."""
        for found in self.aspects:
            if found.aspect == aspect:
                return found
        return None


def contributions_of(
    name: str, model: PooledMOS, clips: EmbeddedClips
) -> list[ModelContributions]:
    """Explain each of n clips by a model."""
    encoders = [facts["name"] for facts in model.encoders_.values()]
    audio = encoders[0]
    text = encoders[-1]
    titles = {
        "audio": f"audio ({audio})",
        "text": f"text ({text})",
        "joint": f"audio and text ({audio}, {text})",
    }
    explained = []
    for of_aspects in model.explain_scores(clips):
        named = [
            replace(
                found,
                contributions={
                    titles[block]: points
                    for block, points in found.contributions.items()
                },
            )
            for found in of_aspects
        ]
        explained.append(ModelContributions(name, tuple(named)))
    return explained
