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


COMMAND = """
import atexit, gc
from base_models.processes.garbage import skip_last_collection
from ensemble.cli.list_runs import main

# What is registered last is called first.
atexit.register(lambda: print(gc.get_freeze_count() > 0))
before = gc.get_threshold(), gc.isenabled()
skip_last_collection()
try:
    main()
finally:
    print((gc.get_threshold(), gc.isenabled()) == before, gc.get_freeze_count() == 0)
"""


def test_a_command_looks_for_garbage_until_it_ends_and_not_then():
    process = subprocess.run(
        [sys.executable, "-c", COMMAND], capture_output=True, text=True, check=True
    )
    assert process.stdout.split()[-3:] == 3 * ["True"]
