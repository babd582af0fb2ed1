"""Push a stack to a folder or a hub, with its model card; find one by its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from base_models.files import MANIFEST, Artifact, manifest_of, sha256
from ensemble.hub.place import HubPlace, parse_place
from ensemble.hub.repository import HubAccess, pull, push_files
from ensemble.hub.shared_copy import CARD, shared_files, write_shared_copy
from ensemble.hub.stack_contents import stack_contents
from ensemble.workspace import STACK_ROLE


@dataclass(frozen=True)
class PushedStack:
    """Where a stack was pushed to.

    Parameters
    ----------
    place : str
        What `StackedMOS.from_pretrained` takes.
    revision : str
        Commit on the hub, to be pinned by whoever publishes numbers; "" for a folder.
    """

    place: str
    revision: str = ""


@dataclass(frozen=True)
class Sharing:
    """What is said of a stack that is pushed, and who sees it.

    Parameters
    ----------
    licence : str
        Of the stack, as the hub spells licences, such as "cc-by-4.0"; "" states none.
        Those of its encoders stand beside it.
    private : bool
        Whether a repository that is made is private.
    message : str
        Of the commit.
    """

    licence: str = ""
    private: bool = False
    message: str = ""


def push_stack(
    folder: Path | str,
    destination: Path | str,
    sharing: Sharing | None = None,
    access: HubAccess | None = None,
) -> PushedStack:
    """Push the stack of a folder elsewhere, with a model card made from its report.

    What decides its predictions is pushed, and the values of its report. They name the
    clips that it was fitted on, which is how later fits and scores are kept from
    leaking. No audio is among them, and no rating of a clip; errors of its scores are,
    in no order of clips, and mean ratings of systems where it was measured.

    Parameters
    ----------
    folder : path
        Of a stack that ``fit_meta`` or `StackedMOS.save` wrote.
    destination : path or str
        A folder, or ``user/name`` on a hub, ``hub:user/name@branch`` in full.
    sharing : Sharing, optional
    access : HubAccess, optional

    Raises
    ------
    UsageError
        When `folder` is no stack, the destination holds other files, or the hub cannot
        be reached or refuses.
    DamagedArtifact
        When a file of the stack changed.
    """
    sharing = sharing or Sharing()
    place = parse_place(destination)
    # Read and verified as a whole before anything is asked or written.
    files = shared_files(Artifact(folder, STACK_ROLE))
    contents = stack_contents(folder)
    name = place.repository if isinstance(place, HubPlace) else place.name
    # The numbers of a card take long to import, and every command names stacks.
    from ensemble.hub.model_card import model_card

    card = model_card(contents, name, licence=sharing.licence)
    if isinstance(place, Path):
        write_shared_copy(place, files, card)
        return PushedStack(str(place))

    revision = push_files(
        place,
        _sealed(files) | {CARD: card.encode()},
        access or HubAccess(),
        private=sharing.private,
        message=sharing.message,
    )
    return PushedStack(str(place), revision)


def stack_folder(
    place: Path | str, revision: str | None = None, access: HubAccess | None = None
) -> Path:
    """Folder of a stack, wherever it is; one on a hub is pulled first.

    Raises
    ------
    UsageError
        When a stack on a hub cannot be pulled, see `ensemble.hub.repository.pull`.
    """
    found = parse_place(place, revision)
    if isinstance(found, HubPlace):
        return pull(found, access or HubAccess())
    return found


def _sealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with the manifest that a folder of them would have."""
    hashes = {name: sha256(data) for name, data in files.items()}
    return {**files, MANIFEST: manifest_of(STACK_ROLE, hashes)}
