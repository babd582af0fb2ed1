"""What the encoders of raw samples share: wav2vec 2.0 and HuBERT.

Both are convolutions over the samples followed by a transformer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Encoder, prepare_audio
from base_models.encoders.numerics.folding import fix_weights
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.errors import UsageError

if TYPE_CHECKING:
    from transformers import HubertModel, PreTrainedConfig, Wav2Vec2Model

Config = TypeVar("Config", bound="PreTrainedConfig")

PARTS = ("feature_extractor.", "feature_projection.", "encoder.")
"""The parts of a checkpoint that are used.

Its quantisers, its heads and its mask vector are for training.
"""

_WEIGHT_NORM_NAMES = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
"""Names of the positional convolution's weights: in older torch → in this one."""


class WaveHiddenState(nn.Module):
    """The last hidden state of a wav2vec 2.0 or HuBERT.

    Shape
    -----
    input (B, L) samples; output (B, T, dim), one frame per stride of the convolutions
    """

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        # Without an attention mask, since nothing is padded.
        return self.transformer(samples).last_hidden_state


def wave_config(config_class: type[Config], config: Mapping[str, Any]) -> Config:
    """Build a config of transformers without what is for training.

    That is masking in time and frequency, and dropped layers.
    """
    inference_config = {
        **config,
        "apply_spec_augment": False,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "layerdrop": 0.0,
    }
    built = config_class.from_dict(inference_config)
    built._attn_implementation = "sdpa"
    return built


def wave_encoder(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
    *,
    model: HubertModel | Wav2Vec2Model,
    tensors: Mapping[str, torch.Tensor],
) -> Encoder:
    """Build an encoder from a model with random weights and the tensors to load.

    Raises
    ------
    UsageError
        If the tensors do not fit, or the front end is for another sample rate.
    """
    # Whatever else a checkpoint holds would be refused as left over.
    used = {}
    for name, tensor in tensors.items():
        if name.startswith(PARTS):
            used[_current_name(name)] = tensor
    files.fill(model, used)
    fix_weights(model)

    config = model.config
    shortest = shortest_input(config.conv_kernel, config.conv_stride)
    return Encoder.from_spec(
        spec,
        module=WaveHiddenState(model),
        prepare=_make_prepare(spec, files, shortest),
        dim=config.hidden_size,
        digest=files.digest,
        device=device,
    )


def shortest_input(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Number of samples that give one frame: the receptive field of the convolutions.

    >>> shortest_input([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
    400
    """
    # From the last convolution, whose output is one frame, back to the samples.
    length = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        length = (length - 1) * stride + kernel
    return length


def standardised(samples: np.ndarray) -> np.ndarray:
    """Samples of zero mean and unit variance.

    The formula is that of wav2vec 2.0's feature extractor, over the clip's own samples
    alone: there is no padding yet that could enter the mean.
    """
    centred = samples - samples.mean()
    return (centred / np.sqrt(samples.var() + 1e-7)).astype(np.float32)


def _make_prepare(
    spec: EncoderSpec,
    files: WeightFiles,
    shortest: int,
) -> Callable[[str], np.ndarray]:
    front_end = files.json("preprocessor_config.json")
    if front_end.get("sampling_rate") != spec.sample_rate:
        path = files.paths["preprocessor_config.json"]
        raise UsageError(
            f"{path}: sampling_rate is {front_end.get('sampling_rate')}; "
            f"'{spec.name}' is {spec.sample_rate}."
        )

    read = prepare_audio(spec, shortest)
    if not front_end.get("do_normalize", True):
        return read
    return lambda path: standardised(read(path))


def _current_name(name: str) -> str:
    # Checkpoints keep the names that weight normalisation had when they were saved.
    for old, new in _WEIGHT_NORM_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
