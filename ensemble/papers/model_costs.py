"""What each preset costs: parameters and multiply-accumulates, beside WhisQ's figures.

Networks are counted on the modules themselves, without weights. Encoders, which are
large, have been counted so at their full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from base_models.config import BaseConfig
from base_models.encoders.full_size_costs import SECONDS, TOKENS, full_size_cost
from base_models.model_presets import ALL_MODELS, AnyConfig, read_preset
from base_models.networks.batches import Batch
from base_models.networks.costs import META, Cost, count_cost, on_meta
from base_models.networks.models import build_model
from base_models.optional_libraries import LazyLibrary
from base_models.pooled_config import PooledConfig
from ensemble.papers.preset_facts import PresetFacts

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

GIGA = 1e9

READING = (
    "Trainable: the network of one base model with the aspects mi and ta. Total: with "
    "the encoders that it reads, which are frozen. GMACs: billions of "
    "multiply-accumulates of matrix products and convolutions for a clip of "
    f"{SECONDS} s and a prompt of {TOKENS} tokens, encoders included; an embedding is "
    "computed once and stored, so that training costs the network's share alone."
)
_POOLED = (
    "The presets pooled_… have no network, so that nothing is trainable in this sense "
    "(-): a regressor of scikit-learn is fitted to statistics of frames and tokens. "
    "Their total is that of the encoders."
)
_WHISQ = (
    "WhisQ's paper states 2.66 M trainable parameters, 619.45 M in all and 32.54 "
    "GMACs, and neither the length of the prompt nor how it counts. Ours has "
    "{trainable:,} trainable ones: two attention modules (2,101,248), two heads "
    "(426,754) and the projection of the tokens (524,800), as its equations read. "
    "2.66 M is two attention modules and two heads of 2 x 512 inputs without a "
    "projection (2,659,074); 619.45 M is that, both encoders and one head of 512 "
    "inputs (619,447,427): our arithmetic, not the paper's words. Of our {macs:.2f} "
    "GMACs, {attention:.2f} are products within attention, which counters of layers "
    "leave out, and {text:.2f} are the prompt's."
)


@dataclass(frozen=True)
class ModelCost(PresetFacts):
    """What one preset costs, beside the facts of it.

    Parameters
    ----------
    network, audio, text : Cost, the first one None for a model without a network, and
        the last one None without text encoder
    """

    network: Cost | None
    audio: Cost
    text: Cost | None

    @property
    def total(self) -> Cost:
        """Network and encoders."""
        cost = self.audio
        for part in (self.text, self.network):
            if part is not None:
                cost = cost + part
        return cost

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        total = self.total
        return {
            **super().to_json(),
            "trainable_parameters": self.network and self.network.parameters,
            "total_parameters": total.parameters,
            "gmacs": total.macs / GIGA,
            "gmacs_within_attention": total.attention_macs / GIGA,
        }


def model_costs(presets: Sequence[str] = ALL_MODELS) -> list[ModelCost]:
    """Count every preset.

    Parameters
    ----------
    presets : names

    Raises
    ------
    UsageError
        When a preset is unknown.
    """
    configs = {preset: read_preset(preset) for preset in presets}
    return [_model_cost(preset, config) for preset, config in configs.items()]


def _model_cost(preset: str, config: AnyConfig) -> ModelCost:
    facts = PresetFacts.of(preset, config)
    audio = full_size_cost(facts.audio_encoder)
    text = full_size_cost(facts.text_encoder) if facts.text_encoder else None
    network = None
    if not isinstance(config, PooledConfig):
        # Shapes alone, without values or memory for them.
        frames = torch.zeros(audio.shape, device=META)
        tokens = None if text is None else torch.zeros(text.shape, device=META)
        network = _network_cost(config, frames, tokens)
    return ModelCost(
        **asdict(facts),
        network=network,
        audio=audio.cost,
        text=None if text is None else text.cost,
    )


def _network_cost(
    config: BaseConfig, frames: torch.Tensor, tokens: torch.Tensor | None
) -> Cost:
    """Cost of a network that predicts mi from the frames, and ta from both.

    Without tokens it predicts ta from the frames, too.
    """
    network = on_meta(
        lambda: build_model(
            config,
            needs_text=(False, tokens is not None),
            audio_dim=frames.shape[-1],
            text_dim=None if tokens is None else tokens.shape[-1],
        )
    )
    batch = Batch(
        frames=frames,
        frame_mask=_nothing_masked(frames),
        tokens=tokens,
        token_mask=None if tokens is None else _nothing_masked(tokens),
    )
    cost, _ = count_cost(network, batch)
    return cost


def _nothing_masked(embedding: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(embedding[..., 0], dtype=torch.bool)


def pooled_note(costs: Sequence[ModelCost]) -> str:
    """How models on pooled embeddings are read; "" where there is none."""
    return _POOLED if any(cost.network is None for cost in costs) else ""


def whisq_note(costs: Sequence[ModelCost]) -> str:
    """WhisQ's own figures beside ours, in words; "" where it was not counted."""
    for cost in costs:
        if (
            cost.preset == "whisq"
            and cost.network is not None
            and cost.text is not None
        ):
            return _WHISQ.format(
                trainable=cost.network.parameters,
                macs=cost.total.macs / GIGA,
                attention=cost.total.attention_macs / GIGA,
                text=cost.text.macs / GIGA,
            )
    return ""
