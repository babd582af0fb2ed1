"""What a stranger may do to an artifact before somebody loads it.

Each attack changes a folder; the manifest is then written anew, so that it is right of
what was changed unless it is the manifest itself that lies.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from torture.foreign.mutants import HOSTILE, mutant_arrays, mutant_json

from base_models.files import manifest_of, sha256

MARKER = "MARKER"
"""Name of the file that appears beside the artifact when a payload is run."""
SECRET = "outside-secret"
"""Name of a file beside the artifact, which no loader may read."""

Attack = Callable[[Path, list[str], np.random.Generator], None]


class _Payload:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def _pick(folder: Path, names: list[str], rng: np.random.Generator) -> Path:
    return folder / names[int(rng.integers(len(names)))]


def _put(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def link_out(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a link to one outside, with the same contents."""
    path = _pick(folder, names, rng)
    outside = folder.parent / SECRET
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(
        outside if rng.integers(2) else os.path.relpath(outside, path.parent)
    )


def folder_link_out(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A folder inside is a link to one outside."""
    inner = sorted({name.split("/")[0] for name in names if "/" in name})
    if not inner:
        link_out(folder, names, rng)
        return
    path = folder / inner[0]
    os.rename(path, folder.parent / "outside-folder")
    path.symlink_to(folder.parent / "outside-folder")


def link_to_system(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a link to a file or device of the system."""
    path = _pick(folder, names, rng)
    path.unlink()
    targets = ("/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem", "/dev/null")
    path.symlink_to(targets[int(rng.integers(len(targets)))])


def link_loop(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a link to itself."""
    path = _pick(folder, names, rng)
    path.unlink()
    path.symlink_to(path.name)


def pipe(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a pipe that nobody writes to."""
    path = _pick(folder, names, rng)
    path.unlink()
    os.mkfifo(path)


def unix_socket(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a socket."""
    path = _pick(folder, names, rng)
    path.unlink()
    here = os.getcwd()
    # The name of a socket may have 107 bytes.
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def directory(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a folder."""
    path = _pick(folder, names, rng)
    path.unlink()
    path.mkdir()


def sparse(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file claims eight gigabytes."""
    path = _pick(folder, names, rng)
    os.truncate(path, 8 * 2**30)


def pickled(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is a pickle that runs a command when it is loaded."""
    path = _pick(folder, names, rng)
    payload = pickle.dumps(_Payload(str(folder.parent / MARKER)))
    if rng.integers(2):
        array = np.array([_Payload(str(folder.parent / MARKER))], dtype=object)
        target = folder.parent / "array.npy"
        np.save(target, array, allow_pickle=True)
        payload = target.read_bytes()
    _put(path, payload)


def program(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A program lies beside the files, under a name that could be imported."""
    code = f"open({str(folder.parent / MARKER)!r}, 'w').close()\n"
    for name in ("__init__.py", "conftest.py", "modeling_x.py", "sitecustomize.py"):
        (folder / name).write_text(code)
    _edit_json(folder, names, rng, _asks_for_code)


def _asks_for_code(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, dict):
        value["auto_map"] = {"AutoModel": "modeling_x.Model"}
        value["__module__"] = "sitecustomize"
        value["trust_remote_code"] = True
    return value


def _edit_json(
    folder: Path,
    names: list[str],
    rng: np.random.Generator,
    edit: Callable[[Any, np.random.Generator], Any],
) -> None:
    own = [name for name in names if name.endswith(".json")]
    if not own:
        pickled(folder, names, rng)
        return
    path = _pick(folder, own, rng)
    value = edit(json.loads(path.read_bytes()), rng)
    _put(path, json.dumps(value).encode())


def odd_json(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """Values in JSON are others, or of other kinds."""
    _edit_json(folder, names, rng, mutant_json)


def places(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """JSON names places to write, devices, addresses and functions."""

    def edit(value: Any, rng: np.random.Generator) -> Any:
        if not isinstance(value, dict):
            return value
        target = value.get("params", value)
        keys = ("checkpoint", "store", "device", "on_epoch", "preset", "settings")
        words = (str(folder.parent / MARKER), "cuda:9", "https://127.0.0.1:9/", "print")
        if isinstance(target, dict):
            target[keys[int(rng.integers(len(keys)))]] = words[int(rng.integers(4))]
        return value

    _edit_json(folder, names, rng, edit)


def other_encoder(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """JSON names an encoder of a repository, or a folder of weights."""
    words = ("muq", "mert", "roberta", "whisper", "muq=/dev", "muq=//127.0.0.1/a")
    word = words[int(rng.integers(len(words)))]

    def edit(value: Any, rng: np.random.Generator) -> Any:
        if isinstance(value, dict) and isinstance(value.get("params"), dict):
            value["params"]["audio_encoder"] = word
        return value

    own = [name for name in names if name.endswith("config.json")]
    _edit_json(folder, own or names, rng, edit)


def bombs(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """JSON is nested, long, or full of digits."""
    own = [name for name in names if name.endswith(".json")] or names
    texts = (
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"[" + b"1," * 500_000 + b"1]",
        b"1" * 1_000_000,
        b'{"a": 1e999}',
        b'{"a": NaN, "a": 2}',
        b'"' + b"x" * 2_000_000 + b'"',
        b"\xff\xfe{}",
    )
    _put(_pick(folder, own, rng), texts[int(rng.integers(len(texts)))])


def many_aspects(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """JSON counts 100,000 aspects, bins, layers or clips."""

    def edit(value: Any, rng: np.random.Generator) -> Any:
        if not isinstance(value, dict):
            return value
        many = [f"a{k}" for k in range(100_000)]
        kind = int(rng.integers(4))
        if kind == 0:
            value |= {"aspects": many, "needs_text": [False] * len(many)}
        elif kind == 1 and isinstance(value.get("config"), dict):
            value["config"] |= {"hidden_layers": 10**9, "bins": {"count": 10**9}}
        elif kind == 2 and isinstance(value.get("encoders"), dict):
            value["encoders"]["audio"]["dim"] = int(10 ** rng.integers(4, 13))
        elif isinstance(value.get("meta"), dict):
            value["meta"]["aspects"] = many
        return value

    _edit_json(folder, names, rng, edit)


def odd_tensors(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """Arrays are of other types, shapes and numbers."""
    own = [name for name in names if name.endswith(".safetensors")]
    if not own:
        pickled(folder, names, rng)
        return
    path = _pick(folder, own, rng)
    arrays = mutant_arrays(safetensors.numpy.load(path.read_bytes()), rng)
    _put(path, safetensors.numpy.save(arrays))


def many_tensors(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A header holds 300,000 tensors, or 90 MB of blanks."""
    own = [name for name in names if name.endswith(".safetensors")]
    if rng.integers(2):
        of_one = '"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
        header = "{" + ",".join(of_one % k for k in range(300_000)) + "}"
    else:
        header = "{}" + " " * 90_000_000
    data = len(header).to_bytes(8, "little") + header.encode()
    _put(_pick(folder, own or names, rng), data)


def empty(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """A file is empty, missing, or another one of the folder."""
    path = _pick(folder, names, rng)
    kind = int(rng.integers(3))
    if kind == 0:
        _put(path, b"")
    elif kind == 1:
        path.unlink()
    else:
        _put(path, _pick(folder, names, rng).read_bytes() if path.exists() else b"")


ATTACKS: tuple[Attack, ...] = (
    link_out,
    folder_link_out,
    link_to_system,
    link_loop,
    pipe,
    unix_socket,
    directory,
    sparse,
    pickled,
    program,
    odd_json,
    places,
    other_encoder,
    bombs,
    many_aspects,
    odd_tensors,
    many_tensors,
    empty,
)


def hostile_manifest(
    manifest: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """A manifest that names files outside, counts too many, or is of another form."""
    changed = dict(manifest)
    files = dict(manifest["files"])
    outside = (
        "../outside-secret",
        "/etc/passwd",
        "/dev/zero",
        "a/../../outside-secret",
        "base/../../outside-secret",
        "..",
        "",
        "a\x00b",
        "\ud800",
        "c:\\x",
    )
    kind = int(rng.integers(6))
    if kind == 0:
        files[outside[int(rng.integers(len(outside)))]] = "0" * 64
    elif kind == 1:
        files |= {f"f{k}": "0" * 64 for k in range(100_000)}
    elif kind == 2:
        keys = sorted(changed)
        changed[keys[int(rng.integers(len(keys)))]] = HOSTILE[
            int(rng.integers(len(HOSTILE)))
        ]
        return changed
    elif kind == 3:
        files = {name: HOSTILE[int(rng.integers(len(HOSTILE)))] for name in files}
    elif kind == 4:
        mutant: dict[str, Any] = mutant_json(changed, rng)
        return mutant
    else:
        secret = "../outside-secret"
        files = {name: sha256(b"") for name in (*files, secret)}
    return {**changed, "files": files}


def seal_anew(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest that is right of what the files of the folder are now."""
    files = {}
    for name in manifest["files"]:
        path = folder / name
        files[name] = "0" * 64
        # Pipes, devices and files of the system are never opened here.
        own = os.path.realpath(folder.parent)
        is_own = os.path.realpath(path).startswith(own)
        if is_own and path.is_file() and path.stat().st_size < 2**28:
            files[name] = sha256(path.read_bytes())
    identity = str(manifest.get("identity") or "")
    data = manifest_of(manifest["role"], files, identity)
    (folder / "manifest.json").write_bytes(data)
