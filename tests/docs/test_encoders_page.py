"""The example package of ``docs/how-to/encoders.md`` is installed, and used."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from builders import ROOT
from commands import call, two_epochs
from plugins import PAGE, importable, page_check, page_files, pip_install, write_sources

from base_models.clips.demo.corpus import write_demo
from base_models.encoders import load_encoder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the example is installed in."""
    source = write_sources(tmp_path_factory.mktemp("source"), page_files())
    site = tmp_path_factory.mktemp("site")
    pip_install(source, site)
    return site


@pytest.fixture
def installed(site, monkeypatch):
    # For processes that a command starts.
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")
    with importable(site, "band_levels"):
        yield


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """The clips that the page's check reads, in the current folder."""
    rng = np.random.default_rng(0)
    for name, seconds in [("a", 1.0), ("b", 1.0), ("short", 0.35)]:
        samples = rng.normal(0, 0.1, int(16_000 * seconds))
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000)
    monkeypatch.chdir(tmp_path)


def test_the_example_passes_the_check_as_the_page_calls_it(installed, clips, capsys):
    names = {}
    exec(compile(page_check(), str(PAGE), "exec"), names)
    figures = names["report"].figures
    assert figures.dim == 8
    assert figures.dead == ()
    printed = capsys.readouterr().out
    assert "band_levels-v1-" in printed
    assert "0 problems" in printed


def test_the_example_is_listed_and_trained_on(installed, tmp_path):
    code, out, err = call("list_encoders", "band_levels", "--json", tmp_path / "e.json")
    assert code == 0, err
    assert "band_levels" in out
    (listed,) = json.loads((tmp_path / "e.json").read_text())["encoders"]
    assert listed["missing"] == []

    tree = write_demo(tmp_path / "tree", n_systems=4, n_prompts=6)
    encoders = ["--audio-encoder", "band_levels", "--text-encoder", "hashed_text"]
    artifacts = tmp_path / "artifacts"
    with two_epochs():
        words = ["--data", tree, *encoders, "--models", "dora:1", "--jobs", 1]
        code, out, err = call("fit_base", *words, "--artifacts", artifacts)
    assert code == 0, err
    signature = load_encoder("band_levels").signature
    assert list(artifacts.glob(f"**/{signature}.*/*/*.safetensors"))
