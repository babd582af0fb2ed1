import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from base_models.errors import DamagedArtifact, MachineFault, OutOfSpace, UsageError
from base_models.files import (
    MANIFEST,
    Artifact,
    atomic_write,
    from_json,
    nan_to_none,
    parse_tensors,
    read_bytes,
    read_json,
    seal,
    to_json,
    write_json,
    write_tensors,
)


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "run"
    write_json(folder / "a.json", {"x": 1.5})
    write_tensors(
        folder / "w.safetensors", {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    )
    seal(folder, "thing")
    return folder


def test_what_was_sealed_reads_back(sealed):
    artifact = Artifact(sealed, "thing")
    artifact.verify()
    assert artifact.json("a.json") == {"x": 1.5}
    assert artifact.tensors("w.safetensors")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_any_changed_byte_is_found_by_name(sealed):
    path = sealed / "w.safetensors"
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        path.write_bytes(
            good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :]
        )
        with pytest.raises(DamagedArtifact, match=r"w\.safetensors was changed"):
            Artifact(sealed, "thing").verify()


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[]],
        [[], {}, ()],
        [["a\nb", 'q"', "é\u2028"], ("x", 1, 2.5, None, True)],
        [[["deep", ["er"]]], {"b": [1, 2], "a": {"c": ["d"]}}, "text\n", 0.1],
        [np.float64(0.25), [np.float64(0.5), "a"]],
        {"b": [1, [2]], "a": []},
        "text",
    ],
)
def test_json_is_that_of_the_library(value):
    options = {"sort_keys": True, "indent": 1, "ensure_ascii": False}
    assert to_json(value) == json.dumps(value, **options).encode()


@pytest.mark.parametrize(
    "value", [[float("nan")], [[1.0, float("inf")]], [{"a": [float("nan")]}]]
)
def test_json_has_no_nan_wherever_it_stands(value):
    with pytest.raises(ValueError, match="Out of range float values"):
        to_json(value)


def test_a_missing_file_is_found_by_name(sealed):
    (sealed / "a.json").unlink()
    with pytest.raises(DamagedArtifact, match=r"a\.json cannot be read"):
        Artifact(sealed, "thing").verify()


def test_an_unsealed_or_foreign_folder_is_refused(sealed, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        Artifact(tmp_path / "none", "thing")
    with pytest.raises(UsageError, match="never finished"):
        Artifact(tmp_path, "thing")
    with pytest.raises(UsageError, match="is a 'thing', not a 'stack'"):
        Artifact(sealed, "stack")


def test_a_manifest_of_another_kind_is_refused(sealed):
    (sealed / "manifest.json").write_text("[]")
    with pytest.raises(DamagedArtifact, match="not a manifest"):
        Artifact(sealed, "thing")
    write_json(sealed / "manifest.json", {"format": 99, "role": "thing", "files": {}})
    with pytest.raises(UsageError, match="format 99"):
        Artifact(sealed, "thing")


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', '{"a":NaN}', '{"a":1e999}', "{", "[" * 100_000, "\udcff"]
)
def test_json_that_is_not_strict_is_refused(text):
    with pytest.raises(DamagedArtifact, match=r"x\.json is not valid JSON"):
        from_json(text.encode(errors="surrogateescape"), "x.json")


def test_equal_values_have_equal_bytes():
    assert to_json({"b": 1, "a": 2}) == to_json({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_never_written_as_json(value, tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1.5})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": [value]})
    assert from_json(path.read_bytes(), "x.json") == {"a": 1.5}


def test_values_that_json_cannot_hold_become_none_and_others_stay():
    frame = pd.DataFrame(
        {
            "name": ["a", None],
            "value": [np.nan, 1.5],
            "bound": [np.inf, -np.inf],
            "n": [1, 2],
        }
    )
    rows = nan_to_none({"rows": frame, "pair": (np.float64("nan"), True)})
    assert rows == {
        "rows": [
            {"name": "a", "value": None, "bound": None, "n": 1},
            {"name": None, "value": 1.5, "bound": None, "n": 2},
        ],
        "pair": [None, True],
    }
    assert from_json(to_json(rows), "x.json") == rows
    assert nan_to_none(pd.NA) is None


def test_tensors_that_are_not_finite_or_not_tensors_are_refused(tmp_path):
    write_tensors(tmp_path / "x", {"w": np.array([1.0, np.nan])})
    with pytest.raises(DamagedArtifact, match="holds NaN"):
        parse_tensors((tmp_path / "x").read_bytes(), "x")
    with pytest.raises(DamagedArtifact, match="not a readable safetensors"):
        parse_tensors(b"\x80\x04K\x01.", "x")


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_litter(
    tmp_path, monkeypatch
):
    path = tmp_path / "a"
    atomic_write(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutOfSpace, match=r"No space left to write .*: 3 bytes needed, [\d,]+ free"
    ):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_written_to_is_said_of_the_file_asked_for(
    tmp_path, monkeypatch
):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        MachineFault, match=r"/scores\.csv: Read-only file system while 3 bytes"
    ):
        atomic_write(tmp_path / "scores.csv", b"new")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads of Linux")
def test_a_parquet_table_is_read_without_threads_that_outlive_python(tmp_path):
    # A thread that frees the bytes while Python ends aborts the process.
    path = tmp_path / "table.parquet"
    pd.DataFrame({"clip_id": ["a", "b"], "mos": [1.5, None]}).to_parquet(path)
    program = (
        "import os, sys\n"
        "import pandas, pyarrow.parquet\n"
        "from base_models.files import parse_parquet\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "assert parse_parquet(data)['mos'].to_pylist() == [1.5, None]\n"
        "assert len(os.listdir('/proc/self/task')) == before\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


@pytest.mark.parametrize(
    "name",
    ["/dev/zero", "../a.json", "a/../../b", "", ".", "a/", "a\x00b", "a\ud800"],
)
def test_a_manifest_that_leads_out_of_its_folder_is_refused_unread(sealed, name):
    facts = read_json(sealed / MANIFEST)
    facts["files"][name] = "0" * 64
    (sealed / MANIFEST).write_text(json.dumps(facts))
    with pytest.raises(DamagedArtifact, match="no file below its folder") as caught:
        Artifact(sealed, "thing")
    assert str(caught.value).isprintable()


def test_a_device_a_pipe_or_a_folder_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "endless", "folder"):
        with pytest.raises(DamagedArtifact, match=f"{name} is not a regular file"):
            read_bytes(tmp_path / name)
    with pytest.raises(DamagedArtifact, match="loop cannot be read"):
        read_bytes(tmp_path / "loop")


def test_a_file_of_more_bytes_than_are_read_is_refused_unread(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DamagedArtifact, match=r"1,099,511,627,776 bytes; at most"):
        read_bytes(tmp_path / "sparse")
    (tmp_path / "small").write_bytes(b"12345")
    assert read_bytes(tmp_path / "small", 5) == b"12345"
    with pytest.raises(DamagedArtifact, match="5 bytes; at most 4 are read"):
        read_bytes(tmp_path / "small", 4)


def test_a_link_that_leads_out_of_an_artifact_is_not_followed(sealed, tmp_path):
    data = (sealed / "a.json").read_bytes()
    (sealed / "a.json").unlink()
    (tmp_path / "secret").write_bytes(data)
    (sealed / "a.json").symlink_to(tmp_path / "secret")
    with pytest.raises(DamagedArtifact, match=r"a\.json is a link that leads out of"):
        Artifact(sealed, "thing").read("a.json")

    # Inside of it they may lead anywhere.
    (sealed / "b.json").write_bytes(data)
    (sealed / "a.json").unlink()
    (sealed / "a.json").symlink_to("b.json")
    assert Artifact(sealed, "thing").read("a.json") == data

    (tmp_path / "m").write_bytes((sealed / MANIFEST).read_bytes())
    (sealed / MANIFEST).unlink()
    (sealed / MANIFEST).symlink_to(tmp_path / "m")
    with pytest.raises(DamagedArtifact, match=r"manifest\.json is a link that leads"):
        Artifact(sealed, "thing")


def test_an_artifact_may_itself_be_a_link(sealed, tmp_path):
    (tmp_path / "link").symlink_to(sealed)
    Artifact(tmp_path / "link", "thing").verify()


def test_links_of_a_hubs_cache_lead_into_its_blobs_alone(sealed, tmp_path):
    folder = tmp_path / "cache" / "snapshots" / "0123"
    folder.parent.mkdir(parents=True)
    (folder.parent.parent / "blobs").mkdir()
    sealed.rename(folder)
    (folder / "a.json").rename(tmp_path / "cache" / "blobs" / "aa")
    (folder / "a.json").symlink_to("../../blobs/aa")
    Artifact(folder, "thing").verify()
    (folder / "a.json").unlink()
    (folder / "a.json").symlink_to("/etc/hostname")
    with pytest.raises(DamagedArtifact, match="leads out of"):
        Artifact(folder, "thing").verify()


def test_any_changed_byte_of_a_manifest_is_found(sealed):
    path = sealed / MANIFEST
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(
            good[:position] + bytes([good[position] ^ 32]) + good[position + 1 :]
        )
        with pytest.raises((DamagedArtifact, UsageError), match="run"):
            Artifact(sealed, "thing")
    path.write_bytes(good + b"\n")
    with pytest.raises(DamagedArtifact, match="was changed after it was written"):
        Artifact(sealed, "thing")


def test_a_manifest_of_an_older_version_is_read(sealed):
    facts = read_json(sealed / MANIFEST)
    del facts["sha256"]
    write_json(sealed / MANIFEST, facts)
    Artifact(sealed, "thing").verify()
    # Without the key, an artifact of another identity would pass for this one.
    facts["Identity"] = facts.pop("identity")
    write_json(sealed / MANIFEST, facts)
    with pytest.raises(DamagedArtifact, match="'Identity' is no key of it"):
        Artifact(sealed, "thing", "a")


def test_a_manifest_lists_no_more_files_than_a_folder_may_have(sealed):
    facts = read_json(sealed / MANIFEST)
    facts["files"] = {f"{k}": "0" for k in range(100_001)}
    write_json(sealed / MANIFEST, facts)
    with pytest.raises(DamagedArtifact, match="lists 100,001 files; at most 100,000"):
        Artifact(sealed, "thing")
