"""Listening tests of any number of clips whose embeddings are stored already."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from base_models.encoders import load_encoder
from base_models.encoders.packed.encoder_entries import PACKS, EncoderEntries
from base_models.encoders.packed.pack_file import MOST_BYTES, MOST_ENTRIES, write_pack
from base_models.encoders.store import EmbeddingStore
from base_models.files import sha256
from ensemble.workspace import Workspace

RATE = 16_000
SYSTEMS = 40
PROMPTS = 200


def stored_test(folder, n_clips, frames=10):
    """A table of clips, and a workspace whose store holds their embeddings.

    The clips are short and silent, so that they are nobody's copies; the embeddings
    are noise.

    Parameters
    ----------
    folder : Path
    n_clips, frames : int
        Of the table, and of each clip.

    Returns
    -------
    table : Path
    workspace : Workspace
    """
    folder = Path(folder)
    (folder / "wav").mkdir(parents=True)
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(RATE // 10, dtype=np.int16), RATE, format="wav")
    silence = sound.getvalue()
    keys = []
    paths = []
    for number in range(n_clips):
        # The last samples are the number: a content of its own.
        content = silence[:-8] + number.to_bytes(8, "little")
        path = folder / "wav" / f"{number:07}.wav"
        path.write_bytes(content)
        # Of a file that has just been written it is hashed anew whether it has changed.
        keys.append(sha256(content))
        paths.append(str(path))

    rng = np.random.default_rng(0)
    number = np.arange(n_clips)
    split = np.array(["train", "train", "train", "dev", "test"])
    table = pd.DataFrame(
        {
            "clip_id": [f"clip{i:07}" for i in range(n_clips)],
            "audio": paths,
            "system_id": [f"system{i % SYSTEMS}" for i in range(n_clips)],
            "prompt": [f"a tune of kind {i % PROMPTS}" for i in range(n_clips)],
            "split": split[number % len(split)],
            "mi": rng.uniform(1, 5, n_clips).round(2),
            "ta": rng.uniform(1, 5, n_clips).round(2),
        }
    )
    path = folder / "test.csv"
    table.to_csv(path, index=False)

    workspace = Workspace(folder / "artifacts")
    store = EmbeddingStore(workspace.embeddings)
    audio = load_encoder("logmel")
    write_packs(store.entries(audio), keys, (frames, audio.dim))
    text = load_encoder("hashed_text")
    store.fill(text, {prompt: prompt for prompt in set(table["prompt"])})
    return path, workspace


def write_packs(entries: EncoderEntries, keys, shape):
    """Noise of one shape under all keys, in packs, each of which has the same noise."""
    n_bytes = 2 * int(np.prod(shape))
    per_pack = min(len(keys), MOST_ENTRIES, max(1, MOST_BYTES // n_bytes))
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((per_pack, *shape), dtype=np.float32)
    noise = noise.astype(np.float16)
    for start in range(0, len(keys), per_pack):
        part = keys[start : start + per_pack]
        arrays = dict(zip(part, noise, strict=False))
        write_pack(entries.folder / PACKS, entries.signature, arrays)
