"""The published encoders at their full size, without weights: to count what they cost.

A config comes with the weights, and is read from there when an encoder is loaded. Here
it is stated as far as it differs from its library's defaults, so that nothing needs to
be fetched. The counts agree with the sizes of the downloads, `EncoderSpec.megabytes`.
basic_pitch is not among them: its network is published as a finished graph alone.

``python -m base_models.encoders.full_size`` counts them all and writes the file that
`base_models.encoders.full_size_costs` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base_models.encoders.audio.distillmos import SpeechJudge
from base_models.encoders.audio.mert import assemble_mert
from base_models.encoders.audio.muq import assemble_muq
from base_models.encoders.audio.wav2vec2 import assemble_wav2vec2
from base_models.encoders.audio.waves import WaveHiddenState
from base_models.encoders.audio.whisper import assemble_whisper
from base_models.encoders.full_size_costs import (
    SECONDS,
    TOKENS,
    FullSizeCost,
    write_full_size_costs,
)
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
from base_models.encoders.text.minilm import assemble_minilm
from base_models.encoders.text.modernbert import assemble_modernbert
from base_models.encoders.text.qwen3 import assemble_qwen3
from base_models.encoders.text.roberta import assemble_roberta
from base_models.encoders.text.transformer import LastHiddenState
from base_models.networks.costs import META, count_cost, on_meta
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = LazyLibrary("torch")

MUQ = {
    "label_rate": 25,
    "stat": {"melspec_2048_mean": 6.768, "melspec_2048_std": 18.418},
    "w2v2_config": {
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "position_embeddings_type": "rotary",
        "hidden_act": "swish",
    },
}
_ROBERTA = {
    "vocab_size": 50_265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
}
_MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
_XLM_ROBERTA = {**_ROBERTA, "vocab_size": 250_002}
_TOWER = {"dim": 768, "tf_depth": 8}
_MUQ_MULAN = {
    "mulan": {"dim_latent": 512},
    "audio_model": {"name": "muq", "model_dim": 1024},
    "text_model": {"name": "xlm-roberta", "model_dim": 768},
    "audio_transformer": _TOWER,
    "text_transformer": _TOWER,
}
_CLAP = {
    "model_type": "clap",
    "projection_dim": 512,
    "audio_config": {
        "depths": [2, 2, 12, 2],
        "hidden_size": 1024,
        "patch_embeds_hidden_size": 128,
    },
}
_WHISPER_BASE = {
    "model_type": "whisper",
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
}
_QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
}


def _mulan_audio() -> nn.Module:
    muq, width = assemble_muq(MUQ)
    return MuLanAudio(muq, **assemble_mulan(_MUQ_MULAN, "audio", width))


def _mulan_text() -> nn.Module:
    roberta = assemble_xlm_roberta(_XLM_ROBERTA)
    width = roberta.config.hidden_size
    return MuLanText(roberta, **assemble_mulan(_MUQ_MULAN, "text", width))


@dataclass(frozen=True)
class _FullSize:
    """How an encoder is built, and the shape of one prepared item.

    Parameters
    ----------
    build : makes the module
    shape : of a batch of one clip, or of one prompt
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


def _waves(assemble: Callable[[dict[str, Any]], nn.Module], model: str) -> nn.Module:
    return WaveHiddenState(assemble({"model_type": model}))


_PROMPT = (1, TOKENS)
_CLAP_WINDOW = (1, 1001, 64)
"""Channel, frames and bands of ten seconds of log-mel."""

FULL_SIZE = {
    "muq": _FullSize(lambda: assemble_muq(MUQ)[0], (1, SECONDS * 24_000)),
    "muq_mulan": _FullSize(_mulan_audio, (1, SECONDS // 10, 240_000)),
    "clap": _FullSize(
        lambda: ClapAudio(assemble_clap_audio(_CLAP)),
        (1, SECONDS // 10, *_CLAP_WINDOW),
    ),
    # 30 s at 16 kHz pass for ten seconds at 48 kHz.
    "clap_slip": _FullSize(
        lambda: ClapAudio(assemble_clap_audio(_CLAP)), (1, 1, *_CLAP_WINDOW)
    ),
    "mert": _FullSize(
        lambda: _waves(assemble_mert, "mert_model"), (1, SECONDS * 24_000)
    ),
    "wav2vec2": _FullSize(
        lambda: _waves(assemble_wav2vec2, "wav2vec2"), (1, SECONDS * 16_000)
    ),
    "whisper": _FullSize(
        lambda: assemble_whisper(_WHISPER_BASE)[0], (1, SECONDS * 16_000)
    ),
    # A clip of 30 s has no silence after it.
    "whisper_padded": _FullSize(
        lambda: assemble_whisper(_WHISPER_BASE)[0], (1, SECONDS * 16_000)
    ),
    "distillmos": _FullSize(SpeechJudge, (1, SECONDS * 16_000)),
    "roberta": _FullSize(lambda: LastHiddenState(assemble_roberta(_ROBERTA)), _PROMPT),
    "minilm": _FullSize(lambda: LastHiddenState(assemble_minilm(_MINILM)), _PROMPT),
    "muq_mulan_text": _FullSize(_mulan_text, _PROMPT),
    "clap_text": _FullSize(lambda: ClapText(assemble_clap_text(_CLAP)), _PROMPT),
    "qwen3": _FullSize(lambda: LastHiddenState(assemble_qwen3(_QWEN3)), _PROMPT),
    "modernbert": _FullSize(
        lambda: LastHiddenState(assemble_modernbert({"model_type": "modernbert"})),
        _PROMPT,
    ),
}


def count_full_size(name: str) -> FullSizeCost:
    """Count an encoder for one clip of 30 s, or one prompt of 32 tokens.

    Parameters
    ----------
    name : one of `FULL_SIZE`
    """
    full_size = FULL_SIZE[name]
    # Prompts are token ids, all else are samples or spectrograms.
    dtype = torch.long if full_size.shape == _PROMPT else torch.float32
    item = torch.zeros(full_size.shape, dtype=dtype, device=META)
    cost, embedding = count_cost(on_meta(full_size.build), item)
    return FullSizeCost(cost, shape=tuple(embedding.shape))


if __name__ == "__main__":
    write_full_size_costs({name: count_full_size(name) for name in FULL_SIZE})
