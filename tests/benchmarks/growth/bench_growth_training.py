"""What training costs as clips become many: its start, its memory, and its steps.

Figures are of clips whose embeddings are stored, in packs.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from commands import plan_embedded
from doors.fresh_process import cost_of
from timing import timed

from base_models.clips.same_audio import known_recordings
from base_models.clips.same_audio.recordings import Recordings
from base_models.config import BaseConfig
from base_models.encoders.packed.encoder_entries import EncoderEntries
from base_models.encoders.packed.stored_arrays import KeptArrays, StoredArrays
from base_models.files import sha256
from base_models.networks.batches import EmbeddedClips
from base_models.networks.models import build_model
from ensemble.training.rated_clips import RatedClips
from growth.many_clips import stored_test, write_packs

# A tenth of the frames of MuQ, and an eighth of its width.
SHAPE = (75, 128)
SIZES = (1_000, 10_000, 100_000)
BATCH = 32

# What the next lines measure: all clips in a random order, twice.
READ = """
order = np.random.default_rng(0).permutation(len(clips))
plan = [order[i : i + {batch}].tolist() for i in range(0, len(order), {batch})]
for batch in clips.batches(plan):
    batch.frames.mean()
for batch in clips.take(order.tolist()).batches(clips.by_length({batch})):
    batch.frames.mean()
"""
OPEN = """
import numpy as np
from base_models.encoders.packed.encoder_entries import EncoderEntries
from base_models.encoders.packed.stored_arrays import KeptArrays, StoredArrays
from base_models.files import sha256
from base_models.networks.batches import EmbeddedClips
from pathlib import Path

entries = EncoderEntries(Path({folder!r}), "noise-v1")
entries.refresh()
keys = [sha256(str(number).encode()) for number in range({n_clips})]
clips = EmbeddedClips(StoredArrays(entries, keys, KeptArrays()))
"""


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A folder with the embeddings of as many clips as the largest size."""
    folder = tmp_path_factory.mktemp("noise")
    keys = [sha256(str(number).encode()) for number in range(SIZES[-1])]
    write_packs(EncoderEntries(folder, "noise-v1"), keys, SHAPE)
    return folder


def bench_memory_by_clips(noise):
    print()
    for n_clips in SIZES:
        cost = cost_of(
            READ.format(batch=BATCH),
            prepare=OPEN.format(folder=str(noise), n_clips=n_clips),
            repeats=1,
        )
        size = n_clips * 2 * np.prod(SHAPE) / 2**20
        print(
            f"{n_clips:7,} clips, {size:7,.0f} MiB of embeddings, read twice: memory "
            f"grows by {cost.megabytes:,.0f} MiB; {cost.seconds / n_clips * 1e6:,.0f} "
            "us of CPU a clip"
        )


@pytest.mark.parametrize("n_clips", SIZES)
def bench_start_of_training(n_clips, tmp_path, monkeypatch):
    table, workspace = stored_test(tmp_path / "data", n_clips)

    def alone(audio, folder, track):
        return Recordings({clip: clip for clip in audio})

    # Clips that were compared before, as those of every start but the first were.
    monkeypatch.setattr(known_recordings.Recordings, "of_audio", alone)
    # A moment ago their files could have changed without another time.
    time.sleep(2.5)
    rated = RatedClips.read(table)
    plan_embedded(rated, [("dora", 0)], workspace)

    clock = time.process_time
    reading, _ = timed(lambda: RatedClips.read(table), clock)
    planning, _ = timed(lambda: plan_embedded(rated, [("dora", 0)], workspace), clock)
    print(
        f"\n{n_clips:7,} clips: {reading:.2f} s of CPU to read and check the table, "
        f"{planning:.2f} s to plan a model, {1e6 * planning / n_clips:.0f} us a clip"
    )


def bench_a_step_from_packs_against_memory(tmp_path):
    """Embeddings of the shape of MuQ's, none of which is kept between two steps."""
    n_clips = 16
    size = 4
    keys = [sha256(str(number).encode()) for number in range(n_clips)]
    entries = EncoderEntries(tmp_path, "noise-v1")
    write_packs(entries, keys, (750, 1024))
    entries.refresh()
    packed = EmbeddedClips(StoredArrays(entries, keys, KeptArrays(most_bytes=0)))
    in_memory = EmbeddedClips([entries.read(key) for key in keys])

    config = BaseConfig.preset("dora", None)
    torch.manual_seed(0)
    model = build_model(config, (False,), 1024, None)
    plan = [list(range(start, start + size)) for start in range(0, n_clips, size)]

    def epoch(clips):
        for batch in clips.batches(plan):
            model.zero_grad()
            model(batch, model.context(batch)).square().mean().backward()

    epoch(in_memory)
    for name, clock in (("CPU", time.process_time), ("wall", time.perf_counter)):
        ways = {"packs": packed, "memory": in_memory}
        best = dict.fromkeys(ways, np.inf)
        for _ in range(3):
            for way, clips in ways.items():
                best[way] = min(best[way], timed(lambda c=clips: epoch(c), clock)[0])
        print(
            f"\nA step of dora on {size} clips of 750 x 1024 from packs, verified each "
            f"time: {best['packs'] / best['memory']:.3f} of the {name} time from memory"
        )
