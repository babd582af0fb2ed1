"""``--report``: a page for people beside the scores."""

import numpy as np
import pandas as pd
import pytest
from commands import call

from base_models.files import read_json
from ensemble.hub.stack_contents import stack_contents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stack of two predictors, and what they predict for clips of two systems."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    n = 60
    mos = rng.uniform(1.5, 4.5, n)
    frame = pd.DataFrame(
        {
            "clip_id": [f"c{k:02}" for k in range(n)],
            "system_id": [f"s{k % 6}" for k in range(n)],
            "mos": mos,
            "one": np.clip(mos + rng.normal(0, 0.4, n), 1, 5),
            "two": np.clip(mos + rng.normal(0, 0.5, n), 1, 5),
        }
    )
    frame.to_csv(folder / "rated.csv", index=False)
    new = frame.drop(columns="mos").assign(clip_id=[f"n{k:02}" for k in range(n)])
    new.to_csv(folder / "new.csv", index=False)
    words = ["--predictions", folder / "rated.csv", "--learner", "ridge", "--rivals"]
    code, _, err = call("fit_meta", *words, "--artifacts", folder / "art")
    assert code == 0, err
    return folder


def test_predictions_alone_have_a_page_with_how_it_was_made(folder):
    words = ["--predictions", folder / "new.csv", "--artifacts", folder / "art"]
    page = folder / "page.html"
    outputs = ["-o", folder / "scores.csv", "--report", page]
    code, _, err = call("predict_mos", *words, *outputs)
    assert code == 0, err
    assert f"report: {page}" in err
    source = page.read_text()
    assert "60 clips" in source
    assert "Best clips by mos" in source
    assert 'class="strip"' in source
    assert "<audio" not in source
    assert "predict_mos" in source
    assert "SHA-256 of data" in source
    # The record beside the scores says the same, of the stack what decides its scores.
    record = read_json(folder / "scores.csv.meta.json")
    for fact in ("data_hash", "stack_hash", "stack", "date"):
        assert record[fact]
        assert record[fact] in source
    (stack,) = folder.glob("art/meta/*")
    assert record["stack_hash"] == stack_contents(stack).identity


def test_systems_that_are_not_kept_beside_the_scores_are_still_on_the_page(folder):
    words = ["--predictions", folder / "new.csv", "--artifacts", folder / "art"]
    pages = []
    for kept in ("none", "system_id"):
        page = folder / f"{kept}.html"
        outputs = ["-o", folder / f"{kept}.csv", "--keep", kept, "--report", page]
        assert call("predict_mos", *words, *outputs)[0] == 0
        pages.append(page.read_text())
    assert "system_id" not in (folder / "none.csv").read_text()
    assert "Systems by mos" in pages[0]
    assert pages[0].count("<tr") == pages[1].count("<tr")


def test_the_report_of_a_stack_is_whole_and_its_command_is_in_the_log(folder):
    (stack,) = folder.glob("art/meta/*/")
    source = (stack / "report.html").read_text()
    assert "fit_meta" in (stack / "log.jsonl").read_text()
    for words in (
        "What must not be concluded.",
        "Systems by mos, held-out clips",
        "Largest errors: mos",
        "Leak audit",
        "SHA-256 of data",
    ):
        assert words in source


def test_compared_scores_have_a_page(folder):
    rng = np.random.default_rng(1)
    scores = pd.DataFrame(
        {
            "clip_id": [f"x{k:02}" for k in range(40)],
            "system_id": ["a"] * 20 + ["b"] * 20,
            "mos": np.r_[rng.normal(4, 0.2, 20), rng.normal(2.5, 0.2, 20)],
        }
    )
    scores.to_csv(folder / "ab.csv", index=False)
    page = folder / "ab.html"
    code, _, err = call("compare_systems", folder / "ab.csv", "--report", page)
    assert code == 0, err
    source = page.read_text()
    assert "Systems compared" in source
    assert "a is better than b by" in source


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--report", "page.csv"], "--report takes a file that a browser opens"),
        (["--report", "-"], "--report takes a file that a browser opens"),
        (["--report", "p.html", "--audio", "loud"], "Unknown --audio 'loud'"),
        (["--audio", "link"], "--audio is about the players of --report"),
    ],
)
def test_what_cannot_be_a_page_is_refused_at_once(folder, words, message):
    start = ["--predictions", folder / "new.csv", "--artifacts", folder / "art"]
    code, _, err = call("predict_mos", *start, *words)
    assert code == 2
    assert message in err
