"""basic_pitch: how likely every pitch sounds, 86.6 frames of 440 numbers a second.

Source: Bittner et al., "A Lightweight Instrument-Agnostic Model for Polyphonic Note
Transcription and Multipitch Estimation", ICASSP 2022. The weights, 0.2 MB, are part of
Spotify's package ``basic_pitch`` and Apache-2.0. That package needs TensorFlow, which
clashes with our libraries, so that one file is taken out of its wheel.

A frame has three parts, all between 0 and 1: the pitch contour in thirds of a semitone
(264 columns), whether each of the piano's 88 keys sounds, and whether it is struck.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from torch import nn

from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# The package's own windows (its ``constants.py`` and ``inference.py``), in samples at
# 22,050 Hz: the model reads two seconds, and 30 hops of them overlap.
HOP = 256
WINDOW = 2 * 22_050 - HOP
OVERLAP = 30 * HOP
STEP = WINDOW - OVERLAP

EDGE_FRAMES = 15
"""Frames at each end of a window that are left to its neighbours."""
STEP_FRAMES = 142
"""Frames of a window that are kept."""

OUTPUTS = (
    "StatefulPartitionedCall:0",
    "StatefulPartitionedCall:1",
    "StatefulPartitionedCall:2",
)
"""Contours, notes and onsets, as the model names them."""


class PitchFrames(nn.Module):
    """Contours, notes and onsets of a clip.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The model; it computes on the CPU.

    Shape
    -----
    input (B, L), 22.05 kHz; output (B, L * 142 // 36164, 440)

    Notes
    -----
    The frames are those of the package, which keeps fewer of them: it takes a second
    for 86 frames, and so leaves out the last 0.7 % of a clip.
    """

    def __init__(self, session: InferenceSession) -> None:
        super().__init__()
        self.session = session

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        # One clip at a time: what is computed of it cannot depend on the others.
        clips = [self._frames(clip) for clip in samples.cpu()]
        return torch.stack(clips)

    def _frames(self, clip: torch.Tensor) -> torch.Tensor:
        length = len(clip)
        padded_length = length + OVERLAP // 2
        n_windows = -(-padded_length // STEP)

        # Silence ahead of the clip stands for the edge of a window before it.
        silence_after = (n_windows - 1) * STEP + WINDOW - padded_length
        padded = nn.functional.pad(clip, (OVERLAP // 2, silence_after))
        windows = padded.unfold(0, WINDOW, STEP).unsqueeze(-1)

        name = self.session.get_inputs()[0].name
        parts = self.session.run(OUTPUTS, {name: windows.numpy()})
        frames = torch.cat([torch.from_numpy(part) for part in parts], dim=-1)
        kept = frames[:, EDGE_FRAMES:-EDGE_FRAMES].flatten(0, 1)
        return kept[: length * STEP_FRAMES // STEP]


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load the model from ``nmp.onnx``, whose SHA-256 is checked before it is parsed.

    Raises
    ------
    UsageError
        If the file is not the pinned one.
    """
    return Encoder.from_spec(
        spec,
        module=PitchFrames(_start_session(files.contents["nmp.onnx"])),
        prepare=prepare_audio(spec, shortest=HOP),
        digest=files.digest,
        device=device,
    )


def _start_session(model: bytes) -> InferenceSession:
    # The library reports to its maker over the network unless it is told not to,
    # before it is imported; the call is for where something else has imported it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Threads that wait for work would otherwise keep their cores busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Errors alone: its warnings are about graphics cards that it does not find.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
