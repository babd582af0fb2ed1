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

from base_models.encoders import ENCODERS, EncoderSpec
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
            return cls({name: _from_hub(spec, name) for name in spec.files})
        paths = {name: Path(folder) / name for name in spec.files}
        missing = [name for name in spec.files if not paths[name].is_file()]
        if missing:
            raise _absent(spec, f"{folder} {_lacks(Path(folder), missing)}")
        return cls(paths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents; the same weights have the same digest wherever they lie."""
        if not self.paths:
            return ""
        return sha256("".join(f"{name} {sha256(data)}\n" for name, data in self.contents.items()).encode())

    def json(self, name: str) -> dict[str, Any]:
        """One JSON file."""
        value = from_json(self.contents[name], str(self.paths[name]))
        if not isinstance(value, dict):
            raise DamagedArtifact(f"{self.paths[name]} is not a JSON object.")
        return value

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of ``model.safetensors``, floats as float32."""
        import safetensors.torch

        path = self.paths["model.safetensors"]
        try:
            tensors = safetensors.torch.load(self.contents["model.safetensors"])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the Rust reader may panic, and a panic is not an Exception
            raise DamagedArtifact(f"{path} is not a readable safetensors file ({error}).") from error
        return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}

    def fill(self, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put `tensors` into `module`: every one that it has, none that it has not.

        Raises
        ------
        UsageError
            naming the file, when tensors are missing, left over or of another shape.
        DamagedArtifact
            naming the file, when a tensor holds NaN or infinity.
        """
        path = self.paths["model.safetensors"]
        bad = [name for name, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
        if bad:
            raise DamagedArtifact(f"{path}: {some(bad)} of its tensors hold NaN or infinity.")
        try:
            module.load_state_dict(dict(tensors), strict=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:400]
            raise UsageError(f"{path} does not hold the weights that its config.json describes: {reason}") from error


def _from_hub(spec: EncoderSpec, name: str) -> Path:
    from huggingface_hub import constants, hf_hub_download

    options = {"repo_id": spec.repository, "filename": name, "revision": spec.revision}
    try:
        return Path(hf_hub_download(**options, local_files_only=True))
    except OSError:
        refusal = _refusal(spec, name)
    if refusal:
        raise _absent(spec, f"{name} is not in the cache {constants.HF_HUB_CACHE}, and {refusal}")
    try:
        return Path(hf_hub_download(**options))
    except Exception as error:  # whatever the client raises, the cure is the same
        raise _absent(spec, f"downloading {name} failed ({type(error).__name__}: {str(error)[:200]})") from error


def _refusal(spec: EncoderSpec, name: str) -> str:
    """Why the hub will not give the file; empty when it will. One request, answered or given up in time."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    answer = [f"the hub did not answer within {NETWORK_SECONDS:.0f} s"]

    def ask():
        try:
            get_hf_file_metadata(hf_hub_url(spec.repository, name, revision=spec.revision), timeout=NETWORK_SECONDS)
            answer[0] = ""
        except EntryNotFoundError:
            answer[0] = "the hub has no such file at that revision" + (
                _CONVERT if name.endswith(".safetensors") else ""
            )
        except Exception as error:  # whatever the client raises, the cure is the same
            answer[0] = f"the hub refused or cannot be reached ({type(error).__name__}: {str(error)[:120]})"

    asking = threading.Thread(target=ask, daemon=True)  # a name server that never answers ignores the time limit
    asking.start()
    asking.join(NETWORK_SECONDS + 0.5)
    return answer[0]


_CONVERT = (
    " (a pickle is never loaded here; in a folder with pytorch_model.bin, convert it once: "
    "python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', weights_only=True); "
    "s.save_file({k: v.clone() for k, v in w.items()}, 'model.safetensors')\")"
)


def _lacks(folder: Path, missing: list[str]) -> str:
    if not folder.is_dir():
        return "is not a folder"
    pickled = "model.safetensors" in missing and (folder / "pytorch_model.bin").exists()
    return f"lacks {', '.join(missing)}" + (_CONVERT if pickled else "")


def _absent(spec: EncoderSpec, why: str) -> UsageError:
    embedded = next(other.name for other in ENCODERS.values() if other.kind == spec.kind and other.embedded)
    return UsageError(
        f"Encoder '{spec.name}' needs the weights of {spec.repository} at revision {spec.revision}; {why}. "
        f"Fetch them where there is a network: hf download {spec.repository} {' '.join(spec.files)} "
        f"--revision {spec.revision}; or pass a folder with those files as '{spec.name}=FOLDER'. "
        f"The embedded encoder '{embedded}' needs no weights."
    )
