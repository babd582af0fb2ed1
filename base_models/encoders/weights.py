"""Weight files of an encoder: found, read once, hashed, and loaded without ever being unpickled.

They come from a folder, else from the Hugging Face cache, else from the network at a pinned revision. The traps: the
hub client answers a dead network with 23 s of retries, so one request with a time limit goes first; and
``from_pretrained`` falls back to a pickle, and to random numbers for a tensor that is missing, so tensors are loaded
here, all or none.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.encoders.specs import PICKLE, SPECS, WEIGHTS, EncoderSpec
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json, read_bytes, sha256

if TYPE_CHECKING:
    import torch

NETWORK_SECONDS = 3.0
"""How long the hub may take to answer at all."""


@dataclass(frozen=True)
class WeightFiles:
    """The files of one encoder, read: what is hashed is what is parsed.

    Parameters
    ----------
    paths : file name → path; empty for an embedded encoder
    """

    paths: Mapping[str, Path]

    @cached_property
    def contents(self) -> dict[str, bytes]:
        """File name → its bytes."""
        return {name: read_bytes(path) for name, path in self.paths.items()}

    @classmethod
    def find(cls, spec: EncoderSpec, folder: Path | str | None = None) -> WeightFiles:
        """The files of `spec` in `folder`, or in the hub's cache, or fetched at the pinned revision.

        Raises
        ------
        UsageError
            naming the encoder, repository, revision, where was looked and the command that fetches the weights.
        """
        if folder is None:
            if spec.pickled and _cached(spec, WEIGHTS) is None:
                raise _absent(
                    spec,
                    "the hub has them only as a pickle, and a pickle is never loaded here",
                )
            return cls({name: _from_hub(spec, name) for name in spec.files})
        missing = missing_files(spec, folder)
        if missing:
            raise _absent(spec, f"{folder} {_lacks(Path(folder), missing)}")
        return cls({name: Path(folder) / name for name in spec.files})

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents; the same weights have the same digest wherever they lie."""
        if not self.paths:
            return ""
        return sha256(
            "".join(
                f"{name} {sha256(data)}\n" for name, data in self.contents.items()
            ).encode()
        )

    def json(self, name: str) -> dict[str, Any]:
        """One JSON file."""
        value = from_json(self.contents[name], str(self.paths[name]))
        if not isinstance(value, dict):
            raise DamagedArtifact(f"{self.paths[name]} is not a JSON object.")
        return value

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of ``model.safetensors``, floats as float32."""
        import safetensors.torch

        path = self.paths[WEIGHTS]
        try:
            tensors = safetensors.torch.load(self.contents[WEIGHTS])
        except (KeyboardInterrupt, SystemExit):
            raise
        except (
            BaseException
        ) as error:  # the Rust reader may panic, and a panic is not an Exception
            raise DamagedArtifact(
                f"{path} is not a readable safetensors file ({error})."
            ) from error
        return {
            name: t.float() if t.is_floating_point() else t
            for name, t in tensors.items()
        }

    def fill(
        self, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]
    ) -> None:
        """Put `tensors` into `module`: every one that it has, none that it has not.

        Raises
        ------
        UsageError
            naming the file, when tensors are missing, left over or of another shape.
        DamagedArtifact
            naming the file, when a tensor holds NaN or infinity.
        """
        path = self.paths[WEIGHTS]
        bad = [
            name
            for name, t in tensors.items()
            if t.is_floating_point() and not t.isfinite().all()
        ]
        if bad:
            raise DamagedArtifact(
                f"{path}: {some(bad)} of its tensors hold NaN or infinity."
            )
        try:
            module.load_state_dict(dict(tensors), strict=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:400]
            raise UsageError(
                f"{path} does not hold the weights that its config.json describes: {reason}"
            ) from error


def missing_files(spec: EncoderSpec, folder: Path | str | None = None) -> list[str]:
    """The weight files that are not in `folder`, or not in the hub's cache; no network is asked."""
    if folder is not None:
        return [name for name in spec.files if not (Path(folder) / name).is_file()]
    return [name for name in spec.files if _cached(spec, name) is None]


def fetch_command(spec: EncoderSpec) -> str:
    """What to type, where there is a network, to get the weights; empty when it needs none."""
    groups: dict[tuple, list[str]] = {}
    for file in spec.files:
        repository, revision, name = spec.source(file)
        below = (
            file.removesuffix(name).rstrip("/") if repository != spec.repository else ""
        )
        groups.setdefault((repository, revision, below), []).append(
            PICKLE if spec.pickled and name == WEIGHTS else name
        )
    commands = []
    for (repository, revision, below), names in groups.items():
        into = (
            f" --local-dir {spec.name}{below and '/' + below}" if spec.pickled else ""
        )
        commands.append(
            f"hf download {repository} {' '.join(names)} --revision {revision}{into}"
        )
    if spec.pickled:
        commands.append(f"(cd {spec.name} && {_CONVERTER})")
    return " && ".join(commands)


def _cached(spec: EncoderSpec, file: str) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache

    repository, revision, name = spec.source(file)
    found = try_to_load_from_cache(
        repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision
    )
    return Path(found) if isinstance(found, str) else None


def _from_hub(spec: EncoderSpec, file: str) -> Path:
    from huggingface_hub import constants, hf_hub_download

    if found := _cached(spec, file):
        return found
    repository, revision, name = spec.source(file)
    refusal = _refusal(repository, revision, name)
    if refusal:
        raise _absent(
            spec, f"{file} is not in the cache {constants.HF_HUB_CACHE}, and {refusal}"
        )
    try:
        return Path(
            hf_hub_download(repo_id=repository, filename=name, revision=revision)
        )
    except Exception as error:  # whatever the client raises, the cure is the same
        raise _absent(
            spec,
            f"downloading {file} failed ({type(error).__name__}: {str(error)[:200]})",
        ) from error


def _refusal(repository: str, revision: str, name: str) -> str:
    """Why the hub will not give the file; empty when it will. One request, answered or given up in time."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    answer = [f"the hub did not answer within {NETWORK_SECONDS:.0f} s"]

    def ask():
        try:
            get_hf_file_metadata(
                hf_hub_url(repository, name, revision=revision), timeout=NETWORK_SECONDS
            )
            answer[0] = ""
        except EntryNotFoundError:
            answer[0] = "the hub has no such file at that revision" + (
                _CONVERT if name.endswith(".safetensors") else ""
            )
        except Exception as error:  # whatever the client raises, the cure is the same
            answer[0] = (
                f"the hub refused or cannot be reached ({type(error).__name__}: {str(error)[:120]})"
            )

    asking = threading.Thread(
        target=ask, daemon=True
    )  # a name server that never answers ignores the time limit
    asking.start()
    asking.join(NETWORK_SECONDS + 0.5)
    return answer[0]


_CONVERTER = (
    "python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', weights_only=True); "
    "s.save_file({k: v.clone() for k, v in w.items()}, 'model.safetensors')\""
)
_CONVERT = f" (a pickle is never loaded here; in a folder with {PICKLE}, convert it once: {_CONVERTER})"


def _lacks(folder: Path, missing: list[str]) -> str:
    if not folder.is_dir():
        return "is not a folder"
    pickled = WEIGHTS in missing and (folder / PICKLE).exists()
    return f"lacks {', '.join(missing)}" + (_CONVERT if pickled else "")


def _absent(spec: EncoderSpec, why: str) -> UsageError:
    embedded = next(
        other.name for other in SPECS if other.kind == spec.kind and other.embedded
    )
    into = f"'{spec.name}={spec.name}'" if spec.pickled else f"'{spec.name}=FOLDER'"
    return UsageError(
        f"Encoder '{spec.name}' needs the weights of {spec.repository} at revision {spec.revision}; {why}. "
        f"Fetch them where there is a network: {fetch_command(spec)}; "
        f"{'then write' if spec.pickled else 'or pass a folder with those files as'} {into}. "
        f"The embedded encoder '{embedded}' needs no weights."
    )
