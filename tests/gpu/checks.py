"""Whether a device gives what the CPU gives, and gives it again."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import tiny_encoders
import torch
from gpu.report import Row, at_most, holds
from gpu.sizes import Sizes
from tiny_networks import AUDIO_WIDTH, TEXT_WIDTH, training_task

from base_models.config import BaseConfig
from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.base import Encoder
from base_models.encoders.libraries import missing_libraries
from base_models.encoders.store import EmbeddingStore
from base_models.encoders.weights import missing_files
from base_models.networks.criteria import build_criterion
from base_models.networks.models import Network, build_model
from base_models.precision import FLOAT32, TF32
from base_models.precision.names import has_tf32
from base_models.training.checkpoints import CheckpointFile
from base_models.training.loop import TrainingTask, raw_outputs, train_network

MOST_IN_OUTPUTS = 1e-3
"""Difference of a network's outputs between a device and the CPU."""
MOST_IN_FLOAT32 = 1e-4
MOST_IN_TF32 = 1e-2
"""Relative difference of embeddings between a device and the CPU. Tiny random models
amplify rounding; at full size the aims are 1e-5 and 1e-3, see `rates`."""

CPU = torch.device("cpu")


def check_presets(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Every preset is trained on the device, and predicts there what it does here."""
    part = "presets"
    for name in sizes.presets:
        task = _task(name)
        model = _trained(name, task, device, epochs=3)
        there = raw_outputs(model, task.clips, 8, device)
        here = raw_outputs(copy.deepcopy(model).cpu(), task.clips, 8, CPU)
        difference = float((there - here).abs().max())
        yield at_most(part, f"{name}: outputs", difference, MOST_IN_OUTPUTS)

        # On a device these are not promised, but good to know.
        again = _trained(name, task, device, epochs=3)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = CheckpointFile(Path(folder) / "c.safetensors", "one run")
            _trained(name, task, device, epochs=1, checkpoint=checkpoint)
            resumed = _trained(name, task, device, epochs=3, checkpoint=checkpoint)
        found = f"repeated {_same(model, again)}, resumed {_same(model, resumed)}"
        yield Row(part, f"{name}: equal bits", found)


def check_encoders(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Every encoder, tiny, embeds on the device what it embeds here, alone or not."""
    part = "encoders"
    with tempfile.TemporaryDirectory() as root:
        folders = {}
        if not all(ENCODERS[name].embedded for name in sizes.encoders):
            folders = tiny_encoders.write_all(Path(root))
        items = _items(Path(root))
        precisions = [FLOAT32, *([TF32] if has_tf32(str(device)) else [])]
        for name in sizes.encoders:
            spec = ENCODERS[name]
            if missing_libraries(spec) or (spec.wheel and missing_files(spec)):
                yield Row(part, name, "not here")
                continue
            here = load_encoder(name, folders.get(name))
            # Others compute in float32 whatever is asked.
            for precision in precisions if spec.mixed_precision else [FLOAT32]:
                there = load_encoder(
                    name, folders.get(name), str(device), precision=precision
                )
                yield from _compared(part, here, there, items=items[spec.kind])


def _compared(
    part: str,
    here: Encoder,
    there: Encoder,
    *,
    items: dict[str, str],
) -> Iterator[Row]:
    stores = [EmbeddingStore(dtype="float32") for _ in range(3)]
    keys, _ = stores[0].fill(here, items)
    stores[1].fill(there, items)
    first, *_ = items
    stores[2].fill(there, {first: items[first]})
    expected, found = (
        np.concatenate([store.get(encoder, key) for key in keys.values()])
        for store, encoder in zip(stores, (here, there), strict=False)
    )
    difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    what = f"{there.name} in {there.precision}"
    limit = MOST_IN_TF32 if there.precision == TF32 else MOST_IN_FLOAT32
    yield at_most(part, f"{what}: relative difference", difference, limit)

    together, alone = (store.get(there, keys[first]) for store in stores[1:])
    same = together.tobytes() == alone.tobytes()
    yield holds(part, f"{what}: the same bits whatever its company", same)


def _items(root: Path) -> dict[str, dict[str, str]]:
    rng = np.random.default_rng(0)
    audio = {}
    for number in range(5):
        path = root / f"{number}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=72_000), 24_000)
        audio[path.stem] = str(path)
    return {"audio": audio, "text": {"a": "slow piano", "b": "a fast drum loop"}}


def _task(name: str) -> TrainingTask:
    if not BaseConfig.preset(name).reads_ratings:
        return training_task()
    rng = np.random.default_rng(0)
    return training_task(histograms=rng.dirichlet(np.ones(20), (16, 2)))


def _trained(
    name: str,
    task: TrainingTask,
    device: torch.device,
    *,
    epochs: int,
    checkpoint: CheckpointFile | None = None,
) -> Network:
    settings = {"max_epochs": epochs, "batch_size": 4, "patience": 99}
    config = BaseConfig.preset(name).updated(settings, "a run on a device")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config, [False, True], AUDIO_WIDTH, TEXT_WIDTH)
    criterion = build_criterion(config)
    train_network(model, criterion, task, config, 0, device, checkpoint)
    return model


def _same(one: Network, other: Network) -> str:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return "yes" if all(torch.equal(a, b) for a, b in pairs) else "no"
