"""What encoders gain in float32 and in bfloat16, and how near they stay: ratios of two
things measured in one run, in CPU seconds.

Weights are random, of the published sizes. A processor without instructions for
bfloat16 is measured in what it computes instead, `round_layers`.

Run: pytest -s -o addopts=--import-mode=importlib -o python_files="bench_*.py" -o
python_functions="bench_*" FILE
"""

from __future__ import annotations

import copy
import functools
import json
import time

import numpy as np
import pytest
import torch
from builders import music
from safetensors.torch import save_file
from scipy.stats import spearmanr
from timing import timed
from torch import nn

from base_models.clips.demo.corpus import write_demo
from base_models.clips.read_clips import read_clips
from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.full_size import FULL_SIZE, MUQ
from base_models.encoders.numerics.folding import fix_weights
from base_models.encoders.numerics.lowered import lower_layers, round_layers
from base_models.encoders.numerics.winograd import use_winograd
from base_models.pooled.pooled_mos import PooledMOS
from base_models.precision.names import has_bfloat16
from base_models.training.neural_mos import NeuralMOS

SECONDS = 4
PROMPT_TOKENS = 32
ATTENDING = ["mert", "wav2vec2", "whisper", "roberta", "qwen3"]
HEADS = {
    "pooled_ridge": PooledMOS,
    "dora": functools.partial(
        NeuralMOS, settings={"max_epochs": 10, "learning_rate": 5e-4}
    ),
}


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
    native = copy.deepcopy(module)
    lower_layers(native)
    took, in_bfloat16 = best_of(native, inputs, n=1 + is_native)
    lowered = in_bfloat16
    if not is_native:
        round_layers(module)
        took, lowered = best_of(module, inputs)
    way = "bfloat16" if is_native else "bfloat16 by rounding in float32"
    speed = f"{seconds / took:.2f} x as fast as its library in float32"
    print(f"{name}, {way}: {speed}; {nearness(lowered, expected)}")
    if not is_native:
        print(f"{name}, rounded beside bfloat16: {nearness(lowered, in_bfloat16)}")


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


@pytest.fixture(scope="module")
def muq_folder(tmp_path_factory):
    """A folder of weights of MuQ at its published size."""
    folder = tmp_path_factory.mktemp("muq")
    (folder / "config.json").write_text(json.dumps(MUQ))
    weights = full_size("muq").weighted_parts.state_dict()
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("preset", HEADS)
def bench_scores_of_a_head_in_bfloat16(preset, muq_folder, store, tmp_path):
    """A head that was trained in float32, on embeddings in both precisions.

    Of the demo corpus; the text encoder has its published weights.
    """
    demo = read_clips(write_demo(tmp_path / "demo"))
    clips = dict(list(demo.groupby("split")))
    words = {"audio": f"muq={muq_folder}", "text": "minilm"}
    model = HEADS[preset](
        preset,
        audio_encoder=words["audio"],
        text_encoder=words["text"],
        device="cpu",
        precision="float32",
        store=store,
    )
    model.fit(clips["train"], clips["train"][["mi", "ta"]])
    exact = model.predict(clips["test"])

    model.set_params(precision="auto")
    for kind, word in words.items():
        lowered = load_encoder(word, precision="bfloat16")
        model.encoders_[kind] |= {
            "precision": "bfloat16",
            "signature": lowered.signature,
        }
    rounded = model.predict(clips["test"])
    moved = np.abs(rounded - exact)

    print()
    for column, aspect in enumerate(("mi", "ta")):
        agreement = spearmanr(exact[:, column], rounded[:, column]).statistic
        print(
            f"{preset} on MuQ, {aspect}: scores move by {moved[:, column].max():.4f} "
            f"at most and by {moved[:, column].mean():.4f} in the mean, rank agreement "
            f"with itself {agreement:.5f} ({len(exact)} clips)"
        )
