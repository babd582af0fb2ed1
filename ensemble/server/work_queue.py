"""One queue before one worker, which alone touches the loaded stack."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from ensemble.server.refusals import Refusal

log = logging.getLogger("ensemble.server")

_REMEMBERED = 8
"""Pieces of work of which the mean time is taken, to say when to come again."""


class Closing(NamedTuple):
    """What becomes of work when a queue is closed.

    Parameters
    ----------
    n_refused : int
        Jobs that waited.
    is_finishing : bool
        Whether a job is worked on that a client waits for.
    is_given_up : bool
        Whether one is worked on that nobody can ask for any more.
    """

    n_refused: int
    is_finishing: bool
    is_given_up: bool


class Place:
    """A place in the queue, taken before an upload is read.

    Parameters
    ----------
    queue : WorkQueue
    """

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._is_taken = True

    def give_back(self) -> None:
        """Leave the place to others; once it is given back, nothing happens."""
        if self._is_taken:
            self._is_taken = False
            self._queue._free()


class Job:
    """A piece of work in the queue.

    Parameters
    ----------
    work : callable
        Called by the worker with this job; it calls `check` now and then.
    place : Place
    deadline : float
        Time of `time.monotonic` after which it is given up.

    Attributes
    ----------
    id : str
        Cannot be guessed: whoever has it may see the result.
    future : Future
        Of what the work returns.
    is_awaited : bool
        Whether a client waits for it in its request.
    """

    def __init__(
        self, work: Callable[[Job], Any], place: Place, deadline: float
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.future: Future[Any] = Future()
        self.deadline = deadline
        self.is_awaited = False
        self.done = 0
        self.total = 0
        self._work = work
        self._place = place
        self._is_abandoned = False

    def abandon(self) -> None:
        """Nobody waits for the result any more."""
        self._is_abandoned = True

    def check(self) -> None:
        """Stop the work where it is of no use any more.

        Raises
        ------
        Refusal
            When time is up, or nobody waits for it.
        """
        if time.monotonic() > self.deadline:
            raise Refusal(
                504,
                "timeout",
                "There was no time left for these clips; send fewer at a time, or "
                "start the server with a larger --timeout.",
            )
        if self._is_abandoned:
            raise Refusal(503, "abandoned", "Nobody waited for these scores any more.")

    def _run(self) -> None:
        self.future.set_running_or_notify_cancel()
        try:
            self.check()
            result = self._work(self)
        except Exception as error:
            self._place.give_back()
            self.future.set_exception(error)
        else:
            self._place.give_back()
            self.future.set_result(result)


class WorkQueue:
    """Jobs one after the other, in the order in which they came.

    Parameters
    ----------
    waiting : int
        Requests that may wait behind the one that is worked on, uploads included.
    """

    def __init__(self, waiting: int) -> None:
        self.places = waiting + 1
        self._n_taken = 0
        self._jobs: deque[Job] = deque()
        self._running: Job | None = None
        self._is_closed = False
        self._seconds: deque[float] = deque([1.0], maxlen=_REMEMBERED)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def take_place(self) -> Place:
        """Take a place, to be filled by `submit` or given back.

        Raises
        ------
        Refusal
            When all are taken, or the server is about to stop.
        """
        with self._changed:
            self.refuse_closed()
            if self._n_taken >= self.places:
                mean = sum(self._seconds) / len(self._seconds)
                seconds = math.ceil(max(1.0, mean * self._n_taken))
                raise Refusal(
                    503,
                    "busy",
                    f"{self._n_taken} requests are before this one, as many as may "
                    f"wait; come again in {seconds} s.",
                    headers={"retry-after": str(seconds)},
                )
            self._n_taken += 1
        return Place(self)

    def submit(self, work: Callable[[Job], Any], place: Place, deadline: float) -> Job:
        """Put work into the queue.

        Raises
        ------
        Refusal
            When the server is about to stop.
        """
        job = Job(work, place, deadline)
        with self._changed:
            self.refuse_closed()
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="scoring", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        return job

    def position(self, job: Job) -> int:
        """How many are before a job; 0 where it is worked on or done."""
        with self._changed:
            if job not in self._jobs:
                return 0
            return list(self._jobs).index(job) + (self._running is not None)

    @property
    def n_taken(self) -> int:
        """Places that are taken: uploads, those that wait, and the one worked on."""
        return self._n_taken

    @property
    def is_working(self) -> bool:
        """Whether a job is worked on."""
        return self._running is not None

    def close(self) -> Closing:
        """Take nothing more; refuse what waits; what a client waits for goes on."""
        with self._changed:
            self._is_closed = True
            refused = list(self._jobs)
            self._jobs.clear()
            running = self._running
            self._changed.notify()
        for job in refused:
            job._place.give_back()
            job.future.set_exception(_stopping())
        if running is not None and not running.is_awaited:
            running.abandon()
        return Closing(
            n_refused=len(refused),
            is_finishing=running is not None and running.is_awaited,
            is_given_up=running is not None and not running.is_awaited,
        )

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the running job is done; whether it is."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def refuse_closed(self) -> None:
        """Do nothing while the server goes on.

        Raises
        ------
        Refusal
            When it is about to stop.
        """
        if self._is_closed:
            raise _stopping()

    def _free(self) -> None:
        with self._changed:
            self._n_taken -= 1

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._jobs or self._is_closed):
                    self._changed.wait()
                if not self._jobs:
                    return
                job = self._jobs.popleft()
                self._running = job
            started = time.monotonic()
            job._run()
            with self._changed:
                self._running = None
                self._seconds.append(time.monotonic() - started)


def _stopping() -> Refusal:
    return Refusal(
        503,
        "stopping",
        "The server is being stopped and begins no new work; send this again once it "
        "runs again.",
        headers={"retry-after": "30"},
    )
