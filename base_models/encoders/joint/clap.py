"""CLAP: audio and text in one space of 512 dimensions; one vector for each ten seconds, and one for a prompt.

Source: Wu et al., "Large-scale Contrastive Language-Audio Pretraining", 2023; LAION's music and speech checkpoint,
Apache-2.0. The traps: longer clips are cut at random by the stock feature extractor, so it is only ever given windows
of at most ten seconds, which it repeats and then pads with zeros where they are shorter; a fused CLAP, whose front end
is random even then, is refused; and 16 kHz samples passed as 48 kHz play three times too fast. The official baseline
does that: its slip is the encoder ``clap_slip``, one vector of at most 30 s; ``clap`` is the right one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Encoder, assembled, prepare_audio
from base_models.encoders.joint.windows import consecutive_windows
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import make_tokenizer
from base_models.encoders.weights import WeightFiles
from base_models.errors import UsageError

RATE = 48_000
"""Hz that CLAP takes its samples for, whatever they are."""
WINDOW, LEAST = 480_000, 24_000
"""Samples at 48 kHz: ten seconds, and the shortest rest (half a second) that gets a window of its own."""
MAX_TOKENS = 77
"""What LAION trained with."""
_COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")
"""Ends of the names of tensors that are no weights, and are in some checkpoints and not in others."""
_FRONT = (
    "feature_size",
    "sampling_rate",
    "hop_length",
    "max_length_s",
    "fft_window_size",
    "frequency_min",
)
_FRONT += ("frequency_max", "padding", "truncation")


class ClapAudio(nn.Module):
    """The audio tower and its projection, of norm 1.

    Shape
    -----
    input (B, windows, 1, frames, bands) log-mel; output (B, windows, dim)
    """

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = tower

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        vectors = self.tower(mel.flatten(0, 1)).audio_embeds
        return nn.functional.normalize(vectors, dim=-1).unflatten(0, mel.shape[:2])


class ClapText(nn.Module):
    """The text tower and its projection, of norm 1.

    Shape
    -----
    input (B, L) token ids; output (B, 1, dim)
    """

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = tower

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors = self.tower(ids, attention_mask=torch.ones_like(ids)).text_embeds
        return nn.functional.normalize(vectors, dim=-1)[:, None]


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """One tower of CLAP: for ``"audio"`` with ``preprocessor_config.json``, for ``"text"`` with ``tokenizer.json``.

    Raises
    ------
    UsageError
        when the config is not CLAP's, is that of a fused CLAP, or the tensors, front end or tokenizer do not fit it.
    """
    tower = assembled(
        files,
        "CLAP",
        assemble_clap_audio if spec.kind == "audio" else assemble_clap_text,
    )
    parts = (f"{spec.kind}_model.", f"{spec.kind}_projection.")
    tensors = {
        name: tensor
        for name, tensor in files.tensors().items()
        if name.startswith(parts)
    }
    computed = {
        name: tensor
        for name, tensor in tower.state_dict().items()
        if name.endswith(_COMPUTED)
    }
    files.fill(
        tower,
        {name: t for name, t in tensors.items() if not name.endswith(_COMPUTED)}
        | computed,
    )
    if spec.kind == "audio":
        module, prepare = ClapAudio(tower), _mel_windows(spec, files)
    else:
        module, config = ClapText(tower), tower.config
        longest = min(
            MAX_TOKENS, config.max_position_embeddings - config.pad_token_id - 1
        )
        ends = (config.bos_token_id, config.eos_token_id)
        prepare = make_tokenizer(files, "CLAP", longest, config.vocab_size, ends)
    facts = vars(spec) | {
        "dim": tower.config.projection_dim,
        "digest": files.digest,
        "device": device,
    }
    return Encoder(**facts, module=module, prepare=prepare)


def assemble_clap_audio(config: dict):
    """The audio tower with random weights."""
    from transformers import ClapAudioModelWithProjection

    config = _config(config).audio_config
    if config.enable_fusion:
        raise ValueError(
            "enable_fusion: a fused CLAP picks parts of each clip at random; use an unfused one"
        )
    return ClapAudioModelWithProjection(config)


def assemble_clap_text(config: dict):
    """The text tower with random weights."""
    from transformers import ClapTextModelWithProjection

    return ClapTextModelWithProjection(_config(config).text_config)


def _config(config: dict):
    from transformers import ClapConfig

    if config.get("model_type") != "clap":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'clap'")
    config = ClapConfig.from_dict(config)
    for tower in (config.audio_config, config.text_config):
        tower._attn_implementation = "eager"
    return config


def _mel_windows(spec: EncoderSpec, files: WeightFiles) -> Callable[[str], np.ndarray]:
    """Function from a path to log-mel windows, float32 array of shape (windows, 1, 1001, 64)."""
    from transformers import ClapFeatureExtractor

    path, front = (
        files.paths["preprocessor_config.json"],
        files.json("preprocessor_config.json"),
    )
    stated = (
        front.get("sampling_rate"),
        front.get("max_length_s"),
        front.get("truncation"),
        front.get("padding"),
    )
    if stated != (RATE, WINDOW // RATE, "rand_trunc", "repeatpad"):
        raise UsageError(
            f"{path}: sampling_rate, max_length_s, truncation and padding are {stated}; an unfused CLAP has "
            f"{RATE}, {WINDOW // RATE}, 'rand_trunc' and 'repeatpad'."
        )
    extractor = ClapFeatureExtractor(
        **{name: front[name] for name in _FRONT if name in front}
    )
    read = prepare_audio(spec, extractor.fft_window_size)

    def prepare(path: str) -> np.ndarray:
        windows = consecutive_windows(read(path), WINDOW, LEAST)
        mel = extractor(windows, sampling_rate=RATE)["input_features"]
        return np.stack(mel).astype(np.float32)

    return prepare
