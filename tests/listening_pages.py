"""Small listening tests for the rating page: clips, their store, its application."""

import contextlib
import secrets

import soundfile
from builders import RATE, tunes
from starlette.testclient import TestClient

from base_models.clips.read_clips import read_clips
from base_models.scales import Scale
from ensemble.server.application import create_app
from ensemble.server.rating.answers import Answer
from ensemble.server.rating.clip_audio import rated_clips
from ensemble.server.rating.design import AnswerScale, RatedAspect, RatingDesign
from ensemble.server.rating.rating_store import RatingStore
from ensemble.server.rating.settings import RatingSettings
from ensemble.server.settings import ServerSettings

SECONDS = 0.6
SYSTEMS = ("oldest", "newest", "newest")
PROMPTS = ("slow piano", "slow piano", "a fast <b>drum</b> & bass tune")


def write_plan(folder, n=3):
    """A table of n clips with telling names, as rate_less --plan writes; its path."""
    lines = ["clip_id,audio,system_id,prompt"]
    for row, sound in enumerate(tunes(n, SECONDS)):
        system = SYSTEMS[row % len(SYSTEMS)]
        name = f"secret-{system}-{row}"
        soundfile.write(folder / f"{name}.wav", sound, RATE)
        prompt = PROMPTS[row % len(PROMPTS)]
        lines.append(f"{name},{name}.wav,{system},{prompt}")
    path = folder / "plan.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def clips_of(plan):
    """The clips of a table."""
    clips, set_aside = rated_clips(read_clips(plan, labels=False))
    assert not set_aside
    return clips


def design(scale="1-5", aspects=("mi", "ta"), **options):
    """The usual questions."""
    return RatingDesign(
        tuple(RatedAspect.of(name, {}) for name in aspects),
        AnswerScale.of(Scale.parse(scale)),
        **options,
    )


@contextlib.contextmanager
def store_of(folder, *, n=3, scale="1-5", **options):
    """A store of n clips in a folder, where the file of ratings may be already."""
    plan = folder / "plan.csv"
    if not plan.exists():
        write_plan(folder, n)
    store = RatingStore(
        folder / "ratings.sqlite", design(scale, **options), clips_of(plan)
    )
    with contextlib.closing(store):
        yield store


@contextlib.contextmanager
def app_of(folder, *, raters=(), **options):
    """An application with the rating page, and its store."""
    with store_of(folder, **options) as store:
        settings = RatingSettings(store, raters)
        with contextlib.closing(settings):
            yield create_app(ServerSettings(), rating=settings), store


@contextlib.contextmanager
def client_of(folder, **options):
    """A client of such an application, and the store."""
    with (
        app_of(folder, **options) as (app, store),
        TestClient(
            app, base_url="http://127.0.0.1:8765", follow_redirects=False
        ) as client,
    ):
        yield client, store


def answer_to(token, ratings=None, **facts):
    """An answer to a clip that was heard to its end."""
    values = {
        "submission": secrets.token_hex(16),
        "status": "rated",
        "ratings": {"mi": 4.0, "ta": 2.0} if ratings is None else ratings,
        "plays": 1,
        "listened_seconds": SECONDS,
        "answer_seconds": 2.0,
    }
    return Answer(token, **{**values, **facts})
