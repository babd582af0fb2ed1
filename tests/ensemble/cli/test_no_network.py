"""Without a network nothing is missed: no command tries one unless it is asked to."""

import contextlib
import socket
import subprocess
import sys

import huggingface_hub.constants
import pandas as pd
import pytest
from commands import call
from torture.small_corpus import fit_small_stack, write_small_corpus

from ensemble.cli import COMMANDS
from ensemble.estimator.stacked_mos import StackedMOS

ELSEWHERE = {"fit_base", "fit_meta", "list_models", "serve_mos"}
"""The first two make the corpus, `test_list_models` is about the third, and the last
listens: it is imported below."""
STACK = "the folder of the stack"
WORDS = {
    "check_clips": ["clips.csv"],
    "predict_mos": [
        *("--clips", "few.csv", "--artifacts", "trained"),
        *("-o", "scores.csv", "--report", "page.html"),
    ],
    "compare_systems": ["m1.csv"],
    "evaluate_mos": ["m1.csv", "labels.csv", "--bootstrap", "0"],
    "noise_ceiling": ["ratings.csv"],
    "rate_less": ["m1.csv", "ratings.csv"],
    "inspect_stack": [STACK],
    "list_encoders": [],
    "list_runs": ["--artifacts", "trained"],
    "reproduce": ["--list"],
    "verify_run": ["trained"],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_small_corpus(folder)
    pd.read_csv(folder / "clips.csv").head(4).to_csv(folder / "few.csv", index=False)
    with no_network() as tried:
        fit_small_stack(folder)
    assert tried == []
    return folder


@contextlib.contextmanager
def no_network():
    """No address can be asked for or reached; yields those that were tried."""
    tried = []

    def refuse(*words, **options):
        tried.append(str(words[-1] if words else options))
        raise OSError("the network is unreachable")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("getaddrinfo", "gethostbyname", "create_connection"):
            patch.setattr(socket, name, refuse)
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, refuse)
        # Libraries that are told to stay offline would hide what is tried.
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield tried


def stack_in(folder):
    (manifest,) = (folder / "trained").glob("meta/*/manifest.json")
    return manifest.parent


def test_every_command_is_tried_here():
    assert set(COMMANDS) - set(WORDS) == ELSEWHERE


@pytest.mark.parametrize("command", [name for name in COMMANDS if name in WORDS])
def test_no_command_tries_the_network(command, corpus, monkeypatch):
    monkeypatch.chdir(corpus)
    words = [stack_in(corpus) if word is STACK else word for word in WORDS[command]]
    with no_network() as tried:
        code, _, err = call(command, *words)
    assert code in (0, 3), err
    assert tried == []


def test_the_library_predicts_and_saves_without_the_network(corpus, tmp_path):
    clips = pd.read_csv(corpus / "clips.csv").head(3)
    clips["audio"] = [str(corpus / name) for name in clips["audio"]]
    with no_network() as tried:
        stack = StackedMOS.load(stack_in(corpus), store=tmp_path / "embeddings")
        assert len(stack.predict(clips)) == len(clips)
        stack.save(tmp_path / "copy")
    assert tried == []


def test_what_is_asked_for_is_tried(tmp_path, monkeypatch):
    # So that the tests above would see it.
    monkeypatch.chdir(tmp_path)
    with no_network() as tried:
        code, _, err = call("inspect_stack", "hub:nobody/nothing")
    assert code == 2, err
    assert tried


def test_importing_everything_tries_nothing():
    lines = [
        "import socket, importlib, pkgutil",
        "def refuse(*words, **options): raise SystemExit(f'tried {words}')",
        "socket.getaddrinfo = socket.create_connection = refuse",
        "socket.socket.connect = socket.socket.connect_ex = refuse",
        "from ensemble.cli import COMMANDS",
        "[importlib.import_module(f'ensemble.cli.{name}') for name in COMMANDS]",
        "from ensemble.server import application",
        "from ensemble.estimator import stacked_mos",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
