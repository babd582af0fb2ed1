"""What users are told when Dask gives up."""

import pytest

from base_models.errors import StackedMOSError
from ensemble.cluster.crew import SchedulerGone
from ensemble.cluster.run_pieces import _named_ends

# Dask is an option of the installation.
pytest.importorskip("distributed")
from distributed import CancelledError, KilledWorker
from distributed.comm import CommClosedError


@pytest.mark.parametrize("raised", [CancelledError, CommClosedError])
def test_a_scheduler_that_ends_while_a_result_is_fetched_is_named(raised):
    with pytest.raises(SchedulerGone, match="head:1"), _named_ends("head:1"):
        raise raised("closed by the other side")


def test_what_the_work_raises_passes_as_it_is():
    with pytest.raises(TimeoutError, match="of the work"), _named_ends("head:1"):
        raise TimeoutError("of the work")


def test_a_worker_that_died_too_often_is_told_by_its_likely_cause():
    dead = KilledWorker("piece", None, 4)
    with pytest.raises(StackedMOSError, match="for memory"), _named_ends("head:1"):
        raise dead
