"""The page for people: a form, a place in the queue, scores, two clips side by side."""

from __future__ import annotations

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import BaseRoute, Route

from base_models.clips.audio import USED_SECONDS
from ensemble.formats import encode_scores
from ensemble.reporting.answers.terms import aspect_terms
from ensemble.scoring.demo_note import DEMO_NOTE
from ensemble.server.pages import page
from ensemble.server.refusals import Refusal, refusal_response, wants_page
from ensemble.server.scoring.finished_uploads import Upload
from ensemble.server.scoring.intake import Intake
from ensemble.server.scoring.score_views import (
    clip_views,
    differences,
    media_type,
    sentence,
    state_words,
    two_chosen,
)
from ensemble.server.scoring.scorer import MOST_PICTURES, ScoredUpload
from ensemble.server.scoring.stack_facts import stack_facts

_RESULT = "/results/{job_id}"
_LEVELS = (0.8, 0.9, 0.95)


class _PlaceConvertor(IntegerConvertor):
    """A place in a list; `int` refuses numbers of thousands of digits by an error."""

    regex = "[0-9]{1,6}"


register_url_convertor("place", _PlaceConvertor())


class ScorePage:
    """Pages about scores.

    Parameters
    ----------
    intake : Intake
    """

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._facts = stack_facts(intake.scorer.stack, intake.scorer.name)
        self._terms = aspect_terms(intake.scorer.stack.aspects_)

    def routes(self) -> list[BaseRoute]:
        """Addresses of the pages."""
        return [
            Route("/", self.form),
            Route("/", self.upload, methods=["POST"]),
            Route(_RESULT, self.result),
            Route(f"{_RESULT}/scores.csv", self.table),
            Route(f"{_RESULT}/compare", self.compare),
            Route(f"{_RESULT}/clips/{{number:place}}", self.audio),
            Route(f"{_RESULT}/pictures/{{number:place}}/{{place:place}}", self.picture),
            Route(f"{_RESULT}/delete", self.delete, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        """The form."""
        return page(
            request,
            "score.html.j2",
            title="Score clips",
            stack=self._facts,
            terms=self._terms,
            limits=self.intake.limits,
            levels=_LEVELS,
            demo_note=DEMO_NOTE if self._facts["is_demo"] else "",
            most_pictures=MOST_PICTURES,
            used_seconds=USED_SECONDS,
        )

    async def upload(self, request: Request) -> Response:
        """Take the form, and lead to the page of its scores."""
        async with self.intake.queued(request) as (job, folder):
            self.intake.uploads.keep(job, folder)
        address = f"/results/{job.id}"
        if wants_page(request):
            return RedirectResponse(address, status_code=303)
        return JSONResponse({"page": address, "job": job.id}, status_code=202)

    async def result(self, request: Request) -> Response:
        """Scores, or how long they will take."""
        upload = self._upload(request)
        job = upload.job
        if not job.future.done():
            position = self.intake.queue.position(job)
            words = state_words(position, job.done, job.total)
            if not wants_page(request):
                return JSONResponse({"words": words}, status_code=202)
            return page(
                request,
                "waiting.html.j2",
                status_code=202,
                title="Your clips are being scored",
                words=words,
            )
        error = job.future.exception()
        if isinstance(error, Refusal):
            return refusal_response(request, error)
        scored = self._scored(upload)
        views = clip_views(scored)
        return page(
            request,
            "result.html.j2",
            title="Scores",
            address=request.url.path,
            clips=views,
            notes=self._notes(scored),
            level=scored.request.level,
            terms=self._terms,
            n_scored=sum(not clip.reason for clip in views),
            most_pictures=MOST_PICTURES,
        )

    async def compare(self, request: Request) -> Response:
        """Two clips side by side."""
        upload = self._upload(request)
        scored = self._scored(upload)
        words = [request.query_params.get(name, "") for name in ("a", "b")]
        chosen = two_chosen(words, len(scored.request.clips))
        if chosen is None:
            raise Refusal(
                400,
                "two_clips",
                "Two different clips of this upload are compared; go back and choose "
                "them.",
            )
        first, second = chosen
        views = clip_views(scored)
        return page(
            request,
            "compare.html.j2",
            title="Two clips side by side",
            address=request.url.path.removesuffix("/compare"),
            clips=views,
            pair=(("A", views[first]), ("B", views[second])),
            differences=differences(
                scored, self.intake.scorer.stack.final_estimator_, first, second=second
            ),
            terms=self._terms,
            level=scored.request.level,
            notes=self._notes(scored),
        )

    async def table(self, request: Request) -> Response:
        """The scores as the table that predict_mos writes."""
        scored = self._scored(self._upload(request))
        return Response(
            encode_scores(scored.scores, "csv"),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="scores.csv"'},
        )

    async def audio(self, request: Request) -> Response:
        """The audio of a clip, for the player."""
        scored = self._scored(self._upload(request))
        number = request.path_params["number"]
        if number >= len(scored.request.clips):
            raise _no_such_file()
        path = scored.request.clips[number].path
        # As a kind of ours, never as the page that it may be.
        kind = media_type(path) or "application/octet-stream"
        return FileResponse(path, media_type=kind)

    async def picture(self, request: Request) -> Response:
        """A picture of what the scores of a clip rest on."""
        scored = self._scored(self._upload(request))
        number = request.path_params["number"]
        if number >= len(scored.request.clips):
            raise _no_such_file()
        clip = scored.request.clips[number].clip_id
        paths = scored.pictures.get(clip, ())
        place = request.path_params["place"]
        if place >= len(paths):
            raise _no_such_file()
        return FileResponse(paths[place], media_type="image/png")

    async def delete(self, request: Request) -> Response:
        """Delete clips and scores now."""
        self._upload(request)
        self.intake.uploads.remove(request.path_params["job_id"])
        return RedirectResponse("/", status_code=303)

    def _upload(self, request: Request) -> Upload:
        return self.intake.uploads.get(request.path_params["job_id"])

    def _scored(self, upload: Upload) -> ScoredUpload:
        if not upload.job.future.done():
            raise Refusal(
                404, "not_yet", "These clips are not scored yet; wait for their page."
            )
        scored: ScoredUpload = upload.job.future.result()
        return scored

    def _notes(self, scored: ScoredUpload) -> list[str]:
        demo = [DEMO_NOTE] if self._facts["is_demo"] else []
        return [sentence(note) for note in (*demo, *scored.notes)]


def _no_such_file() -> Refusal:
    return Refusal(404, "no_file", "This upload has no such file; go back to its page.")
