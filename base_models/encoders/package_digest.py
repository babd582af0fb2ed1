"""A digest of what decides the embeddings of another package's encoder.

A built-in encoder has pinned weight files, and its code is ours: it raises
`EncoderSpec.version`. Another package may ship a weight file within itself, or load one
from anywhere, and state none of them. So its content is hashed here: a release that
would give other embeddings has another signature, and none is taken for the other's.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path, PurePath

from base_models.encoders.base import Encoder, list_tensors
from base_models.files import sha256

CODE = (".py", ".pyi", ".typed", ".so", ".pyd", ".dylib", ".dll")
"""Ends of the names of files that are code; every other file is data."""
METADATA = (".dist-info", ".egg-info", ".pth")
SCRIPTS = ("bin", "Scripts")
"""Folders of scripts, which name the interpreter of this machine."""


def package_digest(encoder: Encoder, point: EntryPoint) -> str:
    """Digest of an encoder of another package, over all that decides its embeddings.

    Parameters
    ----------
    encoder : Encoder
        As the package has built it, with or without a digest.
    point : EntryPoint
        By which the package offers it.

    Returns
    -------
    digest : str
        64 hex digits. Without a digest of the encoder's own they cover the files of the
        package, code and data, and the parameters and persistent buffers of the module.
        A digest of its own stands for code, whose changes raise `version`, and for
        parameters: only data files that the package ships are added, and where there
        are none it stays as it is.

    Notes
    -----
    Contents are hashed, not the hashes that were recorded at the installation, so that
    a file that was exchanged since counts. Names are those below the folder of the
    installation: the digest is the same on every machine, and for an editable
    installation of the same content.
    """
    files = _package_files(point, encoder.builder)
    data = {name: path for name, path in files.items() if not _is_code(name)}
    if encoder.digest and not data:
        return encoder.digest

    if encoder.digest:
        listing = f"digest {encoder.digest}\n{_list_files(data)}"
    else:
        # What a module loads. Its other buffers are computed by its code.
        state = encoder.module.state_dict()
        listing = _list_files(files) + list_tensors(state.items())
    return sha256(listing.encode())


def _package_files(point: EntryPoint, module: str) -> dict[str, Path]:
    """Files that are installed with a package, by their name below its root."""
    origin = _origin(module)
    recorded = _recorded_files(point.dist)
    # The record of an editable installation names a link to the sources alone.
    if origin is None or origin.resolve() in {p.resolve() for p in recorded.values()}:
        return recorded
    return _source_files(module, origin)


def _origin(module: str) -> Path | None:
    """The file of a module; None if it has none of its own, as in a zip archive."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin if origin.is_file() else None


def _recorded_files(distribution: Distribution | None) -> dict[str, Path]:
    """What the record of an installation names, but for metadata and scripts."""
    # An installation without a record has None.
    recorded = distribution.files if distribution else None
    files = {}
    for entry in recorded or ():
        # Data files may be beside the folder of modules, as "../../share/...".
        name = PurePath(*(part for part in entry.parts if part != ".."))
        if name.parts[0].endswith(METADATA) or name.parts[0] in SCRIPTS:
            continue
        path = Path(str(entry.locate()))
        if _is_content(name) and path.is_file():
            files[name.as_posix()] = path
    return files


def _source_files(module: str, origin: Path) -> dict[str, Path]:
    """Files of the package that a module is in, or of the module that stands alone."""
    package = _regular_package(module)
    if package is None:
        return {origin.name: origin}

    parent, folder = package
    files = {}
    for path in folder.rglob("*"):
        name = f"{parent}{path.relative_to(folder.parent).as_posix()}"
        if path.is_file() and _is_content(PurePath(name)):
            files[name] = path
    return files


def _regular_package(module: str) -> tuple[str, Path] | None:
    """The outermost package of a module that has a folder to itself.

    Returns
    -------
    parent, folder : str and Path, or None
        `parent` are the namespace packages around it, which distributions share, as
        a path that ends with "/".
    """
    names = module.split(".")
    for depth in range(1, len(names) + 1):
        spec = importlib.util.find_spec(".".join(names[:depth]))
        if spec is None or spec.submodule_search_locations is None:
            return None
        if spec.origin is not None:
            parent = "".join(f"{name}/" for name in names[: depth - 1])
            return parent, Path(spec.origin).parent
    return None


def _is_content(name: PurePath) -> bool:
    """Whether a file was made by the package's authors, not by Python or an editor."""
    is_hidden = any(part.startswith(".") for part in name.parts)
    return not is_hidden and "__pycache__" not in name.parts and name.suffix != ".pyc"


def _is_code(name: str) -> bool:
    return name.endswith(CODE)


def _list_files(files: Mapping[str, Path]) -> str:
    """A line for each file: its name and the SHA-256 of its content."""
    listing = ""
    for name in sorted(files):
        # In pieces, as a file of weights may be larger than memory.
        with files[name].open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        listing += f"file {name} {content}\n"
    return listing
