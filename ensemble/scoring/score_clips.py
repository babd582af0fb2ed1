"""Scores for new clips: embed what can be embedded, set the rest aside, predict with every base model and the stack.

Each encoder runs once per clip however many base models there are, and what it computed is stored, so a scoring run
that was stopped goes on where it was. The trap: results must come back in the order asked for, keyed by clip,
whatever order was best for computing.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from base_models.clips.audio import USED_SECONDS, declared_seconds
from base_models.clips.read_clips import SetAside
from base_models.devices import cpu_threads
from base_models.encoders.embed import clip_ids, fill_clips
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, one_of
from base_models.networks.batches import Embedded
from base_models.training.neural_mos import NeuralMOS
from ensemble.engine import LOCAL, spread
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.reporting.report import answer
from ensemble.scoring.stack_source import StackSource, load_stack

CHUNK = 256
"""Clips scored together, so that memory does not grow with the list."""
PLACEHOLDER = "music"
"""Prompt of clips that have none, for networks whose text aspects are left out."""
FORMATS = ("csv", "jsonl", "parquet", "answer")


@dataclass(frozen=True)
class Scores:
    """Scores of the clips that could be used, in the order asked for.

    Parameters
    ----------
    frame : clip_id, audio, and per aspect ``<aspect>``, ``<aspect>_low``, ``<aspect>_high`` (bounds of the interval)
    aspects : scored aspects
    left_out : aspects that need a prompt when no clip has one
    set_aside : clips that could not be used
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    left_out: tuple[str, ...]
    set_aside: tuple[SetAside, ...]


def score_clips(
    stack: StackedMOS,
    clips: pd.DataFrame,
    store: EmbeddingStore,
    level: float = 0.9,
    on_progress: Callable[[str, int, int], None] | None = None,
    engine: str = LOCAL,
    source: StackSource | None = None,
) -> Scores:
    """Score a clip table with a fitted stack of neural base models.

    Parameters
    ----------
    clips : table with ``clip_id``, ``audio`` and, for aspects judged against it, ``prompt``. When no clip has a
        prompt those aspects are left out; when some have none, those clips are set aside
    store : where embeddings are kept
    level : coverage of the interval, see `MetaRegressor.predict_interval`
    engine : where clips are scored, see `ensemble.engine.check_engine`
    source : where workers of another engine than the local one find the stack and the store
    """
    if not 0 < level < 1:
        raise UsageError(f"The interval's level must lie between 0 and 1; got {level}.")
    stack, clips = prepared(stack, clips, store)
    kept, left_out = _aspects(stack, clips)
    if left_out:  # the text branch still wants tokens; its output is dropped below
        clips = clips.assign(prompt=PLACEHOLDER)
    chunks = [
        clips.iloc[start : start + CHUNK].reset_index(drop=True)
        for start in range(0, len(clips), CHUNK)
    ]
    if engine == LOCAL:
        scored: Iterable = (
            score_chunk(stack, chunk, store, kept, level, on_progress)
            for chunk in chunks
        )
    else:
        pieces = [(source, os.getcwd(), chunk, kept, level) for chunk in chunks]
        scored = spread(_score_there, pieces, engine, shared=source.embeddings)
    frames, aside = zip(*scored, strict=True) if chunks else ((), ())
    columns = [
        "clip_id",
        "audio",
        *(f"{aspect}{end}" for aspect in kept for end in ("", "_low", "_high")),
    ]
    frames = [frame for frame in frames if len(frame)]
    frame = (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=columns)
    )
    return Scores(
        frame, kept, left_out, tuple(bad for several in aside for bad in several)
    )


def _aspects(
    stack: StackedMOS, clips: pd.DataFrame
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Aspects to score, and those left out: decided for the whole table, not chunk by chunk."""
    models = [model for _, model in stack.estimators_]
    by_text = {
        a
        for model in models
        for a, text in zip(model.aspects_, model.needs_text_, strict=True)
        if text
    }
    without_prompts = not clips["prompt"].str.strip().any()
    left_out = tuple(
        aspect for aspect in stack.aspects_ if aspect in by_text and without_prompts
    )
    kept = tuple(aspect for aspect in stack.aspects_ if aspect not in left_out)
    if not kept:
        raise UsageError(
            f"{', '.join(left_out)} is judged against the prompt; pass --prompt, or a table with prompts."
        )
    return kept, left_out


def score_chunk(
    stack: StackedMOS,
    chunk: pd.DataFrame,
    store: EmbeddingStore,
    aspects: Sequence[str],
    level: float,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[pd.DataFrame, list[SetAside]]:
    """Scores of the clips of a prepared table that can be used, all at once, and the clips that cannot."""
    rows, aside = usable(
        [model for _, model in stack.estimators_], chunk, store, on_progress
    )
    if not rows:
        return pd.DataFrame(), aside
    return _score(stack, chunk.iloc[rows].reset_index(drop=True), aspects, level), aside


def _score_there(
    source: StackSource,
    folder: str,
    chunk: pd.DataFrame,
    aspects: Sequence[str],
    level: float,
):
    """`score_chunk` in a worker process, which stands in another folder than the one that audio is relative to."""
    asked = dict(zip(chunk["clip_id"], chunk["audio"], strict=True))
    paths = [
        os.path.join(folder, path) if isinstance(path, str) and path else path
        for path in chunk["audio"]
    ]
    with cpu_threads(source.threads):
        stack = load_stack(source)
        frame, aside = score_chunk(
            stack, chunk.assign(audio=paths), source.store, aspects, level
        )
    return frame.assign(audio=frame["clip_id"].map(asked)) if len(
        frame
    ) else frame, aside


def prepared(
    stack: StackedMOS, clips: pd.DataFrame, store: EmbeddingStore
) -> tuple[StackedMOS, pd.DataFrame]:
    """The same stack, its base models reading from `store` (the caller's own is not touched), and the clips with ids
    and prompts as text, "" where there is none.

    Raises
    ------
    UsageError
        when a base model is not neural.
    """
    foreign = [
        name for name, model in stack.estimators_ if not hasattr(model, "encoders")
    ]
    if foreign:
        raise UsageError(
            f"Base model '{foreign[0]}' is not neural; score such a stack with its own predict."
        )
    stack = copy.copy(stack)
    stack.estimators_ = [(name, copy.copy(model)) for name, model in stack.estimators_]
    for _, model in stack.estimators_:
        model.store = store
    prompts = (
        clips["prompt"].astype(object).where(clips["prompt"].notna(), "").astype(str)
        if "prompt" in clips
        else ""
    )
    return stack, clips.assign(clip_id=clip_ids(clips), prompt=prompts)


def usable(models, chunk, store, on_progress=None) -> tuple[list[int], list[SetAside]]:
    """Rows that every encoder of the stack could embed, and the clips that some could not."""
    encoders = {
        tuple(e.signature if e else "" for e in pair): pair
        for pair in (model.encoders() for model in models)
    }
    rows, aside = set(range(len(chunk))), {}
    for pair in encoders.values():
        filled = fill_clips(chunk, store, *pair, on_progress=on_progress)
        rows &= set(filled.kept)
        aside |= {bad.clip_id: bad for bad in filled.set_aside}
    return sorted(rows), list(aside.values())


def embedded_once(
    stack: StackedMOS, clips: pd.DataFrame
) -> Iterator[tuple[str, NeuralMOS, Embedded]]:
    """Every base model with the clips as its encoders embed them; models of the same encoders share one reading."""
    known: dict[tuple, Embedded] = {}
    for name, model in stack.estimators_:
        key = tuple(
            encoder.signature if encoder else "" for encoder in model.encoders()
        )
        if key not in known:
            known[key] = model.embed(clips)[1]
        yield name, model, known[key]


def _score(
    stack: StackedMOS, chunk: pd.DataFrame, aspects: Sequence[str], level: float
) -> pd.DataFrame:
    return score_tables(
        stack,
        stack.prediction_tables(chunk),
        chunk[["clip_id", "audio"]],
        aspects,
        level,
    )


def score_tables(
    stack: StackedMOS, tables, clips: pd.DataFrame, aspects: Sequence[str], level: float
) -> pd.DataFrame:
    """`clips`, and beside them per aspect the stacked score of the tables and the bounds of its interval."""
    regressor, ids, columns = stack.final_estimator_, clips["clip_id"].tolist(), {}
    scores, (low, high) = (
        regressor.predict(tables, ids),
        regressor.predict_interval(tables, ids, level),
    )
    for aspect in aspects:
        k = stack.aspects_.index(aspect)
        columns |= {
            aspect: scores[:, k],
            f"{aspect}_low": low[:, k],
            f"{aspect}_high": high[:, k],
        }
    return clips.assign(**columns)


def length_note(audio: Sequence[str]) -> str:
    """How many of these files are longer than what is scored of them, in words; "" where none is."""
    longer = sum(declared_seconds(path) > USED_SECONDS for path in audio)
    if not longer:
        return ""
    which = (
        f"{longer} of {len(audio)} clips {'is' if longer == 1 else 'are'}"
        if len(audio) > 1
        else "the clip is"
    )
    return f"{which} longer than {USED_SECONDS:g} s; only the first {USED_SECONDS:g} s are scored"


def clips_from_files(audio: Sequence[str], prompt: str | None) -> pd.DataFrame:
    """A clip table from audio files (or folders of them) and one prompt for all; ids are file names without suffix.

    Raises
    ------
    UsageError
        when a folder holds no audio.
    """
    paths: list[Path] = []
    for name in audio:
        path = Path(name)
        inside = (
            sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
            if path.is_dir()
            else [path]
        )
        if not inside:
            raise UsageError(
                f"{path} holds no audio file ({', '.join(sorted(AUDIO_SUFFIXES))})."
            )
        paths += inside
    stems = [path.stem for path in paths]
    ids = stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
    if len(set(ids)) != len(ids):
        raise UsageError("An audio file is given twice.")
    return pd.DataFrame(
        {"clip_id": ids, "audio": [str(path) for path in paths], "prompt": prompt or ""}
    )


AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"}


def encode_scores(scores: Scores, name: str) -> bytes:
    """Scores as bytes of one of `FORMATS`; ``answer`` is the challenge's submission format."""
    one_of(name, FORMATS, "output format")
    frame = scores.frame
    if name == "answer":
        return answer(frame, scores.aspects).encode()
    if name == "csv":
        return frame.to_csv(index=False, float_format="%.6f").encode()
    if name == "jsonl":
        records = frame.to_dict("records")
        return "".join(
            json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
            for record in records
        ).encode()
    return frame.to_parquet(index=False)
