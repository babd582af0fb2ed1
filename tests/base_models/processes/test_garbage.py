"""Nobody is left without the collection of garbage."""

import gc

import pytest

from base_models.processes.garbage import collection_paused


def fail_in_a_block():
    with collection_paused():
        assert not gc.isenabled()
        with collection_paused():
            assert not gc.isenabled()
        # The inner block leaves it as it was.
        assert not gc.isenabled()
        raise ZeroDivisionError


def test_collection_goes_on_after_the_block_whatever_happens_in_it():
    with pytest.raises(ZeroDivisionError):
        fail_in_a_block()
    assert gc.isenabled()
