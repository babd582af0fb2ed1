"""A folder that is replaced is whole at any moment, and nothing is left beside it."""

import os
import subprocess
import sys

import pytest

from base_models.errors import UsageError
from base_models.files import (
    Artifact,
    replacement,
    sweep,
    temporaries,
    temporary_sibling,
    write_artifact,
)
from base_models.files.temporaries import OLD, is_abandoned

KILLED_WRITERS = """
import os, sys
from pathlib import Path
from base_models.files import Artifact, is_sealed, replacement, sweep, write_artifact

folder = Path(sys.argv[1])
if sys.argv[2] == "two steps":
    replacement.swap = lambda first, second: False


def killed_at(last):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 9
    left = last

    def dying(step):
        def call(*words, **more):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)
            return step(*words, **more)

        return call

    for name in ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    write_artifact(folder, "thing", {"a": b"new", "b/c": b"new"})
    os._exit(0)


step = 0
was_killed = True
while was_killed:
    write_artifact(folder, "thing", {"a": b"old", "b/c": b"old"})
    was_killed = killed_at(step)
    assert is_sealed(folder), step
    artifact = Artifact(folder, "thing")
    # Never the one file of the old folder, and the other one of the new.
    assert {artifact.read(name) for name in artifact.names} in ({b"old"}, {b"new"})
    if step % 2:
        sweep(folder.parent)
    else:
        write_artifact(folder, "thing", {"a": b"newer"})
    assert os.listdir(folder.parent) == [folder.name], step
    step += 1
print(step)
"""
"""A program whose children replace a folder, each killed before another step."""


@pytest.mark.parametrize("way", ["swap", "two steps"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_folder(tmp_path, way):
    words = [sys.executable, "-c", KILLED_WRITERS, str(tmp_path / "stack"), way]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    assert int(done.stdout) > 10


def test_somebodys_other_files_are_never_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        write_artifact(tmp_path, "thing", {"a": b"new"})


def test_the_temporaries_of_the_living_stay_and_those_of_the_dead_go(tmp_path):
    path = tmp_path / "a.json"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as writer:
        theirs = tmp_path / writer.stdout.readline().decode().strip()
        theirs.write_bytes(b"half")
        mine = temporary_sibling(path)
        mine.write_bytes(b"half")
        assert sweep(tmp_path) == []
        writer.kill()
        # Not waited for yet: what is left of it has its number still.
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
        assert sweep(tmp_path) == [theirs]
    assert os.listdir(tmp_path) == [mine.name]


WRITER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from base_models.files import temporary_sibling\n"
    "print(temporary_sibling(Path(sys.argv[1])).name, flush=True)\n"
    "time.sleep(60)\n"
)


def test_of_another_machine_only_old_temporaries_count_as_left(tmp_path, monkeypatch):
    place = temporary_sibling(tmp_path / "a.json")
    place.write_bytes(b"half")
    legacy = tmp_path / f".a.json.{'0' * 32}.tmp"
    legacy.write_bytes(b"half")
    monkeypatch.setattr(temporaries, "_host", lambda: "0" * 8)
    assert sweep(tmp_path) == []
    for path in (place, legacy):
        os.utime(path, (0, 0))
    assert sorted(sweep(tmp_path)) == sorted([place, legacy])


def test_while_files_cannot_be_opened_nobody_counts_as_dead(tmp_path, monkeypatch):
    place = temporary_sibling(tmp_path / "a.json")
    monkeypatch.setattr(temporaries, "_start_of", lambda pid: None)
    assert not is_abandoned(place)


@pytest.mark.parametrize(
    "name", ["notes.tmp", ".hidden", ".a.tmp", f".a.{'0' * 31}.tmp", "a.json"]
)
def test_no_file_of_other_programs_is_swept(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"mine")
    os.utime(path, (0, 0))
    assert sweep(tmp_path, deep=True) == []
    assert path.read_bytes() == b"mine"


def test_names_of_temporaries_fit_a_file_system(tmp_path):
    for name in ("n" * 255, "ü" * 127, "日" * 85):
        temporary_sibling(tmp_path / name, OLD).write_bytes(b"")


def test_a_folder_of_a_long_name_is_put_back_too(tmp_path, monkeypatch):
    folder = tmp_path / ("n" * 200)
    write_artifact(folder, "thing", {"a": b"old"})
    aside = temporary_sibling(folder, OLD)
    os.rename(folder, aside)
    monkeypatch.setattr(temporaries, "_start_of", lambda pid: -1)
    # Of its name only a part is known here.
    sweep(tmp_path)
    assert aside.is_dir()
    assert Artifact(folder, "thing").read("a") == b"old"


def test_two_writers_of_one_folder_both_end(tmp_path, monkeypatch):
    folder = tmp_path / "stack"
    write_artifact(folder, "thing", {"a": b"old"})
    exists = replacement.Path.exists
    seen = []

    def vanishing(path, **words):
        # Another process has moved the folder aside at that moment, once.
        if path == folder and not seen:
            seen.append(path)
            return False
        return exists(path, **words)

    made = temporary_sibling(folder)
    write_artifact(made, "thing", {"a": b"new"})
    monkeypatch.setattr(replacement.Path, "exists", vanishing)
    replacement.replace_folder(made, folder)
    assert Artifact(folder, "thing").read("a") == b"new"
