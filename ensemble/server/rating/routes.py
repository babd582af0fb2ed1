"""The addresses of the rating page, all below ``/rate``.

Raters are known by a cookie, clips by names that were drawn at random: no address, no
header and no file that a rater gets has the name of a clip or of a system. What the
experimenter sees asks for a key, which is printed when the server starts.
"""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from base_models.errors import ClipError, UsageError
from ensemble.formats import csv_table
from ensemble.server.pages import page
from ensemble.server.rating.answers import LATE_SECONDS, MAX_BODY, read_answer
from ensemble.server.rating.progress import progress_of
from ensemble.server.rating.rating_store import Place, Rater
from ensemble.server.rating.rating_table import read_rating_file
from ensemble.server.rating.settings import RatingSettings
from ensemble.server.refusals import Refusal

_COOKIE = "rater"
_COOKIE_SECONDS = 60 * 24 * 3600
_STATIC = Path(__file__).parent / "static"
_AGAIN = "enter your name or code again on /rate: your ratings are kept."


def rating_routes(settings: RatingSettings) -> list[BaseRoute]:
    """Routes of the rating page, for `ensemble.server.application.create_app`."""
    rate = _RatePages(settings)
    experiment = _ExperimentPages(settings)
    return [
        Route("/rate", rate.start),
        Route("/rate/start", rate.join, methods=["POST"]),
        Route("/rate/clip", rate.clip),
        Route("/rate/answer", rate.answer, methods=["POST"]),
        Route("/rate/audio/{token:str}", rate.audio),
        Route("/rate/pause", rate.pause),
        Route("/rate/done", rate.done),
        Route("/rate/leave", rate.leave, methods=["POST"]),
        Route("/rate/progress", experiment.progress),
        Route("/rate/ratings.csv", experiment.ratings),
        Mount("/rate/static", StaticFiles(directory=_STATIC)),
    ]


class _RatePages:
    """What raters see and send."""

    def __init__(self, settings: RatingSettings) -> None:
        self._settings = settings
        self._store = settings.store
        self._design = settings.store.design

    def _rater(self, request: Request) -> Rater | None:
        cookie = request.cookies.get(_COOKIE, "")
        return self._store.rater(cookie) if cookie else None

    # ---- coming and going

    def start(self, request: Request) -> Response:
        """The first page: instructions, and who is going to rate."""
        code = request.query_params.get("rater", "")
        rater = self._rater(request)
        # A link with another code means another rater than the last one here.
        if rater is not None and code and code.casefold() != rater.code.casefold():
            rater = None
        return self._start_page(request, code=code, rater=rater)

    def _start_page(
        self,
        request: Request,
        code: str,
        rater: Rater | None = None,
        problem: str = "",
    ) -> Response:
        n_clips = len(self._store.clips)
        per_rater = self._design.clips_per_rater or n_clips
        paragraphs = [each.strip() for each in self._design.instructions.split("\n\n")]
        return page(
            request,
            "rate_start.html.j2",
            status_code=400 if problem else 200,
            title="Listening test",
            code=code[:200],
            rater=rater,
            problem=problem,
            n_clips=min(per_rater, n_clips),
            paragraphs=[each for each in paragraphs if each],
            design=self._design,
        )

    async def join(self, request: Request) -> Response:
        """Begin, or go on where this rater was."""
        # A name has 64 characters; the form has nothing else.
        body = await _body(request, MAX_BODY)
        code = _form_value(body, "rater")
        return await run_in_threadpool(self._join, request, code)

    def _join(self, request: Request, code: str) -> Response:
        try:
            cookie = self._store.join(code, self._settings.raters)
        except UsageError as error:
            return self._start_page(request, code=code, problem=str(error))
        except sqlite3.Error as error:
            raise _not_kept(error) from error
        response = RedirectResponse("/rate/clip", status_code=303)
        response.set_cookie(
            _COOKIE,
            cookie,
            max_age=_COOKIE_SECONDS,
            path="/rate",
            httponly=True,
            samesite="lax",
        )
        return response

    def leave(self, request: Request) -> Response:
        """Forget who rates in this browser."""
        self._store.leave(request.cookies.get(_COOKIE, ""))
        response = RedirectResponse("/rate", status_code=303)
        response.delete_cookie(_COOKIE, path="/rate")
        return response

    def pause(self, request: Request) -> Response:
        """How to go on later."""
        rater = self._rater(request)
        if rater is None:
            return _to_start()
        link = f"{request.base_url}rate?rater={quote(rater.code)}"
        return page(
            request, "rate_pause.html.j2", title="Pause", rater=rater, link=link
        )

    def done(self, request: Request) -> Response:
        """Thanks, where all clips have an answer."""
        rater = self._rater(request)
        if rater is None:
            return _to_start()
        if rater.n_done < rater.n_clips:
            return RedirectResponse("/rate/clip", status_code=303)
        return page(
            request, "rate_done.html.j2", title="All clips are rated", rater=rater
        )

    # ---- one clip

    def clip(self, request: Request) -> Response:
        """One clip: the next one, or an earlier one to correct."""
        rater = self._rater(request)
        if rater is None:
            return _to_start()
        following = self._store.next_position(rater)
        position = _position(request, default=following)
        if position is None:
            return RedirectResponse("/rate/done", status_code=303)
        last = rater.n_clips if following is None else following
        place = self._store.place(rater, position) if position <= last else None
        # Beyond what is rated so far, or no position at all.
        if place is None:
            return RedirectResponse("/rate/clip", status_code=303)
        return self._clip_page(request, rater, place)

    def _clip_page(self, request: Request, rater: Rater, place: Place) -> Response:
        clip = place.clip
        needed = clip.needed_seconds(self._design)
        has_heard = place.listened_seconds >= needed - LATE_SECONDS
        return page(
            request,
            "rate_clip.html.j2",
            title=f"Clip {place.position} of {rater.n_clips}",
            rater=rater,
            place=place,
            prompt=clip.prompt,
            aspects=self._design.asked_of(clip.prompt),
            scale=self._design.scale,
            needed_seconds=0 if has_heard else needed,
            hears_all=needed >= clip.seconds,
        )

    def audio(self, request: Request) -> Response:
        """The sound of a clip of this rater; parts of it, as players ask for them."""
        rater = self._rater(request)
        if rater is None:
            raise Refusal(401, "no_session", f"Nobody rates here; {_AGAIN}")
        token = request.path_params["token"]
        if not self._store.has(rater, token):
            raise Refusal(404, "no_clip", "This clip is not one of yours.")
        try:
            file = self._settings.audio.file(token, self._store.clips[token])
        except ClipError as error:
            # The error names the file, which a rater is not to know.
            raise Refusal(
                422, "broken_clip", "This clip cannot be played; say so, and go on."
            ) from error
        headers = {"Cache-Control": "private, max-age=3600"}
        return FileResponse(file, media_type="audio/wav", headers=headers)

    async def answer(self, request: Request) -> Response:
        """Keep an answer, and say where to go on."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        # Forms of other pages cannot send this kind without being asked first.
        if kind != "application/json":
            raise Refusal(415, "no_json", "An answer is sent as application/json.")
        body = await _body(request, MAX_BODY)
        return await run_in_threadpool(self._answer, request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        rater = self._rater(request)
        if rater is None:
            raise Refusal(401, "no_session", f"Your session has ended; {_AGAIN}")
        try:
            answer = read_answer(body)
            is_new = self._store.save(rater, answer)
        except UsageError as error:
            raise Refusal(400, "bad_answer", str(error)) from error
        except sqlite3.Error as error:
            raise _not_kept(error) from error
        following = self._store.next_position(rater)
        return JSONResponse(
            {
                "saved": True,
                "is_new": is_new,
                "next": "/rate/done" if following is None else "/rate/clip",
            }
        )


class _ExperimentPages:
    """What the experimenter sees."""

    def __init__(self, settings: RatingSettings) -> None:
        self._store = settings.store

    def _check_key(self, request: Request) -> None:
        given = request.query_params.get("key", "")
        expected = self._store.key
        # Compared as bytes, since a key may be any text.
        if not secrets.compare_digest(given.encode(), expected.encode()):
            raise Refusal(
                403,
                "no_key",
                "This page is for who runs the test: open it with the address that "
                "serve_mos printed at its start (?key=…).",
            )

    def progress(self, request: Request) -> Response:
        """Counts by rater and clip, and how far raters agree."""
        self._check_key(request)
        found = progress_of(self._store)
        return page(
            request,
            "rate_progress.html.j2",
            title="Progress of the listening test",
            progress=found,
            design=self._store.design,
            key=self._store.key,
        )

    def ratings(self, request: Request) -> Response:
        """The ratings as a table that other commands read."""
        self._check_key(request)
        table = read_rating_file(self._store.path)
        headers = {
            "Content-Disposition": 'attachment; filename="ratings.csv"',
            "Cache-Control": "no-store",
        }
        return Response(csv_table(table), media_type="text/csv", headers=headers)


def _to_start() -> Response:
    return RedirectResponse("/rate", status_code=303)


def _position(request: Request, default: int | None) -> int | None:
    """The position that an address names; 0, which no clip has, where it is none."""
    text = request.query_params.get("position")
    if text is None:
        return default
    is_number = text.isascii() and text.isdecimal() and len(text) <= 9
    return int(text) if is_number else 0


async def _body(request: Request, most: int) -> bytes:
    """The body of a request of limited size."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise Refusal(413, "too_large", f"That has more than {most} bytes.")
    return body


def _form_value(body: bytes, name: str) -> str:
    """A field of a form; "" where it is not there."""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError:
        return ""
    return fields.get(name, [""])[0]


def _not_kept(error: sqlite3.Error) -> Refusal:
    """Refusal where the file of ratings cannot be written."""
    return Refusal(
        503,
        "not_kept",
        f"NOT SAVED: the file of ratings cannot be written ({error}). Tell whoever "
        "runs the test, and try again.",
    )
