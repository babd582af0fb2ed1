"""A small corpus with a finished stack, for the tests that call commands on one."""

from dataclasses import replace

import pytest
from commands import finish, two_epochs


@pytest.fixture(scope="module")
def finished(request, tmp_path_factory):
    """A place whose artifacts are finished.

    Base models train for two epochs until the tests of the module have ended. A module
    that needs other base models than one names them as `FINISHED_MODELS`.
    """
    models = getattr(request.module, "FINISHED_MODELS", ("dora:1",))
    with two_epochs():
        yield finish(tmp_path_factory.mktemp("finished"), models)


@pytest.fixture
def place(finished, tmp_path):
    """The finished place, with a folder to write to for one test."""
    return replace(finished, tmp=tmp_path)
