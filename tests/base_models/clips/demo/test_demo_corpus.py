"""The demo corpus is a consistent MusicEval tree, of the same bytes each time."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from base_models.clips.demo import corpus as demo
from base_models.clips.demo import ratings as listening_test
from base_models.clips.demo import synthesis as demo_synth
from base_models.clips.demo.corpus import write_demo
from base_models.clips.musiceval import SPLITS
from base_models.clips.read_clips import read_clips
from base_models.errors import MachineFault, OutOfSpace, UsageError

TINY = {"seed": 3, "n_systems": 3, "n_prompts": 6}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("corpora") / "demo", **TINY)


@pytest.fixture(scope="module")
def labels(root):
    columns = ["file", "mi", "ta"]
    parts = [
        pd.read_csv(root / "sets" / f"{s}_mos_list.txt", names=columns).assign(split=s)
        for s in SPLITS
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(
        system=frame.file.str.extract(r"-(S\d{3})_")[0],
        prompt=frame.file.str.extract(r"_(P\d{3})")[0],
    )


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in files
    }


def test_each_system_plays_each_prompt_once_and_every_clip_is_labelled(root, labels):
    assert len(labels) == 3 * 6
    assert not labels.file.duplicated().any()
    assert set(labels.file) == {path.name for path in (root / "wav").iterdir()}
    assert not labels.duplicated(["system", "prompt"]).any()


def test_every_system_is_in_every_split(labels):
    counts = labels.groupby(["system", "split"]).size().unstack()
    assert (counts[list(SPLITS)].to_numpy() == [4, 1, 1]).all()


def test_no_system_bears_the_name_of_one_whose_prompts_musiceval_keeps_elsewhere():
    systems = listening_test.make_systems(0, 40)
    prompts = listening_test.make_prompts(0, 3)
    names = {
        clip.name.split("-S")[1][:3]
        for clip in listening_test.make_clips(0, systems, prompts)
    }
    assert len(names) == 40
    assert not names & {"001", "006", "013", "017", "018", "033"}
    assert min(names) == "002"


def test_labels_are_the_means_of_five_different_raters(root, labels):
    columns = ["file", "rater", "mi", "ta"]
    people = pd.concat(
        pd.read_csv(root / "person_mos" / f"{s}_person_mos.txt", names=columns)
        for s in SPLITS
    )
    assert people[["mi", "ta"]].isin([1, 2, 3, 4, 5]).all().all()
    assert (people.groupby("file").rater.nunique() == 5).all()
    assert (people.groupby("file").size() == 5).all()
    means = people.groupby("file")[["mi", "ta"]].mean().loc[labels.file]
    np.testing.assert_allclose(
        means.to_numpy(), labels[["mi", "ta"]].to_numpy(), atol=1e-9
    )


def test_labels_lie_on_the_grid_of_fifths_within_the_scale(labels):
    scores = labels[["mi", "ta"]].to_numpy()
    assert scores.min() >= 1
    assert scores.max() <= 5
    np.testing.assert_allclose(scores * 5, np.rint(scores * 5), atol=1e-9)


def test_system_scores_are_the_means_of_their_clips(root, labels):
    table = pd.read_csv(
        root / "system_mos" / "system_mos.csv", names=["system", "mi", "ta"]
    ).set_index("system")
    pd.testing.assert_frame_equal(
        table, labels.groupby("system")[["mi", "ta"]].mean(), atol=1e-4
    )


def test_clips_are_about_five_seconds_of_16_khz_mono_pcm_and_never_silent_or_clipped(
    root,
):
    seconds = []
    for path in (root / "wav").iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        seconds.append(info.duration)
        audio, _ = soundfile.read(path)
        assert 0.02 < np.sqrt(np.mean(audio**2)) < 0.2
        assert np.abs(audio).max() < 0.98
    assert min(seconds) >= 4.499
    assert max(seconds) <= 5.5
    assert len(set(seconds)) > 6


def test_the_reader_of_musiceval_trees_takes_it_as_it_is(root, labels):
    clips = read_clips(root)
    assert len(clips) == len(labels)
    assert set(clips.split) == set(SPLITS)
    assert clips.prompt.str.endswith("(demo)").all()
    assert sorted(clips.attrs["aspects"]) == ["mi", "ta"]


def test_every_text_and_every_clip_says_demo(root, labels):
    prompts = pd.read_csv(root / "prompt_info.txt", sep="\t")
    assert set(prompts.id) == set(labels.prompt)
    assert prompts.text.str.contains("demo").all()
    for path in [
        root / "README.txt",
        root / "demo.json",
        *root.glob("person_mos/*.txt"),
    ]:
        assert "demo" in path.read_text()
    assert "simulated" in (root / "README.txt").read_text()
    for path in (root / "wav").iterdir():
        with soundfile.SoundFile(path) as wav:
            assert wav.comment.startswith("demo")


def test_prompts_name_what_is_asked_in_words():
    for prompt in listening_test.make_prompts(0, 40):
        piece, text = prompt.piece, prompt.text.lower()
        mood = {"major": "happy", "minor": "sad"}[piece.mode]
        for word in (
            piece.instrument,
            piece.tempo,
            piece.mode,
            piece.density,
            mood,
            str(prompt.bpm),
        ):
            assert word in text


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(root, tmp_path):
    assert digest(write_demo(tmp_path / "again", **TINY)) == digest(root)
    other = digest(write_demo(tmp_path / "other", **TINY | {"seed": 4}))
    assert not set(other.values()) & {
        value for name, value in digest(root).items() if name.startswith("wav")
    }


def test_a_finished_corpus_is_returned_at_once(root, monkeypatch):
    monkeypatch.setattr(
        demo, "_write_tree", lambda *a, **k: pytest.fail("it was written again")
    )
    assert write_demo(root, **TINY) == root


def test_an_empty_folder_is_used(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    assert (write_demo(str(folder), 0, 2, 3) / "demo.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_corpus_of_another_seed_or_size_is_refused_and_kept(root):
    before = digest(root)
    with pytest.raises(UsageError, match="'seed': 3"):
        write_demo(root, **TINY | {"seed": 5})
    with pytest.raises(UsageError, match="'n_prompts': 6"):
        write_demo(root, **TINY | {"n_prompts": 7})
    assert digest(root) == before


@pytest.mark.parametrize("name", ["mine.txt", "demo.json"])
def test_a_foreign_folder_or_file_is_refused_and_kept(tmp_path, name):
    (tmp_path / name).write_text("not yours")
    for target in (tmp_path, tmp_path / name):
        with pytest.raises(UsageError, match=r"not a demo corpus.*empty folder"):
            write_demo(target)
    assert (tmp_path / name).read_text() == "not yours"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_systems": 1}, "n_systems is 1"),
        ({"n_prompts": 2}, "n_prompts is 2"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_sizes_out_of_range_are_refused_before_anything_is_written(
    tmp_path, wrong, message
):
    with pytest.raises(UsageError, match=message):
        write_demo(tmp_path / "demo", **wrong)
    with pytest.raises(UsageError, match=r"seed is 0\.5; pass a whole number"):
        write_demo(tmp_path / "demo", seed=0.5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (28, OutOfSpace, "No space left to write .*/demo: "),
        (5, MachineFault, "The machine failed at .*/demo: Input/output error"),
        (2, FileNotFoundError, "no"),
    ],
)
def test_a_failed_write_leaves_nothing_behind(
    tmp_path, monkeypatch, number, kind, says
):
    def fail(*_, **__):
        raise OSError(number, "no")

    monkeypatch.setattr(demo, "_write_labels", fail)
    with pytest.raises(kind, match=says):
        write_demo(tmp_path / "demo", **TINY)
    assert not list(tmp_path.iterdir())


def test_two_writers_of_the_same_corpus_agree(tmp_path, monkeypatch):
    write_tree = demo._write_tree

    def beaten(partial, sizes):
        write_tree(partial, sizes)
        monkeypatch.setattr(demo, "_write_tree", write_tree)
        write_demo(tmp_path / "demo", 0, 2, 3)

    monkeypatch.setattr(demo, "_write_tree", beaten)
    assert len(digest(write_demo(tmp_path / "demo", 0, 2, 3))) == 2 * 3 + 10
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_quality_and_obedience_are_spread_and_nearly_independent():
    for seed in range(5):
        systems = listening_test.make_systems(seed, 14)
        prompts = listening_test.make_prompts(seed, 30)
        clips = listening_test.make_clips(seed, systems, prompts)
        latent = np.array([(clip.quality, clip.alignment) for clip in clips])
        system = latent.reshape(14, 30, 2).mean(axis=1)
        assert abs(np.corrcoef(system.T)[0, 1]) < 0.25
        labels = listening_test.rate(clips, seed)[1].mean(axis=1)
        assert np.ptp(labels.reshape(14, 30, 2).mean(axis=1), axis=0).min() > 2.2
        assert 0.3 < np.corrcoef(labels.T)[0, 1] < 0.65
        assert [
            np.corrcoef(labels[:, k], latent[:, k])[0, 1] > 0.85 for k in (0, 1)
        ] == [True, True]


@pytest.mark.parametrize("fault", [*demo_synth.FAULTS, demo_synth.UNSTEADY])
def test_each_fault_changes_the_sound_more_as_it_grows(fault):
    piece = demo_synth.Piece("piano", "moderate", "major", "dense")
    band = demo_synth.Band()
    house = demo_synth.House(tilt=0, resonance=1000, line=2000, level=1)

    def spectrum(severity):
        rng = np.random.default_rng(0)
        audio = demo_synth.perform(
            piece,
            bpm=100,
            seconds=4.5,
            house=house,
            faults={fault: (severity, 0.5)},
            rng=rng,
            band=band,
        )
        frames = np.abs(np.fft.rfft(audio[: audio.size // 512 * 512].reshape(-1, 512)))
        return np.log(frames + 1e-3)

    clean = spectrum(0.0)
    distance = [
        np.abs(spectrum(severity) - clean).mean() for severity in (0.15, 0.5, 1.0)
    ]
    assert 0 < distance[0] < distance[1] < distance[2]


def test_torch_stays_unloaded():
    code = "import sys, base_models.clips.demo.corpus; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
