"""Laws that hold for every command: help, examples, volume, outputs, names, files."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest
import soundfile
from builders import ROOT
from commands import LAUNCH, call, refused

from base_models.clips.tables.formulas import original_cell
from ensemble import __version__
from ensemble.cli import COMMANDS
from ensemble.cli.shared.exit_codes import EXIT_CODES
from ensemble.cli.shared.file_names import audio_names
from ensemble.cli.shared.general_options import SHELLS, completion

# Each is shown as it is written here; only what turns the writing is spelled out.
LITERAL = {
    "mix[/b]": "mix[/b]",
    "take [final]": "take [final]",
    "[bold red]": "[bold red]",
    ":smile:": ":smile:",
    "turned \u202eabc": r"turned \u202eabc",
    "曲 №1": "曲 №1",
    "{system}": "{system}",
    "%s": "%s",
    "a\\nb": r"a\nb",
}


def parser_of(command):
    return importlib.import_module(f"ensemble.cli.{command}")._parser()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Scores, labels and single ratings of clips of systems with odd names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    ids = [f"{name}-{k}" for name in LITERAL for k in range(4)]
    clips = pd.DataFrame(
        {"clip_id": ids, "system_id": [name for name in LITERAL for _ in range(4)]}
    )
    n_clips = len(ids)
    scores = [1 + k * 7 % 9 / 2.5 for k in range(n_clips)]
    labels = [1 + k * 5 % 9 / 2.5 for k in range(n_clips)]
    clips.assign(mos=scores).to_csv("scores.csv", index=False)
    clips.assign(mos=labels).to_csv("labels.csv", index=False)
    ratings = [
        (clip, system, f"r{j}", 1 + (k + j) % 5)
        for j in range(3)
        for k, (clip, system) in enumerate(clips.to_numpy())
    ]
    columns = ["clip_id", "system_id", "rater_id", "mos"]
    pd.DataFrame(ratings, columns=columns).to_csv("ratings.csv", index=False)
    return tmp_path


# ---- help, version, names of commands


def test_every_command_is_installed_and_listed_with_what_it_is_for(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    scripts = {name: f"ensemble.cli.{name}:main" for name in COMMANDS}
    assert project["scripts"] == scripts
    done = subprocess.run(
        [sys.executable, "-m", "ensemble"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    for name, about in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(about)}$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_python_m_runs_a_command_as_its_own_name_does():
    words = [sys.executable, "-m", "ensemble", "list_models", "dorra"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "Did you mean 'dora'" in done.stderr
    words[-2:] = ["lst_models"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "Did you mean 'list_models'" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_version_is_that_of_the_package(command, capsys):
    assert call(command, "--version") == (0, f"{command} {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_three_examples_that_can_be_parsed(command):
    parser = parser_of(command)
    assert len(parser.examples) >= 3
    for line, what in parser.examples.items():
        first, *words = shlex.split(line)
        assert first == command
        parser.parse_args(words)
        assert what
        assert f"  # {what}\n  {line}\n" in parser.format_help()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns_and_explains_every_option(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parser = parser_of(command)
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= 80
    assert "likewise" not in text
    assert "README" not in text
    assert "(default: False)" not in text
    for action in parser._actions:
        if "--print_shtab" not in action.option_strings:
            assert len(str(action.help).split()) > 1, action.option_strings
    for code, means in EXIT_CODES.items():
        assert f"{code} {means}" in " ".join(text.split())


def test_the_documents_have_the_same_exit_codes():
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    for code, means in EXIT_CODES.items():
        assert f"| {code} | {means} |" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_writes_json_and_can_be_silenced(command):
    options = parser_of(command)._option_string_actions
    assert {"--json", "-q", "-v", "--version", "--print-completion"} <= set(options)
    if command not in ("fit_base", "fit_meta", "serve_mos"):
        assert options["-o"] is options["--out"]


# ---- completion


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", COMMANDS)
def test_completion_scripts_are_sound(command, shell, tmp_path):
    script = tmp_path / "script"
    script.write_text(completion(parser_of(command), shell))
    assert "--print-completion" in script.read_text() or shell == "fish"
    if shutil.which(shell) is None:
        pytest.skip(f"needs the shell {shell}")
    subprocess.run([shell, "-n", str(script)], check=True)


def test_bash_completes_options_and_files(tmp_path):
    (tmp_path / "script").write_text(completion(parser_of("predict_mos"), "bash"))
    ask = (
        "source ./script; COMP_WORDS=(predict_mos --dis); COMP_CWORD=1; "
        '$(complete -p predict_mos | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        "printf '%s\\n' ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["--distributions"]


def test_another_shell_is_refused():
    result = call("list_runs", "--print-completion", "tcsh")
    refused(2, result, "takes bash, zsh or fish; got 'tcsh'")


# ---- volume


def test_quiet_leaves_results_and_errors(folder):
    loud = call("evaluate_mos", "scores.csv", "labels.csv", "--bootstrap", 0)
    quiet = call("evaluate_mos", "scores.csv", "labels.csv", "--bootstrap", 0, "-q")
    assert loud[1] == quiet[1]
    assert loud[2]
    assert quiet[2] == ""
    refused(2, call("evaluate_mos", "nothing.csv", "labels.csv", "-q"), "^error: ")


def test_quiet_keeps_what_makes_the_exit_code_3(folder):
    few = pd.read_csv("scores.csv").iloc[:30]
    few.to_csv("few.csv", index=False)
    code, _, err = call("evaluate_mos", "few.csv", "labels.csv", "-q")
    assert code == 3
    assert err.startswith("labelled but NOT PREDICTED")
    assert "more" in err
    _, _, all_of_it = call("evaluate_mos", "few.csv", "labels.csv", "-v")
    assert r"a\nb-3" in all_of_it
    assert "took" in all_of_it


# ---- outputs


OUTPUTS = {
    "evaluate_mos": (
        "evaluate_mos",
        "scores.csv",
        "labels.csv",
        "--bootstrap",
        "20",
    ),
    "noise_ceiling": ("noise_ceiling", "ratings.csv", "--bootstrap", "20"),
    "check_clips": ("check_clips", "labels.csv"),
    "rate_less": ("rate_less", "scores.csv", "ratings.csv"),
    "plan": ("rate_less", "scores.csv", "--plan", "--budget", "20"),
    "list_models": ("list_models", "dora", "whisq"),
    "list_encoders": ("list_encoders", "muq", "logmel"),
    "reproduce": ("reproduce", "--list"),
}


@pytest.mark.parametrize("words", OUTPUTS.values(), ids=OUTPUTS)
def test_a_table_is_the_same_in_every_format_and_on_standard_output(folder, words):
    for suffix in ("csv", "jsonl", "parquet"):
        code, _, err = call(*words, "-o", f"out.{suffix}")
        assert code in (0, 3), err
        assert f"written: out.{suffix}" in err
    code, out, err = call(*words, "-o", "-")
    assert out.encode() == (folder / "out.csv").read_bytes()
    # In csv, a name such as --quick is written so that it is no formula.
    columns = [original_cell(name) for name in pd.read_csv("out.csv").columns]
    assert list(pd.read_json("out.jsonl", lines=True).columns) in (columns, [])
    assert list(pd.read_parquet("out.parquet").columns) == columns


@pytest.mark.parametrize("words", OUTPUTS.values(), ids=OUTPUTS)
def test_json_says_where_it_comes_from_and_may_be_standard_output(folder, words):
    more = ("-o", "plan.csv") if "--plan" in words else ()
    code, out, err = call(*words, *more, "--json", "-", "-q")
    assert code in (0, 3), err
    facts = json.loads(out)
    assert (facts["command"], facts["version"]) == (words[0], __version__)
    assert call(*words, *more, "--json", "facts.json")[0] == code
    assert json.loads((folder / "facts.json").read_text()) == facts


@pytest.mark.parametrize("words", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_that_cannot_be_is_refused_before_anything_is_computed(folder, words):
    refused(2, call(*words, "-o", "x.docx"), r"x\.docx")
    both = call(*words, "-o", "-", "--json", "-")
    refused(2, both, "both standard output")


# ---- names


@pytest.mark.parametrize("words", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("more", [(), ("-v",)], ids=["usual", "verbose"])
def test_no_name_acts_on_the_terminal(folder, words, more):
    if "--plan" in words:
        more = (*more, "-o", "plan.csv")
    _, out, err = call(*words, *more)
    for text in (out, err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\t" not in text


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("command", ["check_clips", "rate_less", "plan"])
def test_names_of_systems_are_shown_as_they_are(folder, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", columns)
    more = ("-o", "plan.csv") if command == "plan" else ()
    _, out, _ = call(*OUTPUTS[command], *more)
    for name in LITERAL.values():
        assert name in out


def test_unmatched_names_are_shown_as_they_are(folder):
    pd.read_csv("scores.csv").iloc[::4].to_csv("few.csv", index=False)
    _, _, err = call("evaluate_mos", "few.csv", "labels.csv", "-v")
    for name in LITERAL.values():
        assert f"{name}-3" in err


def test_a_control_character_is_seen_in_the_message_that_refuses_it(folder):
    table = pd.read_csv("scores.csv")
    table.loc[0, "clip_id"] = "red \x1b[31m"
    table.to_csv("scores.csv", index=False)
    code, _, err = call("evaluate_mos", "scores.csv", "labels.csv")
    assert code == 2
    assert r"red \x1b[31m" in err
    assert "\x1b" not in err
    _, _, err = call("evaluate_mos", "no\x1b[2J\nfile.csv", "labels.csv")
    assert r"no\x1b[2J\nfile.csv" in err


# ---- names of files


def test_a_pattern_is_what_it_matches_and_a_file_of_that_name_is_itself(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("b.wav", "a.wav", "take [1].wav", "take 1.wav", "deep/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert audio_names(["?.wav"]) == ["a.wav", "b.wav"]
    assert audio_names(["take [1].wav"]) == ["take [1].wav"]
    assert audio_names(["**/c.wav", "a.wav"]) == ["deep/c.wav", "a.wav"]
    assert audio_names(["no such file.wav"]) == ["no such file.wav"]


@pytest.mark.parametrize(
    "words",
    [
        ("predict_mos", "nix/*.wav"),
        ("predict_mos", "--predictions", "nix/*.csv"),
        ("fit_meta", "--predictions", "m=nix/*.csv:0-100"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(folder, words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "matches no file. Patterns are looked for in" in err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.wav\r\n\nb c.wav\n", ["a.wav", "b c.wav"]),
        ("\ufeffa.wav\r\n", ["a.wav"]),
        ("a.wav\0b\nc.wav\0", ["a.wav", "b\nc.wav"]),
        ("a.wav", ["a.wav"]),
    ],
)
def test_names_may_come_from_standard_input(monkeypatch, text, names):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert audio_names(["-"]) == names
    with pytest.raises(ValueError, match=r"it holds none\. Write for example"):
        audio_names(["-"])


# ---- shadows


@pytest.mark.parametrize("name", ["meta.py", "base_models.py", "meta/__init__.py"])
@pytest.mark.parametrize("code", ["import ensemble", LAUNCH.format("list_models")])
def test_a_file_that_hides_a_package_is_named(tmp_path, name, code):
    hiding = tmp_path / name
    hiding.parent.mkdir(exist_ok=True)
    hiding.touch()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"ImportError: {hiding} hides the package" in done.stderr


def test_an_ensemble_py_is_named_by_python_and_does_not_reach_commands(tmp_path):
    hiding = tmp_path / "ensemble.py"
    hiding.touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = ["-c", "from ensemble import StackedMOS"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(hiding) in done.stderr
    # -P leaves the working folder out, as starting a console script does.
    done = subprocess.run(
        [sys.executable, "-P", "-c", LAUNCH.format("list_models"), "dora"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---- streams


def test_a_reader_that_went_away_keeps_no_file_from_being_written(folder):
    words = ["scores.csv", "labels.csv", "-o", "metrics.csv"]
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH.format("evaluate_mos"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        running.stdout.close()
        assert "Traceback" not in running.stderr.read()
    assert running.returncode == 0
    assert len(pd.read_csv(folder / "metrics.csv")) == 8


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_pipes_have_neither_colours_nor_bars(folder, monkeypatch, variable):
    monkeypatch.setenv(variable, "1" if variable == "NO_COLOR" else "dumb")
    soundfile.write("a.wav", np.zeros(16_000), 16_000)
    pd.DataFrame({"clip_id": ["a"], "audio": ["a.wav"]}).to_csv("one.csv", index=False)
    _, out, err = call("check_clips", "one.csv")
    assert "\x1b" not in out + err
    assert "Reading audio" not in err
