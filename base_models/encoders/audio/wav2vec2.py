"""wav2vec 2.0: speech representations from raw samples, 50 frames of 768 numbers a second.

Source: Baevski et al., 2020; the weights of ``wav2vec2-base`` are Apache-2.0; the audio side of one of WhisQ's
ablations. The trap: this checkpoint was trained without an attention mask, and its group normalisation runs over the
whole clip, so every sample of padding would change every frame.
"""

from __future__ import annotations

from base_models.encoders.audio.waves import wave_config, wave_encoder
from base_models.encoders.base import Encoder, assembled
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import below
from base_models.encoders.weights import WeightFiles


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """wav2vec 2.0 from ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``.

    Raises
    ------
    UsageError
        when the config is not wav2vec 2.0's, or the tensors do not fit it.
    """
    model = assembled(files, "wav2vec 2.0", assemble_wav2vec2)
    return wave_encoder(spec, files, device, model, below(files.tensors(), "wav2vec2."))


def assemble_wav2vec2(config: dict):
    """wav2vec 2.0 with random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    if config.get("model_type") != "wav2vec2":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'wav2vec2'")
    return Wav2Vec2Model(wave_config(Wav2Vec2Config, config))
