"""What training costs, in ratios measured in one run: the transport of WhisQ at once
against clip by clip, targets computed once, and several seeds on two cores against one.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from geomloss import SamplesLoss
from timing import timed
from tiny_networks import embedded_clips, training_task

from base_models.config import BaseConfig
from base_models.networks.criteria import build_criterion
from base_models.networks.sinkhorn import Sinkhorn
from base_models.training.task import Targets

WHISPER_FRAMES, WHISPER_WIDTH = 1_500, 512  # of 30 s
TOKENS = 40
EPOCHS = 6


def least_cpu(work, times=3):
    """Least CPU seconds of several calls."""
    return min(timed(work, time.process_time)[0] for _ in range(times))


def bench_transport_of_a_batch():
    """Forward and backward of four clips as long as those of the paper."""
    lengths = [(WHISPER_FRAMES, TOKENS)] * 4
    batch = embedded_clips(lengths, widths=(WHISPER_WIDTH,) * 2).batch(range(4))
    tokens = batch.tokens.requires_grad_()
    solve = Sinkhorn()
    one_by_one = SamplesLoss("sinkhorn", p=2, blur=0.05, backend="tensorized")

    def clip_by_clip():
        clips = zip(batch.frames, tokens, strict=True)
        torch.stack([one_by_one(x, y) for x, y in clips]).mean().backward()

    def at_once(terms):
        cost = solve(
            batch.frames,
            batch.frame_mask,
            tokens,
            batch.token_mask,
            frame_terms=terms,
        )
        cost.backward()

    terms = solve.frame_terms(batch.frames, batch.frame_mask)
    slow = least_cpu(clip_by_clip)
    fast = least_cpu(lambda: at_once(terms))
    once = least_cpu(lambda: solve.frame_terms(batch.frames, batch.frame_mask))
    print(
        f"\n{WHISPER_FRAMES} frames, {TOKENS} tokens: transport at once, frames' own "
        f"part known: {slow / fast:.0f} x as fast as clip by clip (CPU); that part "
        f"costs {once / slow:.2f} of the latter, once a training"
    )


def bench_targets():
    """Soft targets of a batch: taken from those of all clips against computed anew."""
    config = BaseConfig.preset("dora")
    criterion = build_criterion(config)
    targets = Targets.of(training_task(1_024), criterion)
    rows = torch.arange(32)
    scores = targets.labels.scores.index_select(0, rows)

    def anew():
        return [criterion.targets(scores[:, aspect]) for aspect in range(2)]

    slow = least_cpu(lambda: [anew() for _ in range(200)])
    fast = least_cpu(lambda: [targets.take(rows) for _ in range(200)])
    print(f"\ntargets of 32 clips: taken {slow / fast:.0f} x as fast as computed (CPU)")


@pytest.mark.parametrize("count", [5])
def bench_seeds_on_two_cores(count, tmp_path):
    """CPU time of several seeds with two jobs, shared by the two cores, against one
    seed with one job; both from stored embeddings."""
    command = (
        "import sys; sys.argv[0] = 'fit_base'; "
        "from ensemble.cli.fit_base import main; main()"
    )

    def cost_of(models, jobs, *, epochs, folder):
        """CPU seconds and seconds by the clock."""
        words = ["--models", models, "--jobs", jobs, "--artifacts", folder]
        words += ["--settings", "embedded", "--device", "cpu"]
        words += ["--set", f"max_epochs={epochs}", f"patience={epochs}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall, _ = timed(
            lambda: subprocess.run(
                [sys.executable, "-c", command, *map(str, words)],
                check=True,
                capture_output=True,
            )
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return np.array([spent, wall])

    filled = tmp_path / "filled"
    cost_of("dora:1", 1, epochs=1, folder=filled)
    one = shutil.copytree(filled, tmp_path / "one")
    alone = cost_of("dora:1", 1, epochs=EPOCHS, folder=one)
    together = cost_of(f"dora:{count}", 2, epochs=EPOCHS, folder=filled)
    cpu, wall = together / alone
    print(
        f"\n{count} seeds with two jobs: {cpu / 2:.2f} x the CPU time of one seed on "
        f"each core, {wall:.2f} x its time by the clock"
    )
