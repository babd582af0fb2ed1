"""What a worker must prove, and what it says where it cannot."""

import asyncio
import json

import pytest
from plugins import importable, write_affine

from base_models.encoders import load_encoder
from ensemble.cluster import needs
from ensemble.cluster.needs import (
    Demands,
    NeededEncoder,
    Needs,
    SeenFile,
    prove,
    seen_files,
    unfitness,
)
from ensemble.version import __version__


def asked(probe="", *encoders, version=__version__):
    return Demands(version, str(probe), encoders).to_text()


def needed(word="logmel", signature=None, device="cpu"):
    encoder = load_encoder("logmel")
    signature = signature or encoder.signature
    return NeededEncoder(word, device, mono=encoder.mono, signature=signature)


def test_a_worker_like_this_machine_is_fit(tmp_path):
    probe = tmp_path / "probe"
    probe.touch()
    files = seen_files([str(probe)])
    assert unfitness(asked(probe, needed()), files) == ""
    assert asyncio.run(prove(asked(probe, needed()), files)) == ""


def test_demands_are_plain_text_that_other_versions_can_read():
    facts = json.loads(asked("probe", needed()))
    assert facts["version"] == __version__
    assert facts["encoders"][0]["word"] == "logmel"


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        (
            needed(signature="logmel-v9"),
            r"is logmel-v1, and it must be logmel-v9; inst",
        ),
        (needed("wavemill"), r"cannot load the encoder 'wavemill' on 'cpu' \(Unknown"),
        (needed(device="xpu:1"), r"on 'xpu:1' \(Device 'xpu:1' is not available here"),
        (needed("muq=/nowhere"), r"cannot load the encoder 'muq=/nowhere'"),
    ],
)
def test_a_worker_whose_encoder_is_another_or_none_says_so(encoder, reason):
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(unfitness(asked("", needed(), encoder), ()))


def test_a_plug_in_of_other_content_is_another_encoder(tmp_path):
    write_affine(tmp_path)
    with importable(tmp_path, "affine"):
        here = load_encoder("plain")
    (tmp_path / "affine.py").write_text(
        (tmp_path / "affine.py").read_text().replace("0.03", "0.04")
    )
    with importable(tmp_path, "affine"):
        encoder = NeededEncoder.of(here, "plain", "cpu")
        assert "and it must be plain-v1-" in unfitness(asked("", encoder), ())


def test_another_version_and_an_unseen_folder_are_named(tmp_path):
    reason = unfitness(asked(version="9.9"), ())
    assert reason.startswith(f"it runs stackedmos {__version__}, and this command 9.9;")
    reason = unfitness(asked(tmp_path / "elsewhere" / "probe"), ())
    assert reason.startswith(f"it does not see {tmp_path}/elsewhere as it is here;")


def test_audio_of_another_size_or_none_is_out_of_sight(tmp_path):
    song = tmp_path / "song.wav"
    song.write_bytes(b"1234")
    files = seen_files([str(song)])
    assert files == (SeenFile(str(song), 4),)
    assert unfitness(asked(), files) == ""
    song.write_bytes(b"12345")
    assert f"does not see the audio {song} (4 bytes)" in unfitness(asked(), files)
    song.unlink()
    assert "does not see the audio" in unfitness(asked(), files)


def test_files_that_are_seen_are_those_behind_segments_and_rows(tmp_path):
    song = tmp_path / "song.wav"
    table = tmp_path / "train.parquet"
    song.write_bytes(b"1")
    table.write_bytes(b"12")
    names = [f"{song}#t=0,1", f"{song}#t=1,2", f"{table}#17", None, "", float("nan")]
    unseen = [str(tmp_path), str(tmp_path / "none.wav"), "null\0byte.wav"]
    assert seen_files([*names, *unseen]) == (
        SeenFile(str(song), 1),
        SeenFile(str(table), 2),
    )


def test_of_many_files_evenly_spread_ones_are_sought(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "MOST_FILES", 3)
    for k in range(9):
        (tmp_path / f"{k}.wav").touch()
    found = seen_files(str(tmp_path / f"{k}.wav") for k in range(9))
    assert [file.path[-5] for file in found] == ["0", "4", "8"]


def test_a_piece_without_audio_needs_none():
    assert Needs().sight((1, 2)) == ()
