"""Every command and code block of README.md and docs/ runs as shown.

The files that the pages speak of are those of ``docs/scripts/example_files.py``; small
base models are trained on them once, and each page works in a copy of its own.
"""

from __future__ import annotations

import importlib.util
import shutil

import pytest
from commands import call, short_settings, two_epochs
from page_blocks import DOCS, LANGUAGES, PAGES, ROOT, Reader, blocks_of, write_launchers

from ensemble.training import model_sets

ENCODERS_PAGE = DOCS / "how-to" / "encoders.md"
"""Its package is installed and run by ``tests/test_encoders_page.py``."""
RUN_HERE = [page for page in PAGES if page != ENCODERS_PAGE]
EPOCHS = 3
"""Of base models on embedded encoders; of others two."""
BASE_MODELS = (
    ("fit_base", "--data", "sheet.csv", "--models", "small", "--group", "prompt"),
    ("fit_base", "--data", "ratings.csv", "--models", "small", "--group", "prompt"),
    ("fit_meta",),
)
"""What the pages begin with; trained models are found again, not trained again."""


def _example_files():
    path = DOCS / "scripts" / "example_files.py"
    spec = importlib.util.spec_from_file_location("example_files", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_example_files


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder with the example files, and base models trained on them."""
    folder = _example_files()(tmp_path_factory.mktemp("desk") / "files")
    with pytest.MonkeyPatch.context() as patch, two_epochs(), short_settings(EPOCHS):
        patch.chdir(folder)
        _two_folds(patch)
        _without_weights(patch, tmp_path_factory)
        for command, *words in BASE_MODELS:
            # In this process, where training is short.
            jobs = ["--jobs", 1] if command == "fit_base" else []
            code, _, err = call(command, *words, *jobs)
            assert code == 0, err
    return folder


@pytest.fixture(scope="session")
def launchers(tmp_path_factory):
    return write_launchers(tmp_path_factory.mktemp("bin"))


def _without_weights(patch, tmp_path_factory):
    """Let the set of models for small tests be that of the embedded encoders, in time.

    With the weights of the light encoders everything takes some five times as long.
    """
    patch.setenv("STACKEDMOS_CACHE", str(tmp_path_factory.mktemp("no-weights")))


def _two_folds(patch):
    """Let the set of models for small tests predict out of two folds, in less time."""
    patch.setattr(model_sets, "SMALL_FOLDS", 2)


@pytest.fixture
def reader(desk, launchers, tmp_path, tmp_path_factory, monkeypatch):
    folder = tmp_path / "desk"
    _without_weights(monkeypatch, tmp_path_factory)
    _two_folds(monkeypatch)
    shutil.copytree(desk, folder)
    monkeypatch.chdir(folder)
    # What a page writes into the home folder stays here.
    monkeypatch.setenv("HOME", str(tmp_path))
    with two_epochs(), short_settings(EPOCHS):
        yield Reader(folder, launchers)


@pytest.mark.parametrize("page", RUN_HERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_the_page_run_as_shown(page, reader):
    for block in blocks_of(page):
        reader.follow(block)


def test_every_block_says_its_language():
    blocks = [block for page in PAGES for block in blocks_of(page)]
    assert [b.place for b in blocks if b.language not in LANGUAGES] == []


def test_few_blocks_are_not_run_and_each_says_why():
    """Those that need weights, a cluster, a package index or another project's tool."""
    skipped = [b for page in PAGES for b in blocks_of(page) if b.not_run]
    listed = "\n".join(f"{block.place}: {block.not_run}" for block in skipped)
    assert len(skipped) == NOT_RUN, listed


NOT_RUN = 23
"""How many there are. More of them need a reason as good as those of the others."""
