"""Tiny random-weight models of the real encoder classes, written as folders of weights."""

from __future__ import annotations

import torch

PROMPTS = ["a slow piano tune", "fast drums", "sad violin, rain"]


def write_muq(folder):
    """A tiny MuQ, written by its own package; BatchNorm statistics as if it had been trained."""
    from muq import MuQ, MuQConfig
    from transformers import Wav2Vec2ConformerConfig

    conformer = Wav2Vec2ConformerConfig(
        num_attention_heads=2, intermediate_size=24, position_embeddings_type="rotary", num_conv_pos_embeddings=8
    )
    plain = {name: value for name, value in conformer.to_dict().items() if not isinstance(value, dict)}
    stat = {"melspec_2048_mean": 6.77, "melspec_2048_std": 18.42}
    model = MuQ(MuQConfig(conv_dim=4, encoder_dim=16, encoder_depth=2, stat=stat, w2v2_config=plain, codebook_size=8))
    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and "running_var" not in name:
            tensor.add_(0.1 * torch.randn_like(tensor))
    model.save_pretrained(folder)
    return model


def write_roberta(folder):
    """A tiny RoBERTa and a byte-level BPE trained on the prompts."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing
    from transformers import RobertaConfig, RobertaForMaskedLM

    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(PROMPTS, vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = RobertaConfig(vocab_size=300, max_position_embeddings=140, **sizes)
    RobertaForMaskedLM(config).save_pretrained(folder)
