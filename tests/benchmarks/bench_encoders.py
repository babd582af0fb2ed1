"""What encoding costs, and what the store saves: ratios of two things measured in one run.

Run: pytest -s -o addopts=--import-mode=importlib -o python_files="bench_*.py" -o python_functions="bench_*" FILE
"""

from __future__ import annotations

import time

import numpy as np
import soundfile
import torch

from base_models.embeddings import EmbeddingStore
from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.base import Encoder
from base_models.encoders.muq import assemble_muq

RATE = 24_000


def seconds(work):
    """Wall time of one call, and what it returned."""
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def full_size_muq():
    """MuQ-large's architecture with random weights."""
    conformer = {"num_attention_heads": 16, "intermediate_size": 4096, "position_embeddings_type": "rotary"}
    stat = {"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623}
    torch.manual_seed(0)
    module, _ = assemble_muq({"w2v2_config": conformer | {"hidden_act": "swish"}, "stat": stat})
    return Encoder(**vars(ENCODERS["muq"]), module=module, prepare=None)


def bench_muq_of_full_size():
    encoder = full_size_muq()
    clip = (0.1 * np.sin(np.arange(30 * RATE) * 0.05)).astype(np.float32)
    once, embedding = seconds(lambda: encoder.encode([clip]))
    pair, _ = seconds(lambda: encoder.encode([clip, clip]))
    assert embedding.shape == (1, 750, 1024)
    size = sum(parameter.numel() for parameter in encoder.module.parameters()) / 1e6
    print(f"\nMuQ, {size:.0f} M parameters, 30 s clip: {once:.1f} s, {30 / once:.1f} x real time")
    print(f"MuQ, two clips in one batch against two alone: {pair / (2 * once):.2f} of the time")


def bench_the_store_against_a_plain_loop(tmp_path):
    encoder = load_encoder("logmel")
    generator = np.random.default_rng(0)
    items = {}
    for i in range(60):
        items[f"clip{i}"] = items[f"copy{i}"] = str(tmp_path / f"{i}.wav")
        soundfile.write(items[f"clip{i}"], 0.1 * generator.standard_normal(30 * 16_000), 16_000)
    store = EmbeddingStore(tmp_path / "embeddings")

    def through_the_store():
        keys, _ = store.fill(encoder, items)
        return [store.get(encoder, key) for key in keys.values()]

    loop, _ = seconds(lambda: [encoder.encode([encoder.prepare(path)])[0] for path in items.values()])
    cold, _ = seconds(through_the_store)
    warm, again = seconds(through_the_store)
    print(f"\nlogmel, {len(items)} clips of 30 s, each content twice: {len(items) / loop:.0f} embeddings/s in a loop")
    print(f"the same through an empty store: {loop / cold:.2f} x as fast; through a full one: {loop / warm:.1f} x")
    megabytes = sum(embedding.nbytes for embedding in again) / 1e6
    print(f"full store: {len(items) / warm:.0f} embeddings/s, {megabytes:.0f} MB, verified twice")


def bench_reading_against_muq(tmp_path):
    """Reading one embedding of MuQ's size against computing it, in the same run."""
    encoder, store = full_size_muq(), EmbeddingStore(tmp_path)
    clip = (0.1 * np.sin(np.arange(10 * RATE) * 0.05)).astype(np.float32)
    compute, embedding = seconds(lambda: encoder.encode([clip])[0])
    for i in range(50):
        store._put(encoder, f"{i:064d}", embedding)
    read, _ = seconds(lambda: [store.get(encoder, f"{i:064d}") for i in range(50)])
    print(f"\nMuQ, 10 s clip: reading its embedding, verified, is {50 * compute / read:.0f} x as fast as computing it")
