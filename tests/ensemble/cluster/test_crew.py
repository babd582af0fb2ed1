"""Who works and who is left out, told by a scheduler that is only played."""

from queue import Queue

import pytest

from base_models.errors import StackedMOSError, UsageError
from ensemble.cluster import crew as workers
from ensemble.cluster.crew import Crew, Proof
from ensemble.cluster.needs import Demands

A = "tcp://10.0.0.1:1"
B = "tcp://10.0.0.2:2"


class PlayedClient:
    """A client whose workers are those in `present`, with the answer of each."""

    def __init__(self, **answers):
        self.answers = answers
        self.present = {}
        self.scheduler = self

    def identity(self):
        """Is passed on alone."""

    def sync(self, function, n_workers):
        if self.present is None:
            raise OSError("closed")
        return {"workers": self.present}

    def run(self, function, *asked, workers, on_error):
        (address,) = workers
        return {address: self.answers[self.present[address]["name"]]}

    def join(self, address, name):
        self.present[address] = {"name": name, "nthreads": 1}


@pytest.fixture
def events():
    return Queue()


@pytest.fixture
def crew_of(events, monkeypatch):
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(workers, "GRACE", 0.0)

    def make(client):
        demands = Demands("1.0", "", ())
        return Crew(client, "head:1", demands, sight=(), events=events)

    return make


def look(crew, events, n_proofs):
    """Look once, and take in so many proofs."""
    gone = crew.look()
    for _ in range(n_proofs):
        crew.take_in(events.get(timeout=10))
    return gone


def test_unfit_workers_are_named_once_and_the_others_work(crew_of, events, caplog):
    client = PlayedClient(good="", bad="it is unfit", none=ImportError("no ensemble"))
    client.join(A, "good")
    client.join(B, "bad")
    client.join("tcp://c:3", "none")
    crew = crew_of(client)
    look(crew, events, 3)
    look(crew, events, 0)
    assert list(crew.fit) == [A]
    said = sorted(record.getMessage() for record in caplog.records)
    assert said == [
        "Worker 'bad' at 10.0.0.2:2 is left out: it is unfit.",
        "Worker 'none' at c:3 is left out: it cannot load stackedmos 1.0 (no "
        "ensemble); install the same version everywhere and start the workers again.",
    ]


def test_a_worker_that_joins_late_is_asked_and_one_that_is_gone_is_told(
    crew_of, events
):
    client = PlayedClient(good="", late="")
    client.join(A, "good")
    crew = crew_of(client)
    look(crew, events, 1)
    client.join(B, "late")
    look(crew, events, 1)
    assert list(crew.fit) == [A, B]
    del client.present[A]
    assert look(crew, events, 0) == [A]
    assert list(crew.fit) == [B]


def test_a_worker_that_cannot_be_reached_is_asked_again(crew_of, events):
    client = PlayedClient(good=OSError("connection refused"))
    client.join(A, "good")
    crew = crew_of(client)
    look(crew, events, 1)
    client.answers["good"] = ""
    look(crew, events, 1)
    assert list(crew.fit) == [A]


def test_where_all_are_unfit_the_first_reason_is_told(crew_of, events):
    client = PlayedClient(bad="it is unfit", worse="it is not even there")
    client.join(A, "bad")
    client.join(B, "worse")
    crew = crew_of(client)
    look(crew, events, 2)
    with pytest.raises(UsageError, match=r"No worker at head:1 is fit.* So is 1 more"):
        crew.look()


def test_without_a_worker_patience_ends(crew_of, events, monkeypatch):
    crew = crew_of(PlayedClient())
    crew.look()
    monkeypatch.setattr(workers, "PATIENCE", 0.0)
    with pytest.raises(StackedMOSError, match="No worker has joined the scheduler at"):
        crew.look()


def test_once_a_worker_was_fit_others_may_take_its_place(crew_of, events):
    client = PlayedClient(good="", bad="it is unfit")
    client.join(A, "good")
    crew = crew_of(client)
    look(crew, events, 1)
    client.join(B, "bad")
    look(crew, events, 1)
    del client.present[A]
    # A batch system may start another one.
    assert look(crew, events, 0) == [A]
    client.present.clear()
    crew.look()


def test_a_worker_that_never_answers_is_given_up(crew_of, events, monkeypatch, caplog):
    client = PlayedClient(good="")
    client.join(A, "good")
    crew = crew_of(client)
    crew.look()
    monkeypatch.setattr(workers, "PROOF_PATIENCE", -1.0)
    with pytest.raises(UsageError, match="it has not answered in -1 s"):
        crew.look()
    # Its answer comes too late.
    crew.take_in(Proof(A, ""))
    assert not crew.fit


def test_a_scheduler_that_is_gone_is_named(crew_of):
    client = PlayedClient()
    client.present = None
    with pytest.raises(StackedMOSError, match="scheduler at head:1 went away"):
        crew_of(client).look()
    client.scheduler = None
    with pytest.raises(StackedMOSError, match="went away"):
        crew_of(client).look()
