"""Libraries that an encoder needs and that may not be installed.

An encoder names its optional libraries in its spec; what the file with its ``build``
imports is looked at too, since a package of somebody else may have forgotten to name
one. Nothing is imported to find out.
"""

from __future__ import annotations

import ast
import importlib.util
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from base_models.encoders.specs import EncoderSpec
from base_models.errors import MissingLibrary, UsageError
from base_models.optional_libraries import (
    EXTRA_OF_LIBRARY,
    is_installed,
    require,
)


def builder_module(spec: EncoderSpec) -> str:
    """Name of the module with an encoder's ``build``."""
    return spec.builder or f"base_models.encoders.{spec.kind}.{spec.name}"


def missing_libraries(spec: EncoderSpec) -> list[str]:
    """Import names of what an encoder seems to need and that is not installed."""
    imported = _imported_libraries(builder_module(spec))
    names = sorted({*spec.libraries, *imported})
    return [name for name in names if not is_installed(name)]


def check_libraries(spec: EncoderSpec) -> None:
    """Check that torch and the libraries which the spec names are installed.

    Raises
    ------
    UsageError
        If one is not, with the command that installs it.
    """
    require("torch")
    for name in spec.libraries:
        if not is_installed(name):
            raise missing_library_error(spec, name)


def missing_library_error(spec: EncoderSpec, module: str) -> UsageError:
    """Error of an encoder whose library is missing.

    Parameters
    ----------
    spec : EncoderSpec
    module : str
        Import name of the library, or of a module in it.
    """
    library = module.partition(".")[0]
    # A part that is missing from an installed library is not cured by installing it.
    lack = f"the library '{library}', which is not installed"
    if is_installed(library):
        lack = f"'{module}', which the installed '{library}' does not have"
    return UsageError(
        f"Encoder '{spec.name}' needs {lack}; run: {install_command([library], spec)}"
    )


def install_command(libraries: Sequence[str], spec: EncoderSpec) -> str:
    """Shell command that installs some libraries of an encoder."""
    extras = {
        EXTRA_OF_LIBRARY[library].name
        for library in libraries
        if library in EXTRA_OF_LIBRARY
    }
    packages = [
        spec.libraries.get(library, library)
        for library in libraries
        if library not in EXTRA_OF_LIBRARY
    ]
    # What this package's extras bring comes in the versions that it works with.
    if extras:
        packages.insert(0, f"stackedmos[{','.join(sorted(extras))}]")
    return f"pip install {shlex.join(packages)}"


def _imported_libraries(module: str) -> Iterator[str]:
    """Top-level names of what a module imports, without what it tries to import."""
    try:
        found = importlib.util.find_spec(module)
    # Finding a module imports the packages around it, and ours ask for torch.
    except MissingLibrary as error:
        yield str(error.name)
        return
    # Those of somebody else may fail in any way.
    except Exception:
        return
    if found is None or not found.origin or not found.origin.endswith(".py"):
        return

    pending: list[ast.AST] = [ast.parse(Path(found.origin).read_bytes())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        # What stands in `try` or `if` may be done without.
        elif not isinstance(node, ast.Try | ast.If):
            pending += ast.iter_child_nodes(node)
