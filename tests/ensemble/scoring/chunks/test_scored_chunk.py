"""A scored chunk comes back from its file to the last digit, with its types."""

import json

import numpy as np
import pandas as pd
import pytest

from base_models.clips.read_clips import SetAside
from base_models.files import to_json
from ensemble.scoring.chunks.scored_chunk import ScoredChunk
from meta.uncertainty.clip_range import RangeCheck


def chunk(frame, check=None):
    rng = np.random.default_rng(0)
    bins = pd.DataFrame({"clip_id": ["a", "b"], "mi_b00": rng.uniform(size=2)})
    set_aside = [SetAside("c", "it is «gone»", status="missing")]
    return ScoredChunk(frame, bins, set_aside, check)


def again(scored):
    return ScoredChunk.of_json(json.loads(to_json(scored.to_json())))


def test_every_type_of_cell_and_every_digit_comes_back():
    frame = pd.DataFrame(
        {
            "clip_id": ["a", "b"],
            "mi": [1 / 3, np.nan],
            "narrow": np.array([0.1, np.inf], dtype=np.float32),
            "source_hz": pd.array([16000, None], dtype="Int64"),
            "out_of_range": [True, False],
            "flags": ["", "silent"],
        }
    )
    check = RangeCheck(np.array([0.1, np.nan]), np.array([-np.inf, np.inf, 2 / 3]))
    scored = chunk(frame, check)
    found = again(scored)
    pd.testing.assert_frame_equal(found.frame, frame, check_exact=True)
    pd.testing.assert_frame_equal(
        found.distributions, scored.distributions, check_exact=True
    )
    assert found.set_aside == scored.set_aside
    np.testing.assert_array_equal(found.check.distances, check.distances)
    np.testing.assert_array_equal(found.check.reference, check.reference)


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"mi": [1.0]})[:0]])
def test_a_chunk_without_a_usable_clip_comes_back_as_one(frame):
    found = again(chunk(frame))
    assert len(found.frame) == 0
    assert list(found.frame) == list(frame)
    assert found.check is None
