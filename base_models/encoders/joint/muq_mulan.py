"""MuQ-MuLan: music and text in one space of 512 dimensions; one vector for each ten seconds, and one for a prompt.

Source: Zhu et al., "MuQ", 2025; the ``muq`` package, whose parts are used here. The weights are CC BY-NC 4.0. The
traps: the package fetches two more models, pickles allowed, only to overwrite them; its MuQ fails in transformers 5
(see `base_models.encoders.audio.muq`); and it averages over padded text tokens, so a prompt's vector depends on its company.
A last window is completed from the clip's start, as the package does; a clip under five seconds, which the package
leaves at twice its length, is repeated to ten.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from base_models.encoders.audio.muq import (
    SHORTEST,
    MuQConformer,
    assemble_muq,
    muq_tensors,
)
from base_models.encoders.base import Encoder, assembled, prepare_audio
from base_models.encoders.joint.windows import consecutive_windows
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import below, make_tokenizer
from base_models.encoders.weights import WeightFiles

WINDOW = 240_000
"""Samples at 24 kHz: ten seconds."""
MAX_TOKENS = 512


class MuLanAudio(nn.Module):
    """MuQ, a transformer over its frames, their mean, and a projection of norm 1.

    Shape
    -----
    input (B, windows, L), 24 kHz; output (B, windows, dim)
    """

    def __init__(
        self,
        model: MuQConformer,
        proj: nn.Module,
        transformer: nn.Module,
        to_latents: nn.Module,
    ):
        super().__init__()
        self.model = model
        self.proj, self.transformer, self.to_latents = proj, transformer, to_latents

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        # one window at a time, as the package does: MuQ's convolutions need much memory
        each = [self._vectors(samples[:, i]) for i in range(samples.shape[1])]
        return torch.stack(each, dim=1)

    def _vectors(self, window: torch.Tensor) -> torch.Tensor:
        hidden = self.transformer(self.proj(self.model(window)))
        return nn.functional.normalize(self.to_latents(hidden.mean(-2)), dim=-1)


class MuLanText(nn.Module):
    """XLM-RoBERTa, a transformer over its tokens, their mean, and a projection of norm 1.

    Shape
    -----
    input (B, L) token ids; output (B, 1, dim)
    """

    def __init__(
        self,
        model: nn.Module,
        proj: nn.Module,
        transformer: nn.Module,
        to_latents: nn.Module,
    ):
        super().__init__()
        self.model = model
        self.proj, self.transformer, self.to_latents = proj, transformer, to_latents

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        hidden = self.transformer(self.proj(hidden))
        return nn.functional.normalize(self.to_latents(hidden.mean(-2)), dim=-1)[
            :, None
        ]


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """One tower of MuQ-MuLan, with ``muq/config.json`` or ``xlm-roberta/{config,tokenizer}.json`` for its inner model.

    Raises
    ------
    UsageError
        when a config is not MuQ-MuLan's, or the tensors or the tokenizer do not fit it.
    """
    tower = _audio_tower if spec.kind == "audio" else _text_tower
    module, prepare = tower(
        spec,
        files,
        {name.removeprefix("mulan."): t for name, t in files.tensors().items()},
    )
    facts = vars(spec) | {
        "dim": module.to_latents.out_features,
        "digest": files.digest,
        "device": device,
    }
    return Encoder(**facts, module=module, prepare=prepare)


def _audio_tower(
    spec: EncoderSpec, files: WeightFiles, tensors: dict[str, torch.Tensor]
):
    inner, width = assembled(files, "MuQ", assemble_muq, "muq/config.json")
    parts = assembled(
        files, "MuQ-MuLan", lambda config: assemble_mulan(config, "audio", width)
    )
    layer = files.json("config.json")["audio_model"].get("use_layer_idx", -1)
    muq = nn.ModuleDict({"conv": inner.conv, "conformer": inner.conformer})
    files.fill(
        nn.ModuleDict({"model": muq, **parts}), _needed(tensors, "audio", muq_tensors)
    )
    _stop_at(inner.conformer, layer)
    return MuLanAudio(inner, **parts), _whole_windows(spec)


def _text_tower(
    spec: EncoderSpec, files: WeightFiles, tensors: dict[str, torch.Tensor]
):
    inner = assembled(
        files, "XLM-RoBERTa", assemble_xlm_roberta, "xlm-roberta/config.json"
    )
    parts = assembled(
        files,
        "MuQ-MuLan",
        lambda config: assemble_mulan(config, "text", inner.config.hidden_size),
    )
    wanted = ("embeddings.", "encoder.")  # without the pooler
    files.fill(
        nn.ModuleDict({"model": inner, **parts}),
        _needed(tensors, "text", lambda named: below(named, "", wanted)),
    )
    config = inner.config
    longest = min(MAX_TOKENS, config.max_position_embeddings - config.pad_token_id - 1)
    ends, name = (
        (config.bos_token_id, config.eos_token_id),
        "xlm-roberta/tokenizer.json",
    )
    prepare = make_tokenizer(
        files, "XLM-RoBERTa", longest, config.vocab_size, ends, name
    )
    return MuLanText(inner, **parts), prepare


def assemble_mulan(config: dict, kind: str, width: int) -> dict[str, nn.Module]:
    """What follows the inner model of one tower, with random weights; the inner model's vectors are of `width`."""
    from muq.muq_mulan.modules.transformer import Transformer

    joint, sizes, inner = (
        config["mulan"],
        config[f"{kind}_transformer"],
        config[f"{kind}_model"],
    )
    if (joint.get("sr", 24_000), joint.get("clip_secs", 10)) != (24_000, 10):
        raise ValueError("sr and clip_secs must be 24000 and 10")
    family = {"audio": "muq", "text": "xlm-roberta"}[kind]
    if family not in inner["name"].lower() or inner.get("model_dim") not in (
        None,
        width,
    ):
        raise ValueError(
            f"{kind}_model is {inner}; it must be a {family} of width {width}"
        )
    if not isinstance(inner.get("use_layer_idx", -1), int):
        raise TypeError(
            f"use_layer_idx is {inner['use_layer_idx']!r}, not a whole number"
        )
    dim = sizes["dim"]
    options = {
        key: sizes[key] for key in ("dim_head", "heads", "ff_mult") if key in sizes
    }
    projected = kind == "audio" or inner.get("model_dim") not in (None, dim)
    return {
        "proj": nn.Linear(width, dim) if projected else nn.Identity(),
        "transformer": Transformer(dim=dim, depth=sizes["tf_depth"], **options),
        "to_latents": nn.Linear(dim, joint.get("dim_latent", 512)),
    }


def assemble_xlm_roberta(config: dict):
    """XLM-RoBERTa with random weights, without a pooler."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    config = XLMRobertaConfig.from_dict(config)
    config._attn_implementation = "eager"
    return XLMRobertaModel(config, add_pooling_layer=False)


def _needed(
    tensors: dict[str, torch.Tensor], kind: str, of_model: Callable[[dict], dict]
) -> dict[str, torch.Tensor]:
    """The tensors of one tower; of its inner model, those that `of_model` picks and names."""
    tower = {
        name.removeprefix(f"{kind}."): t
        for name, t in tensors.items()
        if name.startswith(f"{kind}.")
    }
    model = {
        name.removeprefix("model."): t
        for name, t in tower.items()
        if name.startswith("model.")
    }
    latents = {
        name.removeprefix(f"{kind}_"): t
        for name, t in tensors.items()
        if name.startswith(f"{kind}_to_latents")
    }
    rest = {
        name: t
        for name, t in tower.items()
        if name.startswith(("proj.", "transformer."))
    }
    return {f"model.{name}": t for name, t in of_model(model).items()} | rest | latents


def _stop_at(conformer: nn.Module, layer: int) -> None:
    """Make the output of `conformer` its hidden state number `layer`, counted as transformers does."""
    depth = len(conformer.layers)
    if layer % (depth + 1) != depth:  # only the last is normalised
        conformer.layers = conformer.layers[: layer % (depth + 1)]
        conformer.layer_norm = nn.Identity()


def _whole_windows(spec: EncoderSpec) -> Callable[[str], np.ndarray]:
    """Function from a path to windows of ten seconds, float32 array of shape (windows, WINDOW)."""
    read = prepare_audio(spec, SHORTEST)

    def prepare(path: str) -> np.ndarray:
        samples = read(path)
        windows = consecutive_windows(samples, WINDOW)
        filled = (
            np.resize(np.concatenate([windows[-1], samples]), WINDOW)
            if len(windows) > 1
            else None
        )
        return np.stack(
            [*windows[:-1], np.resize(samples, WINDOW) if filled is None else filled]
        )

    return prepare
