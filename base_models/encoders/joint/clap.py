"""CLAP: audio and text in one space of 512 dimensions.

There is one vector for each ten seconds of a clip, and one for a prompt. Source: Wu et
al., "Large-scale Contrastive Language-Audio Pretraining", 2023; the weights are LAION's
checkpoint for music and speech, Apache-2.0.

Notes
-----
``clap`` is the encoder to use. ``clap_slip`` repeats the slip of the official baseline,
which passes 16 kHz samples to CLAP as 48 kHz: they play three times too fast, and one
vector stands for up to 30 s.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Encoder, assemble_from_config, prepare_audio
from base_models.encoders.joint.windows import consecutive_windows
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import make_roberta_tokenizer
from base_models.encoders.weights import WeightFiles
from base_models.errors import UsageError

if TYPE_CHECKING:
    from transformers import (
        ClapAudioModelWithProjection,
        ClapTextModelWithProjection,
        PreTrainedConfig,
    )

TowerConfig = TypeVar("TowerConfig", bound="PreTrainedConfig")

RATE = 48_000
"""In Hz, the rate that CLAP takes its samples to have, whatever it really is."""
WINDOW = 480_000
"""Samples at 48 kHz: ten seconds."""
SHORTEST_REST = 24_000
"""Samples at 48 kHz: half a second, the shortest rest that gets a window of its own."""
MAX_TOKENS = 77
"""Length of the prompts that LAION trained with."""

_COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")
"""Ends of the names of tensors that are computed, not trained.

Some checkpoints have them and others do not.
"""
_FRONT_END_SETTINGS = (
    "feature_size",
    "sampling_rate",
    "hop_length",
    "max_length_s",
    "fft_window_size",
    "frequency_min",
    "frequency_max",
    "padding",
    "truncation",
)


class ClapAudio(nn.Module):
    """The audio tower and its projection, of norm 1.

    Shape
    -----
    input (B, windows, 1, frames, bands) log-mel; output (B, windows, dim)
    """

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        # The tower takes one window of a clip for one item of a batch.
        vectors = self.tower(mel.flatten(0, 1)).audio_embeds
        return nn.functional.normalize(vectors, dim=-1).unflatten(0, mel.shape[:2])


class ClapText(nn.Module):
    """The text tower and its projection, of norm 1.

    Shape
    -----
    input (B, L) token ids; output (B, 1, dim)
    """

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors = self.tower(ids, attention_mask=torch.ones_like(ids)).text_embeds
        return nn.functional.normalize(vectors, dim=-1)[:, None]


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load one tower of CLAP.

    The audio tower needs ``preprocessor_config.json`` beside its config and weights,
    the text tower ``tokenizer.json``.

    Raises
    ------
    UsageError
        If the config is not CLAP's or is that of a fused CLAP, or if the tensors, the
        front end or the tokenizer do not fit it.
    """
    if spec.kind == "audio":
        return _build_audio(spec, files, device)
    return _build_text(spec, files, device)


def _build_audio(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    tower = assemble_from_config(files, "CLAP", assemble_clap_audio)
    _fill_tower(files, tower, kind="audio")
    return Encoder.from_spec(
        spec,
        module=ClapAudio(tower),
        prepare=_make_audio_prepare(spec, files),
        dim=tower.config.projection_dim,
        digest=files.digest,
        device=device,
    )


def _build_text(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    tower = assemble_from_config(files, "CLAP", assemble_clap_text)
    _fill_tower(files, tower, kind="text")
    # The text tower is a RoBERTa.
    prepare = make_roberta_tokenizer(files, "CLAP", tower.config, longest=MAX_TOKENS)
    return Encoder.from_spec(
        spec,
        module=ClapText(tower),
        prepare=prepare,
        dim=tower.config.projection_dim,
        digest=files.digest,
        device=device,
    )


def assemble_clap_audio(config: dict[str, Any]) -> ClapAudioModelWithProjection:
    """Build the audio tower with random weights."""
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection

    audio_config = _tower_config(config, "audio_config", ClapAudioConfig)
    if audio_config.enable_fusion:
        raise ValueError(
            "enable_fusion: a fused CLAP picks parts of each clip at random; use an "
            "unfused one"
        )
    return ClapAudioModelWithProjection(audio_config)


def assemble_clap_text(config: dict[str, Any]) -> ClapTextModelWithProjection:
    """Build the text tower with random weights."""
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    text_config = _tower_config(config, "text_config", ClapTextConfig)
    return ClapTextModelWithProjection(text_config)


def _tower_config(
    config: dict[str, Any],
    name: str,
    config_class: type[TowerConfig],
) -> TowerConfig:
    from transformers import ClapConfig

    if config.get("model_type") != "clap":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'clap'")
    tower_config = getattr(ClapConfig.from_dict(config), name)
    if not isinstance(tower_config, config_class):
        raise TypeError(f"{name} is {tower_config!r}, not a config of CLAP's tower")
    tower_config._attn_implementation = "eager"
    return tower_config


def _fill_tower(
    files: WeightFiles,
    tower: nn.Module,
    kind: str,
) -> None:
    parts = (f"{kind}_model.", f"{kind}_projection.")
    # The checkpoint holds both towers.
    weights = {
        name: tensor
        for name, tensor in files.tensors().items()
        if name.startswith(parts) and not name.endswith(_COMPUTED)
    }

    # Computed tensors stay as this version of transformers makes them.
    computed = {
        name: tensor
        for name, tensor in tower.state_dict().items()
        if name.endswith(_COMPUTED)
    }
    files.fill(tower, {**weights, **computed})


def _make_audio_prepare(
    spec: EncoderSpec, files: WeightFiles
) -> Callable[[str], np.ndarray]:
    """Build the function from a path to log-mel windows (windows, 1, 1001, 64)."""
    from transformers import ClapFeatureExtractor

    front_end = files.json("preprocessor_config.json")
    _check_front_end(front_end, files.paths["preprocessor_config.json"])
    settings = {
        name: front_end[name] for name in _FRONT_END_SETTINGS if name in front_end
    }
    extractor = ClapFeatureExtractor(**settings)
    read = prepare_audio(spec, extractor.fft_window_size)

    def prepare(path: str) -> np.ndarray:
        # The extractor cuts ten seconds at random out of a longer clip, so it is only
        # given windows of at most ten seconds. A shorter window it repeats, then pads
        # with zeros.
        windows = consecutive_windows(read(path), WINDOW, least=SHORTEST_REST)
        # RATE also for `clap_slip`, whose samples are 16 kHz: that is the slip.
        mel = extractor(windows, sampling_rate=RATE)["input_features"]
        return np.stack(mel).astype(np.float32)

    return prepare


def _check_front_end(front_end: dict[str, Any], path: Path) -> None:
    stated = (
        front_end.get("sampling_rate"),
        front_end.get("max_length_s"),
        front_end.get("truncation"),
        front_end.get("padding"),
    )
    # The front end of a fused CLAP is random even for ten seconds.
    if stated != (RATE, WINDOW // RATE, "rand_trunc", "repeatpad"):
        raise UsageError(
            f"{path}: sampling_rate, max_length_s, truncation and padding are "
            f"{stated}; an unfused CLAP has {RATE}, {WINDOW // RATE}, 'rand_trunc' and "
            "'repeatpad'."
        )
