"""Nobody is left without the collection of garbage."""

import gc
import subprocess
import sys

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


SELDOM = """
import atexit, gc
from base_models.processes.garbage import collect_seldom

# What is registered last is called first.
atexit.register(lambda: print(gc.get_freeze_count() > 0))
collect_seldom()
collect_seldom()
first, *others = gc.get_threshold()
print(gc.isenabled(), first > 10_000, others == [10, 10], gc.get_freeze_count() == 0)
"""


def test_a_command_looks_for_garbage_seldom_and_not_when_it_ends():
    process = subprocess.run(
        [sys.executable, "-c", SELDOM], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == 5 * ["True"]
