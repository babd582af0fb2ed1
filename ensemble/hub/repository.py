"""Push a stack to a hub, and pull one from it.

A push is one commit, so that no reader ever finds half a stack. A pull asks first for
the manifest and then for the files that it lists, no others; the stack that is loaded
from them is verified against it like any other one.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from base_models.errors import UsageError, in_one_line
from base_models.files import MANIFEST, read_json
from base_models.optional_libraries import LazyLibrary, require
from ensemble.hub.place import HubPlace
from ensemble.hub.shared_copy import CARD, check_shared_names

if TYPE_CHECKING:
    import huggingface_hub
    from huggingface_hub import errors as hub_errors
else:
    huggingface_hub = LazyLibrary("huggingface_hub")
    hub_errors = LazyLibrary("huggingface_hub.errors")

SECONDS = 10.0
"""How long the first answer of a hub may take; a dead network would take minutes."""
_LIBRARY = "stackedmos"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class HubAccess:
    """How a hub is asked.

    Parameters
    ----------
    token : str or None
        None takes the one of ``hf auth login`` or ``HF_TOKEN``, if there is any.
    endpoint : str or None
        Address of the hub; None is that of ``HF_ENDPOINT``, or the public one.
    cache : path or None
        Folder of what was pulled; None is that of ``HF_HUB_CACHE``, or the usual one.
    local_only : bool
        Whether the network must not be asked.
    """

    token: str | None = None
    endpoint: str | None = None
    cache: Path | str | None = None
    local_only: bool = False

    def api(self) -> huggingface_hub.HfApi:
        """Client of the hub."""
        require("huggingface_hub")
        return huggingface_hub.HfApi(
            endpoint=self.endpoint, token=self.token, library_name=_LIBRARY
        )


def push_files(
    place: HubPlace,
    files: Mapping[str, bytes],
    access: HubAccess,
    *,
    private: bool = False,
    message: str = "",
) -> str:
    """Make a repository hold `files` and nothing else, in one commit.

    Parameters
    ----------
    place : HubPlace
        Its repository is made where it is not there; its revision is a branch.
    files : mapping from str to bytes
        Name to contents.
    access : HubAccess
    private : bool
        Whether a repository that is made is private; one that is there stays as it is.
    message : str
        Of the commit.

    Returns
    -------
    revision : str
        The commit, which is what to pin.

    Raises
    ------
    UsageError
        When the hub cannot be reached, or refuses.
    """
    api = access.api()

    def push() -> str:
        api.create_repo(place.repository, private=private, exist_ok=True)
        if place.revision:
            api.create_branch(place.repository, branch=place.revision, exist_ok=True)
        there = api.list_repo_files(place.repository, revision=place.revision)
        operations: list[Any] = [
            huggingface_hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=data)
            for name, data in sorted(files.items())
        ]
        # Base models of an older stack must not stay behind; what the hub itself keeps
        # there, such as .gitattributes, is hidden.
        operations += [
            huggingface_hub.CommitOperationDelete(path_in_repo=name)
            for name in there
            if name not in files and not name.startswith(".")
        ]
        commit = api.create_commit(
            place.repository,
            operations,
            commit_message=message or "Push a stack",
            revision=place.revision,
        )
        return str(commit.oid)

    return _asked(push, place, "pushed to")


def pull(place: HubPlace, access: HubAccess) -> Path:
    """Fetch a stack into the cache of the hub's client.

    What is in the cache is not fetched again. Without network the cache alone is
    looked at.

    Returns
    -------
    folder : Path
        Of the stack; whoever loads it verifies it.

    Raises
    ------
    UsageError
        When there is no such repository or revision, it holds no stack, or it is not
        in the cache and the hub cannot be reached.
    """
    require("huggingface_hub")
    local_only = access.local_only
    if not local_only:
        try:
            # One request with a time limit goes ahead, see SECONDS.
            access.api().model_info(
                place.repository, revision=place.revision, timeout=SECONDS
            )
        except Exception as error:
            if not _is_out_of_reach(error):
                raise _refusal(error, place, "pulled from") from error
            local_only = True

    def fetch(names: list[str], revision: str | None) -> Path:
        folder = huggingface_hub.snapshot_download(
            place.repository,
            revision=revision,
            cache_dir=access.cache,
            token=access.token,
            endpoint=access.api().endpoint,
            local_files_only=local_only,
            library_name=_LIBRARY,
            # Names are patterns to the client.
            allow_patterns=[glob.escape(name) for name in names],
        )
        return Path(folder)

    folder = _asked(lambda: fetch([MANIFEST], place.revision), place, "pulled from")
    if not (folder / MANIFEST).is_file():
        raise UsageError(
            f"{place} holds no {MANIFEST}, so it is not a stack that was pushed with "
            "StackedMOS.push."
        )
    names = _listed_files(folder / MANIFEST, place)
    # The cache calls the folder after its commit: a push in between changes nothing.
    wanted = [MANIFEST, CARD, *names]
    return _asked(lambda: fetch(wanted, folder.name), place, "pulled from")


def _listed_files(manifest: Path, place: HubPlace) -> list[str]:
    facts = read_json(manifest)
    files = facts.get("files") if isinstance(facts, dict) else None
    if not isinstance(files, dict):
        raise UsageError(f"{place} has a {MANIFEST} that is not that of a stack.")
    check_shared_names(list(files), str(place))
    return list(files)


def _asked(ask: Callable[[], _Answer], place: HubPlace, done: str) -> _Answer:
    """The answer of a hub, its errors in words."""
    try:
        return ask()
    # Whatever the client raises, somebody must be told what to do now.
    except Exception as error:
        raise _refusal(error, place, done) from error


def _is_out_of_reach(error: Exception) -> bool:
    """Whether a hub did not answer at all, or not as a hub does."""
    if isinstance(error, hub_errors.HfHubHTTPError):
        response = error.response
        return response is not None and response.status_code >= 500
    return not isinstance(error, hub_errors.HFValidationError)


def _refusal(error: Exception, place: HubPlace, done: str) -> UsageError:
    """Why a hub did not do what was asked, and the cure."""
    log_in = "run `hf auth login`, or give a token"
    if isinstance(error, UsageError):
        return error
    if isinstance(error, hub_errors.RevisionNotFoundError):
        cure = f"{place.repository} has no revision '{place.revision}'"
    elif isinstance(error, hub_errors.GatedRepoError):
        cure = f"its owner lets nobody in who did not ask; ask there, then {log_in}"
    elif isinstance(error, hub_errors.RepositoryNotFoundError):
        cure = f"there is no such repository, or it is private: {log_in}"
    elif isinstance(error, hub_errors.LocalEntryNotFoundError):
        cure = "it is not in the cache, and the hub cannot be reached"
    elif isinstance(error, hub_errors.OfflineModeIsEnabled):
        cure = "HF_HUB_OFFLINE is set in the environment; unset it"
    elif isinstance(error, hub_errors.HfHubHTTPError) and _status(error) in (401, 403):
        cure = f"this needs a token that may do it: {log_in}"
    else:
        reason = f"{type(error).__name__}: {in_one_line(error)[:200]}"
        cure = f"the hub cannot be reached, or did not answer as one ({reason})"
    return UsageError(f"{place} could not be {done}: {cure}.")


def _status(error: Any) -> int:
    return int(error.response.status_code) if error.response is not None else 0
