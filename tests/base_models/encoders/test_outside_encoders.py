"""What the conformance checks find, and encoders that other packages add."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile
import torch
from builders import ROOT
from torch import nn

from base_models import encoders
from base_models.encoders import ENCODERS, load_encoder, outside, parse_encoder
from base_models.encoders.base import Encoder, check_prompt
from base_models.encoders.conformance import check_encoder
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
        ("trains", "its parameters or buffers changed"),
    ],
)
def test_conformance_names_the_fault(fault, said):
    def prepare(prompt):
        return np.array([ord(letter) for letter in check_prompt(prompt)])

    spec = vars(ENCODERS["hashed_text"]) | {"name": "bad", "dim": 2}
    problems = check_encoder(
        Encoder(**spec, module=Bad(fault), prepare=prepare), ["ab", "ba", "abc"]
    )
    if said is None:
        assert problems == []
    else:
        assert [it for it in problems if re.search(said, it)], problems


def test_conformance_names_a_prepare_that_takes_nothing_or_fails():
    def prepare(prompt):
        if prompt == "b":
            raise KeyError("b")
        return np.zeros(3)

    spec = vars(ENCODERS["hashed_text"]) | {"name": "bad", "dim": 2}
    encoder = Encoder(**spec, module=Bad(None), prepare=prepare)
    problems = check_encoder(encoder, ["a", "b"])
    assert any("prepare fails on 'b' (KeyError" in it for it in problems)
    assert "prepare accepts ''" in problems
    with pytest.raises(UsageError, match="at least two items"):
        check_encoder(encoder, ["a"])


def test_conformance_names_a_wrong_rate(clips):
    wrong = Encoder(**vars(load_encoder("logmel")) | {"frame_rate": 50.0})
    assert any("it states 50 a second" in it for it in check_encoder(wrong, clips))


# encoders of other packages


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Function that installs a module: its name, source, and entry points by name."""

    def put(module, source, **points):
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n"
        )
        lines = [f"{name} = {module}:{value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text(
            "\n".join(["[stackedmos.encoders]", *lines, ""])
        )
        encoders.known_encoders.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(encoders, "_loaded", {})
    yield put
    monkeypatch.undo()
    encoders.known_encoders.cache_clear()
    for name in ("loudness", "broken"):
        sys.modules.pop(name, None)


def documented_example():
    """The package in the docstring of `base_models.encoders.outside`."""
    text = outside.__doc__
    start = text.index("    from base_models.encoders.specs import EncoderSpec")
    return textwrap.dedent(text[start : text.index("\nand in its")])


def test_the_documented_example_is_an_encoder_of_about_30_lines(install, clips):
    source = documented_example()
    assert len(source.splitlines()) <= 30
    install("loudness", source, loudness="SPEC")
    assert parse_encoder("loudness") == ("loudness", None)
    assert encoders.ENCODERS["loudness"].builder == "loudness"
    encoder = load_encoder("loudness")
    assert check_encoder(encoder, clips) == []
    assert encoder.encode([encoder.prepare(clips[0])]).shape == (1, 10, 1)


def test_a_package_that_imports_ours_first_is_found_and_torch_is_not_loaded(
    install, tmp_path
):
    install("loudness", documented_example(), loudness="SPEC")
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
