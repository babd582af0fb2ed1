"""MERT: music representations from raw samples, 75 frames of 768 numbers a second.

Source: Li et al., "MERT: Acoustic Music Understanding Model with Large-Scale Self-supervised Training", 2023. The
weights are CC BY-NC 4.0. The trap: the hub's model comes with code that would run here. MERT-v1-95M is a HuBERT but for
its name, so its weights go into transformers' own class; a MERT that differs (constant-Q features beside the
convolutions, DeepNorm, relaxed attention) is refused, since HuBERT would take its weights and compute something else.
"""

from __future__ import annotations

from base_models.encoders.audio.waves import wave_config, wave_encoder
from base_models.encoders.base import Encoder, assembled
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import below
from base_models.encoders.weights import WeightFiles

NOT_HUBERT = ("feature_extractor_cqt", "deepnorm")
"""MERT's own settings that must be off. Its third, attention_relax, acts only together with DeepNorm."""


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """MERT from ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``.

    Raises
    ------
    UsageError
        when the config is not MERT's, is that of a MERT that is no HuBERT, or the tensors do not fit it.
    """
    model = assembled(files, "MERT", assemble_mert)
    return wave_encoder(
        spec, files, device, model, below(files.tensors(), "mert_model.")
    )


def assemble_mert(config: dict):
    """HuBERT with random weights, of MERT's sizes."""
    from transformers import HubertConfig, HubertModel

    if config.get("model_type") != "mert_model":
        raise ValueError(
            f"model_type is {config.get('model_type')!r}, not 'mert_model'"
        )
    for name in NOT_HUBERT:
        if config.get(name):
            raise ValueError(
                f"{name}: transformers' HuBERT cannot compute it, and the hub's own code is never run; "
                "MERT-v1-95M can be used"
            )
    if config.get("sample_rate", 24_000) != 24_000:
        raise ValueError(f"sample_rate is {config['sample_rate']}, not 24000")
    return HubertModel(wave_config(HubertConfig, config | {"model_type": "hubert"}))
