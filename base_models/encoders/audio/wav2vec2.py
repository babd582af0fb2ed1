"""wav2vec 2.0: speech representations from raw samples, 50 frames a second.

Source: Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
Representations", 2020; the weights of ``wav2vec2-base`` (768 numbers a frame) are
Apache-2.0. It is the audio encoder of one of WhisQ's ablations.

This checkpoint was trained without an attention mask, and its group normalisation runs
over the whole clip, so every sample of padding would change every frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from base_models.encoders.audio.waves import wave_config, wave_encoder
from base_models.encoders.base import Encoder, assemble_from_config
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles, select_tensors

if TYPE_CHECKING:
    from transformers import Wav2Vec2Model


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load wav2vec 2.0 from its config, weights and ``preprocessor_config.json``.

    Raises
    ------
    UsageError
        If the config is not wav2vec 2.0's, or the tensors do not fit it.
    """
    model = assemble_from_config(files, "wav2vec 2.0", assemble_wav2vec2)
    # A checkpoint of the pretraining model has its training heads beside this prefix.
    tensors = select_tensors(files.tensors(), "wav2vec2.")
    return wave_encoder(spec, files, device, model=model, tensors=tensors)


def assemble_wav2vec2(config: dict[str, Any]) -> Wav2Vec2Model:
    """Build wav2vec 2.0 with random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    if config.get("model_type") != "wav2vec2":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'wav2vec2'")
    return Wav2Vec2Model(wave_config(Wav2Vec2Config, config))
