"""A scheduler of Dask and its workers, as processes of this machine."""

import contextlib
import os
import subprocess
import sys

from builders import ROOT
from commands import wait_until

from base_models.errors import DamagedArtifact
from base_models.files import read_json


class Cluster:
    """A scheduler and its worker processes."""

    def __init__(self, folder):
        self.folder, self.about, self.workers = folder, folder / "scheduler.json", []
        options = ("--port", "0", "--no-dashboard", "--scheduler-file", self.about)
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", *options)
        self.address = ""
        wait_until(self.found, self.scheduler)

    def found(self):
        """Whether the scheduler has written where it is, and all of it."""
        with contextlib.suppress(DamagedArtifact):
            self.address = read_json(self.about)["address"].replace("tcp://", "dask://")
        return self.address

    def start(self, *words):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])
        }
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            words = [sys.executable, "-m", "dask", *words]
            return subprocess.Popen(
                words, cwd=self.folder, env=environment, stdout=log, stderr=log
            )

    def fill(self, count=2):
        """So many workers that live."""
        options = (
            "--scheduler-file",
            self.about,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
        )
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < count:
            self.workers.append(self.start("worker", "--host", "127.0.0.1", *options))
        return self

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
