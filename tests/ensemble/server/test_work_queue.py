"""Work is done one piece after the other, in order, and none is lost."""

import math
import threading
import time

import pytest

from ensemble.server.refusals import Refusal
from ensemble.server.work_queue import WorkQueue

FAR = math.inf
"""A deadline that no run of the tests reaches."""


@pytest.fixture
def queue():
    queue = WorkQueue(waiting=2)
    yield queue
    queue.close()
    assert queue.join(30)


@pytest.fixture
def blocked(queue):
    """A job that is worked on until the event is set."""
    go_on = threading.Event()
    begun = threading.Event()

    def work(job):
        begun.set()
        assert go_on.wait(30)
        job.check()
        return "first"

    job = queue.submit(work, queue.take_place(), FAR)
    assert begun.wait(30)
    yield job, go_on
    go_on.set()


def test_jobs_are_done_in_their_order_by_one_thread(queue):
    done = []
    for k in range(20):
        place = None
        while place is None:
            try:
                place = queue.take_place()
            except Refusal:
                time.sleep(0.001)
        work = lambda job, k=k: done.append((k, threading.get_ident()))  # noqa: E731
        last = queue.submit(work, place, FAR)
    last.future.result(30)
    assert [k for k, _ in done] == list(range(20))
    assert len({thread for _, thread in done}) == 1


def test_a_position_counts_the_jobs_before(queue, blocked):
    first, go_on = blocked
    others = [queue.submit(lambda job: None, queue.take_place(), FAR) for _ in range(2)]
    assert [queue.position(job) for job in (first, *others)] == [0, 1, 2]
    go_on.set()
    assert first.future.result(30) == "first"
    others[1].future.result(30)
    assert queue.position(others[1]) == 0


def test_a_full_queue_says_when_to_come_again(queue, blocked):
    places = [queue.take_place() for _ in range(2)]
    with pytest.raises(Refusal, match="3 requests are before this one") as error:
        queue.take_place()
    assert error.value.status == 503
    assert int(error.value.headers["retry-after"]) >= 1
    places[0].give_back()
    # Once only, however often it is given back.
    places[0].give_back()
    queue.take_place()
    with pytest.raises(Refusal, match="come again in"):
        queue.take_place()


def test_failed_work_is_an_error_of_its_job_alone_and_frees_its_place(queue):
    def fail(job):
        raise ValueError("bad")

    for _ in range(5):
        with pytest.raises(ValueError, match="bad"):
            queue.submit(fail, queue.take_place(), FAR).future.result(30)
    assert queue.submit(lambda job: 7, queue.take_place(), FAR).future.result(30) == 7
    assert queue.n_taken == 0


def test_work_without_time_or_listener_is_not_begun(queue):
    late = queue.submit(lambda job: 1, queue.take_place(), time.monotonic() - 1)
    with pytest.raises(Refusal, match=r"no time left.*--timeout"):
        late.future.result(30)


def test_abandoned_work_ends_at_its_next_look(queue, blocked):
    job, go_on = blocked
    job.abandon()
    go_on.set()
    with pytest.raises(Refusal, match="Nobody waited"):
        job.future.result(30)


def test_closing_refuses_what_waits_and_finishes_what_is_awaited(queue, blocked):
    first, go_on = blocked
    first.is_awaited = True
    waiting = queue.submit(lambda job: None, queue.take_place(), FAR)
    assert queue.close() == (1, True, False)
    with pytest.raises(Refusal, match="being stopped"):
        waiting.future.result(30)
    with pytest.raises(Refusal, match="being stopped"):
        queue.take_place()
    go_on.set()
    assert first.future.result(30) == "first"


def test_closing_gives_up_what_nobody_can_ask_for(queue, blocked):
    first, go_on = blocked
    assert queue.close() == (0, False, True)
    go_on.set()
    with pytest.raises(Refusal, match="Nobody waited"):
        first.future.result(30)
