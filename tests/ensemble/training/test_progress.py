"""Progress is read from files that other processes write and remove; watching must
never disturb a run.
"""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from base_models.files import atomic_write, guarded_json, seal
from ensemble.training import progress
from ensemble.training.base_model_run import FINGERPRINTS, PROGRESS, SCORING, BaseRun


def write_progress(run, values):
    atomic_write(run.folder / PROGRESS, guarded_json(values))


def record(epoch=3, **changes):
    figures = {
        "loss": 2.5,
        "srcc": [0.51234, None],
        "aspects": ["mi", "ta"],
        "best": 2,
        "seconds": 2.0,
        "max_epochs": 10,
        "part": "",
    }
    return {"epoch": epoch} | figures | changes


@pytest.fixture
def runs(tmp_path):
    made = []
    for seed in range(3):
        folder = tmp_path / f"dora-s{seed}"
        folder.mkdir()
        where = {"data": tmp_path, "folder": folder, "embeddings": tmp_path}
        where["table"] = "0123456789"
        made.append(
            BaseRun(
                f"dora-s{seed}",
                "dora",
                None,
                seed,
                "logmel",
                "hashed_text",
                "cpu",
                **where,
            )
        )
    return made


@pytest.fixture
def stays_dark(monkeypatch):
    """No terminal, whatever the tests run in."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def finish(run):
    (run.folder / PROGRESS).unlink(missing_ok=True)
    seal(run.folder, "base model")


def test_without_a_terminal_each_run_says_how_far_it_is_once_and_ends_with_done(
    runs, capsys, stays_dark
):
    with progress.watch(runs):
        for epoch in (1, 2, 3):
            for run in runs:
                write_progress(run, record(epoch))
        view = progress._PlainLines(Console(stderr=True))
        for _ in range(3):
            view.show(runs)
        for run in runs:
            finish(run)
    lines = [line for line in capsys.readouterr().err.splitlines() if "epoch" in line]
    assert lines == [
        f"dora-s{seed}: epoch 3/10 loss 2.500, SRCC mi 0.512, ta - (best: epoch 2), "
        "at most 14 s left"
        for seed in range(3)
    ]


def test_the_end_of_each_run_is_told_once(runs, capsys, stays_dark):
    with progress.watch(runs):
        finish(runs[1])
        finish(runs[0])
    assert capsys.readouterr().err.splitlines() == [
        "dora-s0: done (1 of 3)",
        "dora-s1: done (2 of 3)",
    ]


def test_a_line_comes_again_only_after_a_while(runs, capsys, stays_dark, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    view = progress._PlainLines(Console(stderr=True))
    write_progress(runs[0], record(part="fold 2/3"))
    for seconds in (0, 1, progress.PLAIN_SECONDS - 2, 1, 1):
        now[0] += seconds
        view.show(runs)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "epoch 3/10 fold 2/3 loss" in lines[0]


def test_a_long_line_is_not_broken(runs, capsys, stays_dark):
    write_progress(
        runs[0], record(part="fold 2/3", srcc=[0.5] * 20, aspects=["mi"] * 20)
    )
    progress._PlainLines(Console(stderr=True, width=40)).show(runs)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_progress_file_that_vanishes_or_is_damaged_is_no_matter(
    runs, monkeypatch, capsys, stays_dark
):
    (runs[0].folder / PROGRESS).write_text('{"epoch"')
    write_progress(runs[1], record())
    read = progress.read_bytes

    def vanishing(path):
        path.unlink(missing_ok=True)
        return read(path)

    assert progress._read_progress(runs[0]) is None
    monkeypatch.setattr(progress, "read_bytes", vanishing)
    assert progress._read_progress(runs[1]) is None
    with progress.watch(runs):
        pass
    assert capsys.readouterr().err == ""


def test_a_run_that_fails_is_not_hidden(runs, stays_dark):
    with pytest.raises(RuntimeError, match="broken"), progress.watch(runs):
        raise RuntimeError("broken")


def test_on_a_terminal_there_is_a_bar_per_run_that_fills(runs):
    bars = Progress(
        "{task.description} {task.fields[figures]}", console=Console(file=io.StringIO())
    )
    view = progress._Bars(bars)
    view.show(runs)
    assert not bars.tasks
    write_progress(runs[1], record())
    view.show(runs)
    assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
        ("dora-s1", 3, 10)
    ]
    assert (
        bars.tasks[0].fields["figures"]
        == "loss 2.500, SRCC mi 0.512, ta - (best: epoch 2)"
    )
    for run in runs:
        finish(run)
        view.show(runs)
    assert [(task.completed, task.total, task.finished) for task in bars.tasks] == [
        (3, 3, True)
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_works_with_and_without_a_terminal(runs, terminal, monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    monkeypatch.setattr(progress, "Screen", lambda stderr: console)
    with progress.watch(runs):
        write_progress(runs[0], record())
        finish(runs[1])
    said = console.file.getvalue()
    assert "dora-s0" in said
    assert ("dora-s1: done (1 of 3)" in said) is not terminal
    with progress.encoding() as on_progress:
        for done in range(3):
            on_progress("logmel", done, 2)
    assert "Embedding" in console.file.getvalue()


def test_copies_are_looked_for_not_embedded(capsys, stays_dark):
    with progress.encoding() as on_progress:
        on_progress(FINGERPRINTS, 2, 2)
    said = capsys.readouterr().err.splitlines()
    assert said == ["Looking for copies among 2 of 2 recordings"]


def test_a_clip_that_was_set_aside_is_not_called_scored(capsys, stays_dark):
    with progress.encoding() as on_progress:
        on_progress(SCORING, 1, 1)
    assert capsys.readouterr().err == "Processed 1 of 1 clips\n"


def test_an_encoder_that_has_nothing_left_to_do_says_so_once(capsys, stays_dark):
    with progress.encoding() as on_progress:
        on_progress("logmel", 1, 2)
        on_progress("logmel", 2, 2)
        on_progress("logmel", 2, 2)
    assert capsys.readouterr().err.splitlines() == ["Embedding 2 of 2 clips, logmel"]


def test_a_run_that_selects_no_epoch_shows_the_loss_that_it_is_trained_on():
    nothing = {"loss": None, "srcc": [None, None], "train_loss": 0.4321}
    assert progress._figures(record(**nothing)) == "training loss 0.432"
    of_fold = record(part="fold 1/5", **nothing)
    assert progress._figures(of_fold) == "fold 1/5 training loss 0.432"
