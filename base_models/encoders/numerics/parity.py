"""Whether an encoder in bfloat16 gives nearly what it gives in float32, and how fast.

It is measured at an encoder's first use on a machine, and kept in the user's cache: how
much is gained is a matter of the processor, while a store of embeddings may be shared
by machines of several kinds.
"""

from __future__ import annotations

import copy
import logging
import math
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from base_models.encoders.numerics.lowered import lower_layers
from base_models.encoders.numerics.winograd import use_winograd
from base_models.encoders.wheels import cache_folder
from base_models.errors import DamagedArtifact, MachineFault
from base_models.files import atomic_write, from_json, read_bytes, to_json
from base_models.precision import BFLOAT16, FLOAT32
from base_models.precision.modes import computing_in

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

LEAST_COSINE = 0.9999
"""Of every frame, between its embeddings in the two precisions."""
LEAST_GAIN = 1.5
"""Times faster; for less it is not worth to have embeddings of another signature."""
SECONDS = 10
"""Length of the clip that is encoded."""
PROMPT = "A slow tune on an old piano, with soft drums and rain in the background"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parity:
    """An encoder in bfloat16 beside itself in float32.

    Parameters
    ----------
    cosine : float
        The smallest of a frame.
    difference : float
        Norm of the difference of all frames, as a share of their norm in float32.
    gain : float
        How many times faster it is.
    """

    cosine: float
    difference: float
    gain: float

    @property
    def passes(self) -> bool:
        """Whether bfloat16 may stand in for float32 without being asked for."""
        return self.cosine >= LEAST_COSINE and self.gain >= LEAST_GAIN


def proven_parity(encoder: Encoder) -> Parity:
    """The parity of an encoder on this machine, measured unless it is known.

    Parameters
    ----------
    encoder : Encoder
        In float32, as its builder has made it; it is left as it is.
    """
    path = cache_folder() / "precision" / f"{encoder.signature}.json"
    machine = _machine()
    known = _read_parity(path, machine)
    if known is not None:
        return known

    log.info("Measuring '%s' in bfloat16, once on this machine.", encoder.name)
    parity = measure_parity(encoder)
    try:
        atomic_write(path, to_json({"machine": machine, "parity": asdict(parity)}))
    # A cache that cannot be written to costs another measurement, and no more.
    except MachineFault as error:
        log.info("%s", error)
    return parity


def measure_parity(encoder: Encoder) -> Parity:
    """Encode one item in both precisions."""
    inputs = torch.from_numpy(_prepared_item(encoder)[None]).to(encoder.device)
    exact, seconds = _timed(encoder, FLOAT32, use_winograd, inputs=inputs)
    lowered, lowered_seconds = _timed(encoder, BFLOAT16, lower_layers, inputs=inputs)

    cosines = (exact * lowered).sum(1) / np.linalg.norm(exact, axis=1)
    cosines = cosines / np.linalg.norm(lowered, axis=1)
    # Where a frame is zero, or an encoder overflows, nothing is proved.
    smallest = float(cosines.min())
    difference = float(np.linalg.norm(lowered - exact) / np.linalg.norm(exact))
    return Parity(
        cosine=smallest if math.isfinite(smallest) else -1.0,
        difference=difference if math.isfinite(difference) else 1.0,
        gain=seconds / lowered_seconds,
    )


def _timed(
    encoder: Encoder,
    precision: str,
    change: Callable[[nn.Module], None],
    *,
    inputs: torch.Tensor,
) -> tuple[np.ndarray, float]:
    """Frames of one item (T, dim) by a changed copy of an encoder, and the seconds."""
    module = copy.deepcopy(encoder.module)
    change(module)
    with torch.inference_mode(), computing_in(precision, encoder.device):
        # The first pass chooses kernels and lays out weights.
        module(inputs)
        start = time.perf_counter()
        embedding = module(inputs)
        seconds = time.perf_counter() - start
    return embedding[0].float().cpu().numpy().astype(np.float64), seconds


def _prepared_item(encoder: Encoder) -> np.ndarray:
    if encoder.kind == "text":
        return encoder.prepare(PROMPT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chords.wav"
        _write_chords(path, encoder.required_sample_rate())
        return encoder.prepare(str(path))


def _write_chords(path: Path, rate: int) -> None:
    """Write a clip of struck chords over faint noise: harmonics, attacks and decays."""
    generator = np.random.default_rng(0)
    seconds = np.arange(SECONDS * rate) / rate
    samples = 0.01 * generator.standard_normal(len(seconds))
    decay = np.exp(-4 * (seconds % 0.5))
    for pitch in (110.0, 220.0, 277.2, 329.6, 440.0, 880.0):
        samples += 0.1 * decay * np.sin(2 * np.pi * pitch * seconds)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32_000).astype("<i2").tobytes())


def _machine() -> dict[str, Any]:
    """What decides how fast bfloat16 is: the processor, the threads and torch."""
    return {
        "processor": str(torch.cpu.get_capabilities().get("cpu_name", "")),
        "threads": torch.get_num_threads(),
        "torch": str(torch.version.__version__),
    }


def _read_parity(path: Path, machine: dict[str, Any]) -> Parity | None:
    """What is kept of an earlier measurement on this machine; None if nothing fits."""
    try:
        kept = from_json(read_bytes(path), str(path))
        if kept["machine"] != machine:
            return None
        return Parity(**{name: float(kept["parity"][name]) for name in _FIGURES})
    except (OSError, DamagedArtifact, KeyError, TypeError, ValueError):
        return None


_FIGURES = ("cosine", "difference", "gain")
