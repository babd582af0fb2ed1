"""Laws of paths: a file is found however it is written, and never a wrong one."""

import os
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_models.clips.rows.audio_paths import (
    AudioFolders,
    same_file_twice,
    way_notes,
)


def folders(files, table="/t", root=None):
    """Folders of a file system that holds these files and no others."""
    paths = {os.path.normpath(file) for file in files}
    inside: dict[str, set[str]] = {}
    for path in paths:
        while path != "/":
            path, name = os.path.split(path)
            inside.setdefault(path, set()).add(name)

    def list_folder(folder):
        return sorted(inside.get(os.path.normpath(folder), ()))

    def exists(path):
        path = os.path.normpath(path)
        return path in paths or path in inside

    return AudioFolders(
        Path(table),
        Path(root) if root else None,
        exists=exists,
        list_folder=list_folder,
    )


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("a.wav", "/t/a.wav"),
        ("songs/a.wav", "/t/songs/a.wav"),
        ("a.wav", "/t/wav/a.wav"),
        ("/t/a.wav", "/t/a.wav"),
        (r"Meine Clips\v2 straße.mp3", "/t/Meine Clips/v2 straße.mp3"),
        (r".\songs\a.wav", "/t/songs/a.wav"),
        ("Songs/A.WAV", "/t/songs/a.wav"),
        ("songs/a", "/t/songs/a.flac"),
        ("v1.2", "/t/wav/v1.2.wav"),
        ("songs/a%20b.wav", "/t/songs/a b.wav"),
        ("Fr%C3%BChling.wav", "/t/Frühling.wav"),
        ("file:///t/songs/a.wav", "/t/songs/a.wav"),
        ("file:///t/a%20b.wav", "/t/a b.wav"),
        ("file:///C:/Users/me/a.wav", "/t/a.wav"),
        ("file:songs/a.wav", "/t/songs/a.wav"),
        (r"C:\Users\me\songs\a.wav", "/t/songs/a.wav"),
        (r"\\server\share\a.wav", "/t/a.wav"),
        ("/data/corpus/wav/a.wav", "/t/wav/a.wav"),
        ("/home/me/SONGS/a", "/t/songs/a.ogg"),
        ("~/songs/a.wav", "/t/songs/a.wav"),
        ("data/t/a.wav", "/t/a.wav"),
        ("corpus/wav/a.wav", "/t/wav/a.wav"),
        (unicodedata.normalize("NFD", "Größe.wav"), "/t/Größe.wav"),
        ("Größe.wav", "/t/" + unicodedata.normalize("NFD", "Größe.wav")),
    ],
)
def test_a_file_is_found_however_its_path_is_written(cell, file):
    found = folders([file, "/t/other.wav"]).find(cell)
    assert (found.exists, os.path.normpath(found.path)) == (True, file)


@pytest.mark.parametrize(
    ("cell", "files"),
    [
        ("a.wav", ["/t/b.wav"]),
        ("a.wav", ["/t/a.mp3"]),
        ("a.wav", ["/t/a.wav.wav"]),
        ("v2/a.wav", ["/t/a.wav", "/t/v1/a.wav"]),
        ("a", ["/t/a.txt"]),
        ("a.wav", ["/t/deep/a.wav"]),
        ("https://host/a.wav", ["/t/a.wav"]),
        ("s3://bucket/a.wav", ["/t/a.wav"]),
        ("a%2.wav", ["/t/a2.wav"]),
        ("", ["/t/a.wav"]),
    ],
)
def test_another_file_is_not_taken(cell, files):
    found = folders(files).find(cell)
    assert not found.exists
    assert not found.choices
    assert found.path == (str(Path("/t") / cell) if cell else "")


def test_a_file_that_is_named_as_it_is_needs_no_reading():
    files = ["/t/100%20.wav", "/t/a\\b.wav", "/t/A.wav", "/t/a.wav"]
    for cell in ("100%20.wav", "a\\b.wav", "A.wav", "a.wav"):
        found = folders(files).find(cell)
        assert (found.path, found.ways) == (f"/t/{cell}", ())


@pytest.mark.parametrize(
    ("cell", "files"),
    [
        ("a", ["/t/a.wav", "/t/a.mp3"]),
        ("A.WAV", ["/t/a.wav", "/t/A.wav"]),
        ("SONGS/a.wav", ["/t/songs/a.wav", "/t/Songs/a.wav"]),
        ("/data/a.wav", ["/t/a.wav", "/t/wav/a.wav"]),
    ],
)
def test_two_files_that_fit_are_no_answer(cell, files):
    found = folders(files).find(cell)
    assert not found.exists
    assert sorted(found.choices) == sorted(files)


def test_the_root_that_is_named_comes_first():
    files = ["/r/a.wav", "/t/a.wav", "/t/b.wav"]
    both = folders(files, root="/r")
    assert both.find("a.wav").path == "/r/a.wav"
    assert both.find("b.wav").path == "/t/b.wav"


def test_the_longest_end_of_a_path_counts():
    files = ["/t/v1/a.wav", "/t/a.wav"]
    assert folders(files).find("/data/v1/a.wav").path == "/t/v1/a.wav"


def test_a_folder_that_is_here_is_not_looked_for_elsewhere():
    files = ["/t/v1/a.wav", "/t/b.wav"]
    first, second = folders(files).find_all(["/data/v1/a.wav", "/data/v1/b.wav"])
    assert first.exists
    assert not second.exists
    assert second.path == "/data/v1/b.wav"


def test_two_paths_that_lead_to_one_file_are_suspicious():
    found = folders(["/t/a.wav", "/t/b.wav"]).find_all(
        ["/data/v1/a.wav", "/data/v2/a.wav", "b.wav", r".\b.wav"]
    )
    assert same_file_twice(found) == [0, 1]


def test_ways_are_counted():
    found = folders(["/t/s/a.wav", "/t/s/b.wav"]).find_all(
        [r"s\a.wav", r"S\b", "c", ""]
    )
    assert way_notes(found) == [
        r"2 of 3 audio paths: '\' read as '/'",
        "1 of 3 audio paths: found in another case or Unicode form",
        "1 of 3 audio paths: found by adding the extension",
    ]


NAMES = st.text("abAB é%2.", min_size=1, max_size=4).filter(
    lambda name: name.strip(" .") and name == name.strip()
)


@given(
    st.sets(st.tuples(NAMES, NAMES), min_size=1, max_size=6),
    st.sampled_from(["plain", "back", "percent", "link", "windows", "other"]),
    st.integers(0, 5),
)
def test_whatever_is_found_is_the_file_that_was_meant(pairs, form, pick):
    files = sorted(f"{folder}/{name}.wav" for folder, name in pairs)
    meant = files[pick % len(files)]
    cell = {
        "plain": meant,
        "back": meant.replace("/", "\\"),
        "percent": quote(meant),
        "link": f"file://{quote('/t/' + meant)}",
        "windows": "C:\\data\\" + meant.replace("/", "\\"),
        "other": f"/data/{meant}",
    }[form]
    found = folders([f"/t/{file}" for file in files]).find(cell)
    if found.exists:
        # A name with a percent sign can be read in two ways, of which the plain wins.
        assert found.path == f"/t/{meant}" or "%" in meant
    elif not found.choices:
        assert "%" in meant


CELLS = st.lists(
    st.sampled_from(["a", "A.wav", "b.wav", "wav", "t", "v1", "..", ".", ""]),
    max_size=4,
).flatmap(
    lambda parts: st.sampled_from(["", "/", "./", "/data/", "C:\\", "data/"]).map(
        lambda start: start + "/".join(parts)
    )
)


@given(
    st.sets(
        st.sampled_from(["a.wav", "wav/b.wav", "v1/a.wav", "v1/A.wav", "V1/b.mp3"])
    ),
    st.lists(CELLS, min_size=2, max_size=8),
)
def test_what_a_path_leads_to_does_not_depend_on_those_before_it(files, cells):
    files = [f"/t/{file}" for file in files]
    one_after_another = folders(files)
    for cell in cells:
        assert one_after_another.find(cell) == folders(files).find(cell)


@given(st.text("a./~ ", min_size=1), st.sampled_from(["/t", ".", "t/wav", "/"]))
def test_a_missing_file_is_where_pathlib_puts_it(cell, table):
    found = folders([], table=table).find(cell)
    assert found.path == str(Path(table) / cell) or found.exists
