"""What is inside the folder of a stack, read without loading any weights.

Whoever is handed a stack wants to know what it predicts, what it was fitted on, which
encoders it needs under which licences, and whether every file is as it was written.
All of that stands in JSON and in the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from base_models.encoders import known_encoders
from base_models.encoders.specs import is_commercial
from base_models.errors import MISFITS, DamagedArtifact, in_short
from base_models.files import Artifact, read_bytes, sha256, to_json
from base_models.pooled_config import FAMILY
from ensemble.workspace import STACK_ROLE

REPORT = "report.json"
"""File of a stack that was measured by ``fit_meta``, or pushed with its report."""

_DECIDING_FILES = ("stack.json", "meta.safetensors")
_DECIDING_FOLDERS = ("base/", "learner/")

NETWORK = "network"
POOLED = "regressor on pooled embeddings"
TABLE = "stored predictions"
ESTIMATOR = "scikit-learn estimator"
UNKNOWN = "unknown"


def decides_predictions(name: str) -> bool:
    """Whether predictions of new clips depend on a file of a stack.

    Learners of folds predict the clips of the fit alone, whose ratings could be worked
    out from them.

    >>> decides_predictions("base/dora-s0/weights.safetensors")
    True
    >>> decides_predictions("report.html")
    False
    """
    return name in _DECIDING_FILES or name.startswith(_DECIDING_FOLDERS)


def prediction_identity(hashes: Mapping[str, str]) -> str:
    """One SHA-256 for all files that decide predictions.

    Unlike that of the manifest, it stays the same when a report is left behind.

    Parameters
    ----------
    hashes : file name to SHA-256, as the manifest of a stack has them
    """
    deciding = {name: hashes[name] for name in hashes if decides_predictions(name)}
    return sha256(to_json(deciding))


@dataclass(frozen=True)
class ContainedFile:
    """A file that the manifest lists.

    Parameters
    ----------
    name : str
        Relative to the folder.
    size : int
        In bytes; 0 where it is missing.
    sha256 : str
        As the manifest states it.
    damage : str
        Why it is not the file that was written; "" where it is.
    """

    name: str
    size: int
    sha256: str
    damage: str = ""


@dataclass(frozen=True)
class ContainedModel:
    """A base model of a stack.

    Parameters
    ----------
    name : str
    kind : str
        `NETWORK`, `POOLED`, `TABLE`, `ESTIMATOR` or `UNKNOWN`.
    preset : str
        Name of its configuration, "" where it has none.
    encoders : tuple of str
        Names, audio first.
    n_clips : int
        Clips that it was trained on, 0 where the files do not say.
    size : int
        Of its files, in bytes.
    """

    name: str
    kind: str
    preset: str = ""
    encoders: tuple[str, ...] = ()
    n_clips: int = 0
    size: int = 0


@dataclass(frozen=True)
class NeededEncoder:
    """An encoder that must be there to score audio; its weights are not in the stack.

    Parameters
    ----------
    name, kind : str
    licence : str
        Of its weights.
    commercial : bool
        Whether that licence is known to allow commercial use.
    signature : str
        Of the weights, the preprocessing and their versions.
    source : str
        Repository and revision, package, or "embedded" where it has no weights.
    models : tuple of str
        Base models that use it.
    """

    name: str
    kind: str
    licence: str
    commercial: bool
    signature: str
    source: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class StackContents:
    """What is inside the folder of a stack.

    Parameters
    ----------
    folder : str
    identity : str
        See `prediction_identity`: stacks with the same one predict the same.
    sha256 : str
        Of all files, see `Artifact.root_hash`: what ``--expect-sha256`` takes.
    version : str
        Of this package that wrote it, "" where an older one did, which kept none.
    aspects : tuple of str
    needs_text : tuple of str
        Aspects that are judged against a prompt.
    scales : mapping from str to (low, high)
        Of the scores of each aspect.
    learner : str
        What the meta level says of itself, per aspect.
    n_clips : int
        Clips that the meta level was fitted on. Their ids are in the files.
    source : str
        Where these clips are from, as ``fit_base`` or ``fit_meta`` was told.
    demo : bool
        Whether it was fitted on the demo corpus, whose ratings are made up.
    models : tuple of ContainedModel
    encoders : tuple of NeededEncoder
    files : tuple of ContainedFile
    report : mapping
        The values of report.json; empty where the stack was not measured.
    """

    folder: str
    identity: str
    sha256: str
    version: str
    aspects: tuple[str, ...]
    needs_text: tuple[str, ...]
    scales: Mapping[str, tuple[float, float]]
    learner: str
    n_clips: int
    source: str
    demo: bool
    models: tuple[ContainedModel, ...]
    encoders: tuple[NeededEncoder, ...]
    files: tuple[ContainedFile, ...]
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its folder."""
        return Path(self.folder).name

    @property
    def verdict(self) -> str:
        """The sentence of its report; "" where it was not measured."""
        return str(self.report.get("verdict", {}).get("sentence", ""))

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def damaged(self) -> tuple[ContainedFile, ...]:
        """Files that are missing, or not those that were written."""
        return tuple(file for file in self.files if file.damage)

    @property
    def scores_audio(self) -> bool:
        """Whether it can score audio: no base model is a table of predictions."""
        return all(model.kind != TABLE for model in self.models)

    @property
    def not_commercial(self) -> tuple[str, ...]:
        """Encoders whose licence is not known to allow commercial use."""
        return tuple(one.name for one in self.encoders if not one.commercial)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values, the report's among them."""
        return {
            "folder": self.folder,
            "identity": self.identity,
            "sha256": self.sha256,
            "version": self.version,
            "aspects": list(self.aspects),
            "needs_text": list(self.needs_text),
            "scales": {name: list(ends) for name, ends in self.scales.items()},
            "learner": self.learner,
            "n_clips": self.n_clips,
            "source": self.source,
            "demo": self.demo,
            "scores_audio": self.scores_audio,
            "models": [asdict(model) for model in self.models],
            "encoders": [asdict(encoder) for encoder in self.encoders],
            "files": [asdict(file) for file in self.files],
            "size": self.size,
            "damaged": [file.name for file in self.damaged],
            "report": dict(self.report),
        }


def stack_contents(folder: Path | str) -> StackContents:
    """Say what is inside the folder of a stack; no weights are loaded.

    Every file is read once, to compare it with the manifest. One that differs is named
    in the result, and does not keep the others from being described.

    Raises
    ------
    UsageError
        When `folder` is not that of a finished stack.
    DamagedArtifact
        When the manifest or stack.json cannot be read, which say what there is.
    """
    artifact = Artifact(folder, STACK_ROLE)
    return contents_of(artifact, tuple(_contained_files(artifact)))


def contents_of(artifact: Artifact, files: tuple[ContainedFile, ...]) -> StackContents:
    """Say what is inside a stack, of whose files it is known whether they are whole.

    Raises
    ------
    DamagedArtifact
        When stack.json cannot be read, or a file is of another form.
    """
    facts = artifact.json("stack.json")
    try:
        contents = _described(artifact, files, facts)
        # What cannot be said of it is found here, and not halfway through a page.
        contents.to_json()
        return contents
    # The file is whole, but not of the form that this version writes.
    except MISFITS as error:
        raise DamagedArtifact(
            f"{artifact.folder}/stack.json is not of this version "
            f"({in_short(error)}); fit the stack again."
        ) from error


def _described(
    artifact: Artifact, files: tuple[ContainedFile, ...], facts: Mapping[str, Any]
) -> StackContents:
    meta = facts["meta"]
    aspects = tuple(meta["aspects"])
    whole = {file.name for file in files if not file.damage}
    configs = {
        name: artifact.json(f"base/{name}/config.json")
        for name in facts["bases"]
        if f"base/{name}/config.json" in whole
    }
    report = artifact.json(REPORT) if REPORT in whole else {}
    needs_text = facts.get("needs_text")
    if needs_text is None:
        flags = [dict(_text_flags(config)) for config in configs.values()]
        needs_text = [any(flag.get(aspect) for flag in flags) for aspect in aspects]

    pairs = zip(aspects, needs_text, strict=True)
    return StackContents(
        folder=str(artifact.folder),
        identity=prediction_identity(artifact.facts["files"]),
        sha256=artifact.root_hash,
        version=str(facts.get("stackedmos", "")),
        aspects=aspects,
        needs_text=tuple(aspect for aspect, needed in pairs if needed),
        scales=_scales(facts, aspects),
        learner=_learner(meta),
        n_clips=len(meta["fitted_on"]),
        source=str(facts.get("source", report.get("source", ""))),
        demo=bool(facts.get("demo", False)),
        models=tuple(_models(facts["bases"], files, configs)),
        encoders=tuple(_encoders(configs)),
        files=files,
        report=report,
    )


def _contained_files(artifact: Artifact) -> Iterator[ContainedFile]:
    """Each file of the manifest, compared with it."""
    for name, digest in sorted(artifact.facts["files"].items()):
        path = artifact.folder / name
        try:
            data = read_bytes(path, within=artifact.folder)
        except DamagedArtifact as error:
            yield ContainedFile(name, size=0, sha256=str(digest), damage=str(error))
            continue
        damage = "" if sha256(data) == digest else "its SHA-256 differs"
        yield ContainedFile(name, size=len(data), sha256=str(digest), damage=damage)


def _text_flags(config: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Aspects of a base model, and whether each needs a prompt."""
    yield from zip(config.get("aspects", ()), config.get("needs_text", ()), strict=True)


def _scales(
    facts: Mapping[str, Any], aspects: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    bins = facts["meta"]["layout"]["bins"]
    known = facts.get("scales", {})
    own = known.get("inner", [bins["low"], bins["high"]])
    scales = {}
    for aspect in aspects:
        low, high = known.get("labels", {}).get(aspect, own)
        scales[aspect] = (float(low), float(high))
    return scales


def _learner(meta: Mapping[str, Any]) -> str:
    """Name of the learner, with the parameters that are not its usual ones."""
    # Importing learners takes long, and --help of every command would.
    from meta.learners import LEARNERS

    name = str(meta["learner"])
    known = LEARNERS.get(name)
    usual = known().get_params() if known is not None else {}
    changed = {
        key: value
        for key, value in dict(meta.get("params") or {}).items()
        if usual.get(key) != value
    }
    if not changed:
        return name
    return f"{name} ({', '.join(f'{key}={changed[key]}' for key in sorted(changed))})"


def _models(
    names: list[str],
    files: tuple[ContainedFile, ...],
    configs: Mapping[str, Mapping[str, Any]],
) -> Iterator[ContainedModel]:
    for name in names:
        prefix = f"base/{name}/"
        own = [file for file in files if file.name.startswith(prefix)]
        config = configs.get(name, {})
        encoders = config.get("encoders", {})
        yield ContainedModel(
            name=name,
            kind=_kind({file.name[len(prefix) :] for file in own}, config),
            preset=str(config.get("config", {}).get("name", "")),
            encoders=tuple(encoders[kind]["name"] for kind in sorted(encoders)),
            n_clips=len(config.get("trained_on", ())),
            size=sum(file.size for file in own),
        )


def _kind(names: set[str], config: Mapping[str, Any]) -> str:
    """What a base model is, by its files."""
    if "estimator.skops" in names:
        return ESTIMATOR
    if config.get("family") == FAMILY:
        return POOLED
    if "weights.safetensors" in names:
        return NETWORK
    return TABLE if names else UNKNOWN


def _encoders(configs: Mapping[str, Mapping[str, Any]]) -> Iterator[NeededEncoder]:
    """The encoders of all base models, each once, with the models that use it."""
    facts: dict[tuple[str, str], Mapping[str, Any]] = {}
    users: dict[tuple[str, str], list[str]] = {}
    for model, config in configs.items():
        for kind, encoder in sorted(config.get("encoders", {}).items()):
            key = (kind, json.dumps(encoder, sort_keys=True))
            facts[key] = encoder
            users.setdefault(key, []).append(model)

    specs = known_encoders().specs
    for key, encoder in facts.items():
        name = str(encoder["name"])
        licence = str(encoder.get("licence", ""))
        spec = specs.get(name)
        yield NeededEncoder(
            name=name,
            kind=key[0],
            licence=licence or "not stated",
            # The licence that the stack states is the one of the weights it needs.
            commercial=is_commercial(licence),
            signature=str(encoder.get("signature", "")),
            source="unknown to this installation" if spec is None else spec.origin,
            models=tuple(users[key]),
        )
