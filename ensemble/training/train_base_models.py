"""Plan the base models of a stack, embed their clips once, and train what is missing.

The default models are those of DORA-MOS, section III.D: five `dora`, two `dora_coral`
and two `dora_decoupled`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.clips.ratings import check_against_labels, find_ratings, read_ratings
from base_models.clips.read_clips import SetAside
from base_models.config import MODELS, SETTINGS, BaseConfig
from base_models.errors import UsageError, one_of
from ensemble.engine import LOCAL, spread
from ensemble.training.base_model_run import BaseRun
from ensemble.training.embed_on_engine import embed_chunks
from ensemble.training.rated_clips import CONTENT, RatedClips
from ensemble.workspace import BASE_MODELS, Workspace

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder
    from base_models.encoders.embed import FilledClips
    from base_models.encoders.store import EmbeddingStore

OnEmbed = Callable[[str, int, int], None]
Watch = Callable[[Sequence[BaseRun]], contextlib.AbstractContextManager[Any]]

PAPER = ("dora", "dora_coral:2", "dora_decoupled:2")
PAPER_WITHOUT_TEXT = ("dora", "dora_coral:2")

_PROMPT_CURE = (
    ". Add prompts, or name only aspects that are judged without one (--aspects mi)."
)
# Bytes that are taken to be free where the system does not say, and bytes that a
# training process needs besides its embeddings and encoders.
_ASSUMED_FREE = 2**33
_PROCESS_SIZE = 2**30


@dataclass(frozen=True)
class TrainingSetup:
    """What to train: all that decides the base models but their clips and seeds.

    Parameters
    ----------
    audio_encoder, text_encoder : str
        Registered names, or ``"name=folder"``.
    settings : str or None
        Training settings laid over every preset, or None for the paper's.
    overrides : mapping of str to value
        Single settings of `BaseConfig`, laid over the rest.
    folds : int
        How many folds of the training split are predicted out of fold; 0 for none.
    dtype : str
        Of the stored embeddings.
    """

    audio_encoder: str
    text_encoder: str
    settings: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 0
    dtype: str = "float16"

    def config(self, preset: str) -> BaseConfig:
        """The config of a preset under these settings."""
        return _config(preset, self.settings, self.overrides)


@dataclass(frozen=True)
class Compute:
    """How to run.

    Parameters
    ----------
    device : str
        ``"auto"`` or the name of a device.
    jobs : int
        Worker processes; 0 shares out the cores (one process on a GPU).
    threads : int
        CPU threads of each run. The number moves the last digits of the results, so it
        is fixed whatever else is still to be trained, and another number is another
        run.
    engine : str
        Where clips are embedded, see `ensemble.engine.check_engine`.
    """

    device: str = "auto"
    jobs: int = 0
    threads: int = 1
    engine: str = LOCAL


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
    device : str
        The device that ``"auto"`` stands for on this machine.
    """

    runs: tuple[BaseRun, ...]
    rated: RatedClips
    set_aside: tuple[SetAside, ...]
    jobs: int
    device: str

    @property
    def unfinished(self) -> list[BaseRun]:
        """Runs that are still to be trained."""
        return [run for run in self.runs if not run.is_finished()]


def plan_models(
    models: Sequence[str] | None, seeds: int, with_text: bool = True
) -> list[tuple[str, int]]:
    """List presets and seeds from words of the form ``NAME[:COUNT]``.

    Parameters
    ----------
    models : sequence of str or None
        None is the paper's choice. Where no aspect is judged by text,
        `dora_decoupled` is left out of it: it differs from `dora` in the text branch
        alone, and would be the same model twice.
    seeds : int
        How many seeds a name without a count gets.
    with_text : bool
        Whether some aspect is judged by text.

    Raises
    ------
    UsageError
        When a name is unknown, a number is below 1, or a model is named twice.

    Examples
    --------
    >>> plan_models(["dora", "dora_l1:1"], 2)
    [('dora', 0), ('dora', 1), ('dora_l1', 0)]
    >>> len(plan_models(None, 5)), len(plan_models(None, 5, with_text=False))
    (9, 7)
    """
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1; got {seeds}.")
    words = models or (PAPER if with_text else PAPER_WITHOUT_TEXT)

    plan: list[tuple[str, int]] = []
    for word in words:
        name, colon, count = word.partition(":")
        one_of(name, MODELS, "preset")
        # Plain digits alone: isdigit holds for characters such as "²", too.
        is_count = count.isascii() and count.isdigit() and int(count) > 0
        if colon and not is_count:
            raise UsageError(
                f"'{word}': write NAME or NAME:COUNT with a count of at least 1."
            )
        number = int(count) if count else seeds
        # The paper's own counts are upper bounds: with one seed, it is one of each.
        if not models:
            number = min(number, seeds)
        plan += [(name, seed) for seed in range(number)]

    if len(set(plan)) != len(plan):
        raise UsageError(f"A model is asked for twice in {' '.join(words)}.")
    return plan


def choose_settings(name: str | None, audio: str) -> str | None:
    """Training settings laid over every preset; None is the paper's.

    Parameters
    ----------
    name : str or None
        Settings by name; None takes the usual ones of the audio encoder.
    audio : str
        Audio encoder.
    """
    from base_models.encoders import ENCODERS, parse_encoder

    encoder_name, _ = parse_encoder(audio)
    # The paper's settings are for its large encoders; small embedded ones need others.
    usual = "embedded" if ENCODERS[encoder_name].embedded else "paper"
    chosen = one_of(name or usual, ("paper", *SETTINGS), "training settings")
    return None if chosen == "paper" else chosen


def add_ratings(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    settings: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    path: str | None = None,
    scale: Sequence[float] | None = None,
) -> tuple[RatedClips, str]:
    """Add single ratings, for models that learn from them and for the noise ceiling.

    Parameters
    ----------
    rated : RatedClips
    models : sequence of (str, int)
        Presets and seeds.
    settings, overrides
        As in `TrainingSetup`.
    path, scale
        As in `read_ratings`; by default the ratings of the MusicEval tree that the
        clips are from.

    Returns
    -------
    rated : RatedClips
        The clips with their ratings, if there are any.
    sentence : str
        What was read, for people; "" when there was nothing to read.

    Raises
    ------
    UsageError
        When ratings that are named, or that a model learns from, cannot be read.
    """
    # Models that learn from single ratings, and cannot do without them.
    readers = [
        preset
        for preset in dict(models)
        if _config(preset, settings, overrides).reads_ratings
    ]
    attributes = rated.frame.attrs
    file = path or attributes.get("means_of") or find_ratings(rated.source)
    if file is None:
        return rated, ""

    try:
        columns = attributes.get("columns")
        ratings = read_ratings(file, rated.aspects, scale, columns=columns)
        with_ratings = rated.with_ratings(ratings)
        kept = with_ratings.ratings
        assert kept is not None
        gap = check_against_labels(kept, rated.frame, rated.aspects)
    except UsageError as error:
        # Ratings that nobody named and no model needs must not stop the training.
        if path or readers:
            raise
        return rated, f"single ratings left aside: {error}"

    purpose = ", ".join(readers) or "for the noise ceiling"
    n_raters = kept["rater_id"].nunique()
    n_clips = kept["clip_id"].nunique()
    relation = f"their means {gap:.2f} from the labels"
    if "means_of" in attributes:
        relation = "whose means are the labels"
    sentence = (
        f"{purpose}: {len(kept)} single ratings by {n_raters} raters of {n_clips} of "
        f"{len(rated.frame)} clips, {relation}"
    )
    unknown = len(ratings) - len(kept)
    if unknown:
        sentence += f"; {unknown} of clips that are not in the table are left out"
    return with_ratings, sentence


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
        Presets and seeds.
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
        When encoders or weights are missing, a preset learns from single ratings that
        are not there, or a split has no usable clip.
    """
    from base_models.devices import resolve_device
    from base_models.encoders import load_encoder
    from base_models.encoders.embed import fill_clips, placeholder_for
    from base_models.encoders.store import EmbeddingStore

    # A wrong name is refused before hours of embedding.
    _check_ratings(rated, models, setup)
    device = str(resolve_device(compute.device))
    audio = load_encoder(setup.audio_encoder, device=device)
    text = None
    if any(rated.needs_text):
        text = load_encoder(setup.text_encoder, device=device)

    store = EmbeddingStore(workspace.embeddings, dtype=setup.dtype)
    placeholder = placeholder_for(rated.needs_text)
    # On an engine many workers fill the store that they share.
    if compute.engine != LOCAL:
        embed_chunks(
            rated.frame,
            store,
            (setup.audio_encoder, setup.text_encoder if text else None),
            device=compute.device,
            engine=compute.engine,
            placeholder=placeholder,
        )
    # After an engine this encodes nothing, but it names the clips that cannot be used.
    filled = fill_clips(
        rated.frame,
        store,
        audio,
        text,
        on_progress=on_embed,
        placeholder=placeholder,
    )
    usable = _usable_clips(rated, filled)

    data = _store_clips(usable, filled.content, workspace)
    runs = _lay_out_runs(
        models,
        workspace,
        data,
        setup=setup,
        compute=compute,
        device=device,
        encoders=(audio, text),
    )

    jobs = compute.jobs
    if not jobs:
        size = _size_in_memory(store, filled, audio, text)
        jobs = _share_out(len(runs), device, size, compute.threads)
    return TrainingPlan(
        runs=runs,
        rated=usable,
        set_aside=filled.set_aside,
        jobs=jobs,
        device=device,
    )


def train_base_models(
    plan: TrainingPlan,
    workspace: Workspace,
    watch: Watch | None = None,
    engine: str = LOCAL,
) -> list[str]:
    """Train the runs that are not finished, and point the workspace at all of them.

    Parameters
    ----------
    plan : TrainingPlan
    workspace : Workspace
    watch : callable, optional
        Makes a context manager that shows the progress of runs.
    engine : str
        See `ensemble.engine.check_engine`.

    Returns
    -------
    names : list of str
        Names of the runs that were trained.
    """
    unfinished = plan.unfinished
    root = workspace.root
    first = plan.runs[0]

    # Before training: fit_meta means what was planned last, and refuses to stack a part
    # of it. Folders are relative, so that the workspace can be moved.
    entries = [
        {"name": run.name, "folder": str(run.folder.relative_to(root))}
        for run in plan.runs
    ]
    pointer = {
        "data": str(first.data.relative_to(root)),
        "runs": entries,
        "folds": first.folds,
    }
    workspace.point(BASE_MODELS, pointer)

    with watch(unfinished) if watch and unfinished else contextlib.nullcontext():
        names = spread(
            BaseRun.train,
            [(run,) for run in unfinished],
            engine,
            jobs=min(plan.jobs, len(unfinished)),
            threads=first.threads,
            shared=root,
        )
        return list(names)


def _check_ratings(
    rated: RatedClips, models: Sequence[tuple[str, int]], setup: TrainingSetup
) -> None:
    """Refuse unknown presets and settings, and presets that lack their ratings."""
    for preset in dict(models):
        if setup.config(preset).reads_ratings and rated.ratings is None:
            raise UsageError(
                f"'{preset}' learns from single ratings, and there are none: name a "
                "table of them with --ratings, or leave it out. (A MusicEval tree has "
                "them in person_mos.)"
            )


def _usable_clips(rated: RatedClips, filled: FilledClips) -> RatedClips:
    """The clips that have embeddings, with what their audio hashes to."""
    kept = rated.take(filled.kept)
    frame = kept.frame.assign(**{CONTENT: filled.audio_keys})
    usable = replace(kept, frame=frame)
    for split in ("train", "dev"):
        if usable.rows(split).empty:
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
    return _StoredClips(folder, usable.fingerprint(content), with_ratings)


def _lay_out_runs(
    models: Sequence[tuple[str, int]],
    workspace: Workspace,
    data: _StoredClips,
    *,
    setup: TrainingSetup,
    compute: Compute,
    device: str,
    encoders: tuple[Encoder, Encoder | None],
) -> tuple[BaseRun, ...]:
    """One run per model, each in a folder that is named by what decides it."""
    audio, text = encoders
    threads = compute.threads if device == "cpu" else 0
    context: dict[str, Any] = {
        "audio": audio.signature,
        "text": text.signature if text else None,
        "dtype": setup.dtype,
    }
    # Threads move no digits on a GPU, and the usual single thread is not hashed.
    if device == "cpu" and threads != 1:
        context["threads"] = threads

    runs = []
    for preset, seed in models:
        config = setup.config(preset)
        # Single ratings rename only the runs that learn from them.
        fingerprint = data.without_ratings
        if config.reads_ratings:
            fingerprint = data.with_ratings
        signature = config.signature(seed=seed, data=fingerprint, **context)
        run = BaseRun(
            name=f"{preset}-s{seed}",
            preset=preset,
            settings=setup.settings,
            seed=seed,
            audio_encoder=setup.audio_encoder,
            text_encoder=setup.text_encoder,
            # As it was given: on an engine, each worker resolves "auto" for itself.
            device=compute.device,
            data=data.folder,
            folder=workspace.base_run(preset, seed, signature),
            embeddings=workspace.embeddings,
            dtype=setup.dtype,
            folds=setup.folds,
            threads=threads,
            overrides=dict(setup.overrides),
        )
        runs.append(run)
    return tuple(runs)


def _config(
    preset: str, settings: str | None, overrides: Mapping[str, Any] | None
) -> BaseConfig:
    """The config of a preset, with settings and then single settings laid over it."""
    return BaseConfig.preset(preset, settings).updated(overrides or {}, "--set")


def _size_in_memory(
    store: EmbeddingStore, filled: FilledClips, audio: Encoder, text: Encoder | None
) -> int:
    """Bytes that each training process loads: audio embeddings and both encoders."""
    # Clips of equal audio share one entry of the store.
    entries = [store.path(audio.signature, key) for key in set(filled.audio_keys)]
    size = sum(entry.stat().st_size for entry in entries)
    for encoder in (audio, text):
        if encoder is not None:
            size += (encoder.megabytes or 0) * 2**20
    return size


def _n_cores() -> int:
    # A container or a batch system may give this process fewer cores than there are.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _share_out(n_runs: int, device: str, size: int, threads: int) -> int:
    """How many processes to train in.

    One on a GPU; on the CPU as many as cores and memory allow, where each process loads
    `size` bytes of embeddings and encoders.
    """
    if device != "cpu" or n_runs < 2:
        return 1
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # macOS and Windows do not say how much memory is free.
    except (AttributeError, ValueError):
        free = _ASSUMED_FREE
    by_cores = _n_cores() // threads
    # Twice the size: batches are padded copies of the embeddings.
    by_memory = int(free // (2 * size + _PROCESS_SIZE))
    return max(1, min(n_runs, by_cores, by_memory))
