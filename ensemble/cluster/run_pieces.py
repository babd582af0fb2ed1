"""Run pieces of work on the workers of a Dask scheduler that are fit for them.

Each piece is handed to one worker when that worker has nothing to do. So a worker that
joins late gets its share, one that is unfit gets none, and the scheduler never holds
more than what is under way, however many pieces there are.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from base_models.errors import StackedMOSError, UsageError
from ensemble.cluster import crew as workers
from ensemble.cluster.crew import Crew, Proof, SchedulerGone
from ensemble.cluster.needs import Demands, Needs, SeenFile, unfitness
from ensemble.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

TIMEOUT = "10s"
"""How long a scheduler may take to answer."""
MOST_DEATHS = 4
"""Workers that may die over one piece before it is given up."""
_FETCH_SECONDS = 10.0
"""Seconds to wait for a result before looking whether its worker is still there."""


def run_on_cluster(
    work: Callable[..., Any],
    pieces: Sequence[tuple[Any, ...]],
    address: str,
    *,
    shared: Path | None,
    needs: Needs,
) -> Iterator[Any]:
    """Yield ``work(*piece)`` for every piece, in the order of the pieces.

    Parameters are those of `ensemble.engine.spread`; `address` is ``HOST:PORT`` of the
    scheduler.
    """
    if not pieces:
        return
    with _client(address) as client, _probe(shared) as probe:
        demands = Demands(__version__, probe, needs.encoders)
        with _named_ends(address):
            run = _Run(client, address, demands, work=work, pieces=pieces, needs=needs)
            yield from run.results()


class _Run:
    """Pieces of work on their way."""

    def __init__(
        self,
        client: Client,
        address: str,
        demands: Demands,
        *,
        work: Callable[..., Any],
        pieces: Sequence[tuple[Any, ...]],
        needs: Needs,
    ) -> None:
        self._client = client
        self._address = address
        self._work = work
        self._pieces = pieces
        self._demands = demands.to_text()
        self._needs = needs
        self._events: Queue[Proof | Future] = Queue()
        # The first piece and the last: where all audio is out of sight, so are these.
        ends = dict.fromkeys((*needs.sight(pieces[0]), *needs.sight(pieces[-1])))
        self._crew = Crew(
            client, address, demands, sight=tuple(ends), events=self._events
        )
        self._waiting = deque(range(len(pieces)))
        self._under_way: dict[Future, _UnderWay] = {}
        self._finished: dict[int, Any] = {}
        self._deaths: Counter[int] = Counter()

    def results(self) -> Iterator[Any]:
        """Results in the order of the pieces."""
        for number in range(len(self._pieces)):
            while number not in self._finished:
                self._step()
            yield self._finished.pop(number)

    def _step(self) -> None:
        """Hand out what can be done, and take in what has happened since."""
        gone = self._crew.look()
        for future, piece in list(self._under_way.items()):
            if piece.worker in gone:
                self._mourn(future, piece)
        self._hand_out()
        with contextlib.suppress(Empty):
            event = self._events.get(timeout=workers.LOOK_SECONDS)
            if isinstance(event, Proof):
                self._crew.take_in(event)
            # Else it was taken back when its worker died.
            elif event in self._under_way:
                self._take_in(event)

    def _hand_out(self) -> None:
        """Give a piece to every worker that has a thread for it."""
        busy = Counter(piece.worker for piece in self._under_way.values())
        for worker in self._crew.fit.values():
            for _ in range(worker.n_threads - busy[worker.address]):
                if not self._waiting:
                    return
                self._submit(self._waiting.popleft(), worker.address)

    def _submit(self, number: int, worker: str) -> None:
        piece = self._pieces[number]
        sight = self._needs.sight(piece)
        future = self._client.submit(
            _run_piece,
            self._demands,
            sight,
            self._work,
            piece,
            workers=[worker],
            allow_other_workers=False,
            # Not pure: equal pieces of two commands are not one piece.
            pure=False,
        )
        self._under_way[future] = _UnderWay(number, worker, sight)
        future.add_done_callback(self._events.put)

    def _take_in(self, future: Future) -> None:
        """Take the result of a piece, or hand it out again."""
        try:
            result = future.result(timeout=_FETCH_SECONDS)
        except TimeoutError:
            # The work itself may end so, too.
            if future.status == "error":
                raise
            # The worker may have died with the result.
            self._events.put(future)
            return
        piece = self._under_way.pop(future)
        if not isinstance(result, _Unfit):
            self._finished[piece.number] = result
            return
        self._waiting.appendleft(piece.number)
        # A file may have changed here as well, which is no fault of the worker.
        if piece.sight == self._needs.sight(self._pieces[piece.number]):
            self._crew.leave_out(piece.worker, result.reason)

    def _mourn(self, future: Future, piece: _UnderWay) -> None:
        """Take back a piece whose worker is gone."""
        del self._under_way[future]
        future.cancel()
        self._waiting.appendleft(piece.number)
        self._deaths[piece.number] += 1
        if self._deaths[piece.number] == MOST_DEATHS:
            raise _died_too_often(self._address)


@dataclass(frozen=True)
class _UnderWay:
    """A piece that a worker has, with the files as they were seen when it got it."""

    number: int
    worker: str
    sight: tuple[SeenFile, ...]


@dataclass(frozen=True)
class _Unfit:
    """In place of a result: why the worker cannot do the piece."""

    reason: str


def _run_piece(
    demands: str,
    sight: tuple[SeenFile, ...],
    work: Callable[..., Any],
    piece: tuple[Any, ...],
) -> Any:
    """Run one piece on a worker, which may have changed since its proof."""
    reason = unfitness(demands, sight)
    return _Unfit(reason) if reason else work(*piece)


def _died_too_often(address: str) -> StackedMOSError:
    return StackedMOSError(
        f"Workers at {address} died again and again, most likely for memory. Finished "
        "work is kept; run the same command with larger workers."
    )


@contextlib.contextmanager
def _named_ends(address: str) -> Iterator[None]:
    """Name the cause when Dask gives up."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise _died_too_often(address) from error
    # A result that was being fetched when the scheduler ended raises the second.
    except (CancelledError, CommClosedError) as error:
        raise SchedulerGone(address) from error


@contextlib.contextmanager
def _client(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address`."""
    from distributed import Client

    # What goes wrong is reported here, in one line, and not in Dask's log.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(f"tcp://{address}", timeout=TIMEOUT, set_as_default=False)
    except OSError as error:
        raise StackedMOSError(
            f"No Dask scheduler answers at {address}; start one, or use --engine local."
        ) from error
    # On leaving, pieces that no worker has begun are taken back.
    with client:
        yield client


@contextlib.contextmanager
def _probe(shared: Path | None) -> Iterator[str]:
    """Make a new file in the shared folder, for workers to look for.

    A file of a known name could be that of another machine's folder.
    """
    if shared is None:
        yield ""
        return
    if not shared.is_absolute():
        raise UsageError(
            f"Workers stand in other folders: name {shared} by its absolute path."
        )
    shared.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=shared, prefix=".seen-", suffix=".tmp"
    ) as file:
        yield file.name
