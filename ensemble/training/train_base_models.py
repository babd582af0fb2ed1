"""Plan the base models of a stack, embed their clips once, and train what is missing.

Base models may use different encoders. Each encoder runs once over the clips, however
many models share it, and all models are trained on the clips that every one of these
encoders can embed: only predictions of the same clips can be stacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.clips.read_clips import SetAside
from base_models.clips.same_audio.known_recordings import recordings_of
from base_models.clips.same_audio.recordings import Recordings
from base_models.config import BaseConfig
from base_models.devices import CPU, kind_of
from base_models.errors import (
    DamagedArtifact,
    StackedMOSError,
    UsageError,
    some,
)
from base_models.precision import FLOAT32
from base_models.processes.garbage import collection_paused
from ensemble.cluster.needs import NeededEncoder, Needs
from ensemble.engine import LOCAL
from ensemble.training.base_model_run import (
    FINGERPRINTS,
    BaseRun,
    Watch,
    train_runs,
)
from ensemble.training.embed_for_plan import EncoderPair, OnEmbed, embed_for_plan
from ensemble.training.encoding.checked_encoders import checked_encoders
from ensemble.training.processes import share_out
from ensemble.training.rated_clips import CONTENT, RatedClips
from ensemble.training.training_setup import Compute, ModelSetup, TrainingSetup
from ensemble.workspace import BASE_MODELS, Workspace

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder
    from base_models.encoders.embed import FilledClips
    from base_models.encoders.store import EmbeddingStore

_PROMPT_CURE = (
    ". Add prompts, or name only aspects that are judged without one (--aspects mi)."
)


@dataclass(frozen=True)
class TrainingPlan:
    """Base models to train, on clips whose embeddings are stored.

    Parameters
    ----------
    runs : tuple of BaseRun
        Every base model, finished or not.
    rated : RatedClips
        The clips that can be used.
    set_aside : tuple of SetAside
        The clips that cannot.
    jobs : int
        Worker processes.
    devices : tuple of str
        Those that the runs are dealt over, of one kind.
    recordings : Recordings
        Which of the clips are copies of one recording.
    failed : mapping of str to StackedMOSError
        Names of the runs that cannot be trained, as their encoder failed, and why.
    """

    runs: tuple[BaseRun, ...]
    rated: RatedClips
    set_aside: tuple[SetAside, ...]
    jobs: int
    devices: tuple[str, ...]
    recordings: Recordings
    failed: Mapping[str, StackedMOSError] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[BaseRun]:
        """Runs that are still to be trained, and can be."""
        return [
            run
            for run in self.runs
            if run.name not in self.failed and not run.is_finished()
        ]


def plan_training(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    workspace: Workspace,
    setup: TrainingSetup,
    compute: Compute,
    on_embed: OnEmbed | None = None,
) -> TrainingPlan:
    """Embed the clips, store the table of usable clips, and lay out one run per model.

    Parameters
    ----------
    rated : RatedClips
    models : sequence of (str, int)
        Names as `plan_models` returns them, and seeds.
    workspace : Workspace
    setup : TrainingSetup
        What to train.
    compute : Compute
        How to run.
    on_embed : callable, optional
        Called as ``on_embed(encoder, done, total)``.

    Raises
    ------
    UsageError
        When encoders or weights are missing, clips cannot be trained on (see
        `check_plan`), or a split has no usable clip. An encoder that fails only stops
        the models that are on it, unless all of them are.
    """
    from base_models.devices import resolve_devices
    from base_models.encoders.store import EmbeddingStore

    devices = tuple(str(device) for device in resolve_devices(compute.device))
    _check_one_device(devices, compute)
    device = devices[0]
    setups, pairs = checked_encoders(rated, models, setup, compute=compute)
    store = EmbeddingStore(workspace.embeddings, dtype=setup.dtype, lazy=True)
    embedded = embed_for_plan(
        rated,
        store,
        pairs,
        setups=setups,
        compute=compute,
        on_embed=on_embed,
    )
    filled = embedded.filled
    _pack(store, pairs)
    recordings = _recordings(rated, filled, workspace, on_embed=on_embed)
    usable = _usable_clips(rated, filled, recordings)

    data = _store_clips(usable, filled.content, workspace)
    runs = tuple(
        _lay_out_run(
            name,
            seed,
            workspace,
            data=data,
            setup=setup,
            model=setups[name],
            compute=_OnDevice(compute, device),
            encoders=pairs[name],
        )
        for name, seed in models
    )

    jobs = compute.jobs
    if not jobs:
        sizes = [
            _size_in_memory(store, filled, pair)
            for name, pair in pairs.items()
            if name not in embedded.failed
        ]
        jobs = share_out(len(runs), devices, max(sizes), threads=compute.threads)
    return TrainingPlan(
        runs=runs,
        rated=usable,
        set_aside=filled.set_aside,
        jobs=jobs,
        devices=devices,
        recordings=recordings,
        failed={
            run.name: embedded.failed[name]
            for run, (name, _) in zip(runs, models, strict=True)
            if name in embedded.failed
        },
    )


@dataclass(frozen=True)
class TrainedRuns:
    """What became of a plan.

    Parameters
    ----------
    trained : tuple of str
        Names of the runs that were trained now.
    failed : mapping of str to str
        Names of the runs that could not be, and why.
    """

    trained: tuple[str, ...]
    failed: Mapping[str, str]


def train_base_models(
    plan: TrainingPlan,
    workspace: Workspace,
    watch: Watch | None = None,
    engine: str = LOCAL,
) -> TrainedRuns:
    """Train the runs that are not finished, and point the workspace at all of them.

    A run that fails is reported, whatever with, and the others go on. Faults of the
    machine, such as a full disk, stop all of them.

    Parameters
    ----------
    plan : TrainingPlan
    workspace : Workspace
    watch : callable, optional
        Makes a context manager that shows the progress of runs.
    engine : str
        See `ensemble.engine.check_engine`.

    Raises
    ------
    UsageError, DamagedArtifact
        When no run is finished in the end; the latter when all are damaged.
    """
    root = workspace.root
    workspace.sweep()
    # Before training: fit_meta means what was planned last, and refuses to stack a part
    # of it that an interrupt left.
    _point(plan, workspace, {})
    failed = dict(plan.failed)
    unfinished = []
    for run in plan.runs:
        if run.name in failed:
            continue
        try:
            if run.is_finished():
                run.verify()
                run.tidy()
            else:
                unfinished.append(run)
        except DamagedArtifact as error:
            failed[run.name] = DamagedArtifact(
                f"{error} Delete that folder of {root / 'base'}, and the same "
                "fit_base trains it again."
            )

    needs = _needs(plan, unfinished) if engine != LOCAL else Needs()
    found = train_runs(
        _dealt(unfinished, plan.devices) if engine == LOCAL else unfinished,
        jobs=plan.jobs,
        watch=watch,
        engine=engine,
        shared=root,
        needs=needs,
    )
    failed |= found
    _point(plan, workspace, failed)
    if len(failed) == len(plan.runs):
        raise _nothing_trained(failed)
    return TrainedRuns(
        trained=tuple(run.name for run in unfinished if run.name not in failed),
        failed={name: str(error) for name, error in failed.items()},
    )


def _check_one_device(devices: Sequence[str], compute: Compute) -> None:
    """Refuse several devices on an engine, where each worker has its own."""
    if len(devices) > 1 and compute.engine != LOCAL:
        raise UsageError(
            f"--device {compute.device} names {len(devices)} devices, and each worker "
            f"of {compute.engine} has one; name the kind alone, such as "
            f"{kind_of(devices[0])}."
        )


def _dealt(runs: Sequence[BaseRun], devices: Sequence[str]) -> list[BaseRun]:
    """Runs in turn on each device; which one it is changes nothing that they give."""
    return [
        replace(run, device=devices[place % len(devices)])
        for place, run in enumerate(runs)
    ]


def _needs(plan: TrainingPlan, runs: Iterable[BaseRun]) -> Needs:
    """What a worker must have to train some runs of a plan."""
    from base_models.encoders import load_encoder

    encoders: dict[NeededEncoder, None] = {}
    for run in runs:
        words = {"audio": run.audio_encoder}
        if any(plan.rated.needs_text) and not run.config.audio_only:
            words["text"] = run.text_encoder
        for kind, word in words.items():
            # The plan has loaded them, so that this reads nothing.
            encoder = load_encoder(
                word,
                device=plan.devices[0],
                mono=run.config.mono,
                precision=run.precisions.get(kind, FLOAT32),
            )
            encoders[NeededEncoder.of(encoder, word, run.device)] = None
    audio = plan.rated.frame["audio"]
    return Needs(tuple(encoders), audio_of=lambda piece: audio)


def _point(
    plan: TrainingPlan, workspace: Workspace, failed: Mapping[str, Exception]
) -> None:
    """Point the workspace at the runs of a plan, and say which of them failed."""
    root = workspace.root
    first = plan.runs[0]
    # Folders are relative, so that the workspace can be moved.
    entries = []
    for run in plan.runs:
        entry = {"name": run.name, "folder": str(run.folder.relative_to(root))}
        if run.name in failed:
            entry["failed"] = str(failed[run.name])
        entries.append(entry)
    pointer = {
        "data": str(first.data.relative_to(root)),
        "table": first.table,
        "runs": entries,
        "folds": first.folds,
    }
    workspace.point(BASE_MODELS, pointer)


def _nothing_trained(failed: Mapping[str, StackedMOSError]) -> StackedMOSError:
    """The error that says why no run of a plan is finished."""
    (name, first), *others = failed.items()
    if not others:
        return first
    reasons = {str(error) for error in failed.values()}
    message = f"None of {len(failed)} base models could be trained. {name}: {first}"
    if len(reasons) > 1:
        message += f" The others: {some([name for name, _ in others])}, see list_runs."
    kinds = {type(error) for error in failed.values()}
    # Of several kinds, some are of the data or the settings.
    kind = kinds.pop() if len(kinds) == 1 else UsageError
    return kind(message)


def _pack(store: EmbeddingStore, pairs: Mapping[str, EncoderPair]) -> None:
    """Put many embeddings into few files, which training reads from."""
    signatures = {one.signature for pair in pairs.values() for one in pair if one}
    for signature in sorted(signatures):
        store.entries(signature).pack()


def _recordings(
    rated: RatedClips,
    filled: FilledClips,
    workspace: Workspace,
    on_embed: OnEmbed | None,
) -> Recordings:
    """Which of the clips that can be used are copies of one recording."""
    kept = rated.frame.iloc[list(filled.kept)]
    ids = kept["clip_id"].tolist()
    audio = dict(zip(ids, kept["audio"].tolist(), strict=True))

    def track(items: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for done, item in enumerate(items):
            if on_embed is not None:
                on_embed(FINGERPRINTS, done, len(audio))
            yield item
        if on_embed is not None:
            on_embed(FINGERPRINTS, len(audio), len(audio))

    keys = dict(zip(ids, filled.audio_keys, strict=True))
    return recordings_of(audio, keys, workspace.fingerprints, track=track)


@collection_paused()
def _usable_clips(
    rated: RatedClips, filled: FilledClips, recordings: Recordings
) -> RatedClips:
    """The clips that have embeddings, with what their audio hashes to."""
    kept = rated.take(filled.kept)
    ids = kept.frame["clip_id"].tolist()
    key_of = dict(zip(ids, filled.audio_keys, strict=True))
    # Copies have the key of the first of them, whatever file they are.
    keys = [key_of[recordings.first_of(clip)] for clip in ids]
    frame = kept.frame.assign(**{CONTENT: keys})
    usable = replace(kept, frame=frame)
    for split in ("train", "dev"):
        had_clips = not rated.rows(split).empty
        if had_clips and usable.rows(split).empty:
            first = filled.set_aside[0]
            cure = _PROMPT_CURE if "prompt" in first.reason else ""
            raise UsageError(
                f"No {split} clip can be used; the first one set aside is "
                f"'{first.clip_id}': {first.reason}{cure}"
            )
    return usable


@dataclass(frozen=True)
class _StoredClips:
    """Folder of the clip table, and its fingerprints without and with ratings."""

    folder: Path
    without_ratings: str
    with_ratings: str


def _store_clips(
    usable: RatedClips, content: Sequence[str], workspace: Workspace
) -> _StoredClips:
    with_ratings = usable.fingerprint(content, ratings=True)
    folder = workspace.data(with_ratings)
    usable.save(folder)
    # Of a large table it takes a while, and is the same where there are no ratings.
    without_ratings = with_ratings
    if usable.ratings is not None:
        without_ratings = usable.fingerprint(content)
    return _StoredClips(folder, without_ratings, with_ratings)


@dataclass(frozen=True)
class _OnDevice:
    """How to run, and the device that is meant by it on this machine."""

    compute: Compute
    device: str

    @property
    def threads(self) -> int:
        """CPU threads of a run; 0 on a GPU, where they move no digits."""
        return self.compute.threads if self.device == CPU else 0


def _lay_out_run(
    name: str,
    seed: int,
    workspace: Workspace,
    *,
    data: _StoredClips,
    setup: TrainingSetup,
    model: ModelSetup,
    compute: _OnDevice,
    encoders: EncoderPair,
) -> BaseRun:
    """The run of one model, in a folder that is named by what decides it."""
    audio, text = encoders
    context: dict[str, Any] = {
        "audio": audio.signature,
        "text": text.signature if text else None,
        "dtype": setup.dtype,
    }
    # The usual single thread of the CPU is not hashed.
    if compute.threads > 1:
        context["threads"] = compute.threads
    kind = kind_of(compute.device)
    # A regressor on pooled embeddings computes on the CPU, wherever its encoder does.
    if kind != CPU and isinstance(model.config, BaseConfig):
        context["device"] = kind

    # Nor are encoders that are used as they are.
    normalised = {"audio": audio.normalised}
    if text is not None:
        normalised["text"] = text.normalised
    standardised = [
        kind
        for kind, is_normalised in normalised.items()
        if model.config.standardises(is_normalised)
    ]
    if standardised:
        context["standardised"] = standardised

    # Single ratings rename only the runs that learn from them.
    fingerprint = data.without_ratings
    if model.config.reads_ratings:
        fingerprint = data.with_ratings
    signature = model.config.signature(seed=seed, data=fingerprint, **context)
    return BaseRun(
        name=f"{name}-s{seed}",
        preset=model.preset,
        settings=model.settings,
        seed=seed,
        audio_encoder=model.audio_encoder,
        text_encoder=model.text_encoder,
        # On an engine each worker has a device of its own, of the same kind.
        device=compute.device if compute.compute.engine == LOCAL else kind,
        # As it is here: another one is another run.
        precisions=_other_precisions(audio, text),
        data=data.folder,
        table=data.without_ratings,
        folder=workspace.base_run(name, seed, signature),
        embeddings=workspace.embeddings,
        dtype=setup.dtype,
        folds=setup.folds,
        threads=compute.threads,
        overrides=dict(setup.overrides),
        trial=setup.trial,
    )


def _other_precisions(audio: Encoder, text: Encoder | None) -> dict[str, str]:
    """Precision of the encoders that do not compute in the usual one, by their kind."""
    loaded = {"audio": audio} if text is None else {"audio": audio, "text": text}
    return {
        kind: encoder.precision
        for kind, encoder in loaded.items()
        if encoder.precision != FLOAT32
    }


def _size_in_memory(
    store: EmbeddingStore, filled: FilledClips, encoders: EncoderPair
) -> int:
    """Bytes that each training process loads: audio embeddings and both encoders."""
    from base_models.encoders.packed.stored_arrays import KEPT_BYTES

    audio, _ = encoders
    # Of larger ones a process keeps no more.
    size = min(store.entries(audio).n_bytes(filled.audio_keys), KEPT_BYTES)
    for encoder in encoders:
        if encoder is not None:
            size += (encoder.megabytes or 0) * 2**20
    return size
