"""MuQ: music representations from a conformer over log-mel spectrograms, 25 frames of 1024 numbers a second.

Source: Zhu et al., "MuQ: Self-Supervised Music Representation Learning with Mel Residual Vector Quantization", 2025;
the ``muq`` package, whose parts are used here. The weights are CC BY-NC 4.0. The traps: the package's own model class
calls `torch.load` on a path found in its config, resets two global random generators, and fails in transformers 5, so
its parts are put together here: log-mel → fixed normalisation → convolutions → conformer with eager attention.
float16 gives NaN.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import nn

from base_models.encoders.base import Encoder, assembled, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles

SHORTEST = 1025
"""Samples: the spectrogram reflects 1024 of them at each end. One embedding frame is 960."""


class MuQConformer(nn.Module):
    """MuQ's encoder, last hidden state.

    Parameters
    ----------
    spectrogram : samples (B, L) to log-mel in dB (B, bands, L // 240 + 1)
    conv, conformer : the parts that hold the weights
    mean, std : float, dB, the normalisation that the weights were trained with

    Shape
    -----
    input (B, L), 24 kHz; output (B, ceil(L // 240 / 4), dim)
    """

    def __init__(
        self,
        spectrogram: nn.Module,
        conv: nn.Module,
        conformer: nn.Module,
        mean: float,
        std: float,
    ):
        super().__init__()
        self.spectrogram = spectrogram
        self.conv = conv
        self.conformer = conformer
        self.mean, self.std = mean, std

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        mel = self.spectrogram(samples)[..., :-1]
        return self.conformer(self.conv((mel - self.mean) / self.std)).last_hidden_state


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """MuQ from ``config.json`` and ``model.safetensors``.

    Raises
    ------
    UsageError
        when the config is not MuQ's, or the tensors do not fit it.
    """
    module, dim = assembled(files, "MuQ", assemble_muq)
    files.fill(
        nn.ModuleDict({"conv": module.conv, "conformer": module.conformer}),
        muq_tensors(files.tensors()),
    )
    prepare = prepare_audio(spec, SHORTEST)
    return Encoder(
        **vars(spec) | {"dim": dim},
        module=module,
        prepare=prepare,
        digest=files.digest,
        device=device,
    )


def assemble_muq(config: dict) -> tuple[MuQConformer, int]:
    """MuQ with random weights, and its width, from its package's config."""
    from muq import MuQConfig
    from muq.muq.modules.conv import Conv2dSubsampling
    from muq.muq.modules.features import MelSTFT
    from transformers import Wav2Vec2ConformerConfig
    from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
        Wav2Vec2ConformerEncoder,
    )

    config = MuQConfig(
        **{f.name: config[f.name] for f in fields(MuQConfig) if f.name in config}
    )
    if (config.label_rate, config.hop_length, config.n_mels) != (25, 240, 128):
        raise ValueError("label_rate, hop_length and n_mels must be 25, 240 and 128")
    depth = {
        "num_hidden_layers": config.encoder_depth,
        "hidden_size": config.encoder_dim,
    }
    conformer_config = Wav2Vec2ConformerConfig.from_dict(
        {**config.w2v2_config, **depth}
    )
    conformer_config._attn_implementation = "eager"
    conformer = Wav2Vec2ConformerEncoder(conformer_config)
    del conformer.pos_conv_embed  # never used in its forward, and its tensors are named differently from torch to torch
    mel = MelSTFT(n_fft=2048, hop_length=config.hop_length, is_db=True)
    module = MuQConformer(
        nn.Sequential(mel.mel_stft, mel.amplitude_to_db),
        Conv2dSubsampling(
            1,
            config.conv_dim,
            config.encoder_dim,
            strides=[2, 2],
            n_bands=config.n_mels,
        ),
        conformer,
        float(config.stat["melspec_2048_mean"]),
        float(config.stat["melspec_2048_std"]),
    )
    return module, config.encoder_dim


def muq_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the prefix of the package's wrapper, and without the training heads and quantisers."""
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    unused = "conformer.pos_conv_embed."
    return {
        name: t
        for name, t in bare.items()
        if name.startswith(("conv.", "conformer.")) and unused not in name
    }
