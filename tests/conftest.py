"""One thread for torch in tests, files in memory, the weights of encoders, a browser.

With one thread, small networks are quick, and numbers do not depend on the cores.
"""

import gc
import os
from pathlib import Path

import pytest
from browser import chromium, open_page
from files_in_memory import write_in_memory

write_in_memory()

# Fixtures are found by their names here.
__all__ = ["chromium", "decoded_here", "few_objects", "open_page", "tiny_encoders"]

# It imports what takes long, for processes that are to be forked.
collect_ignore = ["torture/imported.py"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tests are of the CPU, also where there is a GPU; `make gpu` is for that.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Without a terminal, its width is what tables are laid out for.
os.environ.pop("COLUMNS", None)
_WEIGHTS = Path(__file__).parents[1] / ".venv" / "encoders"
# Where `make` puts the weights of the light encoders.
os.environ.setdefault("STACKEDMOS_CACHE", str(_WEIGHTS))


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory):
    """Folders of weights of tiny random models of the real classes, by encoder name."""
    from tiny_encoders import write_all

    return write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def decoded_here(monkeypatch):
    """Audio is decoded in the process of the test, which can then look inside."""
    monkeypatch.setenv("STACKEDMOS_SECONDS_PER_CLIP", "none")


@pytest.fixture
def few_objects():
    """A collection of garbage looks at what the test makes, not at all that is here.

    Where a device is full one is forced, and of all imported libraries it takes
    longer than the test.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def plain_pictures(request):
    """Pictures of reports are drawn, and empty files take the place of what was drawn.

    A page has ten of them, and writing them takes longer than most fits of a test.
    Modules that look at pages say ``WITH_PICTURES = True``.
    """
    if getattr(request.module, "WITH_PICTURES", False):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        _leave_pictures_empty(patch)
        yield


@pytest.fixture
def without_pictures(monkeypatch):
    """The same for one test of a module that looks at pages."""
    _leave_pictures_empty(monkeypatch)


def _leave_pictures_empty(patch):
    # Not above: with numpy it would come before the number of threads is set.
    from ensemble.reporting import figures

    patch.setattr(figures, "svg_document", _empty_picture)


def _empty_picture(canvas):
    return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
