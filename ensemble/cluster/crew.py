"""Which workers of a scheduler are fit to work, and which are left out.

Every worker proves itself when it is first seen, also one that joins late. The proof is
asked for beside the scheduling of tasks: a task that a worker cannot even load would
take that worker down without a word.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING, Any, NamedTuple

from base_models.errors import StackedMOSError, UsageError, in_one_line
from ensemble.cluster.needs import Demands, SeenFile, prove

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 1.0
"""Seconds between two looks at which workers there are."""
PATIENCE = 120.0
"""Seconds that the first worker may take to join; batch systems start workers when
there is work."""
GRACE = 3.0
"""Seconds that a fit worker may join after the first one that is not."""
PROOF_PATIENCE = 600.0
"""Seconds that a worker may take to prove itself; it may have to read large weights."""

log = logging.getLogger(__name__)


class SchedulerGone(StackedMOSError):
    """The scheduler does not answer any more.

    Parameters
    ----------
    address : str
        As users write it.
    """

    def __init__(self, address: str) -> None:
        super().__init__(
            f"The scheduler at {address} went away. Finished work is kept; run the "
            "same command to go on."
        )


class Proof(NamedTuple):
    """What a worker answered when it was asked whether it is fit.

    Parameters
    ----------
    address : str
        Of the worker.
    answer : str or Exception
        "", or what makes it unfit; or why there is no answer.
    """

    address: str
    answer: str | Exception


@dataclass
class Worker:
    """A worker as its scheduler knows it.

    Parameters
    ----------
    address : str
        With its scheme.
    name : str
        That it was given, or its address.
    n_threads : int
        Pieces that it runs at a time.
    asked_at : float
        When its proof was asked for.
    """

    address: str
    name: str
    n_threads: int
    asked_at: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        place = self.address.partition("://")[2] or self.address
        if self.name == self.address:
            return f"Worker at {place}"
        return f"Worker '{self.name}' at {place}"


class Crew:
    """The workers of a scheduler.

    Parameters
    ----------
    client : Client
    address : str
        Of the scheduler, as users write it.
    demands : Demands
    sight : tuple of SeenFile
        Files that every worker must see.
    events : Queue
        Where each `Proof` is put.
    """

    def __init__(
        self,
        client: Client,
        address: str,
        demands: Demands,
        *,
        sight: tuple[SeenFile, ...],
        events: Queue[Any],
    ) -> None:
        self.fit: dict[str, Worker] = {}
        self._client = client
        self._address = address
        self._demands = demands
        self._sight = sight
        self._events = events
        self._proving: dict[str, Worker] = {}
        self._unfit: dict[str, str] = {}
        self._had_fit = False
        # Since when there is no fit worker, and no worker at all.
        self._without_fit_since = time.monotonic()
        self._first_seen: float | None = None
        self._looked_at = 0.0

    def look(self) -> list[str]:
        """See who has joined and who is gone; returns the addresses of those gone.

        Raises
        ------
        UsageError
            When all workers are unfit.
        StackedMOSError
            When none has joined in time.
        """
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return []
        self._looked_at = now

        present = self._present()
        known = {*self.fit, *self._proving, *self._unfit}
        for address in present.keys() - known:
            facts = present[address]
            self._ask(Worker(address, str(facts["name"]), facts["nthreads"]))
        for worker in list(self._proving.values()):
            if now - worker.asked_at > PROOF_PATIENCE:
                self._leave_out(
                    worker, f"it has not answered in {PROOF_PATIENCE:.0f} s"
                )
        gone = [address for address in self.fit if address not in present]
        for address in known - present.keys():
            for group in (self.fit, self._proving, self._unfit):
                group.pop(address, None)
        self._check(now)
        return gone

    def _present(self) -> Mapping[str, Any]:
        """What the scheduler knows of each worker, by address."""
        scheduler = self._client.scheduler
        if scheduler is None:
            raise SchedulerGone(self._address)
        try:
            # Not `scheduler_info`: the client overwrites what that returns every few
            # seconds, with what names no worker.
            info = self._client.sync(scheduler.identity, n_workers=-1)
        except OSError as error:
            raise SchedulerGone(self._address) from error
        workers: Mapping[str, Any] = info["workers"]
        return workers

    def take_in(self, proof: Proof) -> None:
        """Let a worker work, or leave it out, as its proof says."""
        worker = self._proving.get(proof.address)
        # It may be gone, or have been given up.
        if worker is None:
            return
        if proof.answer == "":
            del self._proving[proof.address]
            self.fit[proof.address] = worker
            self._had_fit = True
        elif isinstance(proof.answer, str):
            self._leave_out(worker, proof.answer)
        elif isinstance(proof.answer, OSError):
            # It cannot be reached: it is gone, or will be asked once more.
            del self._proving[proof.address]
        else:
            self._leave_out(worker, self._cannot_load(proof.answer))

    def leave_out(self, address: str, reason: str) -> None:
        """Let a worker work no longer."""
        worker = self.fit.get(address)
        if worker is not None:
            self._leave_out(worker, reason)

    def _leave_out(self, worker: Worker, reason: str) -> None:
        self.fit.pop(worker.address, None)
        self._proving.pop(worker.address, None)
        self._unfit[worker.address] = f"{worker}: {reason}"
        log.warning("%s is left out: %s.", worker, reason)

    def _ask(self, worker: Worker) -> None:
        """Ask a worker for its proof, in a thread, since one may never answer."""
        self._proving[worker.address] = worker
        if self._first_seen is None:
            self._first_seen = time.monotonic()
        threading.Thread(
            target=_ask_for_proof,
            args=(self._client, worker.address, self._events.put),
            kwargs={"asked": (self._demands.to_text(), self._sight)},
            # A worker that never answers must not keep this process alive.
            daemon=True,
        ).start()

    def _cannot_load(self, error: Exception) -> str:
        words = in_one_line(error)[:200]
        return (
            f"it cannot load stackedmos {self._demands.version} ({words}); install the "
            "same version everywhere and start the workers again"
        )

    def _check(self, now: float) -> None:
        """Raise when there is nobody to wait for."""
        if self.fit or self._proving:
            self._without_fit_since = now
            return
        waited = now - self._without_fit_since
        if self._unfit:
            patience = PATIENCE if self._had_fit else GRACE
            if waited >= patience:
                raise UsageError(self._all_unfit())
        elif not self._had_fit and waited >= PATIENCE:
            raise StackedMOSError(
                f"No worker has joined the scheduler at {self._address} in "
                f"{PATIENCE:g} s; start some."
            )

    def _all_unfit(self) -> str:
        first, *others = self._unfit.values()
        are = "is" if len(others) == 1 else "are"
        more = f" So {are} {len(others)} more." if others else ""
        return f"No worker at {self._address} is fit to work. {first[:350]}.{more}"


def _ask_for_proof(
    client: Client,
    address: str,
    put: Callable[[Proof], None],
    *,
    asked: tuple[str, tuple[SeenFile, ...]],
) -> None:
    """Ask a worker whether it is fit, and put its answer."""
    demands, sight = asked
    plain = tuple(tuple(file) for file in sight)
    try:
        answer = client.run(
            prove, demands, plain, workers=[address], on_error="return"
        )[address]
    # Whatever it is, it is told where the answer is read.
    except Exception as error:
        answer = error
    put(Proof(address, answer))
