"""Laws of the explanations: files that say what they hold, names that never collide,
scores that stay as they are.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile
from commands import call, refused
from matplotlib.figure import Figure
from safetensors import safe_open
from tiny_encoders import load_for_test

from base_models.encoders import ENCODERS
from base_models.encoders.text.hashed_text import pieces
from base_models.networks.attention import Attention
from ensemble.attention.explain import file_name, token_labels
from ensemble.attention.model_attention import ModelAttention
from ensemble.attention.picture import picture

FINISHED_MODELS = ("dora:1", "dora_mean:1", "whisq:1", "clap_baseline:1")


def read_maps(path):
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["about"])
        names = file.keys()  # a method of the reader, which is no dict
        return about, {name: file.get_tensor(name) for name in names}


def test_every_scored_clip_has_its_maps_and_its_picture_and_the_scores_do_not_change(
    place,
):
    out, table = (
        place.tmp / "out",
        place.csv(lambda t: t.head(3).assign(prompt="slow piano")),
    )
    plain = call(*place.predict("--clips", table))
    code, scores, err = call(*place.predict("--clips", table, "--explain", out))
    assert (code, scores) == (0, plain[1])
    assert "dora_mean-s0, mi: the frames are averaged: no attention over time" in err
    ids = [line.split(",")[0] for line in scores.splitlines()[1:]]
    assert {path.name for path in out.iterdir()} == {
        file_name(clip) + end for clip in ids for end in (".safetensors", ".png")
    }
    about, maps = read_maps(out / f"{file_name(ids[0])}.safetensors")
    assert about["clip_id"] == ids[0]
    assert set(about["models"]) == {
        "dora-s0",
        "dora_mean-s0",
        "whisq-s0",
        "clap_baseline-s0",
    }
    assert {"dora-s0/mi/time", "dora-s0/ta/tokens_by_time", "whisq-s0/ta/plan"} <= set(
        maps
    )
    assert not any(name.startswith("clap_baseline-s0") for name in maps)
    for name, found in maps.items():
        model, aspect, kind = name.split("/")
        said = about["models"][model]["aspects"][aspect]["maps"][kind]
        assert said["shape"] == list(found.shape)
        total = found.sum() if kind == "plan" else found.sum(-1)
        np.testing.assert_allclose(total, 1, atol=1e-5)
    facts = about["models"]["dora-s0"]
    seconds = len(maps["dora-s0/mi/time"]) / facts["frames_per_second"]
    assert 1 < seconds < 30
    assert len(facts["tokens"]) == len(maps["dora-s0/ta/tokens"])
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.glob("*.png"))


def test_a_rerun_writes_the_same_bytes_over_what_was_there(place):
    out, words = place.tmp / "out", [place.wav, "--prompt", "slow piano"]
    call(*place.predict(*words, "--explain", out))
    first = {path: path.read_bytes() for path in out.iterdir()}
    half = min(out.glob("*.safetensors"))
    half.write_bytes(b"half")
    assert call(*place.predict(*words, "--explain", out))[0] == 0
    assert {path: path.read_bytes() for path in out.iterdir()} == first


def test_without_a_prompt_only_the_audio_is_explained(place):
    out = place.tmp / "out"
    code, _, err = call(*place.predict(place.wav, "--explain", out))
    assert code == 0
    assert "ta left out" in err
    _, maps = read_maps(next(out.glob("*.safetensors")))
    assert {name.split("/")[1] for name in maps} == {"mi"}


def test_of_one_clip_without_a_prompt_only_the_audio_is_explained(place):
    out, table = (
        place.tmp / "out",
        place.csv(lambda t: t.head(2).assign(prompt=["slow piano", ""])),
    )
    code, scores, err = call(*place.predict("--clips", table, "--explain", out))
    assert code == 3
    ids = [line.split(",")[0] for line in scores.splitlines()[1:]]
    assert f"1 clip has no prompt: ta left out for it ('{ids[1]}')" in err
    aspects = []
    for clip in ids:
        _, maps = read_maps(out / f"{file_name(clip)}.safetensors")
        aspects.append({name.split("/")[1] for name in maps})
    assert aspects == [{"mi", "ta"}, {"mi"}]


def test_a_broken_clip_is_set_aside_and_the_rest_is_explained(place):
    broken, out = place.tmp / "broken.wav", place.tmp / "out"
    broken.write_bytes(b"RIFF")
    code, _, err = call(
        *place.predict(place.wav, broken, "--prompt", "piano", "--explain", out)
    )
    assert code == 3
    assert "1 clip set aside:\n  broken: " in err
    assert [path.stem for path in out.glob("*.png")] == [file_name(place.wav.stem)]


def test_a_folder_that_cannot_be_written_is_one_clear_line(place):
    taken = place.tmp / "taken"
    taken.write_text("")
    result = call(*place.predict(place.wav, "--explain", taken))
    refused(2, result, r"taken.*Name another file or folder")
    assert result[1] == ""  # before anything is scored
    refused(
        2,
        call(*place.predict(place.wav, "--explain", "")),
        "--explain takes the folder to write to; got ''",
    )


def test_where_no_clip_can_be_used_nothing_is_said_to_be_explained(place):
    (place.tmp / "broken.wav").write_bytes(b"RIFF")
    code, _, err = call(
        *place.predict(place.tmp / "broken.wav", "--explain", place.tmp / "out")
    )
    assert code == 3
    assert "attended to" not in err


def test_what_is_cut_off_a_long_clip_is_said(place, monkeypatch):
    titles = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.suptitle", lambda self, text, **_: titles.append(text)
    )
    long = place.tmp / "long.wav"
    soundfile.write(long, 0.1 * np.random.default_rng(0).normal(size=95 * 4_000), 4_000)
    _, _, err = call(
        *place.predict(
            long, place.wav, "--prompt", "piano", "--explain", place.tmp / "out"
        )
    )
    assert (
        "note: 1 of 2 clips is longer than 30 s; only the first 30 s are scored: "
        "--windows all scores all of it" in err
    )
    names, scores = zip(*(title.split("\n") for title in titles), strict=True)
    assert names == ("long (first 30 s of 95 s)", place.wav.stem)
    # What it is scored, with its interval, stands below the name.
    number = r"[0-9]\.[0-9]{2}"
    assert all(
        re.fullmatch(rf"mi {number} \[{number}, {number}\].*", text) for text in scores
    )
    assert "longer than" not in call(*place.predict(place.wav, "--prompt", "piano"))[2]


def test_nothing_explains_itself_unasked(place, monkeypatch):
    monkeypatch.setattr(
        "base_models.training.neural_mos.NeuralMOS.explain_embedded", None
    )
    monkeypatch.setattr("base_models.networks.attention.record_attention", None)
    assert call(*place.predict(place.wav, "--prompt", "piano"))[0] == 0


# names


def test_names_never_collide_and_suit_any_file_system():
    ids = [
        "a/b",
        "a_b",
        "a:b",
        "A_b",
        "a_b ",
        "..",
        "../a",
        "",
        "é",
        "e\u0301",
        "x" * 300,
        "x" * 301,
        "\udcff",
        "a\0b",
        "CON",
        "曲" * 300,
        "हिन्दी",
        "take [final]",
        "🎵" * 90,
    ]
    names = [file_name(clip) for clip in ids]
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert len(f".{name}.safetensors.{'0' * 32}.tmp".encode()) <= 255
        assert not set(name) & set('/\\:*?"<>|\0\n ')
        assert len(name) < 100
        assert name[0] not in ".-"


def test_names_of_any_script_are_kept():
    for clip, start in {"曲 №1": "曲_1-", "हिन्दी": "हिन्दी-", "Été/2": "Été_2-"}.items():
        assert file_name(clip).startswith(start)


# labels of tokens


@pytest.mark.parametrize(
    "name", [name for name, spec in ENCODERS.items() if spec.kind == "text"]
)
def test_every_row_of_a_prompts_embedding_has_a_label(name, tiny_encoders):
    encoder = load_for_test(name, tiny_encoders)
    for prompt in (
        "slow piano",
        "sad violin, rain & fast drums",
        "x",
        "drums " * 300,
        "ﬁne İstanbul 音楽",
    ):
        rows = len(encoder.encode([encoder.prepare(prompt)])[0])
        labels = token_labels(encoder, prompt, rows)
        assert len(labels) == rows
        assert all(labels)
        if encoder.pieces:
            found = encoder.pieces(prompt)
            assert len(found) == rows
            assert all(0 <= piece.start <= piece.end <= len(prompt) for piece in found)
        else:
            assert labels == (prompt,)


def test_a_piece_stands_where_it_says_or_nowhere():
    prompt = "Slow PIANO, soft"
    assert [prompt[p.start : p.end].lower() for p in pieces(prompt)] == [
        p.text for p in pieces(prompt)
    ]
    assert {(p.start, p.end) for p in pieces("ﬁne piano")} == {(0, 0)}


def test_a_picture_is_drawn_of_any_text_and_of_models_without_attention(place):
    assert picture("$\\frac{$ \ud800\x07", str(place.wav), []).startswith(b"\x89PNG")


# what is drawn


def over_time(model, weights, seconds):
    """A model that attended with these weights over a clip of that length."""
    maps = {"time": np.asarray(weights, dtype=np.float32)}
    frame_rate = len(weights) / seconds
    facts = {"stride": 1, "tokens": (), "aspects": (Attention("mi", maps, ""),)}
    return ModelAttention(model, frame_rate, **facts)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The curves of a picture over a clip of 2 s: label to times and heights."""
    audio = tmp_path / "clip.wav"
    soundfile.write(audio, np.zeros(16_000), 8_000)
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **options):
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)

    def curves(models):
        picture("clip", str(audio), models)
        lines = figures[-1].axes[0].get_lines()
        return {line.get_label(): np.array(line.get_data()) for line in lines}

    return curves


@pytest.mark.parametrize("frames", [7, 50, 300])
def test_even_attention_is_drawn_as_one_at_any_frame_rate(drawn, frames):
    even = over_time("even", np.full(frames, 1 / frames), seconds=2.0)
    _, heights = drawn([even])["even"]
    np.testing.assert_allclose(heights, 1.0, rtol=1e-5)


def test_attention_of_twice_the_even_share_is_drawn_as_two(drawn):
    weights = np.repeat([2.0, 0.5, 0.5, 1.0], 10) / 40
    times, heights = drawn([over_time("first", weights, seconds=2.0)])["first"]
    expected = np.select([times < 0.5, times < 1.5], [2.0, 0.5], default=1.0)
    np.testing.assert_allclose(heights, expected, rtol=1e-5)


def test_the_mean_of_models_is_that_of_their_multiples_of_an_even_share(drawn):
    early = over_time("early", np.repeat([1.5, 0.5], 5) / 10, seconds=2.0)
    late = over_time("late", np.repeat([0.0, 2.0], 100) / 200, seconds=2.0)
    times, heights = drawn([early, late])["mean"]
    np.testing.assert_allclose(heights, np.where(times < 1, 0.75, 1.25), rtol=1e-5)
