"""Laws of embedding a table of clips.

Rows stay in order, equal content is encoded once, and a clip that cannot be used is
named.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import clip_table, noises

from base_models.encoders import load_encoder
from base_models.encoders.embed import (
    clip_ids,
    embed_clips,
    fill_clips,
    load_clips,
    system_ids,
)
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, UsageError

RATE = 24_000


@pytest.fixture
def encoders():
    return load_encoder("logmel"), load_encoder("hashed_text")


@pytest.fixture
def table(tmp_path):
    """Four clips, of which the first and the third are equal."""
    sounds = noises([0.1] * 4, [0.5, 0.6, 0.7, 0.8])
    sounds[2] = sounds[0]
    prompts = ["slow piano", "fast drums", "slow piano", "a sad violin"]
    made = clip_table(tmp_path, sounds, prompts=prompts, clip_id=list("abcd"))
    return made[["clip_id", "audio", "prompt"]]


def test_rows_come_back_in_the_order_of_the_table(table, encoders):
    store = EmbeddingStore(None)
    _, forward = embed_clips(table, store, *encoders)
    _, backward = embed_clips(table[::-1], store, *encoders)
    assert len(forward) == 4
    for row, (frames, tokens) in enumerate(
        zip(forward.frames, forward.tokens, strict=True)
    ):
        assert np.array_equal(frames, backward.frames[3 - row])
        assert np.array_equal(tokens, backward.tokens[3 - row])
        assert np.array_equal(
            frames,
            encoders[0]
            .encode([encoders[0].prepare(table["audio"][row])])[0]
            .astype("f2"),
        )


def test_equal_content_is_encoded_once_and_shares_one_array(table, encoders, tmp_path):
    store, progress = EmbeddingStore(tmp_path / "store"), []
    filled = fill_clips(
        table, store, *encoders, on_progress=lambda *facts: progress.append(facts)
    )
    assert ("logmel", 3, 3) in progress
    assert ("hashed_text", 3, 3) in progress
    assert filled.content[0] == filled.content[2]
    assert len(set(filled.content)) == 3
    clips = load_clips(filled, store, *encoders)
    assert clips.frames[0] is clips.frames[2]
    again = []
    assert (
        fill_clips(
            table, store, *encoders, on_progress=lambda *facts: again.append(facts)
        )
        == filled
    )
    assert again == [("logmel", 3, 3), ("hashed_text", 3, 3)]


def test_the_prompt_is_part_of_the_content_only_with_text(table, encoders):
    other, store = table.assign(prompt="something else"), EmbeddingStore(None)
    audio, text = encoders
    assert (
        fill_clips(table, store, audio, text).content
        != fill_clips(other, store, audio, text).content
    )
    assert (
        fill_clips(table, store, audio, None).content
        == fill_clips(other, store, audio, None).content
    )
    assert (
        fill_clips(table.drop(columns="prompt"), store, audio, None).text_keys is None
    )


def test_a_clip_that_cannot_be_used_is_set_aside_by_name_and_the_others_are_kept(
    table, encoders, tmp_path
):
    (tmp_path / "noise.wav").write_bytes(b"not audio")
    table.loc[1, "audio"] = str(tmp_path / "noise.wav")
    table.loc[3, "prompt"] = " "
    store = EmbeddingStore(None)
    filled = fill_clips(table, store, *encoders)
    assert filled.kept == (0, 2)
    assert {aside.clip_id: aside.reason for aside in filled.set_aside}[
        "d"
    ] == "no prompt"
    assert [aside.clip_id for aside in filled.set_aside] == ["b", "d"]
    assert len(load_clips(filled, store, *encoders)) == 2
    with pytest.raises(ClipError, match=r"Clip 'b': .*\(and 1 more clips\)"):
        embed_clips(table, store, *encoders)


@pytest.mark.parametrize("nothing", ["", None, np.nan, pd.NA])
@pytest.mark.parametrize(
    ("column", "reason"), [("audio", "it has no audio file"), ("prompt", "no prompt")]
)
def test_a_missing_cell_is_a_clip_error_that_names_the_clip(
    table, encoders, column, reason, nothing
):
    cells = table[column].astype(object)
    cells[2] = nothing
    with pytest.raises(ClipError, match=f"Clip 'c': {reason}"):
        embed_clips(table.assign(**{column: cells}), EmbeddingStore(None), *encoders)


def test_paths_may_be_path_objects(table, encoders):
    table["audio"] = [Path(path) for path in table["audio"]]
    assert len(embed_clips(table, EmbeddingStore(None), *encoders)[1]) == 4


def test_a_missing_file_names_the_clip_and_the_file(table, encoders):
    table.loc[3, "audio"] = "/nowhere/d.wav"
    with pytest.raises(ClipError, match=r"Clip 'd': there is no file '/nowhere/d.wav'"):
        embed_clips(table, EmbeddingStore(None), *encoders)


@pytest.mark.parametrize("column", ["audio", "prompt"])
def test_a_missing_column_is_named(table, encoders, column):
    with pytest.raises(
        UsageError, match=rf"has no column \['{column}'\]; its columns are \['clip_id'"
    ):
        embed_clips(table.drop(columns=column), EmbeddingStore(None), *encoders)


def test_ids_are_the_column_else_the_index_and_stand_once(table):
    assert clip_ids(table) == list("abcd")
    assert clip_ids(table.drop(columns="clip_id")) == list("0123")
    with pytest.raises(UsageError, match="Clip ids must be unique"):
        clip_ids(table.assign(clip_id=list("abca")))
    with pytest.raises(
        UsageError, match=r"need a table of clips \(a DataFrame\); got ndarray"
    ):
        clip_ids(np.zeros((2, 2)))
    assert system_ids(table) == [""] * 4
    assert system_ids(table.assign(system_id=[1, 1, 2, 2])) == list("1122")


def test_an_empty_table_has_no_embeddings(table, encoders):
    filled, clips = embed_clips(table.iloc[:0], EmbeddingStore(None), *encoders)
    assert filled.content == ()
    assert len(clips) == 0
