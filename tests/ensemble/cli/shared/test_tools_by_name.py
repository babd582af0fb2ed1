"""Five tools in the fit and for new clips, by name: no file has to be renamed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tool_files
from builders import SHARED_DATA
from commands import call, refused

from ensemble.estimator.stacked_mos import StackedMOS

REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"
MODELS = {
    "utmos",
    "nisqa",
    *(f"dns.{name}" for name in ("OVRL", "SIG", "BAK", "P808_MOS")),
    *(f"ab.{axis}" for axis in ("CE", "CU", "PC", "PQ")),
    *(
        f"song.{axis}"
        for axis in (
            "Coherence",
            "Musicality",
            "Memorability",
            "Clarity",
            "Naturalness",
        )
    ),
}


def write_all(folder, kind, scores_of):
    """Files of five tools for one set of clips, as words of a command."""
    folder.mkdir(exist_ok=True)
    audiobox = tool_files.audiobox(
        folder / f"axes-{kind}.jsonl", folder / f"{kind}-in.jsonl", scores_of["ab"]
    )
    files = {
        "utmos": tool_files.utmosv2(folder / f"u_{kind}.csv", scores_of["utmos"]),
        "nisqa": tool_files.nisqa(folder / f"NISQA_{kind}.csv", scores_of["nisqa"]),
        "dns": tool_files.dnsmos(folder / f"{kind}-dnsmos.csv", scores_of["dns"]),
        "ab": audiobox,
        "song": tool_files.songeval(folder / f"{kind}.json", scores_of["song"]),
    }
    return [f"{name}={file}" for name, file in files.items()]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Labels, artifacts of a fit on five tools, and the words for new clips."""
    root = tmp_path_factory.mktemp("tools")
    rng = np.random.default_rng(0)
    clips = [f"sys{k % 12:02}-utt{k}" for k in range(120)]
    truth = pd.Series(rng.uniform(1.3, 4.7, 120).round(3), index=clips)
    names = ("utmos", "nisqa", "dns", "ab", "song")
    scores_of = {
        name: (truth + rng.normal(0, 0.2 + 0.1 * k, 120)).clip(1, 5).round(4)
        for k, name in enumerate(names)
    }
    dev, test = clips[:90], clips[90:]
    systems = [clip.split("-")[0] for clip in dev]
    table = {"clip_id": dev, "system": systems, "mos": truth[dev].to_numpy()}
    pd.DataFrame(table).to_csv(root / "labels.csv", index=False)
    old = write_all(root / "dev", "dev", {n: s[dev] for n, s in scores_of.items()})
    new = write_all(root / "test", "test", {n: s[test] for n, s in scores_of.items()})
    fit = ("--labels", root / "labels.csv", "--artifacts", root / "art")
    result = call("fit_meta", "--predictions", *old, *fit, "--rivals")
    assert result[0] == 0, result[2]
    return root, result, new, truth[test]


def test_five_tools_are_fitted_under_their_names_and_said(fitted):
    _, (_, out, err), _, _ = fitted
    folder = Path(out.splitlines()[-1])
    assert set(StackedMOS.load(folder).final_estimator_.layout_.models) == MODELS
    reads = [line for line in err.splitlines() if line.startswith("reads ")]
    assert len(reads) == 5
    assert "reads u_dev.csv (UTMOSv2): utmos from 'predicted_mos'" in reads
    assert "predict_mos --predictions utmos=FILE nisqa=FILE dns=FILE ab=FILE" in err


def test_the_same_names_predict_from_files_of_other_names(fitted):
    root, _, new, truth = fitted
    code, out, err = call(
        "predict_mos", "--predictions", *new, "--artifacts", root / "art"
    )
    assert code == 0, err
    found = pd.read_csv(io.StringIO(out)).set_index("clip_id")
    assert sorted(found.index) == sorted(truth.index)
    assert np.corrcoef(found["mos"][truth.index], truth)[0, 1] > 0.95
    # What each column became is said again, as names and columns differ.
    assert "reads NISQA_test.csv: nisqa from 'mos_pred'" in err


def test_a_missing_tool_and_a_file_without_its_name_are_told(fitted):
    root, _, new, _ = fitted
    words = ("--artifacts", root / "art")
    refused(
        2,
        call("predict_mos", "--predictions", *new[:4], *words),
        r"The stack was fitted with 'song\.Coherence'.*missing here",
    )
    bare = new[1].partition("=")[2]
    refused(
        2,
        call("predict_mos", "--predictions", new[0], bare, *words),
        r"NISQA_test.csv has no predictions of the stack's base models .*Did you mean "
        r"nisqa=.*NISQA_test.csv\?",
    )


def test_a_stack_from_before_columns_were_remembered_is_loaded(fitted):
    _, (_, out, _), _, _ = fitted
    stack = StackedMOS.load(Path(out.splitlines()[-1]))
    facts = stack.scales_.to_json()
    assert facts["predictors"]["nisqa"]["mos"]["column"] == "mos_pred"
    for of_model in facts["predictors"].values():
        for known in of_model.values():
            del known["column"]
    old = type(stack.scales_).from_json(json.loads(json.dumps(facts)))
    assert old.columns_of_fit(["mos"]) == {}
    assert {m: list(s) for m, s in old.predictors.items()} == {
        m: list(s) for m, s in stack.scales_.predictors.items()
    }


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def test_real_predictions_in_five_layouts_are_fitted_and_predicted(tmp_path):
    table = pd.read_csv(REAL).set_index("utterance")
    names = {
        "utmos": "utmos22_fold0",
        "nisqa": "utmos22_fold1",
        "dns": "sslft_30",
        "ab": "sslft_20",
        "song": "sslmos",
    }
    scores_of = {name: table[column].clip(1, 5) for name, column in names.items()}
    systems = sorted(table["system"].unique())
    is_dev = table["system"].isin(systems[::2])
    dev, test = table.index[is_dev], table.index[~is_dev]
    table.loc[dev, ["system", "mos"]].to_csv(tmp_path / "labels.csv")
    old = write_all(tmp_path / "a", "dev", {n: s[dev] for n, s in scores_of.items()})
    new = write_all(tmp_path / "b", "test", {n: s[test] for n, s in scores_of.items()})
    art = ("--artifacts", tmp_path / "art")
    words = ("--labels", tmp_path / "labels.csv", "--rivals")
    code, _, err = call("fit_meta", "--predictions", *old, *words, *art)
    assert code == 0, err
    code, out, err = call("predict_mos", "--predictions", *new, *art)
    assert code == 0, err
    found = pd.read_csv(io.StringIO(out)).set_index("clip_id")
    truth = table.loc[test, "mos"]
    assert found["mos"].corr(truth, method="spearman") > 0.8
