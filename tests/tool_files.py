"""Files as other tools write them, from scores on 1..5 by clip."""

import json

import pandas as pd


def _paths(clips):
    return [f"/data/wav/{clip}.wav" for clip in clips]


def utmosv2(path, scores):
    """UTMOSv2: a csv of file names."""
    table = {"file_path": [f"{clip}.wav" for clip in scores.index]}
    pd.DataFrame(table | {"predicted_mos": scores.to_numpy()}).to_csv(path, index=False)
    return path


def nisqa(path, scores):
    """NISQA: overall quality, four dimensions, and the name of the model."""
    table = {"deg": [f"{clip}.wav" for clip in scores.index]}
    table["mos_pred"] = scores.to_numpy()
    for shift, part in enumerate(("noi", "dis", "col", "loud"), start=1):
        table[f"{part}_pred"] = 1 + (scores.to_numpy() - 1) / (1 + shift / 10)
    pd.DataFrame(table | {"model": "nisqa_tts"}).to_csv(path, index=False)
    return path


def dnsmos(path, scores):
    """DNSMOS: raw and fitted scores after three numbers that are none."""
    table = {"filename": _paths(scores.index), "len_in_sec": 3.0, "sr": 16000}
    table["num_hops"] = 1
    for name in ("OVRL_raw", "SIG_raw", "BAK_raw", "OVRL", "SIG", "BAK", "P808_MOS"):
        table[name] = 1 + (scores.to_numpy() - 1) * 0.9
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def audiobox(path, list_path, scores):
    """Audiobox: axes of 1..10 in the order of its input, which is another file."""
    tens = (1 + (scores - 1) * 9 / 4).round(4)
    axes = ("CE", "CU", "PC", "PQ")
    json_lines(path, [dict.fromkeys(axes, float(score)) for score in tens])
    json_lines(list_path, [{"path": name} for name in _paths(scores.index)])
    return f"{path}+{list_path}"


def sheet(path, scores, truth):
    """SHEET: the table of the listening test with the column answer added."""
    table = {
        "wav_path": _paths(scores.index),
        "system_id": [clip.split("-")[0] for clip in scores.index],
        "sample_id": list(scores.index),
        "avg_score": truth[scores.index].to_numpy(),
        "answer": scores.to_numpy(),
    }
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def songeval(path, scores):
    """SongEval: one JSON object of clips."""
    names = ("Coherence", "Musicality", "Memorability", "Clarity", "Naturalness")
    records = {
        clip: dict.fromkeys(names, float(score)) for clip, score in scores.items()
    }
    path.write_text(json.dumps(records, indent=1))
    return path


def json_lines(path, records):
    """Lines of JSON, in a file of any name."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def answer(path, scores):
    """The challenge: lines of id and score."""
    path.write_text("".join(f"{clip},{score}\n" for clip, score in scores.items()))
    return path
