"""Work in a process that finds no optional library, as after a plain installation."""

import json
import os
import subprocess
import sys
from pathlib import Path

# Nothing else of ours: what is imported before `hide` is not hidden.
from base_models.optional_libraries import EXTRA_OF_LIBRARY

_TESTS = Path(__file__).parent
# Those of other packages that only optional libraries bring.
_THEIRS = ("dask", "einops", "librosa", "nnAudio", "numba", "tokenizers", "x_clip")


class _Absent:
    """The finder that is asked first, and says that these libraries are not there."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def hide(*names):
    """Let this process find no optional library, or none of those named."""
    sys.meta_path.insert(0, _Absent(set(names or (*EXTRA_OF_LIBRARY, *_THEIRS))))


def run_python(code, folder, *, hidden=True):
    """What Python code prints as JSON, run by itself in a folder."""
    lines = ["import absent_libraries", code]
    if hidden:
        lines.insert(1, "absent_libraries.hide()")
    places = [str(_TESTS.parent), str(_TESTS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
