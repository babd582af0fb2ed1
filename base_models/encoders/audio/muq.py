"""MuQ: music representations from a conformer, 25 frames of 1024 numbers a second.

Source: Zhu et al., "MuQ: Self-Supervised Music Representation Learning with Mel
Residual Vector Quantization", 2025; the parts are those of the ``muq`` package. The
weights are CC BY-NC 4.0. In float16 the model gives NaN.

Notes
-----
The package's own model class is not used: it calls `torch.load` on a path found in its
config, resets two global random generators, and fails in transformers 5. Its parts are
put together here: log-mel, fixed normalisation, convolutions, and the conformer. With
trained weights, batch normalisation is folded into the convolutions ahead of it.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from base_models.encoders.base import Encoder, assemble_from_config, prepare_audio
from base_models.encoders.numerics.folding import fold_batch_norm
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.precision.modes import full_precision

if TYPE_CHECKING:
    from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
        Wav2Vec2ConformerEncoder,
    )

SHORTEST = 1025
"""Samples: the spectrogram reflects 1024 of them at each end.

One embedding frame is 960 samples.
"""


class MuQConformer(nn.Module):
    """MuQ's encoder, last hidden state.

    Parameters
    ----------
    spectrogram : torch module
        Samples (B, L) to log-mel in dB (B, bands, L // 240 + 1).
    conv, conformer : torch modules
        The parts that hold the weights.
    mean, std : float
        In dB, the normalisation that the weights were trained with.

    Shape
    -----
    input (B, L), 24 kHz; output (B, ceil(L // 240 / 4), dim)
    """

    def __init__(
        self,
        spectrogram: nn.Module,
        conv: nn.Module,
        conformer: Wav2Vec2ConformerEncoder,
        *,
        mean: float,
        std: float,
    ) -> None:
        super().__init__()
        self.spectrogram = spectrogram
        self.conv = conv
        self.conformer = conformer
        self.mean = mean
        self.std = std

    @property
    def weighted_parts(self) -> nn.ModuleDict:
        """The parts that hold weights, under the names they have in a checkpoint."""
        return nn.ModuleDict({"conv": self.conv, "conformer": self.conformer})

    def fold(self) -> None:
        """Fold what batch normalisation learned into the convolutions, once loaded."""
        for block in self.conv.get_submodule("conv").children():
            for number in (1, 2, 3):
                # A block whose input has the shape of its output has no third.
                if hasattr(block, f"conv{number}"):
                    fold_batch_norm(block, f"conv{number}", norm=f"bn{number}")
        for layer in self.conformer.layers:
            convolution = layer.get_submodule("conv_module")
            fold_batch_norm(convolution, "depthwise_conv", norm="batch_norm")

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        # Decibels of faint bands are not to be rounded; without the last frame, as in
        # the package.
        with full_precision(samples.device.type):
            mel = self.spectrogram(samples)[..., :-1]
        normalised = (mel - self.mean) / self.std
        return self.conformer(self.conv(normalised)).last_hidden_state


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load MuQ from ``config.json`` and ``model.safetensors``.

    Raises
    ------
    UsageError
        If the config is not MuQ's, or the tensors do not fit it.
    """
    module, dim = assemble_from_config(files, "MuQ", assemble_muq)
    files.fill(module.weighted_parts, muq_tensors(files.tensors()))
    module.fold()
    return Encoder.from_spec(
        spec,
        module=module,
        prepare=prepare_audio(spec, SHORTEST),
        dim=dim,
        digest=files.digest,
        device=device,
    )


def assemble_muq(config: dict[str, Any]) -> tuple[MuQConformer, int]:
    """Build MuQ with random weights from its package's config; return it and its width.

    Parameters
    ----------
    config : dict
        Keys that the package's `MuQConfig` does not know are ignored.
    """
    from muq import MuQConfig
    from muq.muq.modules.conv import Conv2dSubsampling
    from muq.muq.modules.features import MelSTFT

    names = [field.name for field in fields(MuQConfig)]
    muq_config = MuQConfig(**{name: config[name] for name in names if name in config})

    # The spectrogram and the lengths that this module states hold for these alone.
    rates = (muq_config.label_rate, muq_config.hop_length, muq_config.n_mels)
    if rates != (25, 240, 128):
        raise ValueError("label_rate, hop_length and n_mels must be 25, 240 and 128")

    conformer = _assemble_conformer(
        muq_config.w2v2_config,
        depth=muq_config.encoder_depth,
        width=muq_config.encoder_dim,
    )
    # Its filters are looked at as they are made, so they need values even where the
    # rest is built without any.
    with torch.device("cpu"):
        mel = MelSTFT(
            n_fft=2048,
            hop_length=muq_config.hop_length,
            is_db=True,
        )
    conv = Conv2dSubsampling(
        1,
        muq_config.conv_dim,
        muq_config.encoder_dim,
        strides=[2, 2],
        n_bands=muq_config.n_mels,
    )
    module = MuQConformer(
        nn.Sequential(mel.mel_stft, mel.amplitude_to_db),
        conv,
        conformer,
        mean=float(muq_config.stat["melspec_2048_mean"]),
        std=float(muq_config.stat["melspec_2048_std"]),
    )
    return module, muq_config.encoder_dim


def _assemble_conformer(
    config: dict[str, Any],
    depth: int,
    width: int,
) -> Wav2Vec2ConformerEncoder:
    from transformers import Wav2Vec2ConformerConfig
    from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
        Wav2Vec2ConformerEncoder,
    )

    conformer_config = Wav2Vec2ConformerConfig.from_dict(
        {**config, "num_hidden_layers": depth, "hidden_size": width}
    )
    conformer_config._attn_implementation = "sdpa"
    conformer = Wav2Vec2ConformerEncoder(conformer_config)

    # Its forward never uses this part, whose tensors are named differently in
    # different versions of torch.
    del conformer.pos_conv_embed
    return conformer


def muq_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pick the tensors of `MuQConformer` from a checkpoint.

    The prefix of the package's wrapper, the training heads and the quantisers go.
    """
    selected = {}
    for name, tensor in tensors.items():
        own_name = name.removeprefix("model.")
        is_used = own_name.startswith(("conv.", "conformer."))
        if is_used and "conformer.pos_conv_embed." not in own_name:
            selected[own_name] = tensor
    return selected
