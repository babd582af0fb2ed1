"""The interface for programs: ``POST /score``, jobs, what is served, and its health."""

from __future__ import annotations

import shutil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from base_models.files import nan_to_none
from ensemble.scoring.score_facts import score_facts
from ensemble.server.refusals import Refusal
from ensemble.server.scoring.finished_uploads import Upload
from ensemble.server.scoring.intake import Intake, outcome
from ensemble.server.scoring.scorer import ScoredUpload
from ensemble.server.scoring.stack_facts import stack_facts
from ensemble.version import __version__


class ScoreApi:
    """What programs ask for.

    Parameters
    ----------
    intake : Intake
    """

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._facts = stack_facts(intake.scorer.stack, intake.scorer.name)

    def routes(self) -> list[BaseRoute]:
        """Addresses of the interface."""
        return [
            Route("/score", self.score, methods=["POST"]),
            Route("/jobs/{job_id}", self.job),
            Route("/jobs/{job_id}", self.delete, methods=["DELETE"]),
            Route("/stack", self.stack),
        ]

    async def score(self, request: Request) -> Response:
        """Score clips; with ``?wait=false``, say where the scores will be."""
        waits = request.query_params.get("wait", "true").lower()
        if waits not in ("true", "false"):
            raise Refusal(400, "wait", f"wait is true or false; got '{waits[:40]}'.")
        async with self.intake.queued(request) as (job, folder):
            if waits == "false":
                upload = self.intake.uploads.keep(job, folder)
                return JSONResponse(
                    self._state(upload),
                    status_code=202,
                    headers={"location": f"/jobs/{job.id}"},
                )
            scored = await outcome(request, job)
            body = self._body(scored, request)
            shutil.rmtree(folder, ignore_errors=True)
            return JSONResponse(body)

    async def job(self, request: Request) -> Response:
        """The state of a job, and its scores once they are there."""
        upload = self.intake.uploads.get(request.path_params["job_id"])
        if not upload.job.future.done():
            return JSONResponse(self._state(upload), status_code=202)
        scored = upload.job.future.result()
        return JSONResponse({**self._state(upload), **self._body(scored, request)})

    async def delete(self, request: Request) -> Response:
        """Delete the clips and scores of a job."""
        job_id = request.path_params["job_id"]
        self.intake.uploads.get(job_id)
        self.intake.uploads.remove(job_id)
        return Response(status_code=204)

    async def stack(self, request: Request) -> Response:
        """What the loaded stack is."""
        return JSONResponse(self._facts)

    def _state(self, upload: Upload) -> dict[str, Any]:
        job = upload.job
        position = self.intake.queue.position(job)
        state = "waiting" if position else "scoring"
        return {
            "job": job.id,
            "state": "done" if job.future.done() else state,
            "position": position,
            "page": f"/results/{job.id}",
        }

    def _body(self, scored: ScoredUpload, request: Request) -> dict[str, Any]:
        asked = scored.request
        facts = score_facts(scored.scores, level=asked.level)
        body: dict[str, Any] = {
            "command": "serve_mos",
            "version": __version__,
            "request_id": request.scope["request_id"],
            "stack": scored_by(self._facts),
            **facts,
            "notes": list(scored.notes),
        }
        if scored.over_time is not None:
            body["over_time"] = nan_to_none(scored.over_time)
        distributions = scored.scores.distributions
        if asked.distributions and distributions is not None:
            body["distributions"] = {
                "centers": {
                    aspect: distributions.centers(aspect).tolist()
                    for aspect in distributions.aspects
                },
                "rows": nan_to_none(distributions.with_lists()),
            }
        return body


def scored_by(facts: dict[str, Any]) -> dict[str, Any]:
    """The part of the facts of a stack that stands beside scores."""
    return {name: facts[name] for name in ("name", "is_demo")}
