"""``fit_meta --adapt``: what is kept is written and said, and nothing else is."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call, finish, refused, two_epochs

from base_models.files import read_json
from ensemble.estimator.save_and_load import read_stack
from ensemble.estimator.stacked_mos import StackedMOS

MODELS = ("one", "two", "three")


def predictions(n, seed, shift=0.0):
    """Labels of n clips of six systems, and three models, which the shift leaves."""
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1.5, 4.0, n)
    frame = pd.DataFrame(
        {
            "clip_id": [f"x{seed}-{k}" for k in range(n)],
            "system_id": [f"s{k % 6}" for k in range(n)],
            "mos": mos + shift,
        }
    )
    noisy = {
        name: np.clip(mos + rng.normal(0, 0.2 + 0.2 * k, n), 1, 5)
        for k, name in enumerate(MODELS)
    }
    return frame.assign(**noisy)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a fitted stack of predictions, and rated clips of another test."""
    folder = tmp_path_factory.mktemp("fitted")
    predictions(60, 0).to_csv(folder / "old.csv", index=False)
    code, _, err = call(
        "fit_meta",
        "--predictions",
        folder / "old.csv",
        "--rivals",
        "--artifacts",
        folder / "art",
    )
    assert code == 0, err
    new = predictions(40, 1, shift=0.7)
    new.drop(columns="mos").to_csv(folder / "new.csv", index=False)
    new[["clip_id", "system_id", "mos"]].to_csv(folder / "mos.csv", index=False)
    return folder


@pytest.fixture
def place(fitted, tmp_path):
    """A copy of that folder for one test, which names its stack in a file."""
    place = shutil.copytree(fitted, tmp_path / "place")
    (stack,) = (place / "art" / "meta").iterdir()
    place.joinpath("stack").write_text(str(stack))
    return place


def adapt(place, *words, labels="mos.csv"):
    return call(
        "fit_meta",
        "--adapt",
        (place / "stack").read_text(),
        "--predictions",
        place / "new.csv",
        "--labels",
        place / labels,
        "--artifacts",
        place / "art",
        *words,
    )


def write(place, name, edit):
    """A table of ratings after `edit`."""
    frame = pd.read_csv(place / "mos.csv")
    edit(frame).to_csv(place / name, index=False)
    return name


def test_an_adapted_stack_is_written_said_and_used_from_then_on(place):
    code, out, err = adapt(place)
    assert code == 0, err
    folder = place / "art" / read_json(place / "art" / "stack.json")["folder"]
    assert out.splitlines()[-1] == str(folder)
    assert folder.name.startswith("stack-adapted-")
    last = err.splitlines()[-1]
    assert last.startswith("mos: adapted: on 40 clips, each group left out, MSE 0.")

    (found,) = read_json(folder / "adaptation.json")["adaptation"]
    assert found["kept"]
    assert found["error_adapted"] < found["error_none"]
    assert found["sentence"] == last
    # Words that the page explains are links inside the sentence.
    page = re.sub(r"<[^>]+>", "", (folder / "adaptation.html").read_text())
    assert last in page

    # It is what the library makes of the same clips.
    new = pd.read_csv(place / "new.csv", index_col="clip_id")
    labels = pd.read_csv(place / "mos.csv", index_col="clip_id")
    old = StackedMOS.load((place / "stack").read_text())
    expected = old.adapt(new[[*MODELS]], labels).predict(new[[*MODELS]])
    words = ["--predictions", place / "new.csv", "--artifacts", place / "art"]
    code, out, err = call("predict_mos", *words)
    assert code == 0, err
    scores = pd.read_csv(pd.io.common.StringIO(out))["mos"]
    np.testing.assert_allclose(scores, expected[:, 0], atol=1e-3)
    stored = StackedMOS.load(folder).predict(new[[*MODELS]])
    np.testing.assert_allclose(stored, expected, atol=1e-9)


def test_adapted_again_to_the_same_clips_it_stays_and_to_others_it_is_another(place):
    folders = [adapt(place)[1].splitlines()[-1] for _ in range(2)]
    assert folders[0] == folders[1]
    write(place, "few.csv", lambda frame: frame.head(9))
    other = adapt(place, labels="few.csv")[1].splitlines()[-1]
    assert other != folders[0]
    write(place, "grouped.csv", lambda frame: frame.assign(album=frame.index // 8))
    grouped = adapt(place, "--groups", "album", labels="grouped.csv")[1]
    assert grouped.splitlines()[-1] not in (*folders, other)


def test_where_nothing_is_gained_the_stack_stays_as_it_was(place):
    same = predictions(12, 6)
    same.drop(columns="mos").to_csv(place / "new.csv", index=False)
    same[["clip_id", "mos"]].to_csv(place / "mos.csv", index=False)
    code, out, err = adapt(place)
    assert code == 0, err
    assert err.splitlines()[-1].startswith("mos: not adapted: on 12 clips, each clip")
    old, new = (
        StackedMOS.load(folder)
        for folder in ((place / "stack").read_text(), out.splitlines()[-1])
    )
    for method in ("predict", "predict_distribution"):
        np.testing.assert_array_equal(
            getattr(new, method)(same[[*MODELS]]), getattr(old, method)(same[[*MODELS]])
        )


def test_a_curve_says_what_fewer_clips_would_have_given(place):
    code, out, err = adapt(place, "--curve", "--seed", 3)
    assert code == 0, err
    folder = place / out.splitlines()[-1]
    curve = pd.read_csv(folder / "curve.csv")
    assert sorted(set(curve["clips"])) == [0, 3, 10, 30]
    assert set(curve["metric"]) == {"mse", "srcc"}
    stored = pd.DataFrame(read_json(folder / "adaptation.json")["curve"])
    pd.testing.assert_frame_equal(stored[curve.columns], curve)
    assert "How many clips must be rated" in out
    assert "mos, the next 50 ratings (40 to 90 clips): MSE" in err
    page = (folder / "adaptation.html").read_text()
    assert "How many clips must be rated" in page
    assert "the next 50 ratings" in page
    other = adapt(place, "--curve", "--seed", 4)[1].splitlines()[-1]
    assert other != str(folder)


LABELS = {
    "equal": (lambda f: f.assign(mos=5.0), "All 40 labels of 'mos' are 5, which says"),
    "off the scale": (lambda f: f.assign(mos=7.5), r"mos is off the scale 1\.\.5"),
    "one": (lambda f: f.head(1), "no aspect can be tried .mos: 1 labelled clip leaves"),
    "one system": (lambda f: f.assign(system_id="s"), "are of one system or group"),
    "of another aspect": (
        lambda f: f.rename(columns={"mos": "groove"}),
        "rates 'groove'; the stack predicts 'mos'",
    ),
    "none": (lambda f: f.assign(mos=np.nan), "no rated clip"),
    "of other clips": (
        lambda f: f.assign(clip_id="y" + f["clip_id"]),
        "predicts none of the 40 clips",
    ),
    "too few for a curve": (lambda f: f.head(12), "A curve needs 13 rated clips"),
}


@pytest.mark.parametrize("name", LABELS)
def test_ratings_that_teach_nothing_are_refused_and_nothing_is_written(place, name):
    edit, message = LABELS[name]
    write(place, "wrong.csv", edit)
    before = sorted((place / "art" / "meta").iterdir())
    code = 3 if "off" in name else 2
    refused(code, adapt(place, "--curve", labels="wrong.csv"), message)
    assert sorted((place / "art" / "meta").iterdir()) == before


def test_clips_that_the_stack_was_fitted_on_are_refused(place):
    pd.read_csv(place / "old.csv").to_csv(place / "new.csv", index=False)
    labels = ["clip_id", "system_id", "mos"]
    pd.read_csv(place / "old.csv")[labels].to_csv(place / "mos.csv", index=False)
    refused(2, adapt(place), "The stack was fitted on 60 of the 60 rated clips")
    assert not list(place.glob("art/meta/*-adapted-*"))


def test_columns_and_codes_of_the_rated_table_can_be_named(place):
    frame = pd.read_csv(place / "mos.csv")
    odd = frame.rename(columns={"clip_id": "take", "system_id": "by", "mos": "How?"})
    odd["How?"] = odd["How?"].astype(str)
    odd.loc[0, "How?"] = "-1"
    odd.to_csv(place / "odd.csv", index=False)
    frame.drop(index=0).to_csv(place / "plain.csv", index=False)
    _, plain, _ = adapt(place, labels="plain.csv")

    named = ("--columns", "id=take", "system=by", "mos=How?")
    refused(3, adapt(place, *named, labels="odd.csv"), r"line 2: How\? is '-1'")
    coded = (*named, "--missing-code", "-1")
    code, out, err = adapt(place, *coded, labels="odd.csv")
    assert code == 0, err
    # The same ratings, however they are written, give the same stack.
    assert out.splitlines()[-1] == plain.splitlines()[-1]
    other = adapt(place, *coded[:3], "warmth=How?", labels="odd.csv")
    refused(2, other, "--columns names ratings of 'warmth'; the stack predicts 'mos'")
    problems = place / "problems.jsonl"
    adapt(place, *named, "--problems", problems, labels="odd.csv")
    assert len(problems.read_text().splitlines()) == 1


def test_options_that_would_be_ignored_are_refused(place):
    stack = (place / "stack").read_text()
    words = ["fit_meta", "--artifacts", place / "art"]
    adapting = [*words, "--adapt", stack]
    given = ["--predictions", place / "new.csv", "--labels", place / "mos.csv"]
    for more in (["--learner", "mean"], ["--rivals"], ["--validation", 0.3]):
        message = f"{more[0]} cannot be given with --adapt"
        refused(2, call(*adapting, *given, *more), message)
    for more in (["--curve"], ["--data", "clips.csv"], ["--device", "cpu"]):
        refused(2, call(*words, *more), f"{more[0]} belongs to --adapt STACK")
    refused(2, call(*adapting), "--adapt takes its rated clips from --data")
    refused(2, call(*adapting, *given, "--data", "a.csv"), "give one of the two")
    data = ["--data", place / "mos.csv"]
    refused(2, call(*adapting, *data, *given[2:]), "leave --labels out")
    refused(2, call(*adapting, *data), "was fitted on predictions alone")
    refused(2, call(*words, "--adapt", place / "art", *given), "folder of artifacts")


def test_the_base_models_of_the_stack_score_the_clips_of_a_table(tmp_path):
    with two_epochs():
        place = finish(tmp_path)
    folder = place.only("meta/*/stack.json").parent

    def edit(table):
        table = table.iloc[:14].copy()
        table["mi"] = (table["mi"].astype(float) * 0.2 + 3.8).round(2)
        table["ta"] = "-1"
        table["audio"] = [Path(name).name for name in table["audio"]]
        table.loc[table.index[-1], "audio"] = "missing.wav"
        table["clip_id"] = "new-" + table["clip_id"]
        names = {"audio": "Take", "mi": "How good?"}
        return table.drop(columns="split").rename(columns=names)

    # A table of somebody else, beside other folders than its own.
    (tmp_path / "elsewhere").mkdir()
    data = place.csv(edit).rename(tmp_path / "elsewhere" / "rated.csv")
    named = ("--columns", "audio=Take", "mi=How good?", "--missing-code", "-1")
    options = (*named, "--audio-root", place.wav.parent, "--curve")
    code, out, err = call(*place.fit_meta("--adapt", folder, "--data", data, *options))
    assert code == 3, err
    assert "1 clip set aside" in err
    lines = err.splitlines()
    assert lines[-1] == "ta: not adapted: no clip is labelled"
    assert "mi: adapted: on 13 clips" in lines[-2]

    artifact, facts, regressor = read_stack(out.splitlines()[-1])
    before = read_stack(folder)
    assert facts["bases"] == before[1]["bases"]
    name = f"base/{facts['bases'][0]}/weights.safetensors"
    assert artifact.read(name) == before[0].read(name)
    assert regressor.describe()["mi"]["adapted_to"] == 13
    code, out, err = call(*place.predict(place.wav, "--prompt", "a tune"))
    assert code == 0, err
    assert ",mi" in out
