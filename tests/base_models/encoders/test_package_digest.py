"""Which content of another package its encoders' signatures follow."""

from __future__ import annotations

import pytest
from plugins import importable, write_metadata, write_sources

from base_models.encoders import load_encoder

SPEC = """
from base_models.encoders.specs import EncoderSpec

SPEC = EncoderSpec(name="scaled", kind="text", dim=1, licence="MIT",
                   builder="scaled.build")
"""
BUILD = """
from importlib.resources import files as package_files

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Encoder, check_prompt

DIGEST = ""
OUTSIDE = 1.0
FACTOR = float(package_files("scaled").joinpath("factor.txt").read_text())

class Lengths(nn.Module):
    def __init__(self):
        super().__init__()
        self.outside = nn.Parameter(torch.tensor(OUTSIDE))

    def forward(self, ids):
        return ids.float()[..., None] * FACTOR * self.outside

def prepare(prompt):
    return np.array([len(word) for word in check_prompt(prompt).split()])

def build(spec, files, device):
    return Encoder.from_spec(
        spec, module=Lengths(), prepare=prepare, digest=DIGEST, device=device
    )
"""


def sources(factor="2.0", build=BUILD):
    return {
        "scaled/__init__.py": SPEC,
        "scaled/build.py": build,
        "scaled/factor.txt": factor,
    }


def installed(site, files, record=None):
    """Write files of a package, with a record of them or another one."""
    write_sources(site, files)
    write_metadata(
        site, "scaled", list(files) if record is None else record, scaled="SPEC"
    )
    return site


def signature_in(site, package="scaled"):
    with importable(site, package):
        return load_encoder("scaled").signature


@pytest.fixture
def signature(tmp_path):
    """Function that installs files and tells the signature of their encoder."""

    def of(files, edit=None):
        site = installed(tmp_path / f"site{len(list(tmp_path.iterdir()))}", files)
        if edit is not None:
            edit(site)
        return signature_in(site)

    return of


def test_a_release_with_another_model_file_has_another_signature(signature):
    before = signature(sources())
    assert before.startswith("scaled-v1-")
    assert signature(sources()) == before
    assert signature(sources(factor="3.0")) != before


def test_a_release_with_other_code_has_another_signature(signature):
    assert signature(sources(build=BUILD + "\n")) != signature(sources())


def test_a_file_that_was_exchanged_after_the_installation_counts(signature):
    def exchange(target):
        (target / "scaled" / "factor.txt").write_text("3.0")

    exchanged = signature(sources(), edit=exchange)
    assert exchanged != signature(sources())
    assert exchanged == signature(sources(factor="3.0"))


def test_data_files_beside_the_modules_count_and_scripts_do_not(tmp_path):
    signatures = []
    for number, (data, script) in enumerate([("1", "a"), ("1", "b"), ("2", "b")]):
        site = tmp_path / str(number) / "lib" / "site"
        beside = {"share/scaled/x.bin": data, "bin/scaled": script}
        write_sources(tmp_path / str(number), beside)
        record = [*sources(), *(f"../../{name}" for name in beside)]
        signatures.append(signature_in(installed(site, sources(), record)))
    assert signatures[0] == signatures[1] != signatures[2]


def test_files_that_python_and_editors_leave_do_not_count(signature):
    def leave(target):
        (target / "scaled" / ".factor.swp").write_text("x")
        (target / "scaled" / "__pycache__").mkdir(exist_ok=True)
        (target / "scaled" / "__pycache__" / "x.pyc").write_text("x")

    assert signature(sources(), edit=leave) == signature(sources())


def test_a_digest_of_its_own_stands_for_code_and_not_for_shipped_data(signature):
    own = BUILD.replace('DIGEST = ""', f'DIGEST = "{"ab" * 32}"')
    code_only = own.replace(
        'float(package_files("scaled").joinpath("factor.txt").read_text())', "2.0"
    )
    plain = sources(build=code_only)
    del plain["scaled/factor.txt"]
    assert signature(plain) == "scaled-v1-" + "ab" * 8

    with_data = signature(sources(build=own))
    assert with_data != signature(plain)
    assert signature(sources(build=own + "\n")) == with_data
    assert signature(sources(build=own, factor="3.0")) != with_data


def test_parameters_count_wherever_they_come_from(signature, tmp_path):
    """As of a package that lets another library fetch its weights."""
    weights = tmp_path / "weights.txt"
    fetching = BUILD.replace("OUTSIDE = 1.0", f"OUTSIDE = np.loadtxt({str(weights)!r})")
    weights.write_text("1.0")
    before = signature(sources(build=fetching))
    weights.write_text("1.5")
    assert signature(sources(build=fetching)) != before


@pytest.mark.parametrize("has_record", [True, False])
def test_an_editable_installation_agrees_with_a_regular_one(
    has_record, signature, tmp_path
):
    """Its record, if there is one, names a link to the sources and none of them."""
    site = write_sources(tmp_path / "editable", sources())
    record = ["scaled.pth"] if has_record else None
    write_metadata(site, "scaled", record, scaled="SPEC")
    assert signature_in(site) == signature(sources())

    (site / "scaled" / "factor.txt").write_text("3.0")
    assert signature_in(site) == signature(sources(factor="3.0"))


def test_a_package_in_a_namespace_does_not_count_its_neighbours(tmp_path):
    files = {
        "lab/scaled/__init__.py": SPEC.replace("scaled.build", "lab.scaled.build"),
        "lab/scaled/build.py": BUILD.replace('"scaled"', '"lab.scaled"'),
        "lab/scaled/factor.txt": "2.0",
        "lab/other/data.txt": "1",
    }
    site = write_sources(tmp_path, files)
    write_metadata(site, "lab.scaled", scaled="SPEC")
    before = signature_in(site, "lab")

    (site / "lab/other/data.txt").write_text("2")
    assert signature_in(site, "lab") == before
    (site / "lab/scaled/factor.txt").write_text("3.0")
    assert signature_in(site, "lab") != before


def test_built_in_encoders_keep_their_signatures():
    assert load_encoder("logmel").signature == "logmel-v1"
    assert load_encoder("hashed_text").signature == "hashed_text-v1"
