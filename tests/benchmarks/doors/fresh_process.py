"""The time and memory that a piece of work takes in a process of its own, so that
nothing which ran before it is counted, or kept for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PLACES = [str(Path(__file__).parents[3]), str(Path(__file__).parents[2])]

_CODE = """
import json, time

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(x.split()[1]) for x in lines if x.startswith(name)) / 1024

{prepare}
# The peak begins again at what is in memory now.
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
start = time.process_time()
{work}
spent = time.process_time() - start
print(json.dumps([spent, status("VmHWM") - before]))
"""


@dataclass(frozen=True)
class Cost:
    """What a piece of work took.

    Parameters
    ----------
    seconds : float
        Of CPU, of all threads of the process.
    megabytes : float
        By which its memory grew at most.
    """

    seconds: float
    megabytes: float

    def against(self, other):
        """In words, as a share of another cost."""
        return (
            f"{self.seconds / other.seconds:.2f} x the time, "
            f"{self.megabytes / other.megabytes:.2f} x the memory"
        )


def cost_of(work, prepare="", repeats=3):
    """The least time and memory of some runs of Python code (Linux only).

    Parameters
    ----------
    work : str
        Lines of code that are measured.
    prepare : str
        Lines before them, such as imports, that are not.
    repeats : int
        Number of processes.
    """
    code = _CODE.format(prepare=prepare, work=work)
    costs = [json.loads(_run(["-c", code]).splitlines()[-1]) for _ in range(repeats)]
    seconds, megabytes = zip(*costs, strict=True)
    return Cost(min(seconds), min(megabytes))


def cost_of_process(words, repeats=3):
    """The least CPU time of some runs of ``python WORDS``, start-up included, and the
    most memory that it held.
    """
    costs = []
    for _ in range(repeats):
        with subprocess.Popen(
            [sys.executable, *words], env=_environment(), stdout=subprocess.DEVNULL
        ) as process:
            _, code, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        assert process.returncode == 0, words
        costs.append((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    seconds, megabytes = zip(*costs, strict=True)
    return Cost(min(seconds), min(megabytes))


def _run(words):
    done = subprocess.run(
        [sys.executable, *words],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(_PLACES)}
