"""MERT: music representations from raw samples, 75 frames of 768 numbers a second.

Source: Li et al., "MERT: Acoustic Music Understanding Model with Large-Scale
Self-supervised Training", 2023. The weights are CC BY-NC 4.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from base_models.encoders.audio.waves import wave_config, wave_encoder
from base_models.encoders.base import Encoder, assemble_from_config
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles, select_tensors

if TYPE_CHECKING:
    from transformers import HubertModel

NOT_HUBERT = ("feature_extractor_cqt", "deepnorm")
"""MERT's own settings that must be off.

Its third, ``attention_relax``, acts only together with ``deepnorm``.
"""


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load MERT from its config, its weights and ``preprocessor_config.json``.

    Raises
    ------
    UsageError
        If the config is not MERT's, describes a MERT that is not a HuBERT, or the
        tensors do not fit it.
    """
    model = assemble_from_config(files, "MERT", assemble_mert)
    tensors = select_tensors(files.tensors(), "mert_model.")
    return wave_encoder(spec, files, device, model=model, tensors=tensors)


def assemble_mert(config: dict[str, Any]) -> HubertModel:
    """Build a HuBERT with random weights, of MERT's sizes.

    Notes
    -----
    The hub's model comes with code of its own, which is never run. MERT-v1-95M is a
    HuBERT in all but name, so its weights fit transformers' own class. A MERT that
    differs (constant-Q features beside the convolutions, DeepNorm, relaxed attention)
    is refused: HuBERT would take its weights and compute something else.
    """
    from transformers import HubertConfig, HubertModel

    if config.get("model_type") != "mert_model":
        raise ValueError(
            f"model_type is {config.get('model_type')!r}, not 'mert_model'"
        )
    for setting in NOT_HUBERT:
        if config.get(setting):
            raise ValueError(
                f"{setting}: transformers' HuBERT cannot compute it, and the hub's own "
                "code is never run; MERT-v1-95M can be used"
            )
    # The front end of MERT states its rate, but the model itself is of one rate only.
    if config.get("sample_rate", 24_000) != 24_000:
        raise ValueError(f"sample_rate is {config['sample_rate']}, not 24000")

    hubert_config = wave_config(HubertConfig, {**config, "model_type": "hubert"})
    return HubertModel(hubert_config)
