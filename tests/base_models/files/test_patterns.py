"""Patterns of files match what those of Python do, and leave no folder out silently."""

import errno
import glob
import os

import pytest

from base_models.errors import MachineFault
from base_models.files import matching_paths

PATTERNS = (
    *("*.wav", "a/*.wav", "a/*", "*/*.wav", "**/*.wav", "a/**/*.wav", "a/**", "**"),
    *("*/b/*.wav", "[ab]/*.wav", "?/x1.wav", "a/b/x[0-1].wav", "a/.*", "./a/*.wav"),
    *("a/**/b/*.wav", "**/b/**", "link/*.wav", "a//*.wav", "a/*/"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Some files of sound, hidden ones and links among them."""
    for place in (".", "a", "a/b", "a/b/c", "b", "a/.hidden"):
        (tmp_path / place).mkdir(exist_ok=True)
        for name in ("x1.wav", "x2.wav", "y.txt", ".h.wav"):
            (tmp_path / place / name).touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "broken.wav").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_pattern_matches_what_that_of_python_does(folder, pattern, is_absolute):
    word = f"{folder}/{pattern}" if is_absolute else pattern
    expected = {os.path.normpath(path) for path in glob.glob(word, recursive=True)}
    found = matching_paths(word)
    assert {os.path.normpath(path) for path in found} == expected
    assert found == sorted(set(found))


def test_a_folder_that_the_machine_cannot_list_is_not_left_out(folder, monkeypatch):
    listed = os.listdir

    def fail_below(path="."):
        if str(path).endswith("a/b"):
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        return listed(path)

    monkeypatch.setattr(os, "listdir", fail_below)
    with pytest.raises(MachineFault, match="failed at a/b: Too many open files"):
        matching_paths("**/*.wav")
