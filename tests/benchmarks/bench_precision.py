"""What encoders gain in float32 and in bfloat16, and how near they stay: ratios of two
things measured in one run, in CPU seconds.

Weights are random, of the published sizes. A processor without instructions for
bfloat16 is measured in what it computes instead, `round_layers`.

Run: pytest -s -o addopts=--import-mode=importlib -o python_files="bench_*.py" -o
python_functions="bench_*" FILE
"""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest
import torch
from builders import clip_table, music, tunes
from scipy.stats import spearmanr
from timing import timed
from tiny_encoders import WRITERS
from torch import nn

from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.full_size import FULL_SIZE
from base_models.encoders.numerics.folding import fix_weights
from base_models.encoders.numerics.lowered import lower_layers, round_layers
from base_models.encoders.numerics.winograd import use_winograd
from base_models.pooled.pooled_mos import PooledMOS
from base_models.precision.names import has_bfloat16

SECONDS = 4
PROMPT_TOKENS = 32
ATTENDING = ["mert", "wav2vec2", "whisper", "roberta", "qwen3"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def full_size(name):
    """An encoder of its published size, with statistics as after training."""
    torch.manual_seed(0)
    module = FULL_SIZE[name].build().eval().requires_grad_(False)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.3, 2)
    return module


def item(name):
    spec = ENCODERS[name]
    if spec.kind == "text":
        return torch.arange(5, 5 + PROMPT_TOKENS)[None]
    return torch.from_numpy(music(SECONDS, rate=spec.sample_rate))[None]


def attend(module, kind):
    """Let the transformers inside attend by `kind` of kernel."""
    for part in module.modules():
        if hasattr(getattr(part, "config", None), "_attn_implementation"):
            part.config._attn_implementation = kind


def best_of(module, inputs, n=2):
    """Fewest CPU seconds of some passes, and what came out."""
    with torch.inference_mode():
        passes = [timed(lambda: module(inputs), time.process_time) for _ in range(n)]
    seconds, outputs = min(passes, key=lambda it: it[0])
    return seconds, outputs[0].double()


def nearness(ours, expected):
    difference = float((ours - expected).norm() / expected.norm())
    cosines = torch.nn.functional.cosine_similarity(ours, expected, dim=-1)
    return f"relative difference {difference:.1e}, smallest cosine {cosines.min():.6f}"


def print_lowered(name, module, inputs, *, expected, seconds):
    is_native = has_bfloat16("cpu")
    lower = lower_layers if is_native else round_layers
    lower(module)
    took, lowered = best_of(module, inputs)
    way = "bfloat16" if is_native else "bfloat16 by rounding in float32"
    speed = f"{seconds / took:.2f} x as fast"
    print(f"{name}, {way}: {speed}; {nearness(lowered, expected)}")


def bench_muq_of_full_size():
    module = full_size("muq")
    inputs = item("muq")
    attend(module, "eager")
    of_package, expected = best_of(module, inputs)
    attend(module, "sdpa")
    module.fold()
    lowered = copy.deepcopy(module)
    use_winograd(module)
    ours, embeddings = best_of(module, inputs)
    print(
        f"\nmuq, {SECONDS} s, float32: {of_package / ours:.2f} x as fast as its "
        f"package ({of_package:.2f} s); {nearness(embeddings, expected)}"
    )
    print_lowered("muq", lowered, inputs, expected=expected, seconds=of_package)


@pytest.mark.parametrize("name", ATTENDING)
def bench_others_of_full_size(name):
    module = full_size(name)
    inputs = item(name)
    attend(module, "eager")
    of_library, expected = best_of(module, inputs)
    attend(module, "sdpa")
    fix_weights(module)
    ours, embeddings = best_of(module, inputs)
    print(
        f"\n{name}, float32: {of_library / ours:.2f} x as fast as its library "
        f"({of_library:.2f} s); {nearness(embeddings, expected)}"
    )
    print_lowered(name, module, inputs, expected=expected, seconds=of_library)


@pytest.mark.parametrize("name", ["muq", "wav2vec2"])
def bench_scores_of_a_head_in_bfloat16(name, tmp_path):
    """A head that was trained in float32, on embeddings in both precisions."""
    n = 60
    sounds = tunes(n, 1.0)
    labels = np.array([np.abs(sound).mean() for sound in sounds])
    labels = 1.2 + 3.6 * (labels.argsort().argsort() / n)
    clips = clip_table(tmp_path, sounds, mi=labels)
    WRITERS[name](tmp_path / name)

    word = f"{name}={tmp_path / name}"
    model = PooledMOS("pooled_ridge", audio_encoder=word, device="cpu", store=None)
    half = n // 2
    model.fit(clips[:half], clips[["mi"]][:half])
    scores = {"float32": model.predict(clips[half:])}
    model.encoders_["audio"] |= {
        "precision": "bfloat16",
        "signature": load_encoder(word, precision="bfloat16").signature,
    }
    scores["bfloat16"] = model.predict(clips[half:])

    moved = np.abs(scores["bfloat16"] - scores["float32"]).max()
    agreement = spearmanr(scores["float32"], scores["bfloat16"]).statistic
    print(
        f"\nhead on a tiny {name}: scores move by at most {moved:.4f}, rank agreement "
        f"with itself {agreement:.5f} ({half} clips)"
    )
