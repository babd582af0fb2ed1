"""How fast a device is: what it can, what the encoder takes of it, what we add."""

from __future__ import annotations

import contextlib
import copy
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from gpu.report import Row, at_least, at_most
from gpu.sizes import Sizes

from base_models.config import BaseConfig
from base_models.encoders import ENCODERS
from base_models.encoders.audio.muq import assemble_muq
from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.full_size import MUQ
from base_models.encoders.numerics.choice import in_precision
from base_models.encoders.store import EmbeddingStore
from base_models.networks.batches import EmbeddedClips
from base_models.networks.criteria import build_criterion
from base_models.networks.models import build_model
from base_models.precision import BFLOAT16, FLOAT32, TF32
from base_models.precision.names import has_tf32
from base_models.training.loop import TrainingTask, train_network

RATE = 24_000
EPOCHS = 100
"""Epochs that the time of all models is stated for."""
MOST_RELATIVE = {FLOAT32: 0.0, TF32: 1e-3, BFLOAT16: 2e-2}
"""Relative differences from float32 on the same device that are looked for."""


def measure_ceilings(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Copies and products of matrices, which bound all else."""
    part = "ceilings"
    n = sizes.product
    for precision, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16)):
        matrix = torch.randn(n, n, device=device, dtype=dtype)
        seconds = timed(device, lambda matrix=matrix: matrix @ matrix)
        rate = 2 * n**3 / seconds / 1e12
        yield Row(part, f"products in {precision}, TFLOP/s", f"{rate:.3g}")
    host = torch.empty(n * n)
    if device.type == "cuda":
        host = host.pin_memory()
    seconds = timed(device, lambda: host.to(device, non_blocking=True))
    rate = host.numel() * 4 / seconds / 1e9
    yield Row(part, "copy to the device, GB/s", f"{rate:.3g}")


def measure_muq(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """MuQ-large by batch and precision, alone."""
    part = "MuQ alone"
    samples = round(sizes.seconds * RATE)
    exact = None
    for precision in _precisions(device):
        encoder = random_muq(device, sizes, precision)
        for size in sizes.batches:
            generator = torch.Generator().manual_seed(0)
            clips = 0.1 * torch.randn(size, samples, generator=generator)
            inputs = clips.to(device)
            seconds = timed(device, lambda e=encoder, x=inputs: e.run(x), n=3)
            rate = size * sizes.seconds / seconds
            what = f"{precision}, batch {size}: x real time"
            yield Row(part, what, f"{rate:,.0f}")
        if exact is None:
            exact = encoder.run(inputs)
            continue
        found = encoder.run(inputs)
        difference = float((found - exact).norm() / exact.norm())
        what = f"{precision}: relative difference from float32"
        yield at_most(part, what, difference, MOST_RELATIVE[precision])


def measure_filling(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Filling a store from audio files, against the encoder alone."""
    part = "filling"
    precision = _precisions(device)[-1] if device.type == "cpu" else TF32
    encoder = random_muq(device, sizes, precision)
    samples = round(sizes.seconds * RATE)
    batch = torch.zeros(encoder.batch_size, samples, device=device)
    alone = timed(device, lambda: encoder.run(batch), n=3) / len(batch)
    with tempfile.TemporaryDirectory() as root:
        clips = _write_clips(Path(root) / "clips", sizes)
        store = EmbeddingStore(Path(root) / "store")
        first = dict(list(clips.items())[: encoder.batch_size])
        # The first batch chooses kernels and starts the processes that decode.
        EmbeddingStore().fill(encoder, first)
        with _noted_waits(device) as waits:
            began = time.perf_counter()
            store.fill(encoder, clips)
            seconds = time.perf_counter() - began
    rate = sizes.seconds * len(clips) / seconds
    what = f"{encoder.precision}: x real time"
    yield at_least(part, what, rate, 2000 if device.type == "cuda" else 0)
    share = alone * len(clips) / seconds
    what = "share of the rate of the encoder alone"
    yield at_least(part, what, share, 0.7 if device.type == "cuda" else 0)
    yield at_most(part, "waits of the host", len(waits), 0)


def measure_training(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Epochs at the size of the paper, and what all its models would take."""
    part = "training"
    task = _paper_task(sizes)
    total = 0.0
    for name, count in sizes.models.items():
        settings = {"max_epochs": 3, "patience": 99}
        config = BaseConfig.preset(name).updated(settings, "a run on a device")
        model = build_model(config, [False, True], sizes.width, sizes.text_width)
        records: list[dict[str, float]] = []
        train_network(
            model,
            build_criterion(config),
            task,
            config,
            0,
            device,
            on_epoch=records.append,
        )
        # The first epoch chooses kernels.
        seconds = statistics.median(record["seconds"] for record in records[1:])
        steps = -(-sizes.n_trained // config.batch_size)
        what = f"{name}: an epoch in s, ms for a step with its validation"
        yield Row(part, what, f"{seconds:.3g}, {1e3 * seconds / steps:.3g}")
        total += count * EPOCHS * seconds
    n_models = sum(sizes.models.values())
    what = f"{n_models} models, {EPOCHS} epochs, one after the other, in min"
    yield at_most(part, what, total / 60, 6)


def random_muq(device: torch.device, sizes: Sizes, precision: str) -> Encoder:
    """MuQ with random weights, the same for all precisions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, _ = assemble_muq(copy.deepcopy({**MUQ, **sizes.muq}))
    spec = replace(ENCODERS["muq"], dim=sizes.muq_dim)
    encoder = Encoder.from_spec(
        spec,
        module=module,
        prepare=prepare_audio(spec, shortest=RATE // 10),
        device=str(device),
    )
    return in_precision(encoder, precision)


def timed(
    device: torch.device,
    work: Callable[[], object],
    *,
    n: int = 5,
) -> float:
    """Median seconds of some work, after one run that chooses kernels."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    work()
    seconds = []
    for _ in range(n):
        wait()
        began = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


@contextlib.contextmanager
def _noted_waits(
    device: torch.device,
) -> Iterator[list[warnings.WarningMessage]]:
    """The waits of the host for a CUDA device, which torch warns of meanwhile."""
    is_cuda = device.type == "cuda"
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message=".*synchroniz")
        if is_cuda:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield noted
        finally:
            if is_cuda:
                torch.cuda.set_sync_debug_mode("default")


def _precisions(device: torch.device) -> list[str]:
    return [FLOAT32, TF32, BFLOAT16] if has_tf32(str(device)) else [FLOAT32]


def _write_clips(folder: Path, sizes: Sizes) -> dict[str, str]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.normal(size=round(sizes.seconds * RATE))
    paths = {}
    for number in range(sizes.n_clips):
        path = folder / f"{number}.wav"
        # Other contents, which are quicker to make than noise of their own.
        soundfile.write(path, np.roll(noise, number), RATE)
        paths[path.stem] = str(path)
    return paths


def _paper_task(sizes: Sizes) -> TrainingTask:
    rng = np.random.default_rng(0)
    n_clips = sizes.n_trained + sizes.n_trained // 5
    frames = [
        rng.normal(size=(sizes.frames, sizes.width)).astype(np.float16)
        for _ in range(8)
    ]
    tokens = [
        rng.normal(size=(sizes.tokens, sizes.text_width)).astype(np.float16)
        for _ in range(8)
    ]
    clips = EmbeddedClips(
        [frames[number % 8] for number in range(n_clips)],
        [tokens[number % 8] for number in range(n_clips)],
    )
    return TrainingTask(
        clips,
        scores=rng.uniform(1, 5, (n_clips, 2)),
        weights=np.ones(n_clips),
        train=list(range(sizes.n_trained)),
        validation=list(range(sizes.n_trained, n_clips)),
    )
