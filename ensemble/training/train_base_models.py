"""Level 0: embed the clips once, train every base model that is not there yet, remember the lot for the meta level.

The default is the paper's: five `dora`, two `dora_coral`, two `dora_decoupled` (DORA-MOS, section III.D). The trap:
the number of CPU threads moves the last digits, so it is fixed per run, whatever else is still to be trained.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from base_models.clips.ratings import check_against_labels, find_ratings, read_ratings
from base_models.clips.read_clips import SetAside
from base_models.config import MODELS, SETTINGS, BaseConfig
from base_models.errors import UsageError, one_of
from ensemble.engine import LOCAL, spread
from ensemble.training.base_model_run import BaseRun
from ensemble.training.embed_on_engine import embed_chunks
from ensemble.training.rated_clips import CONTENT, RatedClips
from ensemble.workspace import Workspace

PAPER = ("dora", "dora_coral:2", "dora_decoupled:2")
_WITHOUT_PROMPTS = (
    ". Add prompts, or name only aspects that are judged without one (--aspects mi)."
)


@dataclass(frozen=True)
class Level0:
    """Base models to train, on clips whose embeddings are stored.

    Parameters
    ----------
    runs : every base model asked for, finished or not
    rated : the clips that can be used
    set_aside : the clips that cannot
    jobs : worker processes
    device : what ``"auto"`` came to
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
    """Presets and seeds from ``NAME[:COUNT]`` words; a name without a count gets `seeds` of them.

    Without words it is the paper's level 0; where no aspect is judged by text, `dora_decoupled` is left out of it,
    since it differs from `dora` in the text branch alone and would be the same model twice.

    >>> plan_models(["dora", "dora_l1:1"], 2)
    [('dora', 0), ('dora', 1), ('dora_l1', 0)]
    >>> len(plan_models(None, 5)), len(plan_models(None, 5, with_text=False))
    (9, 7)
    """
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1; got {seeds}.")
    plan: list[tuple[str, int]] = []
    default = PAPER if with_text else PAPER[:2]
    for word in models or default:
        name, colon, count = word.partition(":")
        one_of(name, MODELS, "preset")
        if colon and not (count.isascii() and count.isdigit() and int(count)):
            raise UsageError(
                f"'{word}': write NAME or NAME:COUNT with a count of at least 1."
            )
        number = int(count) if count else seeds
        if not models and count:
            number = min(number, seeds)
        plan += [(name, seed) for seed in range(number)]
    if len(set(plan)) != len(plan):
        raise UsageError(
            f"A model is asked for twice in {' '.join(models or default)}."
        )
    return plan


def choose_settings(name: str | None, audio: str) -> str | None:
    """Training settings laid over every preset: those named, or the audio encoder's usual ones; None is the paper's."""
    from base_models.encoders import ENCODERS, parse_encoder

    usual = "embedded" if ENCODERS[parse_encoder(audio)[0]].embedded else "paper"
    name = one_of(name or usual, ("paper", *SETTINGS), "training settings")
    return None if name == "paper" else name


def add_ratings(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    settings: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    path: str | None = None,
    scale: Sequence[float] | None = None,
) -> tuple[RatedClips, str]:
    """The clips with their single ratings, for models that learn from such and for the noise ceiling; and a sentence.

    Parameters
    ----------
    models, settings, overrides : as in `prepare_level0`
    path, scale : as in `read_ratings`; by default the ratings of the MusicEval tree that the clips are from

    Raises
    ------
    UsageError
        when ratings that are named, or that a model learns from, cannot be read.
    """
    readers = [
        name
        for name in dict(models)
        if _config(name, settings, overrides).reads_ratings
    ]
    found = path or find_ratings(rated.source)
    if found is None:
        return rated, ""
    try:
        ratings = read_ratings(found, rated.aspects, scale)
        rated = rated.with_ratings(ratings)
        gap = check_against_labels(rated.ratings, rated.frame, rated.aspects)
    except UsageError as error:
        if path or readers:
            raise
        return rated, f"single ratings left aside: {error}"
    used, clips = len(rated.ratings), rated.ratings["clip_id"].nunique()
    raters = rated.ratings["rater_id"].nunique()
    said = f"{', '.join(readers) or 'for the noise ceiling'}: {used} single ratings by {raters} raters"
    said += f" of {clips} of {len(rated.frame)} clips, their means {gap:.2f} from the labels"
    unknown = len(ratings) - used
    return rated, said + (
        f"; {unknown} of clips that are not in the table are left out"
        if unknown
        else ""
    )


def prepare_level0(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    workspace: Workspace,
    audio_encoder: str,
    text_encoder: str,
    settings: str | None = None,
    device: str = "auto",
    jobs: int = 0,
    threads: int = 1,
    folds: int = 0,
    dtype: str = "float16",
    overrides: Mapping[str, Any] | None = None,
    on_embed: Callable[[str, int, int], None] | None = None,
    engine: str = LOCAL,
) -> Level0:
    """Embed the clips, keep the table of those that can be used, and lay out one run per model.

    Parameters
    ----------
    models : presets and seeds
    settings : training settings laid over every preset, or None for the paper's
    jobs : worker processes; 0 shares out the cores (one process on a GPU)
    threads : CPU threads of each run; fixed, so that a run ends with the same numbers whatever runs beside it
    folds : out-of-fold predictions on the training split
    overrides : single settings of `BaseConfig`, laid over the rest
    on_embed : called with encoder name, contents done, contents in all
    engine : where clips are embedded, see `ensemble.engine.check_engine`

    Raises
    ------
    UsageError
        when encoders or weights are missing, or a split has no usable clip.
    """
    from base_models.devices import resolve_device
    from base_models.encoders import load_encoder
    from base_models.encoders.embed import fill_clips
    from base_models.encoders.store import EmbeddingStore

    template = {
        "settings": settings,
        "audio_encoder": audio_encoder,
        "text_encoder": text_encoder,
        "device": device,
    }
    template |= {
        "embeddings": workspace.embeddings,
        "dtype": dtype,
        "folds": folds,
        "overrides": dict(overrides or {}),
    }
    for preset in dict(models):  # a wrong name is refused before hours of embedding
        if _config(preset, settings, overrides).reads_ratings and rated.ratings is None:
            raise UsageError(
                f"'{preset}' learns from single ratings, and there are none: name a table of them with --ratings, or "
                "leave it out. (A MusicEval tree has them in person_mos.)"
            )
    resolved = str(resolve_device(device))
    audio = load_encoder(audio_encoder, device=resolved)
    text = (
        load_encoder(text_encoder, device=resolved) if any(rated.needs_text) else None
    )
    store = EmbeddingStore(workspace.embeddings, dtype=dtype)
    if engine != LOCAL:
        specs = audio_encoder, text_encoder if text else None
        embed_chunks(rated.frame, store, specs, device, engine)
    filled = fill_clips(rated.frame, store, audio, text, on_progress=on_embed)
    usable = rated.take(filled.kept)
    usable = replace(usable, frame=usable.frame.assign(**{CONTENT: filled.audio_keys}))
    for split in ("train", "dev"):
        if usable.rows(split).empty:
            first = filled.set_aside[0]
            raise UsageError(
                f"No {split} clip can be used; the first one set aside is '{first.clip_id}': {first.reason}"
                + (_WITHOUT_PROMPTS if "prompt" in first.reason else "")
            )
    read = {
        reads: usable.fingerprint(filled.content, ratings=reads)
        for reads in (False, True)
    }
    folder = workspace.data(read[True])
    usable.save(folder)
    context = {
        "audio": audio.signature,
        "text": text.signature if text else None,
        "dtype": dtype,
    }
    template |= {"data": folder, "threads": threads if resolved == "cpu" else 0}
    context |= {"threads": threads} if resolved == "cpu" and threads != 1 else {}
    runs = tuple(
        _run(workspace, preset, seed, read, context, template)
        for preset, seed in models
    )
    size = sum(
        store.path(audio.signature, key).stat().st_size
        for key in set(filled.audio_keys)
    )
    size += (
        sum(encoder.megabytes or 0 for encoder in (audio, text) if encoder) * 2**20
    )  # each process loads them
    return Level0(
        runs,
        usable,
        filled.set_aside,
        jobs or _share_out(len(runs), resolved, size, threads),
        resolved,
    )


def train_level0(
    level0: Level0,
    workspace: Workspace,
    watch: Callable[[Sequence[BaseRun]], Any] | None = None,
    engine: str = LOCAL,
) -> list[str]:
    """Train the runs that are not finished and point the workspace at the lot; returns the names of those trained.

    Parameters
    ----------
    watch : context manager factory that shows the progress of runs
    engine : see `ensemble.engine.check_engine`
    """
    unfinished = level0.unfinished
    root, first = workspace.root, level0.runs[0]
    entries = [
        {"name": run.name, "folder": str(run.folder.relative_to(root))}
        for run in level0.runs
    ]
    # before training: what was asked for last is what fit_meta means, and it refuses to stack half of it
    workspace.point(
        "level0",
        {
            "data": str(first.data.relative_to(root)),
            "runs": entries,
            "folds": first.folds,
        },
    )
    with watch(unfinished) if watch and unfinished else contextlib.nullcontext():
        pieces = [(run,) for run in unfinished]
        threads = unfinished[0].threads if unfinished else 0
        jobs = min(level0.jobs, len(unfinished))
        names = list(
            spread(BaseRun.train, pieces, engine, jobs, threads, workspace.root)
        )
    return names


def _config(
    preset: str, settings: str | None, overrides: Mapping[str, Any] | None
) -> BaseConfig:
    return BaseConfig.preset(preset, settings).updated(overrides or {}, "--set")


def _run(
    workspace: Workspace,
    preset: str,
    seed: int,
    read: dict,
    context: dict,
    template: dict,
) -> BaseRun:
    """A run, named by what its model reads of the data: single ratings rename only runs that learn from them."""
    run = BaseRun(f"{preset}-s{seed}", preset, seed=seed, folder=Path(), **template)
    signature = run.config.signature(
        seed=seed, data=read[run.config.reads_ratings], **context
    )
    return BaseRun(
        run.name,
        preset,
        seed=seed,
        folder=workspace.base_run(preset, seed, signature),
        **template,
    )


def _cores() -> int:
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


def _share_out(runs: int, device: str, size: int, threads: int) -> int:
    """How many processes: one on a GPU; on the CPU as many as cores and, for the embeddings of each, memory allow."""
    if device != "cpu" or runs < 2:
        return 1
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # macOS and Windows do not say
        free = 2**33
    return max(1, min(runs, _cores() // threads, int(free // (2 * size + 2**30))))
