"""A scheduler and workers as forked children, some of them unfit for work.

Children have everything imported, so that a cluster costs what its messages do.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MODULES = (
    "torch",
    "distributed",
    "soundfile",
    "base_models.encoders.embed",
    "base_models.encoders.audio.logmel",
    "ensemble.cluster.run_pieces",
    "ensemble.training.embed_on_engine",
)
Disguise = Callable[[], None]
"""Makes the child that calls it another machine than this one."""


def warm_up() -> None:
    """Import in the parent what all children need."""
    for name in MODULES:
        importlib.import_module(name)


def forked(run: Callable[[], None], log: Path) -> int:
    """Run a function in a child; returns its process id.

    Parameters
    ----------
    run : callable
    log : Path
        File for what the child prints.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        run()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the handlers at exit, which are the parent's.
        os._exit(code)
    return child


class SmallCluster:
    """A scheduler and its workers.

    Parameters
    ----------
    folder : Path
        For logs and the files of workers.

    Attributes
    ----------
    port : int
        Of the scheduler; it keeps it when it is started anew.
    workers : dict from str to int
        Process ids by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.workers: dict[str, int] = {}
        self._scheduler = 0

    @property
    def engine(self) -> str:
        """As ``--engine`` takes it."""
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start one, on the port that it had before."""
        place = self.folder / "port"
        place.unlink(missing_ok=True)
        port = self.port

        def serve() -> None:
            asyncio.run(_serve_scheduler(place, port))

        self._scheduler = forked(serve, self.folder / "scheduler.log")
        wait_until(lambda: place.is_file() and place.read_text().endswith("\n"))
        self.port = int(place.read_text())

    def add_worker(self, name: str, *disguises: Disguise) -> None:
        """Start a worker, as another machine."""

        def serve() -> None:
            for disguise in disguises:
                disguise()
            asyncio.run(_serve_worker(self.port, name, self.folder / name))

        self.workers[name] = forked(serve, self.folder / f"{name}.log")

    def kill_scheduler(self) -> None:
        """Kill it; its workers end by themselves, or are killed."""
        _end(self._scheduler)
        for name in list(self.workers):
            self.kill_worker(name)

    def kill_worker(self, name: str) -> None:
        """Kill a worker."""
        _end(self.workers.pop(name))


@contextlib.contextmanager
def small_cluster(folder: Path) -> Iterator[SmallCluster]:
    """A scheduler that is up, without workers; all ends with the body."""
    cluster = SmallCluster(folder)
    cluster.start_scheduler()
    try:
        yield cluster
    finally:
        cluster.kill_scheduler()


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("waited too long")
        time.sleep(0.02)


def ended(child: int, seconds: float) -> int:
    """Exit code of a child that is waited for, or minus the signal that ended it."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            _end(child)
            raise TimeoutError(f"it hung for {seconds:g} s")
        time.sleep(0.05)


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


async def _serve_scheduler(place: Path, port: int) -> None:
    from distributed import Scheduler

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as scheduler:
        place.write_text(f"{scheduler.address.rpartition(':')[2]}\n")
        await scheduler.finished()


async def _serve_worker(port: int, name: str, folder: Path) -> None:
    from distributed import Worker

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    folder.mkdir()
    async with Worker(
        f"tcp://127.0.0.1:{port}",
        nthreads=1,
        name=name,
        host="127.0.0.1",
        local_directory=str(folder),
        dashboard=False,
    ) as worker:
        await worker.finished()


# ---- other machines


def without_package() -> None:
    """A machine on which this package is not installed."""

    class Absent:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == "ensemble":
                raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "ensemble"]:
        del sys.modules[name]
    sys.meta_path.insert(0, Absent())  # type: ignore[arg-type]


def of_version(version: str) -> Disguise:
    """A machine with another version of this package."""

    def disguise() -> None:
        from ensemble.cluster import needs

        needs.__version__ = version

    return disguise


def with_package(folder: Path) -> Disguise:
    """A machine on which the packages of a folder are installed."""

    def disguise() -> None:
        from base_models import encoders

        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        encoders.known_encoders.cache_clear()

    return disguise


def without_sight_of(hidden: Path) -> Disguise:
    """A machine that has no such file or folder."""

    def disguise() -> None:
        see = os.stat
        open_file = builtins.open

        def check(path: object) -> None:
            if not isinstance(path, str | os.PathLike):
                return
            place = Path(os.fspath(path))
            if place == hidden or hidden in place.parents:
                raise FileNotFoundError(2, "No such file or directory", str(path))

        def stat(path, *args, **kwargs):  # type: ignore[no-untyped-def]
            check(path)
            return see(path, *args, **kwargs)

        def opened(path, *args, **kwargs):  # type: ignore[no-untyped-def]
            check(path)
            return open_file(path, *args, **kwargs)

        os.stat = stat
        builtins.open = opened

    return disguise


def with_device(name: str) -> Disguise:
    """A machine with a device of that name, which is its processor."""

    def disguise() -> None:
        from base_models import devices

        resolve = devices.resolve_device
        devices.resolve_device = lambda wanted="auto": resolve(
            "cpu" if wanted == name else wanted
        )

    return disguise


def stopped() -> None:
    """A machine that stands still when it is first asked for something."""
    from ensemble.cluster import needs

    needs.unfitness = lambda *_: os.kill(os.getpid(), signal.SIGSTOP)
