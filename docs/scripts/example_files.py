"""Write the files that the commands of these pages are about.

``python docs/scripts/example_files.py FOLDER`` writes them, in a few seconds; the pages
then work as they stand, from inside that folder. The tests run every page on the same
files.

The music is synthetic and its ratings are simulated, and so are the predictions of
"other tools": nothing here says anything about real music or real tools.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml

from base_models.clips.demo.corpus import write_demo

SYSTEMS = ("v1", "v2", "v3", "alpha", "beta", "gamma")
RATED_PROMPTS = 10
NEW_PROMPTS = 6
SECONDS = 2.5
"""Length of the clips: short, so that everything is quick."""


def write_example_files(folder: Path) -> Path:
    """Write all example files into a folder; return it.

    Parameters
    ----------
    folder : absent, or to be written into

    Returns
    -------
    folder : Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    tree = write_demo(
        folder / ".demo",
        n_systems=len(SYSTEMS),
        n_prompts=RATED_PROMPTS + NEW_PROMPTS,
    )
    clips = _read_tree(tree)
    rated = clips[clips["number"] <= RATED_PROMPTS]
    new = clips[clips["number"] > RATED_PROMPTS]

    for clip in rated.itertuples():
        _shorten(clip.source, folder / "wav" / f"{clip.clip_id}.wav")
    for clip in new.itertuples():
        target = folder / "new" / clip.system_id / f"p{clip.number}.wav"
        _shorten(clip.source, target)
    shutil.copy(folder / "new" / "v2" / "p11.wav", folder / "my_song.wav")

    _write_tables_of_ratings(folder, rated, _read_raters(tree, rated))
    _write_tables_of_new_clips(folder, new)
    _write_webmushra(folder, rated)
    _write_predictions(folder)
    shutil.rmtree(tree)
    return folder


def _read_tree(tree: Path) -> pd.DataFrame:
    """The clips of a demo corpus, under names that a small team would give them."""
    lists = sorted((tree / "sets").glob("*_mos_list.txt"))
    names = ["file", "mi", "ta"]
    clips = pd.concat([pd.read_csv(path, names=names) for path in lists])
    parts = clips["file"].str.extract(r"(?P<theirs>S\d+)_P(?P<number>\d+)")
    clips["number"] = parts["number"].astype(int)
    ours = dict(zip(sorted(set(parts["theirs"])), SYSTEMS, strict=True))
    clips["system_id"] = parts["theirs"].map(ours)
    clips["clip_id"] = [
        f"{system}_{number:02d}"
        for system, number in zip(clips["system_id"], clips["number"], strict=True)
    ]
    prompts = pd.read_csv(tree / "prompt_info.txt", sep="\t")
    text_of = dict(enumerate(prompts["text"].str.removesuffix(" (demo)"), start=1))
    clips["prompt"] = clips["number"].map(text_of)
    clips["source"] = [tree / "wav" / name for name in clips["file"]]
    return clips.sort_values("clip_id", ignore_index=True)


def _read_raters(tree: Path, rated: pd.DataFrame) -> pd.DataFrame:
    """A row per clip and rater."""
    lists = sorted((tree / "person_mos").glob("*.txt"))
    names = ["file", "rater_id", "mi", "ta"]
    ratings = pd.concat([pd.read_csv(path, names=names) for path in lists])
    ids = rated.set_index("file")["clip_id"]
    ratings = ratings[ratings["file"].isin(ids.index)]
    ratings.insert(0, "clip_id", ratings.pop("file").map(ids))
    return ratings.sort_values(["clip_id", "rater_id"], ignore_index=True)


def _shorten(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    samples, rate = soundfile.read(source)
    soundfile.write(target, samples[: round(SECONDS * rate)], rate)


def _write_tables_of_ratings(
    folder: Path, rated: pd.DataFrame, ratings: pd.DataFrame
) -> None:
    # As a spreadsheet program exports it where the decimal sign is a comma.
    with (folder / "sheet.csv").open("w", newline="") as file:
        sheet = csv.writer(file, delimiter=";")
        sheet.writerow(["File name", "Model version", "Prompt", "Rating (1-5)"])
        for clip in rated.itertuples():
            rating = f"{clip.mi:.1f}".replace(".", ",")
            sheet.writerow([f"{clip.clip_id}.wav", clip.system_id, clip.prompt, rating])

    table = rated[["clip_id", "system_id", "prompt", "mi", "ta"]]
    audio = [f"wav/{clip}.wav" for clip in table["clip_id"]]
    table.assign(audio=audio).to_csv(folder / "ratings.csv", index=False)
    ratings.to_csv(folder / "single_ratings.csv", index=False)


def _write_tables_of_new_clips(folder: Path, new: pd.DataFrame) -> None:
    paths = [
        f"new/{system}/p{number}.wav"
        for system, number in zip(new["system_id"], new["number"], strict=True)
    ]
    table = new[["clip_id", "system_id", "prompt"]].assign(audio=paths)
    table.to_csv(folder / "new.csv", index=False)
    # What some listeners said of some of them.
    heard = table.assign(mi=new["mi"], ta=new["ta"])
    heard.groupby("system_id").head(3).to_csv(folder / "new_ratings.csv", index=False)

    files = new.assign(audio=[f"p{number}.wav" for number in new["number"]])
    asked = files[["audio", "prompt"]].drop_duplicates()
    asked.to_csv(folder / "prompts.csv", index=False)
    by_prompt = table.assign(number=new["number"]).pivot(
        index=["number", "prompt"], columns="system_id", values="audio"
    )
    pairs = by_prompt.reset_index()[["prompt", "v1", "v2"]]
    pairs = pairs.rename(columns={"v1": "audio_a", "v2": "audio_b"})
    pairs.to_csv(folder / "pairs.csv", index=False)


def _write_webmushra(folder: Path, rated: pd.DataFrame) -> None:
    """The folder of a webMUSHRA test: its configuration and its results."""
    rng = np.random.default_rng(1)
    pages = []
    rows = []
    for number, clips in rated.groupby("number"):
        trial = f"piece{number:02d}"
        stimuli = {
            clip.system_id: f"wav/{clip.clip_id}.wav" for clip in clips.itertuples()
        }
        # The best clip stands in for a reference.
        best = clips.loc[clips["mi"].idxmax(), "clip_id"]
        page = {"type": "mushra", "id": trial, "reference": f"wav/{best}.wav"}
        pages.append({**page, "stimuli": stimuli})
        level = dict(zip(clips["system_id"], 25 * (clips["mi"] - 1), strict=True))
        level |= {"reference": 97, "anchor35": 8, "anchor70": 25}
        for rater in range(8):
            for stimulus, score in level.items():
                heard = round(np.clip(score + rng.normal(0, 8), 0, 100))
                rows.append(["my-test", f"r{rater}", trial, stimulus, heard])

    (folder / "configs").mkdir(exist_ok=True)
    configuration = {"testId": "my-test", "pages": pages}
    (folder / "configs" / "my-test.yaml").write_text(yaml.safe_dump(configuration))
    results = folder / "results" / "my-test" / "mushra.csv"
    results.parent.mkdir(parents=True, exist_ok=True)
    columns = ["session_test_id", "session_uuid", "trial_id"]
    columns += ["rating_stimulus", "rating_score"]
    pd.DataFrame(rows, columns=columns).to_csv(results, index=False)


# ---- files as other tools write them


def _write_predictions(folder: Path) -> None:
    """Simulated predictions of other tools, for 160 rated clips and 40 new ones."""
    rng = np.random.default_rng(0)
    for name, first, systems in (("rated", 0, 16), ("new", 16, 4)):
        ids = [f"sys{first + k // 10:02d}-utt{k % 10:02d}" for k in range(systems * 10)]
        of_system = np.repeat(rng.normal(3, 0.7, systems), 10)
        mos = np.clip(of_system + rng.normal(0, 0.45, len(ids)), 1, 5)
        mos = pd.Series(mos.round(2), index=ids)
        labels = pd.DataFrame({"clip_id": ids, "system": [i[:5] for i in ids]})
        labels["mos"] = mos.to_numpy()
        target = "mos.csv" if name == "rated" else "mos_new.csv"
        labels.to_csv(folder / target, index=False)
        if name == "rated":
            labels[["clip_id", "system"]].to_csv(folder / "systems.csv", index=False)
            half = labels.groupby("system").sample(5, random_state=0)
            half.to_csv(folder / "mos_few.csv", index=False)
        for tool, write in TOOLS.items():
            # Each tool has its own strictness, and its own errors.
            slope, shift, noise = _HABITS[tool]
            heard = 3 + slope * (mos - 3) + shift + rng.normal(0, noise, len(ids))
            write(folder, name, heard.clip(1, 5).round(3))


_HABITS = {
    "nisqa": (0.8, 0.1, 0.35),
    "dnsmos": (0.5, -0.2, 0.4),
    "utmosv2": (0.7, -0.3, 0.35),
    "audiobox": (0.6, 0.4, 0.4),
    "songeval": (0.6, 0.3, 0.4),
    "sheet": (0.9, 0.2, 0.4),
    "versa": (0.7, 0.1, 0.4),
}


def _nisqa(folder: Path, name: str, scores: pd.Series) -> None:
    table = {"deg": [f"{clip}.wav" for clip in scores.index], "mos_pred": scores}
    for k, part in enumerate(("noi", "dis", "col", "loud"), start=1):
        table[f"{part}_pred"] = (1 + (scores - 1) / (1 + k / 10)).round(3)
    pd.DataFrame(table).assign(model="NISQAv2").to_csv(
        folder / f"nisqa_{name}.csv", index=False
    )


def _dnsmos(folder: Path, name: str, scores: pd.Series) -> None:
    table = {"filename": [f"/data/wav/{clip}.wav" for clip in scores.index]}
    table |= {"len_in_sec": 3.0, "sr": 16000, "num_hops": 1}
    for part in ("OVRL_raw", "SIG_raw", "BAK_raw", "OVRL", "SIG", "BAK", "P808_MOS"):
        table[part] = scores.to_numpy()
    pd.DataFrame(table).to_csv(folder / f"dnsmos_{name}.csv", index=False)


def _utmosv2(folder: Path, name: str, scores: pd.Series) -> None:
    table = {"file_path": [f"{clip}.wav" for clip in scores.index]}
    pd.DataFrame(table | {"predicted_mos": scores.to_numpy()}).to_csv(
        folder / f"utmosv2_{name}.csv", index=False
    )


def _audiobox(folder: Path, name: str, scores: pd.Series) -> None:
    tens = (1 + (scores - 1) * 9 / 4).round(3)
    axes = [{axis: float(t) for axis in ("CE", "CU", "PC", "PQ")} for t in tens]
    _json_lines(folder / f"audiobox_{name}_out.jsonl", axes)
    asked = [{"path": f"/data/wav/{clip}.wav"} for clip in scores.index]
    _json_lines(folder / f"audiobox_{name}_in.jsonl", asked)


def _songeval(folder: Path, name: str, scores: pd.Series) -> None:
    axes = ("Coherence", "Musicality", "Memorability", "Clarity", "Naturalness")
    clips = {clip: dict.fromkeys(axes, float(score)) for clip, score in scores.items()}
    (folder / f"songeval_{name}.json").write_text(json.dumps(clips, indent=1))


def _sheet(folder: Path, name: str, scores: pd.Series) -> None:
    table = {"wav_path": [f"/data/wav/{clip}.wav" for clip in scores.index]}
    table["system_id"] = [clip[:5] for clip in scores.index]
    table["sample_id"] = list(scores.index)
    pd.DataFrame(table | {"answer": scores.to_numpy()}).to_csv(
        folder / f"sheet_{name}.csv", index=False
    )


def _versa(folder: Path, name: str, scores: pd.Series) -> None:
    lines = [
        {"key": clip, "utmos": score, "singmos": round(0.9 * score, 3), "wer": 0.1}
        for clip, score in scores.items()
    ]
    _json_lines(folder / f"versa_{name}.jsonl", lines)


def _json_lines(path: Path, records: list[dict]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


TOOLS = {
    "nisqa": _nisqa,
    "dnsmos": _dnsmos,
    "utmosv2": _utmosv2,
    "audiobox": _audiobox,
    "songeval": _songeval,
    "sheet": _sheet,
    "versa": _versa,
}


if __name__ == "__main__":
    write_example_files(Path(sys.argv[1]))
