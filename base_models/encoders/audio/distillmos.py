"""distillmos: what a judge of speech quality makes of a clip, one vector per 7.68 s.

Source: Stahl and Gamper, "Distillation and Pruning for Scalable Self-Supervised
Representation-Based Speech Quality Assessment", ICASSP 2025. The weights, 17 MB, are
part of Microsoft's package ``distillmos`` and MIT; its text, and that of the package
``xls_r_sqa`` whose transformer it uses, stand in ``distillmos_licence.txt``. The
network is written anew here, since the two packages would bring 15 MB of other models.

A vector has the 200 numbers that the model pools a window into. Its own score for the
window follows from them by a formula, and is not a column: on a listening test of
codecs it added nothing to them, and 201 columns do not split into attention heads.
"""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles

# Samples at 16 kHz: 7.68 s, 20 ms and 10 ms.
WINDOW = 122_880
N_FFT = 320
HOP = 160

CHANNELS = (64, 64, 128, 256, 256, 256)
"""Of the convolutions. All but the first halve the frequencies, the last the frames."""
FEATURES = 1024
"""Numbers per frame after the convolutions: 256 channels and 4 frequencies."""
FRAMES = 384
"""Frames of a window after the convolutions."""
WIDTH = 200
"""Numbers per frame in the transformer."""

EXPONENT = 0.3
"""Of the magnitudes of the spectrogram."""


class Positions(nn.Module):
    """Sines and cosines that are added to the frames of a window."""

    sinusoids: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        rates = torch.exp(
            torch.arange(0, WIDTH, 2) * (-math.log(2 * FRAMES) / WIDTH),
        )
        angles = torch.arange(FRAMES).unsqueeze(1) * rates
        sinusoids = torch.stack([angles.sin(), angles.cos()], dim=-1)
        self.register_buffer("sinusoids", sinusoids.reshape(1, FRAMES, WIDTH))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames + self.sinusoids


class AttentionPool(nn.Module):
    """Mean of the frames by weights that the frames themselves give."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(WIDTH, 2 * WIDTH)
        self.weight = nn.Linear(2 * WIDTH, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        weights = self.weight(self.hidden(frames).relu()).softmax(dim=1)
        return (weights * frames).sum(dim=1)


class SpeechJudge(nn.Module):
    """Distill-MOS over the windows of a clip.

    The parts are made in the order in which the weight file has their tensors; those
    of its score, the last two, are not used.

    Shape
    -----
    input (B, L), 16 kHz; output (B, ceil(L / 122880), 200)

    Notes
    -----
    A clip that is shorter than a window is followed by silence, as in the package. In
    a longer one windows lie evenly from the start to the end, as there, but as few as
    cover the clip: the package takes one for every second, at 6 times the time for a
    clip of 30 s.
    """

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = _make_convolutions()
        self.input_norm = nn.BatchNorm1d(FEATURES)
        self.second_norm = nn.BatchNorm1d(FEATURES)
        self.positions = Positions()
        self.projection = nn.Linear(FEATURES, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH,
            nhead=8,
            dim_feedforward=2 * WIDTH,
            batch_first=True,
        )
        self.transformer = nn.TransformerEncoder(
            layer, num_layers=7, enable_nested_tensor=False
        )
        self.output_norm = nn.BatchNorm1d(WIDTH)
        self.pool = AttentionPool()
        # Not among the weights.
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        missing = max(0, WINDOW - samples.shape[-1])
        padded = nn.functional.pad(samples, (0, missing))
        # One after another: what the first convolutions of one give takes 100 MB.
        vectors = [
            self._judge(padded[:, start : start + WINDOW])
            for start in window_starts(padded.shape[-1])
        ]
        return torch.stack(vectors, dim=1)

    def _judge(self, samples: torch.Tensor) -> torch.Tensor:
        peak = samples.abs().amax(dim=1, keepdim=True)
        spectrum = self._compressed_spectrum(samples / (peak + 1e-8))
        features = self.convolutions(spectrum).flatten(1, 2)

        normalised = self.second_norm(self.input_norm(features))
        frames = self.positions(self.projection(normalised.transpose(1, 2)))
        frames = self.transformer(frames)
        frames = self.output_norm(frames.transpose(1, 2)).transpose(1, 2)
        return self.pool(frames)

    def _compressed_spectrum(self, samples: torch.Tensor) -> torch.Tensor:
        """Real and imaginary parts (B, 2, 161, T) with magnitudes to the power 0.3."""
        edge = (N_FFT - HOP) // 2
        padded = nn.functional.pad(samples, (edge, edge), mode="reflect")
        spectrum = torch.stft(
            padded,
            N_FFT,
            hop_length=HOP,
            window=self.window,
            center=False,
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum)
        magnitude = parts.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)
        return (parts * magnitude ** (EXPONENT - 1)).permute(0, 3, 1, 2)


def window_starts(length: int) -> list[int]:
    """First samples of as few windows as cover a clip, evenly from start to end.

    >>> window_starts(122_880), window_starts(122_882), window_starts(300_000)
    ([0], [0, 2], [0, 88560, 177120])
    """
    last = length - WINDOW
    n_windows = -(-length // WINDOW)
    if n_windows == 1:
        return [0]
    return [number * last // (n_windows - 1) for number in range(n_windows)]


def _make_convolutions() -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 2
    for number, channels in enumerate(CHANNELS):
        is_last = number == len(CHANNELS) - 1
        stride = (2 if number else 1, 2 if is_last else 1)
        convolution = nn.Conv2d(
            width,
            channels,
            kernel_size=3,
            stride=stride,
            padding=(0, 1),
        )
        layers += [convolution, nn.LeakyReLU(0.1, inplace=True)]
        width = channels
    return nn.Sequential(*layers)


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load the model from its file, whose SHA-256 is checked before it is parsed.

    Raises
    ------
    UsageError
        If the file is not the pinned one.
    """
    # The random weights are replaced at once; drawing them must not move the generator
    # of the caller.
    with torch.random.fork_rng(devices=[]):
        judge = SpeechJudge()
    tensors = stored_tensors(files.contents["distill_mos_v7.pt"], judge.state_dict())
    judge.load_state_dict(tensors)
    return Encoder.from_spec(
        spec,
        module=judge,
        prepare=prepare_audio(spec, shortest=HOP),
        digest=files.digest,
        device=device,
    )


def stored_tensors(
    data: bytes,
    like: dict[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Tensors of a file that `torch.save` wrote, without its pickle.

    Parameters
    ----------
    data : bytes
        A zip archive: a pickle that describes the tensors, and the numbers of each in a
        file of its own.
    like : dict from str to tensor
        Tensors of the same shapes and types as the first of the file, in the order in
        which they were saved.

    Notes
    -----
    The pickle says only what the names and shapes are, which is known of a file whose
    SHA-256 is known. A pickle is a program, so it is not even parsed.
    """
    tensors = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        for number, (name, tensor) in enumerate(like.items()):
            numbers = archive.read(f"{folder}/data/{number}")
            # Little-endian, as on the machine that wrote it.
            dtype = np.dtype(tensor.numpy().dtype).newbyteorder("<")
            array = np.frombuffer(numbers, dtype).reshape(tensor.shape)
            tensors[name] = torch.from_numpy(array.astype(dtype.newbyteorder("=")))
    return tensors
