"""From a request to a job in the queue: a place, the upload, the work."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from ensemble.server.refusals import Refusal
from ensemble.server.scoring.finished_uploads import Uploads
from ensemble.server.scoring.score_form import ScoreRequest, read_form
from ensemble.server.scoring.scorer import ScoredUpload, Scorer
from ensemble.server.settings import Limits
from ensemble.server.work_queue import Job, WorkQueue

_LOOK_SECONDS = 0.5
"""Between two looks whether a client still waits, or the server ends."""


@dataclass(frozen=True, eq=False)
class Intake:
    """Where requests to score go.

    Parameters
    ----------
    scorer : Scorer
    queue : WorkQueue
    uploads : Uploads
    limits : Limits
    """

    scorer: Scorer
    queue: WorkQueue
    uploads: Uploads
    limits: Limits

    @contextlib.asynccontextmanager
    async def queued(self, request: Request) -> AsyncIterator[tuple[Job, Path]]:
        """Read an upload and put it into the queue.

        A place is taken before anything is read, so that a full queue costs neither
        time nor disk. When the block fails, the files are deleted.

        Yields
        ------
        job : Job
            Of a `ScoredUpload`.
        folder : Path
            With the clips; the block keeps or deletes it.

        Raises
        ------
        Refusal
            When the queue is full, the form cannot be used, or the upload is slow.
        """
        deadline = time.monotonic() + self.limits.timeout
        place = self.queue.take_place()
        folder = None
        try:
            folder = self.uploads.new_folder()
            async with asyncio.timeout(self.limits.timeout):
                asked = await self._read(request, folder)
            work = functools.partial(self._work, asked, folder)
            job = self.queue.submit(work, place, deadline)
        except BaseException as error:
            place.give_back()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, TimeoutError):
                raise Refusal(
                    408,
                    "slow_upload",
                    f"The upload took over {self.limits.timeout:g} s; send fewer clips "
                    "at a time, or start the server with a larger --timeout.",
                ) from error
            raise
        try:
            yield job, folder
        except BaseException:
            job.abandon()
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def _read(self, request: Request, folder: Path) -> ScoreRequest:
        """Read the form of a request, as long as what comes of it would be scored."""
        reading = asyncio.ensure_future(read_form(request, folder, self.limits))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=_LOOK_SECONDS)
                # A stalled upload would keep a server from ending.
                self.queue.refuse_closed()
        finally:
            if not reading.done():
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
        return reading.result()

    def _work(self, asked: ScoreRequest, folder: Path, job: Job) -> ScoredUpload:
        return self.scorer.score(asked, folder, job)


async def outcome(request: Request, job: Job) -> ScoredUpload:
    """Wait for the scores, as long as the client does.

    Raises
    ------
    Refusal
        When the clips could not be scored, or time is up.
    """
    job.is_awaited = True
    scored = asyncio.wrap_future(job.future)
    while not scored.done():
        await asyncio.wait({scored}, timeout=_LOOK_SECONDS)
        if not scored.done() and await request.is_disconnected():
            job.abandon()
        # Work on one clip cannot be stopped; who waits for it can be told.
        if not scored.done() and time.monotonic() > job.deadline:
            job.abandon()
            # Nobody else asks what becomes of it.
            scored.add_done_callback(lambda done: done.exception())
            job.check()
    return scored.result()
