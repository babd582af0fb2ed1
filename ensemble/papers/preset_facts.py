"""What the config of a preset says of it; nothing is built to find out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from base_models.model_presets import ALL_MODELS, AnyConfig, read_preset
from base_models.pooled_config import FAMILY, PooledConfig


@dataclass(frozen=True)
class PresetFacts:
    """A preset in words.

    Parameters
    ----------
    preset, architecture, criterion : str
        Of its config; a model on pooled embeddings has the architecture ``"pooled"``,
        and its regressor as criterion.
    audio_encoder, text_encoder : str
        Names; the latter is "" for a network that reads the audio alone.
    """

    preset: str
    architecture: str
    criterion: str
    audio_encoder: str
    text_encoder: str

    @classmethod
    def of(cls, preset: str, config: AnyConfig) -> PresetFacts:
        """Facts of a preset with this config."""
        if isinstance(config, PooledConfig):
            architecture = FAMILY
            criterion = config.regressor
        else:
            architecture = config.architecture
            criterion = config.criterion
        return cls(
            preset=preset,
            architecture=architecture,
            criterion=criterion,
            audio_encoder=config.audio_encoder,
            text_encoder="" if config.audio_only else config.text_encoder,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def preset_facts(presets: Sequence[str] = ALL_MODELS) -> list[PresetFacts]:
    """Facts of some presets.

    Raises
    ------
    UsageError
        When a preset is unknown.
    """
    return [PresetFacts.of(preset, read_preset(preset)) for preset in presets]
