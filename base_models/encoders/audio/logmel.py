"""logmel: an embedded audio front end without weights: 64 log-mel bands and how fast they change, 12.5 frames a second.

It stands in for a learned encoder where there are no weights: tests, a first run, a baseline. The trap: normalising
by the statistics of the clips at hand would leak test clips into training and make a clip's embedding depend on its
company; the constants below are fixed.
"""

from __future__ import annotations

import torch
from torch import nn

from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles

N_FFT, WINDOW, HOP, POOL = 1024, 600, 240, 8
"""Samples at 24 kHz (43, 25 and 10 ms), and hops per frame (80 ms)."""
FLOOR = 1e-10
"""Least power, -100 dB re full scale: digital silence gets a number."""
CENTER, SPREAD, DELTA_SPREAD = -50.0, 20.0, 8.0
"""dB and dB per frame: bring music to about -3..3."""


class LogMel(nn.Module):
    """Log-mel bands and their slopes.

    Parameters
    ----------
    mel : float32 tensor of shape (bands, N_FFT // 2 + 1), triangular filters that sum to at most 1 per bin

    Shape
    -----
    input (B, L), 24 kHz; output (B, L // 1920, 2 * bands)
    """

    def __init__(self, mel: torch.Tensor):
        super().__init__()
        self.register_buffer("mel", mel)
        self.register_buffer("window", torch.hann_window(WINDOW))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        frames = samples.shape[-1] // (HOP * POOL)
        options = {
            "hop_length": HOP,
            "win_length": WINDOW,
            "window": self.window,
            "pad_mode": "constant",
        }
        spectrum = torch.stft(samples, N_FFT, **options, return_complex=True)[
            ..., : frames * POOL
        ]
        # a full-scale sine has power 1, shared by the bins of its main lobe
        power = self.mel @ (spectrum.abs() / (self.window.sum() / 2)).square()
        decibels = 10 * power.clamp_min(FLOOR).log10()
        level = decibels.unflatten(-1, (frames, POOL)).mean(-1)
        around = nn.functional.pad(level, (1, 1), mode="replicate")
        slope = (around[..., 2:] - around[..., :-2]) / 2
        return torch.cat(
            [(level - CENTER) / SPREAD, slope / DELTA_SPREAD], dim=-2
        ).transpose(-1, -2)


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """The front end; `files` is empty."""
    from torchaudio.functional import melscale_fbanks

    filters = melscale_fbanks(
        N_FFT // 2 + 1, 0.0, spec.sample_rate / 2, spec.dim // 2, spec.sample_rate
    )
    return Encoder(
        **vars(spec),
        module=LogMel(filters.T),
        prepare=prepare_audio(spec, HOP * POOL),
        device=device,
    )
