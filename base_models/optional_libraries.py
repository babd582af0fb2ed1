"""Libraries that only some work needs, and what to install where one is missing.

The package is useful without torch: predictions of others are stacked, evaluated and
completed by ratings without it. What needs more says so in one line, with the extra
that brings it, and never by a ``ModuleNotFoundError``.

Notes
-----
There are two ways in, and no module tries an import by itself:

- `require` at the top of a package that is of no use without a library;
- `LazyLibrary` in place of ``import`` where a module has work to do without it too.

`LazyLibrary` also stands for NumPy in the few modules that every command reads its
options with, since importing NumPy takes longer than printing ``--help``.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from base_models.errors import MissingLibrary


class Extra(NamedTuple):
    """An extra of this package, and what it is for.

    Parameters
    ----------
    name : str
        As in ``pip install 'stackedmos[name]'``.
    work : str
        What cannot be done without it, in the plural.
    """

    name: str
    work: str


_TRAIN = Extra("train", "Base models and their encoders")
_PARQUET = Extra("parquet", "Parquet files")
_LIGHT = Extra("light", "The light encoders")
_AV = Extra("av", "M4A, AAC and WebM files")
_SERVE = Extra("serve", "Local pages")
_HUB = Extra("hub", "Models and stacks on a hub")
_DASK = Extra("dask", "Clusters (on every worker too)")

EXTRA_OF_LIBRARY = {
    "torch": _TRAIN,
    "torchaudio": _TRAIN,
    "torchvision": _TRAIN,
    "transformers": _TRAIN,
    "huggingface_hub": _HUB,
    "muq": _TRAIN,
    "mambapy": _TRAIN,
    "geomloss": _TRAIN,
    "ot": _TRAIN,
    "pyarrow": _PARQUET,
    "onnxruntime": _LIGHT,
    "av": _AV,
    "distributed": _DASK,
    "starlette": _SERVE,
    "uvicorn": _SERVE,
    "python_multipart": _SERVE,
}
"""Import name of each optional library → the extra that brings it."""
_NOT_LOADED = "Could not load this library: "
_COMPILED = (".so", ".pyd", ".dylib", ".dll")
_INSTALLED = "site-packages"


def is_installed(library: str) -> bool:
    """Whether a library can be found; it is not imported."""
    try:
        return importlib.util.find_spec(library) is not None
    # One that is kept from being imported counts as absent.
    except ModuleNotFoundError:
        return False
    # A module that somebody put into sys.modules by hand may have no spec.
    except ValueError:
        return True


def require(library: str) -> None:
    """Check that an optional library is installed, without importing it.

    Parameters
    ----------
    library : str
        One of `EXTRA_OF_LIBRARY`.

    Raises
    ------
    MissingLibrary
        If it is not, with the command that installs it.
    """
    if not is_installed(library):
        raise missing_library(library)


def missing_library(library: str) -> MissingLibrary:
    """Error about an optional library that is not installed.

    Examples
    --------
    >>> print(missing_library("pyarrow"))  # doctest: +ELLIPSIS
    Parquet files need pyarrow, ...; run: pip install 'stackedmos[parquet]'
    """
    extra = EXTRA_OF_LIBRARY[library]
    return MissingLibrary(
        f"{extra.work} need {library}, which is not installed; run: "
        f"{install_command_of(extra)}",
        library,
    )


def unusable_library(error: BaseException) -> MissingLibrary | None:
    """Error about a library that is installed and cannot be loaded, or None.

    A compiled part of it was made for another version of a library that it needs.

    Parameters
    ----------
    error : what an import raised

    Examples
    --------
    >>> error = OSError("Could not load this library: /lib/torchaudio/lib/audio.so")
    >>> print(unusable_library(error))  # doctest: +ELLIPSIS
    Base models and their encoders need torchaudio, ... the libraries it needs; run: ...
    """
    file = ""
    if isinstance(error, ImportError):
        file = error.path or ""
    # As torch says it, which loads such parts of other libraries by itself.
    elif isinstance(error, OSError) and str(error).startswith(_NOT_LOADED):
        file = str(error).removeprefix(_NOT_LOADED)
    path = Path(file)
    if not path.name.endswith(_COMPILED):
        return None
    folders = path.parts[:-1]
    # Folders above the installation may have the name of a library.
    if _INSTALLED in folders:
        start = len(folders) - folders[::-1].index(_INSTALLED)
        folders = folders[start : start + 1]
    for folder in reversed(folders):
        if folder in EXTRA_OF_LIBRARY:
            extra = EXTRA_OF_LIBRARY[folder]
            return MissingLibrary(
                f"{extra.work} need {folder}, which is installed but does not fit "
                f"the libraries it needs; run: {install_command_of(extra)}",
                folder,
            )
    return None


def install_command_of(extra: Extra) -> str:
    """Shell command that installs this package with an extra."""
    # Quoted, because some shells take square brackets for a pattern.
    return f"pip install 'stackedmos[{extra.name}]'"


class LazyLibrary:
    """A library, or a module of it, that is imported when it is first used.

    Parameters
    ----------
    module : str
        Such as ``"pyarrow.parquet"``.

    Examples
    --------
    >>> pq = LazyLibrary("pyarrow.parquet")
    >>> pq.ParquetFile.__name__
    'ParquetFile'
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._imported: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        # Special attributes are asked for by copy, pickle and inspect, which do not
        # mean the library.
        if name.startswith("__"):
            raise AttributeError(name)
        # Kept, and not looked up among all modules: there, another thread may still be
        # importing it.
        if self._imported is None:
            library = self._module.partition(".")[0]
            if library in EXTRA_OF_LIBRARY:
                require(library)
            self._imported = importlib.import_module(self._module)
        return getattr(self._imported, name)
