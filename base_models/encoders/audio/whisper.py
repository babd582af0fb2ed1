"""Whisper: the encoder of a speech recogniser over log-mel spectrograms, 50 frames of 512 numbers a second.

Source: Radford et al., 2022; the weights of ``whisper-base`` are Apache-2.0 (the code is MIT); WhisQ's audio encoder.
The trap: Whisper always sees 30 s, so a shorter clip is followed by silence, and its frames of silence would be pooled
as music; here the frames beyond the clip's end are dropped, so its length in frames is its true one.
"""

from __future__ import annotations

import torch
from torch import nn

from base_models.encoders.base import Encoder, assembled, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import below
from base_models.encoders.weights import WeightFiles

N_FFT, HOP = 400, 160
"""Samples at 16 kHz (25 and 10 ms). One embedding frame is two hops."""
WINDOW = 30 * 16_000


class WhisperFrames(nn.Module):
    """Whisper's encoder over the part of its 30 s that is music.

    Parameters
    ----------
    encoder : Whisper's encoder
    mel : float32 tensor of shape (bands, N_FFT // 2 + 1)

    Shape
    -----
    input (B, L), 16 kHz, L ≤ 480,000; output (B, ceil(L / 320), dim)
    """

    def __init__(self, encoder: nn.Module, mel: torch.Tensor):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mel", mel)
        self.register_buffer("window", torch.hann_window(N_FFT))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        frames = -(-samples.shape[-1] // (2 * HOP))
        whole = nn.functional.pad(samples, (0, WINDOW - samples.shape[-1]))
        return self.encoder(self.log_mel(whole)).last_hidden_state[:, :frames]

    def log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        """As Whisper was trained: log10 of mel power, at most 8 below its largest, then scaled; (B, bands, T)."""
        spectrum = torch.stft(
            samples, N_FFT, HOP, window=self.window, return_complex=True
        )
        power = self.mel @ spectrum[..., :-1].abs().square().contiguous()
        level = power.clamp_min(1e-10).log10()
        return (
            torch.maximum(level, level.amax((1, 2), keepdim=True) - 8.0) + 4.0
        ) / 4.0


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """Whisper's encoder from ``config.json`` and ``model.safetensors``.

    Raises
    ------
    UsageError
        when the config is not Whisper's, or the tensors do not fit it.
    """
    module, dim = assembled(files, "Whisper", assemble_whisper)
    files.fill(module.encoder, below(below(files.tensors(), "model."), "encoder."))
    prepare = prepare_audio(spec, 2 * HOP)
    return Encoder(
        **vars(spec) | {"dim": dim},
        module=module,
        prepare=prepare,
        digest=files.digest,
        device=device,
    )


def assemble_whisper(config: dict) -> tuple[WhisperFrames, int]:
    """Whisper's encoder with random weights, and its width."""
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    if (
        config.get("model_type") != "whisper"
        or config.get("max_source_positions", 1500) != 1500
    ):
        raise ValueError(
            "model_type must be 'whisper', and max_source_positions 1500, which is 30 s"
        )
    config = WhisperConfig.from_dict(config)
    config._attn_implementation = "eager"
    mel = WhisperFeatureExtractor(
        feature_size=config.num_mel_bins, n_fft=N_FFT, hop_length=HOP
    ).mel_filters
    return WhisperFrames(
        WhisperEncoder(config), torch.tensor(mel.T, dtype=torch.float32)
    ), config.d_model
