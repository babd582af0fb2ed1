"""Whisper: the encoder of a speech recogniser, 50 frames of 512 numbers a second.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
2022; the weights of ``whisper-base`` are Apache-2.0, the code is MIT. It is WhisQ's
audio encoder.

Notes
-----
Whisper always reads 30 s. ``whisper`` gives the frames of the clip alone;
``whisper_padded`` gives all 1500, those of the silence after the clip included, as
WhisQ's paper describes (section III.B: padded or cut to 3000 frames of log-mel).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from base_models.encoders.base import Encoder, assemble_from_config, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles, select_tensors
from base_models.precision.modes import full_precision

# Samples at 16 kHz: 25 and 10 ms. One embedding frame is two hops.
N_FFT = 400
HOP = 160

WINDOW = 30 * 16_000
"""Samples that Whisper always reads."""


class WhisperFrames(nn.Module):
    """Whisper's encoder over the part of its 30 s that is music, or over all of it.

    Parameters
    ----------
    encoder : torch module
        Whisper's encoder.
    mel : float32 tensor of shape (bands, N_FFT // 2 + 1)
    padded : bool
        Whether the frames of the silence after the clip are kept.

    Shape
    -----
    input (B, L), 16 kHz, L ≤ 480,000; output (B, ceil(L / 320), dim), or (B, 1500, dim)
    where `padded`
    """

    mel: torch.Tensor
    window: torch.Tensor

    def __init__(
        self, encoder: nn.Module, mel: torch.Tensor, padded: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.padded = padded
        self.register_buffer("mel", mel)
        self.register_buffer("window", torch.hann_window(N_FFT))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        length = samples.shape[-1]
        padded = nn.functional.pad(samples, (0, WINDOW - length))
        with full_precision(samples.device.type):
            mel = self.log_mel(padded)
        hidden = self.encoder(mel).last_hidden_state

        if self.padded:
            return hidden
        # Frames of the silence after the clip would be pooled as if they were music.
        frames = -(-length // (2 * HOP))
        return hidden[:, :frames]

    def log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        """Log-mel spectrogram (B, bands, T) as Whisper was trained with.

        That is log10 of the mel power, raised to at least 8 below its maximum, then
        scaled.
        """
        spectrum = torch.stft(
            samples, N_FFT, HOP, window=self.window, return_complex=True
        )
        # Without the last frame, which Whisper's own front end drops too.
        spectral_power = spectrum[..., :-1].abs().square().contiguous()
        mel_power = self.mel @ spectral_power
        level = mel_power.clamp_min(1e-10).log10()

        floor = level.amax((1, 2), keepdim=True) - 8.0
        limited = torch.maximum(level, floor)
        return (limited + 4.0) / 4.0


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load Whisper's encoder from ``config.json`` and ``model.safetensors``.

    Raises
    ------
    UsageError
        If the config is not Whisper's, or the tensors do not fit it.
    """
    module, dim = assemble_from_config(files, "Whisper", assemble_whisper)
    module.padded = spec.padded

    # The prefix "model." is there only if the checkpoint was saved with its head.
    tensors = select_tensors(files.tensors(), "model.")
    files.fill(module.encoder, select_tensors(tensors, "encoder."))

    return Encoder.from_spec(
        spec,
        module=module,
        prepare=prepare_audio(spec, shortest=2 * HOP),
        dim=dim,
        digest=files.digest,
        device=device,
    )


def assemble_whisper(config: dict[str, Any]) -> tuple[WhisperFrames, int]:
    """Build Whisper's encoder with random weights; return it and its width."""
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    is_whisper = config.get("model_type") == "whisper"
    if not is_whisper or config.get("max_source_positions", 1500) != 1500:
        raise ValueError(
            "model_type must be 'whisper', and max_source_positions 1500, which is 30 s"
        )
    whisper_config = WhisperConfig.from_dict(config)
    whisper_config._attn_implementation = "sdpa"

    extractor = WhisperFeatureExtractor(
        feature_size=whisper_config.num_mel_bins,
        n_fft=N_FFT,
        hop_length=HOP,
    )
    mel = torch.tensor(extractor.mel_filters.T, dtype=torch.float32)
    module = WhisperFrames(WhisperEncoder(whisper_config), mel)
    return module, whisper_config.d_model
