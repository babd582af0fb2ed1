"""Audio files in place of a clip table: paths, lists of them, and folders."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from base_models.clips.names import AUDIO_SUFFIXES
from base_models.clips.rows.audio_tables import audio_files
from base_models.clips.undecodable_names import as_text, from_text
from base_models.errors import UsageError, one_of, some
from ensemble.estimator.predict_base_models import reads_clips, stored_dtype

log = logging.getLogger(__name__)

ON_ERROR = ("raise", "nan")
"""What becomes of a file that cannot be used: an error, or NaN and a warning."""


def is_audio(X: Any) -> bool:
    """Whether X is a path, or a list, array or Series of nothing but paths."""
    if isinstance(X, str | PathLike):
        return True
    if isinstance(X, pd.Series | np.ndarray) and X.ndim == 1:
        X = X.tolist()
    if not isinstance(X, list | tuple) or not X:
        return False
    return all(isinstance(path, str | PathLike) for path in X)


def files_below(path: Path) -> list[Path]:
    """The audio files below a folder, in the order of their paths, or the file itself.

    Raises
    ------
    UsageError
        when a folder holds none.
    """
    # A single file is not judged by its suffix: decoding goes by its first bytes.
    if not path.is_dir():
        return [path]
    inside = audio_files(path)
    if not inside:
        suffixes = ", ".join(sorted(AUDIO_SUFFIXES))
        raise UsageError(f"{path} holds no audio file ({suffixes}).")
    return inside


@dataclass(frozen=True, eq=False)
class Given:
    """What a stack is to predict, and where its rows stand among those asked for.

    Parameters
    ----------
    stack : the stack; a copy whose base models share a store, where clips were embedded
    X : as `StackedMOS.fit` takes it, or predictions; only rows that can be predicted
    places : int array of shape (rows of X,), among `n_rows`; None where all are there
    n_rows : number of rows that were asked for
    """

    stack: BaseEstimator
    X: Any
    places: np.ndarray | None = None
    n_rows: int = 0

    @classmethod
    def of(
        cls,
        stack: BaseEstimator,
        X: Any,
        prompts: str | Sequence[str] | None = None,
        on_error: str = "raise",
    ) -> Given:
        """Make a clip table of audio files; anything else stays what it is.

        Parameters
        ----------
        stack : fitted
        X : as in `StackedMOS.predict`
        prompts : one for all files, or one for each
        on_error : one of `ON_ERROR`

        Raises
        ------
        UsageError
            when the stack reads no audio, a folder is empty, there are not as many
            prompts, or, with ``"raise"``, a file is missing; or `prompts` or `on_error`
            are given for what is no audio.
        """
        one_of(on_error, ON_ERROR, "on_error")
        if not is_audio(X):
            if prompts is not None or on_error != "raise":
                raise UsageError(
                    "prompts and on_error are for audio files; a clip table has its "
                    f"prompts in a column, and X is a {type(X).__name__}."
                )
            return cls(stack, X)
        check_is_fitted(stack, "final_estimator_")
        models = [model for _, model in stack.estimators_ if reads_clips(model)]
        if not models:
            raise UsageError(
                "This stack reads no audio: its base models take "
                f"{'rows' if stack.estimators_ else 'files of predictions'}. Pass X "
                "as in its fit."
            )
        clips = _clip_table(X, prompts)
        if on_error == "raise":
            _refuse_missing(clips["audio"].tolist())
            return cls(stack, clips)
        return _usable(stack, clips)

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """Values of the rows of X at their places, NaN for the other rows."""
        if self.places is None:
            return values
        whole = np.full((self.n_rows, *values.shape[1:]), np.nan)
        whole[self.places] = values
        return whole


def _clip_table(X: Any, prompts: str | Sequence[str] | None) -> pd.DataFrame:
    """A row per file, in the order given; the files of a folder in its place."""
    given = [X] if isinstance(X, str | PathLike) else list(X)
    files = [file for path in given for file in files_below(Path(path))]
    paths = [as_text(str(file)) for file in files]
    if prompts is None or isinstance(prompts, str):
        prompts = [prompts or ""] * len(paths)
    if len(prompts) != len(paths):
        raise UsageError(
            f"{len(paths)} audio files need as many prompts, or one for all; got "
            f"{len(prompts)}."
        )
    # A file may be asked for twice, with two prompts; ids have to differ.
    times: dict[str, int] = {}
    ids = []
    for path in paths:
        times[path] = times.get(path, 0) + 1
        ids.append(path if times[path] == 1 else f"{path} ({times[path]})")
    texts = ["" if prompt is None else str(prompt) for prompt in prompts]
    return pd.DataFrame({"clip_id": ids, "audio": paths, "prompt": texts}, dtype=object)


def _refuse_missing(paths: list[str]) -> None:
    """Refuse files that are not there, all of them at once."""
    missing = [path for path in dict.fromkeys(paths) if not _exists(path)]
    if not missing:
        return
    number = "1 file is" if len(missing) == 1 else f"{len(missing)} files are"
    raise UsageError(
        f"{number} not there: {some(missing, 3)}. Paths are relative to {Path.cwd()}; "
        "on_error='nan' gives such clips NaN."
    )


def _exists(path: str) -> bool:
    return Path(path).exists() or Path(from_text(path)).exists()


def _usable(stack: BaseEstimator, clips: pd.DataFrame) -> Given:
    """The clips that can be embedded; a warning names the others."""
    # Imported late: they need the libraries that decode and embed audio.
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.predicting.usable_clips import usable

    # One store for all, so that what is embedded here is found when it is predicted.
    stack = copy.copy(stack)
    stack.estimators_ = [(name, copy.copy(model)) for name, model in stack.estimators_]
    models = [model for _, model in stack.estimators_ if reads_clips(model)]
    first = models[0].store
    store = first
    if not isinstance(store, EmbeddingStore):
        store = EmbeddingStore(store, dtype=stored_dtype(models))
    for model in models:
        model.store = store

    places, set_aside = usable(models, clips, store)
    if set_aside:
        log.warning(
            "%d of %d clips have no score: %s",
            len(set_aside),
            len(clips),
            "; ".join(f"{clip.clip_id}: {clip.reason}" for clip in set_aside[:5]),
        )
    kept = clips.iloc[places].reset_index(drop=True)
    return Given(stack, kept, np.array(places, dtype=int), len(clips))
