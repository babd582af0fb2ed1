"""The interface for programs, described: as OpenAPI, and as a page made from that."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ensemble.server.pages import page
from ensemble.server.settings import ServerSettings
from ensemble.version import __version__

_JSON = "application/json"


def description_routes(settings: ServerSettings) -> list[BaseRoute]:
    """Addresses of the description."""
    document = openapi(settings)

    async def as_json(request: Request) -> Response:
        return JSONResponse(document)

    async def as_page(request: Request) -> Response:
        schema = document["paths"]["/score"]["post"]["requestBody"]["content"]
        fields = schema["multipart/form-data"]["schema"]["properties"]
        return page(
            request,
            "api.html.j2",
            title="For programs",
            paths=document["paths"],
            form=fields,
            base=str(request.base_url).rstrip("/"),
        )

    return [Route("/openapi.json", as_json), Route("/api", as_page)]


def openapi(settings: ServerSettings) -> dict[str, Any]:
    """The document, as OpenAPI 3.1 has it."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "stackedmos",
            "version": __version__,
            "description": "Scores of generated music, as listeners would rate it.",
        },
        "paths": {
            "/score": {"post": _score(settings)},
            "/jobs/{job_id}": {"get": _job(), "delete": _delete()},
            "/stack": {"get": _read("What is loaded", "#/components/schemas/Stack")},
            "/health": {
                "get": _read("Whether it answers", "#/components/schemas/Health")
            },
        },
        "components": {"schemas": _SCHEMAS},
    }
    if settings.token:
        document["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"}
        }
        document["security"] = [{"token": []}]
    return document


def _score(settings: ServerSettings) -> dict[str, Any]:
    limits = settings.limits
    return {
        "summary": "Score clips",
        "description": f"At most {limits.clips} clips, {limits.megabytes:g} MB and "
        f"{limits.timeout:g} s a request, {limits.seconds:g} s a clip. Requests are "
        "worked on one after the other; with many clips ask with wait=false, and look "
        "at the job now and then. Rows come in the order of the files, each with its "
        "status.",
        "parameters": [
            {
                "name": "wait",
                "in": "query",
                "schema": {"type": "boolean", "default": True},
                "description": "false: answer at once with the address of a job.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["files"],
                        "properties": _FIELDS,
                    }
                }
            },
        },
        "responses": {
            "200": _answer("Scores, a row per clip.", "Scores"),
            "202": _answer("With wait=false: where the scores will be.", "Job"),
            "400": _refused("The form cannot be used."),
            "408": _refused("The upload took too long."),
            "413": _refused("Too large, too long or too many."),
            "415": _refused("An archive, or no form with files."),
            "422": _refused("No clip could be scored, or the table cannot be read."),
            "503": _refused(
                "The queue is full, the server stops, or its disk fails: Retry-After."
            ),
            "504": _refused("The scores took too long."),
            "507": _refused("No space is left for the clips: Retry-After."),
        },
    }


def _job() -> dict[str, Any]:
    return {
        "summary": "The state of a job, and its scores",
        "description": "Kept for an hour after it came.",
        "parameters": [_JOB_ID],
        "responses": {
            "200": _answer("Scores, a row per clip.", "Scores"),
            "202": _answer("How many are before it.", "Job"),
            "404": _refused("There is no such job (any more)."),
        },
    }


def _delete() -> dict[str, Any]:
    return {
        "summary": "Delete the clips and scores of a job",
        "description": "What is not scored yet is given up.",
        "parameters": [_JOB_ID],
        "responses": {
            "204": {"description": "Deleted."},
            "404": _refused("There is no such job (any more)."),
        },
    }


def _read(summary: str, schema: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "description": "",
        "responses": {
            "200": {
                "description": "As it is now.",
                "content": {_JSON: {"schema": {"$ref": schema}}},
            }
        },
    }


def _answer(description: str, schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {_JSON: {"schema": reference}}}


def _refused(description: str) -> dict[str, Any]:
    return _answer(description, "Refusal")


_FIELDS: dict[str, Any] = {
    "files": {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "Audio files, the field repeated for each. Their kind is "
        "told by their content.",
    },
    "prompt": {
        "type": "array",
        "items": {"type": "string"},
        "description": "One prompt for all files, or one for each, in their order.",
    },
    "table": {
        "type": "string",
        "format": "binary",
        "description": "Instead: a csv with the columns audio (names of the files) "
        "and prompt; system_id is kept.",
    },
    "level": {
        "type": "number",
        "default": 0.9,
        "description": "Coverage of the intervals, between 0 and 1.",
    },
    "windows": {
        "type": "boolean",
        "default": False,
        "description": "Score all of longer clips, window by window; the answer "
        "then has over_time.",
    },
    "distributions": {
        "type": "boolean",
        "default": False,
        "description": "Add the predicted distribution of each clip and aspect.",
    },
    "attention": {
        "type": "boolean",
        "default": False,
        "description": "Draw what scores rest on, for the page of the job.",
    },
}
"""Of the form of a request to score."""
_JOB_ID = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_ROWS = {"type": "array", "items": {"type": "object"}}
_SCHEMAS: dict[str, Any] = {
    "Scores": {
        "type": "object",
        "properties": {
            "aspects": _TEXTS,
            "scales": {
                "type": "object",
                "description": "Aspect to lowest and highest.",
            },
            "level": {"type": "number"},
            "scores": {
                "type": "array",
                "description": "The rows that predict_mos writes: clip_id, audio, "
                "status (ok or why not), reason, and per aspect ASPECT, ASPECT_low and "
                "ASPECT_high, null where there is no score.",
                "items": {"type": "object"},
            },
            "notes": _TEXTS,
            "over_time": _ROWS,
            "distributions": {"type": "object"},
            "request_id": _TEXT,
            "version": _TEXT,
        },
    },
    "Job": {
        "type": "object",
        "properties": {
            "job": _TEXT,
            "state": {"enum": ["waiting", "scoring", "done"]},
            "position": {"type": "integer"},
            "page": _TEXT,
        },
    },
    "Stack": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "aspects": _TEXTS,
            "scales": {"type": "object"},
            "models": _TEXTS,
            "encoders": _TEXTS,
            "is_demo": {"type": "boolean"},
        },
    },
    "Health": {
        "type": "object",
        "properties": {
            "status": {"const": "ok"},
            "version": _TEXT,
            "taken": {"type": "integer"},
            "places": {"type": "integer"},
        },
    },
    "Refusal": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "status": {"type": "integer"},
                    "word": _TEXT,
                    "message": _TEXT,
                    "clip": {"type": ["string", "null"]},
                },
            },
            "request_id": _TEXT,
        },
    },
}
