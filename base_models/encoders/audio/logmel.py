"""logmel: an embedded audio encoder without weights, 12.5 frames a second.

A frame has 64 log-mel bands and how fast each changes. It stands in for a learned
encoder where there are no weights: in tests, in a first run, as a baseline.
"""

from __future__ import annotations

import torch
from torch import nn

from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles

# Samples at 24 kHz: 43, 25 and 10 ms.
N_FFT = 1024
WINDOW = 600
HOP = 240

POOL = 8
"""Hops per frame, 80 ms."""

FLOOR = 1e-10
"""Least power, -100 dB re full scale, so that digital silence gets a number."""

# These bring music to about -3 to 3. They are fixed: statistics of the clips at hand
# would leak test clips into training, and let a clip's embedding depend on the others.
CENTER = -50.0
"""In dB."""
SPREAD = 20.0
"""In dB."""
DELTA_SPREAD = 8.0
"""In dB per frame."""


class LogMel(nn.Module):
    """Log-mel bands and their slopes.

    Parameters
    ----------
    mel : float32 tensor of shape (bands, N_FFT // 2 + 1)
        Triangular filters that sum to at most 1 per frequency bin.

    Shape
    -----
    input (B, L), 24 kHz; output (B, L // 1920, 2 * bands)
    """

    mel: torch.Tensor
    window: torch.Tensor

    def __init__(self, mel: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mel", mel)
        self.register_buffer("window", torch.hann_window(WINDOW))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        frames = samples.shape[-1] // (HOP * POOL)
        spectrum = torch.stft(
            samples,
            N_FFT,
            hop_length=HOP,
            win_length=WINDOW,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        spectrum = spectrum[..., : frames * POOL]

        # A full-scale sine has power 1, shared by the bins of its main lobe.
        amplitude = spectrum.abs() / (self.window.sum() / 2)
        power = self.mel @ amplitude.square()
        decibels = 10 * power.clamp_min(FLOOR).log10()
        level = decibels.unflatten(-1, (frames, POOL)).mean(-1)

        neighbours = nn.functional.pad(level, (1, 1), mode="replicate")
        slope = (neighbours[..., 2:] - neighbours[..., :-2]) / 2

        scaled_level = (level - CENTER) / SPREAD
        scaled_slope = slope / DELTA_SPREAD
        features = torch.cat([scaled_level, scaled_slope], dim=-2)
        return features.transpose(-1, -2)


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Build the encoder; `files` is empty."""
    # torchaudio ships no types.
    from torchaudio.functional import melscale_fbanks  # type: ignore[import-untyped]

    sample_rate = spec.required_sample_rate()
    filters = melscale_fbanks(
        n_freqs=N_FFT // 2 + 1,
        f_min=0.0,
        f_max=sample_rate / 2,
        n_mels=spec.dim // 2,
        sample_rate=sample_rate,
    )
    return Encoder.from_spec(
        spec,
        module=LogMel(filters.T),
        prepare=prepare_audio(spec, shortest=HOP * POOL),
        device=device,
    )
