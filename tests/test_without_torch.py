"""What a plain installation does: all but base models, encoders and Parquet files.

The same work is done twice, in processes of their own: with all libraries, and where no
optional one can be found. The numbers must be the same.
"""

import re
import tomllib

import numpy as np
import pandas as pd
import pytest
import soundfile
from absent_libraries import run_python
from builders import ROOT

from base_models.optional_libraries import EXTRA_OF_LIBRARY
from ensemble.cli.shared.exit_codes import run_command

PREDICTIONS = ("--predictions", "one.csv", "two.csv")
WORK = {
    "fit_meta": ("fit_meta", *PREDICTIONS, "--labels", "labels.csv"),
    "predict_mos": ("predict_mos", *PREDICTIONS),
    "evaluate_mos": ("evaluate_mos", "one.csv", "labels.csv", "--bootstrap", 50),
    "noise_ceiling": ("noise_ceiling", "ratings.csv", "--bootstrap", 20),
    "rate_less": ("rate_less", "one.csv", "ratings.csv", "--clips", "labels.csv"),
    "check_clips": ("check_clips", "clips.csv"),
    "reproduce": ("reproduce", "--list"),
    "list_runs": ("list_runs",),
}
"""Commands that need none of the libraries."""
LISTS = ("list_models", "list_encoders")
"""Commands that list less without them."""
MORE = {
    "fit_base": ("fit_base",),
    "fit_base of clips": ("fit_base", "--data", "clips.csv"),
    "reproduce a table": ("reproduce", "table1", "--quick"),
    "adapt": ("fit_meta", "--adapt", "old", "--data", "clips.csv"),
    "write Parquet": ("predict_mos", *PREDICTIONS, "--out", "scores.parquet"),
    "name Parquet": ("predict_mos", *PREDICTIONS, "--format", "parquet"),
    "distributions as Parquet": (
        "predict_mos",
        *PREDICTIONS,
        "--distributions",
        "bins.parquet",
    ),
    "means as Parquet": (*WORK["rate_less"], "--out", "means.parquet"),
    "read Parquet": ("evaluate_mos", "table.parquet", "labels.csv"),
    "check Parquet": ("check_clips", "table.parquet"),
    "delete": ("evaluate_mos", "--deletion", "--clips", "clips.csv"),
    "a cluster": ("fit_base", "--engine", "dask://localhost:1"),
}
"""Work that needs one of them."""

AUDIO = {"score audio": ("predict_mos", "a0.wav")}

COMMANDS = """
import json
from commands import call
print(json.dumps({name: call(*words) for name, words in %r.items()}))
"""
LIBRARY = """
import json, numpy as np, pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
import ensemble
from ensemble import StackedMOS, read_clips

rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 3)), rng.uniform(1, 5, 60)
stack = StackedMOS([("line", LinearRegression()), ("ridge", Ridge())])
clone(stack.fit(X, y)).fit(X, y).save("matrix")
matrix = StackedMOS.load("matrix")

labels = read_clips("labels.csv")
tables = {name: pd.read_csv(f"{name}.csv") for name in ("one", "two")}
scores = pd.DataFrame({name: table.mos for name, table in tables.items()})
scores.index = labels.clip_id
mos = pd.Series(labels.mos.to_numpy(), scores.index, name="mos")
fitted = StackedMOS.from_predictions(scores, mos)
fitted.save("predictions")
again = StackedMOS.load("predictions")
new = scores.iloc[:9]
numbers = {
    "matrix": matrix.predict(X), "intervals": matrix.predict_interval(X),
    "predictions": again.predict(new), "of them": again.predict_interval(new),
    "stored": again.predict(pd.DataFrame({"clip_id": new.index})),
}
print(json.dumps({name: np.asarray(value).tolist() for name, value in numbers.items()}))
"""
ERRORS = """
import json, numpy as np
import ensemble
from base_models.encoders import check_weights, load_encoder
from base_models.predictions import PredictionTable
from base_models.files import read_json, seal, write_json
from ensemble import StackedMOS

write_json("predictions/base/m/config.json", {})
facts = read_json("predictions/stack.json")
write_json("predictions/stack.json", {**facts, "bases": ["m"]})
seal("predictions", "stack")
table = PredictionTable.from_scores("m", ["a"], ["mos"], np.ones((1, 1)))
clips = ensemble.read_clips("clips.csv")
doors = {
    "NeuralMOS": lambda: ensemble.NeuralMOS,
    "PooledMOS": lambda: ensemble.PooledMOS,
    "model_set": lambda: ensemble.model_set("small"),
    "names of base models": lambda: StackedMOS("small").fit(clips, clips.mos),
    "a stack of base models": lambda: StackedMOS.load("predictions"),
    "load_encoder": lambda: load_encoder("logmel"),
    "check_weights": lambda: check_weights("muq"),
    "a table": lambda: table.write("t.parquet"),
}
said = {}
for name, door in doors.items():
    try:
        door()
    except ImportError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders with the same listening test of 48 clips of six systems."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(1.3, 4.7, 48)
    clips = pd.DataFrame(
        {
            "clip_id": [f"c{k:02d}" for k in range(48)],
            "system_id": [f"s{k % 6}" for k in range(48)],
        }
    )
    predicted = {
        name: np.clip(truth + rng.normal(0, spread, 48), 1, 5).round(3)
        for name, spread in (("one", 0.3), ("two", 0.6))
    }
    noise = rng.normal(0, 0.7, (48, 4))
    ratings = np.clip(np.rint(truth[:, None] + noise), 1, 5)
    made = []
    for name in ("with", "without"):
        folder = tmp_path_factory.mktemp(name)
        clips.assign(mos=truth.round(2)).to_csv(folder / "labels.csv", index=False)
        for model, scores in predicted.items():
            table = clips[["clip_id"]].assign(mos=scores)
            table.to_csv(folder / f"{model}.csv", index=False)
        long = clips.loc[np.repeat(np.arange(48), 4)]
        raters = np.tile(["r1", "r2", "r3", "r4"], 48)
        long.assign(rater=raters, mos=ratings.ravel()).to_csv(
            folder / "ratings.csv", index=False
        )
        for k in range(4):
            sound = np.random.default_rng(k).normal(0, 0.1, 24_000)
            soundfile.write(folder / f"a{k}.wav", sound, 24_000)
        audio = [f"a{k}.wav" for k in range(4)]
        rated = clips[:4].assign(audio=audio, mos=[1.0, 2.0, 3.0, 4.0])
        rated.to_csv(folder / "clips.csv", index=False)
        rated.to_parquet(folder / "table.parquet", index=False)
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def done(folders):
    """What commands give with all libraries, and what they give without."""
    work = {**WORK, **{name: (name,) for name in LISTS}}
    complete, plain = folders
    return (
        run_python(COMMANDS % work, complete, hidden=False),
        run_python(COMMANDS % {**work, **MORE, **AUDIO}, plain),
    )


@pytest.mark.parametrize("name", WORK)
def test_a_command_gives_the_same_without_the_libraries(name, done):
    complete, plain = done
    code, out, err = plain[name]
    assert code == 0, out + err
    # The list of runs is empty here, and says so on standard error.
    assert out or name == "list_runs"
    assert [code, out, err] == complete[name]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_whole_and_says_what_it_lacks(name, done):
    complete, plain = done
    code, out, err = plain[name]
    assert (code, err) == (0, "")
    assert "run: pip install 'stackedmos[train]'" in " ".join(out.split())
    assert "stackedmos[" not in complete[name][1].replace("onnxruntime", "")
    # The first words of the rows are the names.
    rows = [
        {line.split()[0] for line in printed.split("\n\n")[0].splitlines()[2:]}
        for printed in (out, complete[name][1])
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) >= 18


@pytest.mark.parametrize("name", MORE)
def test_a_missing_library_is_said_in_one_line_with_its_extra(name, done):
    code, out, err = done[1][name]
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error")]
    assert re.fullmatch(
        r"error: [A-Z][\w ()]+ need \w+, which is not installed; "
        r"run: pip install 'stackedmos\[\w+\]'",
        line,
    )
    extra = "parquet" if "Parquet" in name else "train"
    if name == "a cluster":
        extra = "dask"
    assert f"stackedmos[{extra}]" in line


def test_a_stack_of_predictions_reads_no_audio_and_asks_for_no_library(done):
    code, out, err = done[1]["score audio"]
    assert (code, out) == (2, "")
    assert "it reads no audio. Pass what 'one', 'two' predict with --predict" in err


def test_nothing_is_written_before_a_library_is_asked_for(done, folders):
    names = {path.name for path in (folders[1] / "artifacts").iterdir()}
    assert "demo" not in names


def test_stacks_of_matrices_and_predictions_have_the_same_numbers(folders):
    complete, plain = folders
    numbers = run_python(LIBRARY, plain)
    assert numbers == run_python(LIBRARY, complete, hidden=False)
    assert numbers["stored"] == numbers["predictions"]


def test_a_door_of_the_library_raises_an_import_error_with_the_extra(folders):
    said = run_python(ERRORS, folders[1])
    assert len(said) == 8
    for name, message in said.items():
        extra = "parquet" if name == "a table" else "train"
        assert message.endswith(f"run: pip install 'stackedmos[{extra}]'"), name


@pytest.mark.parametrize("module", ["geomloss", "transformers.models"])
def test_an_extra_that_is_there_in_part_is_named_too(module, capsys):
    def command(argv):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert run_command(command) == 2
    library = module.split(".")[0]
    assert f"need {library}, which is not installed; run: pip install 'stackedmos[" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("error", "library"),
    [
        (OSError("Could not load this library: /s/torchaudio/lib/a.so"), "torchaudio"),
        (ImportError("undefined symbol: f", path="/s/onnxruntime/a.so"), "onnxruntime"),
        (ImportError("cannot import name 'f' from 'ours'", path="/s/ours.py"), ""),
        (ImportError("no 'f'", path="/s/transformers/__init__.py"), ""),
        (ImportError("no f", path="/home/torch/site-packages/scipy/a.so"), ""),
        (OSError("no such library: torchaudio"), ""),
    ],
)
def test_a_library_that_does_not_fit_the_others_is_named_with_its_extra(
    error, library, capsys
):
    def command(argv):
        raise error

    code = run_command(command)
    said = capsys.readouterr().err
    assert code == (2 if library else 1)
    assert (f"need {library}, which is installed but does not fit" in said) == bool(
        library
    )


def test_every_extra_that_is_named_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {extra.name for extra in EXTRA_OF_LIBRARY.values()} < set(extras)
