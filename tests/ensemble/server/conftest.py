"""A small saved stack, clips, and an application around it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import clip_table, tones
from starlette.testclient import TestClient
from tiny_networks import embedded_model

from base_models.encoders.store import EmbeddingStore
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.server.application import create_app
from ensemble.server.scoring.finished_uploads import Uploads
from ensemble.server.scoring.intake import Intake
from ensemble.server.scoring.scorer import Scorer
from ensemble.server.scoring.upload_store import UploadStore
from ensemble.server.settings import Limits, ServerSettings
from ensemble.server.work_queue import WorkQueue

ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """24 clips of half a second by 4 systems, with prompts."""
    return clip_table(tmp_path_factory.mktemp("clips"), tones(24, noise=0.01))


@pytest.fixture(scope="session")
def stack_folder(clips, tmp_path_factory):
    """A saved stack of two base models; ta is judged against the prompt."""
    labels = np.random.default_rng(1).uniform(1, 5, (24, 2))
    y = pd.DataFrame(labels, columns=["mi", "ta"])
    store = EmbeddingStore(tmp_path_factory.mktemp("embeddings"))
    bases = [
        (
            f"dora-s{seed}",
            embedded_model(random_state=seed, text_aspects=["ta"], store=store),
        )
        for seed in (0, 1)
    ]
    folder = tmp_path_factory.mktemp("stack") / "small"
    StackedMOS(bases, cv=0.5).fit(clips, y).save(folder)
    return folder


@pytest.fixture(scope="session")
def stack(stack_folder):
    """The stack, as the server loads it."""
    return StackedMOS.load(stack_folder)


@pytest.fixture
def make_intake(stack, tmp_path):
    """Function that makes an intake, with limits of its own."""
    queues = []

    def made(**limits):
        kept = EmbeddingStore(tmp_path / "workspace")
        store = UploadStore(kept, tmp_path / "uploaded", most_bytes=10**9)
        uploads = Uploads(tmp_path / "uploads")
        uploads.root.mkdir(exist_ok=True)
        limits = Limits(**limits)
        queue = WorkQueue(limits.waiting)
        queues.append(queue)
        scorer = Scorer(stack, store, "small")
        return Intake(scorer, queue, uploads=uploads, limits=limits)

    yield made
    for queue in queues:
        queue.close()
        assert queue.join(60)


@pytest.fixture
def make_client(make_intake):
    """Function that makes a client of a server; it takes settings and limits."""

    def made(*, token="", names=(), **limits):
        intake = make_intake(**limits)
        settings = ServerSettings(token=token, names=names, limits=intake.limits)
        app = create_app(settings, intake=intake)
        return TestClient(app, base_url=ADDRESS, follow_redirects=False)

    return made


@pytest.fixture
def client(make_client):
    """A client of a server with the usual limits."""
    return make_client()


@pytest.fixture
def wav(clips):
    """Function that gives the bytes of a clip."""
    return lambda k=0: Path(clips["audio"][k]).read_bytes()
