"""What encoding costs, and what the store saves: ratios of two things measured in one
run.

Run: pytest -s -o addopts=--import-mode=importlib -o python_files="bench_*.py" -o
python_functions="bench_*" FILE
"""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from timing import timed

from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.audio.mert import assemble_mert
from base_models.encoders.audio.muq import assemble_muq
from base_models.encoders.audio.wav2vec2 import assemble_wav2vec2
from base_models.encoders.audio.waves import WaveHiddenState
from base_models.encoders.audio.whisper import assemble_whisper
from base_models.encoders.base import Encoder
from base_models.encoders.joint.clap import (
    ClapAudio,
    ClapText,
    assemble_clap_audio,
    assemble_clap_text,
)
from base_models.encoders.joint.muq_mulan import (
    MuLanAudio,
    MuLanText,
    assemble_mulan,
    assemble_xlm_roberta,
)
from base_models.encoders.store import EmbeddingStore
from base_models.encoders.text.modernbert import assemble_modernbert
from base_models.encoders.text.qwen3 import assemble_qwen3
from base_models.encoders.text.roberta import assemble_roberta
from base_models.encoders.text.transformer import LastHiddenState

RATE = 24_000


CONFORMER = {
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "position_embeddings_type": "rotary",
}
MUQ = {
    "w2v2_config": CONFORMER | {"hidden_act": "swish"},
    "stat": {
        "melspec_2048_mean": 6.768444971712967,
        "melspec_2048_std": 18.417922652295623,
    },
}


def full_size_muq():
    """MuQ-large's architecture with random weights."""
    torch.manual_seed(0)
    module, _ = assemble_muq(MUQ)
    return Encoder(**vars(ENCODERS["muq"]), module=module, prepare=None)


def bench_muq_of_full_size():
    encoder = full_size_muq()
    clip = (0.1 * np.sin(np.arange(30 * RATE) * 0.05)).astype(np.float32)
    once, embedding = timed(lambda: encoder.encode([clip]))
    pair, _ = timed(lambda: encoder.encode([clip, clip]))
    assert embedding.shape == (1, 750, 1024)
    size = sum(parameter.numel() for parameter in encoder.module.parameters()) / 1e6
    print(
        f"\nMuQ, {size:.0f} M parameters, 30 s clip: {once:.1f} s, {30 / once:.1f} x "
        f"real time"
    )
    print(
        f"MuQ, two clips in one batch against two alone: {pair / (2 * once):.2f} of "
        f"the time"
    )


ROBERTA = {
    "vocab_size": 50_265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "pad_token_id": 1,
}
HTSAT = {"patch_embeds_hidden_size": 128, "hidden_size": 1024, "depths": [2, 2, 12, 2]}
CLAP = {
    "model_type": "clap",
    "audio_config": HTSAT
    | {"num_attention_heads": [4, 8, 16, 32], "num_hidden_layers": 4},
    "text_config": ROBERTA,
    "projection_dim": 512,
}
_LAYERS = {"dim": 768, "tf_depth": 8, "heads": 8, "dim_head": 64}
MULAN = {
    "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 512},
    "audio_model": {"name": "muq", "model_dim": 1024},
    "text_model": {"name": "xlm-roberta", "model_dim": 768},
    "audio_transformer": _LAYERS,
    "text_transformer": _LAYERS,
}
QWEN3 = {
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
}
QWEN3 |= {
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
WHISPER = {
    "model_type": "whisper",
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
}
XLM = ROBERTA | {"vocab_size": 250_002}

FULL_SIZE = {
    "whisper": lambda: assemble_whisper(WHISPER | {"encoder_ffn_dim": 2048})[0],
    "wav2vec2": lambda: WaveHiddenState(assemble_wav2vec2({"model_type": "wav2vec2"})),
    "mert": lambda: WaveHiddenState(assemble_mert({"model_type": "mert_model"})),
    "clap": lambda: ClapAudio(assemble_clap_audio(CLAP)),
    "muq_mulan": lambda: MuLanAudio(
        assemble_muq(MUQ)[0], **assemble_mulan(MULAN, "audio", 1024)
    ),
    "clap_text": lambda: ClapText(assemble_clap_text(CLAP)),
    "muq_mulan_text": lambda: MuLanText(
        assemble_xlm_roberta(XLM), **assemble_mulan(MULAN, "text", 768)
    ),
    "roberta": lambda: LastHiddenState(assemble_roberta(ROBERTA)),
    "modernbert": lambda: LastHiddenState(
        assemble_modernbert({"model_type": "modernbert"})
    ),
    "qwen3": lambda: LastHiddenState(assemble_qwen3(QWEN3)),
}
"""The released architectures with random weights; MuQ-MuLan's own layers have its
package's depth.
"""


@pytest.mark.parametrize("name", FULL_SIZE)
def bench_full_size(name):
    """One clip of 30 s, or a prompt of 32 tokens, through the released architecture."""
    torch.manual_seed(0)
    encoder = Encoder(**vars(ENCODERS[name]), module=FULL_SIZE[name](), prepare=None)
    noise = (
        np.random.default_rng(0)
        .normal(size=30 * (encoder.sample_rate or 1))
        .astype(np.float32)
        * 0.1
    )
    item = {
        "clap": lambda: np.full((3, 1, 1001, 64), -30, np.float32),
        "muq_mulan": lambda: noise.reshape(3, -1),
    }.get(name, lambda: noise if encoder.kind == "audio" else np.arange(5, 37))()
    encoder.encode([item[:1] if name in ("clap", "muq_mulan") else item])
    spent, embedding = timed(lambda: encoder.encode([item]))
    assert embedding.shape[2] == encoder.dim
    assert np.isfinite(embedding).all()
    size = sum(parameter.numel() for parameter in encoder.module.parameters()) / 1e6
    print(
        f"\n{name}: {size:.1f} M parameters, {embedding.shape[1]} x "
        f"{embedding.shape[2]}, {spent:.2f} s"
    )


def bench_the_front_end_of_clap():
    """Log-mel windows are made by transformers' numpy code, clip by clip."""
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)
    windows = list(
        np.random.default_rng(0).normal(size=(3, 480_000)).astype(np.float32) * 0.1
    )
    spent, _ = timed(lambda: extractor(windows, sampling_rate=48_000))
    print(f"\nCLAP's log-mel of 30 s: {spent:.2f} s")


def bench_the_store_against_a_plain_loop(tmp_path):
    encoder = load_encoder("logmel")
    generator = np.random.default_rng(0)
    items = {}
    for i in range(60):
        items[f"clip{i}"] = items[f"copy{i}"] = str(tmp_path / f"{i}.wav")
        soundfile.write(
            items[f"clip{i}"], 0.1 * generator.standard_normal(30 * 16_000), 16_000
        )
    store = EmbeddingStore(tmp_path / "embeddings")

    def through_the_store():
        keys, _ = store.fill(encoder, items)
        return [store.get(encoder, key) for key in keys.values()]

    loop, _ = timed(
        lambda: [encoder.encode([encoder.prepare(path)])[0] for path in items.values()]
    )
    cold, _ = timed(through_the_store)
    warm, again = timed(through_the_store)
    print(
        f"\nlogmel, {len(items)} clips of 30 s, each content twice: "
        f"{len(items) / loop:.0f} embeddings/s in a loop"
    )
    print(
        f"the same through an empty store: {loop / cold:.2f} x as fast; through a "
        f"full one: {loop / warm:.1f} x"
    )
    megabytes = sum(embedding.nbytes for embedding in again) / 1e6
    print(
        f"full store: {len(items) / warm:.0f} embeddings/s, {megabytes:.0f} MB, "
        f"verified twice"
    )


def bench_reading_against_muq(tmp_path):
    """Reading one embedding of MuQ's size against computing it, in the same run."""
    encoder, store = full_size_muq(), EmbeddingStore(tmp_path)
    clip = (0.1 * np.sin(np.arange(10 * RATE) * 0.05)).astype(np.float32)
    compute, embedding = timed(lambda: encoder.encode([clip])[0])
    for i in range(50):
        store.put(encoder, f"{i:064d}", embedding)
    read, _ = timed(lambda: [store.get(encoder, f"{i:064d}") for i in range(50)])
    print(
        f"\nMuQ, 10 s clip: reading its embedding, verified, is "
        f"{50 * compute / read:.0f} x as fast as computing it"
    )
