"""Uploads that wait or are scored, kept for a while so that their page can be shown."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from ensemble.server.refusals import Refusal
from ensemble.server.work_queue import Job

KEPT_SECONDS = 3600.0
"""How long clips and scores of a page are kept after they came."""
MOST_KEPT = 32
"""Uploads that are kept at a time; the oldest goes for a new one."""


@dataclass(frozen=True)
class Upload:
    """A job, and the folder with its clips.

    Parameters
    ----------
    job : Job
        Of a `ensemble.server.scoring.scorer.ScoredUpload`.
    folder : Path
    timer : Timer
        Deletes it when its time is over.
    """

    job: Job
    folder: Path
    timer: threading.Timer


class Uploads:
    """Folders for uploads, and which of them are kept.

    Parameters
    ----------
    root : Path
        Folder of this server alone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: OrderedDict[str, Upload] = OrderedDict()

    def new_folder(self) -> Path:
        """Make a folder for an upload; whoever asks for it also removes it."""
        return Path(tempfile.mkdtemp(prefix="upload-", dir=self.root))

    def keep(self, job: Job, folder: Path) -> Upload:
        """Keep an upload under the id of its job, and let go of old ones."""
        for job_id, upload in list(self._kept.items()):
            # What is still being scored needs its files.
            if len(self._kept) >= MOST_KEPT and upload.job.future.done():
                self.remove(job_id)
        timer = threading.Timer(KEPT_SECONDS, self.remove, (job.id,))
        timer.daemon = True
        timer.start()
        upload = Upload(job, folder, timer)
        self._kept[job.id] = upload
        return upload

    def get(self, job_id: str) -> Upload:
        """An upload that is kept.

        Raises
        ------
        Refusal
            When there is none of that id (any more).
        """
        upload = self._kept.get(job_id)
        if upload is None:
            raise Refusal(
                404,
                "gone",
                "These scores are not here any more: they are kept for an hour, at "
                f"most {MOST_KEPT} at a time, and until the server stops. Score the "
                "clips again.",
            )
        return upload

    def remove(self, job_id: str) -> None:
        """Delete the clips and scores of an upload."""
        upload = self._kept.pop(job_id, None)
        if upload is not None:
            upload.timer.cancel()
            upload.job.abandon()
            shutil.rmtree(upload.folder, ignore_errors=True)
