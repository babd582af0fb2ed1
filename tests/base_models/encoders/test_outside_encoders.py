"""What the conformance checks find, and encoders that other packages add."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from builders import ROOT
from plugins import importable, write_metadata
from torch import nn

from base_models import encoders
from base_models.encoders import ENCODERS, load_encoder, parse_encoder
from base_models.encoders.base import Encoder, check_prompt
from base_models.encoders.conformance import check_encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError


@pytest.fixture
def clips(tmp_path):
    """Two clips of noise, of one second and of two."""
    paths = [str(tmp_path / f"{seconds}.wav") for seconds in (1, 2)]
    for seconds, path in enumerate(paths, start=1):
        soundfile.write(
            path, np.random.default_rng(0).normal(size=seconds * 16_000) * 0.1, 16_000
        )
    return paths


class Bad(nn.Module):
    """An encoder of characters with one fault."""

    def __init__(self, fault):
        super().__init__()
        self.fault, self.norm = fault, nn.BatchNorm1d(2)

    def forward(self, ids):
        out = torch.stack([ids, -ids], -1).float()
        if self.fault == "trains":
            self.norm.train()(out.transpose(1, 2))
        faults = {
            "batch": lambda: out + (ids.shape[0] - 1),
            "random": lambda: out + torch.rand(()),
            "wide": lambda: torch.cat([out, out], -1),
            "nan": lambda: out / 0 * 0,
            "pooled": lambda: out.mean(1),
            "still": lambda: torch.ones_like(out),
            "raises": lambda: out.view(-1, 7),
            "tiny": lambda: out * 1e-6,
        }
        return faults.get(self.fault, lambda: out)()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, None),
        ("batch", "a batch changes its members by up to 1"),
        ("random", "again gives other numbers"),
        ("random", "changed the state of a global random generator"),
        ("wide", r"has shape \(1, 2, 4\), not \(1, T, 2\)"),
        ("pooled", r"has shape \(1, 2\)"),
        ("nan", "is not finite"),
        ("nan", "not finite in dimensions '0', '1'"),
        ("still", "the embeddings of all items are the same"),
        ("raises", r"encoding fails \(RuntimeError"),
        ("tiny", "said to be normalised, but its dimensions have a spread of 7e-07"),
        ("trains", "its parameters or buffers changed"),
    ],
)
def test_conformance_names_the_fault(fault, said):
    def prepare(prompt):
        return np.array([ord(letter) for letter in check_prompt(prompt)])

    spec = vars(ENCODERS["hashed_text"]) | {"name": "bad", "dim": 2}
    encoder = Encoder(**spec, module=Bad(fault), prepare=prepare, digest="0" * 64)
    problems = check_encoder(encoder, ["ab", "ba", "abc"]).problems
    if said is None:
        assert problems == []
    else:
        assert [it for it in problems if re.search(said, it)], problems


def characters(name="bad", out=None, **facts):
    """An encoder of the letters of a prompt, not normalised and with a digest."""

    def prepare(prompt):
        return np.array([ord(letter) for letter in check_prompt(prompt)])

    spec = vars(ENCODERS["hashed_text"]) | {"name": name, "dim": 2, "normalised": False}
    module = Bad(None)
    if out is not None:
        module.forward = out
    return Encoder(
        **spec | {"digest": "0" * 64} | facts, module=module, prepare=prepare
    )


def test_conformance_measures_scale_and_dead_dimensions():
    def out(ids):
        return torch.stack([ids * 1e-6, torch.full(ids.shape, 0.3)], -1).float()

    report = check_encoder(characters(out=out), ["ab", "ba", "abc"])
    assert report.problems == []
    figures = report.figures
    letters = np.array([ord(letter) for letter in "abbaabc"])
    assert (figures.frames, figures.dim) == (7, 2)
    assert figures.mean == pytest.approx((letters.mean() * 1e-6 + 0.3) / 2)
    assert figures.spread == pytest.approx(letters.std() * 1e-6, rel=1e-4)
    assert figures.smallest_spread == figures.largest_spread == figures.spread
    assert figures.dead == (1,)
    assert figures.infinite == ()
    assert "7 frames of 2 dimensions" in str(report)
    assert "1 dimensions dead" in str(report)


@pytest.mark.parametrize(
    ("digest", "said"),
    [
        ("", "it has no digest, so embeddings of other weights or code would pass"),
        ("v1", "its digest is 'v1', not the 64 lower-case hex digits"),
        ("A" * 64, "lower-case hex"),
    ],
)
def test_conformance_names_a_digest_that_is_missing_or_none(digest, said):
    problems = check_encoder(characters(digest=digest), ["ab", "ba"]).problems
    assert len(problems) == 1
    assert said in problems[0]


def test_conformance_names_a_prepare_that_takes_nothing_or_fails():
    def prepare(prompt):
        if prompt == "b":
            raise KeyError("b")
        return np.zeros(3)

    spec = vars(ENCODERS["hashed_text"]) | {"name": "bad", "dim": 2}
    encoder = Encoder(**spec, module=Bad(None), prepare=prepare)
    problems = check_encoder(encoder, ["a", "b"]).problems
    assert any("prepare fails on 'b' (KeyError" in it for it in problems)
    assert "prepare accepts ''" in problems
    with pytest.raises(UsageError, match="at least two items"):
        check_encoder(encoder, ["a"])


def test_conformance_names_a_wrong_rate(clips):
    wrong = Encoder(**vars(load_encoder("logmel")) | {"frame_rate": 50.0})
    problems = check_encoder(wrong, clips).problems
    assert any("it states 50 a second" in it for it in problems)


# encoders of other packages


@pytest.fixture
def install(tmp_path):
    """Function that installs a module: its name, source, and entry points by name."""

    def put(module, source, **points):
        (tmp_path / f"{module}.py").write_text(source)
        write_metadata(tmp_path, module, **points)
        encoders.known_encoders.cache_clear()

    with importable(tmp_path, "loudness", "broken"):
        yield put


LOUDNESS = """
from base_models.encoders.specs import EncoderSpec

FACTS = {"kind": "audio", "licence": "MIT", "sample_rate": 16_000, "frame_rate": 10.0}
SPEC = EncoderSpec(name="loudness", dim=1, **FACTS)


def build(spec, files, device):
    from torch import nn

    from base_models.encoders.base import Encoder, prepare_audio

    class Loudness(nn.Module):
        def forward(self, samples):
            return samples.unfold(-1, 1600, 1600).square().mean(-1, keepdim=True)

    prepare = prepare_audio(spec, shortest=1600)
    return Encoder.from_spec(spec, module=Loudness(), prepare=prepare, device=device)
"""


def test_a_single_module_can_offer_an_encoder(install, clips):
    install("loudness", LOUDNESS, loudness="SPEC")
    assert parse_encoder("loudness") == ("loudness", None)
    assert encoders.ENCODERS["loudness"].builder == "loudness"
    encoder = load_encoder("loudness")
    assert check_encoder(encoder, clips).problems == []
    assert encoder.encode([encoder.prepare(clips[0])]).shape == (1, 10, 1)


@pytest.mark.parametrize("where", ["prepare", "forward"])
def test_an_encoder_that_raises_what_it_must_not_is_named(where, install, clips):
    broken = LOUDNESS.replace(
        "            return samples",
        "            if samples.shape[-1] > 16_000:\n"
        "                raise KeyError('long')\n"
        "            return samples",
    )
    if where == "prepare":
        broken = LOUDNESS.replace("prepare=prepare,", "prepare=dict().__getitem__,")
    install("loudness", broken, loudness="SPEC")
    with pytest.raises(
        UsageError, match=r"'loudness' of another package fails .KeyError: .*check_enc"
    ):
        EmbeddingStore().fill(load_encoder("loudness"), {"a": clips[1]})


def test_a_package_that_imports_ours_first_is_found_and_torch_is_not_loaded(
    install, tmp_path
):
    install("loudness", LOUDNESS, loudness="SPEC")
    code = "import loudness, sys, base_models.encoders as e; "
    code += "assert 'loudness' in e.ENCODERS; sys.exit('torch' in sys.modules)"
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode
        == 0
    )


BROKEN = """
from base_models.encoders.specs import EncoderSpec
FACTS = {"dim": 1, "licence": "MIT"}
RATES = {"sample_rate": 8000, "frame_rate": 1.0}
WEIGHTS = ("model.safetensors",)
MUQ = EncoderSpec(name="muq", kind="audio", **RATES, **FACTS)
RATELESS = EncoderSpec(name="rateless", kind="audio", **FACTS)
KINDLESS = EncoderSpec(name="kindless", kind="video", **FACTS)
NO_CONFIG = EncoderSpec(name="no_config", kind="text", files=WEIGHTS, **FACTS)
OTHER = EncoderSpec(name="other", kind="text", **FACTS)
"""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rateless", "RATELESS", "states its sample_rate and frame_rate"),
        ("kindless", "KINDLESS", "kind must be 'audio' or 'text'"),
        ("no_config", "NO_CONFIG", "files lack 'config.json'"),
        ("named", "OTHER", "its spec is named 'other'"),
        ("text", "__name__", "it is a str, not an EncoderSpec"),
        ("absent", "NOTHING", "AttributeError in 'broken:NOTHING' of package 'broken'"),
    ],
)
def test_a_broken_package_is_named_and_the_others_stay_usable(
    name, value, said, install
):
    install("broken", BROKEN, **{name: value})
    with pytest.raises(UsageError, match=f"Encoder '{name}' cannot be used: .*{said}"):
        load_encoder(name)
    assert parse_encoder("logmel") == ("logmel", None)


def test_a_package_cannot_replace_an_encoder_of_ours(install):
    install("broken", BROKEN, muq="MUQ")
    assert encoders.ENCODERS["muq"].dim == 1024
