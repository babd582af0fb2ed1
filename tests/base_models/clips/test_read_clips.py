"""Laws of the clip table: text stays text, and labels are numbers on the scale.

No row is lost or shifted; what cannot be read is an error that says where.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import SHARED_DATA, write_file

from base_models.clips.columns import is_judged_by_text
from base_models.clips.read_clips import read_clips, validate_clips
from base_models.errors import UsageError

DATA = SHARED_DATA
PREFIX = "audiomos2025-track1-"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "MusicEval"
    write_file(
        root / "sets/train_mos_list.txt",
        f"{PREFIX}S002_P044.wav,1.4,1.8\n{PREFIX}S013_P044.wav,3.6,4.4,extra\n",
    )
    write_file(root / "sets/dev_mos_list.txt", f"{PREFIX}S002_P001.wav,5.0,1.0\r\n\r\n")
    write_file(root / "sets/test_mos_list.txt", f"{PREFIX}S033_P001.wav,2.0,2.2\n")
    write_file(root / "sets/total_mos_list.txt", "not read at all\n")
    write_file(root / "sets/train_inner_mos_list.txt", "not read either\n")
    write_file(root / "sets/eval_list.txt", f"{PREFIX}S033_P001\n{PREFIX}S004_P044\n")
    write_file(
        root / "prompt_info.txt", 'id\ttext\nP001\ta "quoted\nP044\tpiano, slow\n'
    )
    write_file(
        root / "demo_prompt_info.txt",
        f"id\ttext\n{PREFIX}S013_P044.wav\tits own prompt\n",
    )
    write_file(root / f"wav/{PREFIX}S002_P044.wav", b"RIFF")
    write_file(
        root / "person_mos/train_person_mos.txt",
        f"{PREFIX}S002_P044.wav,R1,1,2\n{PREFIX}S002_P044.wav,R2,2,2\n",
    )
    return root


def test_a_musiceval_tree_is_read_whole(tree):
    clips = read_clips(tree).set_index("clip_id")
    assert clips.attrs["aspects"] == ["mi", "ta"]
    assert clips.loc[
        f"{PREFIX}S002_P044", ["system_id", "prompt", "split", "mi", "ta", "prompt_id"]
    ].tolist() == [
        *("S002", "piano, slow", "train", 1.4, 1.8, "P044"),
    ]
    assert clips["split"].tolist() == ["train", "train", "dev", "test", "test"]
    assert clips.loc[f"{PREFIX}S002_P044", "audio"] == str(
        tree / "wav" / f"{PREFIX}S002_P044.wav"
    )


def test_a_demo_system_has_its_own_prompt_or_none(tree):
    prompts = read_clips(tree).set_index("clip_id")["prompt"]
    assert prompts[f"{PREFIX}S013_P044"] == "its own prompt"
    assert prompts[f"{PREFIX}S033_P001"] == ""
    assert prompts[f"{PREFIX}S002_P001"] == 'a "quoted'


def test_the_eval_list_adds_unlabelled_test_clips_that_no_other_list_names(tree):
    clips = read_clips(tree).set_index("clip_id")
    assert clips.loc[f"{PREFIX}S033_P001", "mi"] == 2.0
    assert np.isnan(clips.loc[f"{PREFIX}S004_P044", ["mi", "ta"]].to_numpy(float)).all()


@pytest.mark.parametrize("given", ["", "DATA", ".."])
def test_the_eval_package_is_read_from_each_of_its_folders(tmp_path, given):
    package = tmp_path / "audiomos2025-track1-eval-phase"
    write_file(package / "DATA/sets/eval_list.txt", f"{PREFIX}S030_P050\n")
    write_file(package / "prompt_info.txt", "id\ttext\nP050\tdrums\n")
    (package / "DATA/wav").mkdir()
    (clip,) = read_clips(package / given).to_dict("records")
    assert clip["split"] == "test"
    assert clip["prompt"] == "drums"
    assert clip["audio"].endswith(f"DATA/wav/{PREFIX}S030_P050.wav")


def test_inner_lists_and_single_lists_are_read_without_audio(tmp_path):
    write_file(
        tmp_path / "train_inner_mos_list.txt", f"{PREFIX}S008_P008.wav,1.4,1.8\n"
    )
    write_file(tmp_path / "dev_inner_mos_list.txt", f"{PREFIX}S008_P020.wav,2.4,3.4\n")
    assert read_clips(tmp_path)["split"].tolist() == ["train", "dev"]
    single = read_clips(tmp_path / "dev_inner_mos_list.txt")
    assert single[["split", "audio", "prompt"]].to_numpy().tolist() == [["dev", "", ""]]


def test_a_single_list_of_a_tree_finds_wavs_and_prompts(tree):
    clips = read_clips(tree / "sets" / "train_mos_list.txt")
    assert clips["prompt"].tolist() == ["piano, slow", "its own prompt"]
    assert clips["audio"][0].endswith(f"wav/{PREFIX}S002_P044.wav")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{p}S1_P1.wav,3", "line 2: expected file.wav,MI,TA"),
        ("{p}S1_P1.wav,5.2,3", r"line 2: mi is '5.2'; a label is a number in 1..5"),
        ("{p}S1_P1.wav,3,nan", "line 2: ta is 'nan'"),
        ("../{p}S1_P1.wav,3,3", "line 2: .*points out of the wav folder"),
        ("/etc/S1_P1.wav,3,3", "points out"),
        ("C:\\S1_P1.wav,3,3", "points out"),
        ("{p}S1\x07_P1.wav,3,3", "control character"),
        ("P1.wav,3,3", "names no system"),
        ("{p}S2_P2.wav,3,3", "line 2: clip id '.*S2_P2' stands twice .also in line 1"),
        ("{p}S1_P1.wav,,", "line 2: clip '.*S1_P1' is in train and has no label"),
    ],
)
def test_a_bad_line_of_a_list_is_an_error_that_says_where(tmp_path, line, message):
    path = write_file(
        tmp_path / "train_mos_list.txt",
        f"{PREFIX}S2_P2.wav,3,3\n" + line.format(p=PREFIX) + "\n",
    )
    with pytest.raises(UsageError, match=message):
        read_clips(path)


def test_a_clip_in_two_splits_is_refused(tree):
    write_file(tree / "sets/dev_mos_list.txt", f"{PREFIX}S002_P044.wav,1.4,1.8\n")
    with pytest.raises(
        UsageError, match=r"the clip is in more than one split .*S002_P044"
    ):
        read_clips(tree)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P1\tpiano\n", "line 1: expected a header"),
        ("id\ttext\nP044\n", "line 2: expected 2 fields"),
        ("id\ttext\nP044\ta\nP044\tb\n", "line 3: prompt 'P044' is defined twice"),
    ],
)
def test_a_bad_prompt_file_is_an_error_that_says_where(tree, text, message):
    write_file(tree / "prompt_info.txt", text)
    with pytest.raises(UsageError, match=message):
        read_clips(tree)


# ---- plain tables

ROWS = [
    {
        "clip_id": "001",
        "audio": "a/001.wav",
        "prompt": "slow, sad",
        "system_id": "06",
        "split": "training",
        "mos": "3.5",
    },
    {
        "clip_id": "NA",
        "audio": "/abs/b.wav",
        "prompt": "NA",
        "system_id": "NA",
        "split": "valid",
        "mos": "1e0",
    },
    {
        "clip_id": "1e5",
        "audio": "",
        "prompt": "",
        "system_id": "nan",
        "split": "Evaluation",
        "mos": "",
    },
]


def as_table(path: Path, rows=ROWS) -> Path:
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.assign(mos=pd.to_numeric(frame["mos"])).to_parquet(path)
    elif path.suffix == ".jsonl":
        lines = [
            json.dumps(
                {k: float(v) if k == "mos" and v else v or None for k, v in row.items()}
            )
            for row in rows
        ]
        path.write_text("\n".join(lines))
    else:
        frame.to_csv(
            path,
            index=False,
            sep="\t" if path.suffix == ".tsv" else ",",
            lineterminator="\r\n",
        )
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_the_same_table_in_any_format_is_the_same_clips_and_names_stay_names(
    tmp_path, suffix
):
    clips = read_clips(as_table(tmp_path / f"t.{suffix}"))
    assert clips["clip_id"].tolist() == ["001", "NA", "1e5"]
    assert clips["system_id"].tolist() == ["06", "NA", "nan"]
    assert clips["prompt"].tolist() == ["slow, sad", "NA", ""]
    assert clips["split"].tolist() == ["train", "dev", "test"]
    assert clips["audio"].tolist() == [str(tmp_path / "a/001.wav"), "/abs/b.wav", ""]
    assert clips.attrs["aspects"] == ["mos"]
    np.testing.assert_equal(clips["mos"].to_numpy(), [3.5, 1.0, np.nan])


def test_column_order_and_row_index_are_the_convention(tmp_path):
    path = write_file(tmp_path / "t.csv", "extra,mos,clip_id\nx,3,a\n")
    clips = read_clips(path)
    assert clips.columns.tolist() == [
        "clip_id",
        "system_id",
        "prompt",
        "audio",
        "split",
        "mos",
        "extra",
    ]
    assert clips.index.equals(pd.RangeIndex(1))
    assert (clips["system_id"] == "").all()


@pytest.mark.parametrize(
    "name", ["path", "wav_path", "data_path", "file_path", "filename", "FILE", "wav"]
)
def test_usual_column_names_are_known_and_ids_come_from_file_names(tmp_path, name):
    path = write_file(
        tmp_path / "t.csv",
        f"\ufeff{name},sysID,caption,subset,quality\nx/a.b.wav,s,words,val,4\n",
    )
    (clip,) = read_clips(path).to_dict("records")
    assert (clip["clip_id"], clip["system_id"], clip["prompt"], clip["split"]) == (
        "a.b",
        "s",
        "words",
        "dev",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_id,mos\na,3\nb\n", "line 3: 1 cells; the header has 2"),
        ("clip_id,mos\na,3,4\n", "line 2: 3 cells"),
        (
            'clip_id,prompt,mos\na,"loud,3\nb,quiet,4\n',
            r"line 2: .*(runs on|well-formed)",
        ),
        (
            'clip_id,prompt,mos\na,"loud,3\nb,quiet",4\n',
            "line 2: a quoted cell runs on to line 3",
        ),
        ('clip_id,prompt,mos\na,"lo"ud,3\n', "line 2: not a well-formed row"),
        ("clip_id,mos,mos\na,3,4\n", "two columns named 'mos'"),
        ("id,utterance,mos\na,b,3\n", "columns 'id' and 'utterance' both mean clip_id"),
        ("name,mos\na,3\n", "neither a clip_id nor an audio column"),
        ("path,mos\nx/a.wav,3\ny/a.wav,3\n", "share the names 'a'"),
        ("clip_id,mos\na,3\na,3\n", "line 3: clip id 'a' stands twice"),
        ("clip_id,split,mos\na,train,3\na,test,3\n", "split .first in line 2: 'a'"),
        ("clip_id,mos\n,3\n", "line 2: the clip id is empty"),
        ("clip_id,mos\na\x01,3\n", "line 2: clip id .* control character"),
        ("clip_id,mos\na\x00,3\n", "NUL"),
        ("clip_id,split,mos\na,held,3\n", "line 2: unknown split 'held'"),
        (
            "clip_id,split,mos\na,test,3\nb,,3\n",
            "line 3: clip 'b' has no split while other clips have one",
        ),
        (
            "clip_id,split,mos\na,train,\nb,train,2\n",
            "line 2: clip 'a' is in train and has no label",
        ),
        ("clip_id,split,note\na,train,x\n", "No rated column was found"),
        ("clip_id,mos\n", "holds no clips"),
        ('""\n', "neither a clip_id nor an audio column"),
        ("", "is empty"),
        (" \n\n", "is empty"),
    ],
)
def test_a_bad_table_is_an_error_that_says_where(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_clips(write_file(tmp_path / "t.csv", text))


@pytest.mark.parametrize(
    "cell",
    [
        "nan",
        "inf",
        "1e400",
        "-1",
        "0",
        "0.999",
        "5.001",
        "50",
        '"5,500"',
        "four",
        "True",
        "٣",
        "1_0",
        "0x3",
        "3.",
    ],
)
def test_a_label_is_a_plain_number_on_the_scale_or_an_error(tmp_path, cell):
    path = write_file(tmp_path / "t.csv", f"clip_id,mos\na,{cell}\n")
    if cell == "3.":
        assert read_clips(path)["mos"].tolist() == [3.0]
        return
    with pytest.raises(
        UsageError, match=r"t.csv, line 2: mos is .*a label is a number in 1..5"
    ):
        read_clips(path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.csv", b"clip_id;mos\na;3,5\n", "separated by ';'"),
        ("t.csv", b"clip_id\tmos\na\t3,5\n", "separated by tabs"),
        ("t.tsv", b"clip_id,mos\na,3.5\n", "separated by ','"),
        ("t.csv", b'clip_id,mos\na,"3,5"\n', "'3,5' is 3.5"),
        ("t.csv", "clip_id,mos\na,3.5\n".encode("utf-16"), ""),
        ("t.csv", "clip_id,t,mos\na,é,3.5\n".encode("latin-1"), "Windows-1252"),
    ],
)
def test_tables_of_other_dialects_are_clips_and_what_was_guessed_is_said(
    tmp_path, name, data, said
):
    clips = read_clips(write_file(tmp_path / name, data))
    assert clips[["clip_id", "mos"]].to_numpy().tolist() == [["a", 3.5]]
    assert said in " ".join(clips.attrs.get("notes", []))
    assert bool(said) == ("notes" in clips.attrs)


@pytest.mark.parametrize(
    "text",
    [
        "clip_id,split,note\na,train,x\nb,dev,y\n",
        "clip_id,quality\na,80\nb,60\n",
        "clip_id,mos\na,good\nb,\n",
    ],
)
def test_a_table_to_be_scored_needs_no_ratings_and_what_looks_like_one_stays_text(
    tmp_path, text
):
    path = write_file(tmp_path / "t.csv", text)
    with pytest.raises(
        UsageError, match=r"No rated column was found|line 2: '80'|is 'good'"
    ):
        read_clips(path)
    clips = read_clips(path, labels=False)
    assert clips["clip_id"].tolist() == ["a", "b"]
    assert clips.attrs["aspects"] == []
    assert clips.iloc[0, -1] == text.splitlines()[1].split(",")[-1]


def test_a_tree_and_a_list_to_be_scored_may_have_any_labels(tree):
    path = write_file(
        tree / "sets/train_mos_list.txt", f"{PREFIX}S002_P044.wav,80,none\n"
    )
    for source, n in ((tree, 4), (path, 1)):
        clips = read_clips(source, labels=False)
        assert len(clips) == n
        assert clips.attrs["aspects"] == []
        assert clips.loc[0, ["split", "prompt", "mi", "ta"]].tolist() == [
            "train",
            "piano, slow",
            "80",
            "none",
        ]


def test_another_scale_can_be_told(tmp_path):
    path = write_file(tmp_path / "t.csv", "clip_id,mos\na,80\nb,0\n")
    assert read_clips(path, scales=(0, 100))["mos"].tolist() == [80.0, 0.0]
    with pytest.raises(
        UsageError, match=r"mos is off the scale 1\.\.5 .first in line 2: '80'"
    ):
        read_clips(path)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (
            b"clip_id,mos\n\xe9\x81,3\n",
            "t.csv",
            "t.csv, line 2, column 2: 0x81 is not Windows-1252 text; save it as UTF-8",
        ),
        (b"not parquet", "t.parquet", "not a readable Parquet file"),
        (
            b'{"clip_id": "a", "clip_id": "b"}',
            "t.jsonl",
            "line 1 is not valid JSON .a key stands twice",
        ),
        (b'{"clip_id": "a", "mos": NaN}', "t.jsonl", "line 1 is not valid JSON"),
        (b'\n["a", 3]', "t.jsonl", "line 2: expected an object"),
        (
            b'{"clip_id": "a", "prompt": "\\ud800"}',
            "t.jsonl",
            "line 1: the prompt holds",
        ),
        (b'{"clip_id": "a", "mos": [[3, 4]]}', "t.jsonl", r"mos is '\[\[3, 4\]\]'"),
        (b"clip_id,mos\na,3\n", "t.doc", "clips are read from"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused(tmp_path, data, name, message):
    with pytest.raises(UsageError, match=message):
        read_clips(write_file(tmp_path / name, data))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no file or folder .*none\.csv"):
        read_clips(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="no file or folder"):
        read_clips(tmp_path / "none")
    with pytest.raises(
        UsageError, match=r"holds no clips: looked for sets/train_mos_list\.txt"
    ):
        read_clips(tmp_path)
    write_file(tmp_path / "x.csv", "clip_id\na\n")
    clips = read_clips(tmp_path)
    assert clips["clip_id"].tolist() == ["a"]
    assert clips.attrs["notes"] == [f"clips are read from x.csv in {tmp_path}"]
    write_file(tmp_path / "y.csv", "clip_id\na\n")
    with pytest.raises(UsageError, match=r"several tables: 'x.csv', 'y.csv'; name"):
        read_clips(tmp_path)


def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(UsageError, match="is not a file"):
        read_clips(tmp_path / "t.csv")


def test_aspects_are_those_named_as_ratings_first(tmp_path):
    path = write_file(
        tmp_path / "t.csv",
        "clip_id,MOS,Textual Alignment,other,mos_std,n_ratings\na,3,4,2,1.2,4\n",
    )
    assert read_clips(path).attrs["aspects"] == ["MOS", "Textual Alignment"]
    assert read_clips(path, aspects=["other", "MOS"]).attrs["aspects"] == [
        "other",
        "MOS",
    ]


def test_without_a_known_name_numeric_columns_on_the_scale_are_aspects(tmp_path):
    head = (
        ",groove,swing,rating_std,n_x,fold,seed,duration,rater_1,year,content_id,bpm,half"
        ",pred_mos"
    )
    path = write_file(
        tmp_path / "t.csv",
        f"clip_id{head}\na,3,4,1,1,1,1,2,3,4,5,3,x,2\nb,3,9,1,1,1,1,2,3,4,5,3,2,2\n",
    )
    assert read_clips(path).attrs["aspects"] == ["groove"]


def test_a_table_without_ratings_is_unlabelled(tmp_path):
    clips = read_clips(write_file(tmp_path / "t.csv", "path,prompt\na.wav,words\n"))
    assert clips.attrs["aspects"] == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["loudnes"], "no rated columns 'loudnes'"),
        (["mos", "mos"], "each once"),
        ([], "name at least one rated column"),
    ],
)
def test_an_asked_aspect_must_be_there(tmp_path, asked, message):
    with pytest.raises(UsageError, match=message):
        read_clips(write_file(tmp_path / "t.csv", "clip_id,mos\na,3\n"), aspects=asked)


def test_an_aspect_may_be_read_from_a_column_of_another_name(tmp_path):
    path = write_file(tmp_path / "t.csv", "clip_id,naturalness,mi,mos\na,3,1,5\n")
    clips = read_clips(path, aspects=["mi=naturalness", "mos"])
    assert clips.attrs["aspects"] == ["mi", "mos"]
    assert clips.attrs["columns"] == {"mi": "naturalness", "mos": "mos"}
    assert (clips["mi"][0], clips["mos"][0]) == (3.0, 5.0)
    # Of two columns that could be meant, the one that was named counts.
    assert "naturalness" not in clips
    swapped = read_clips(path, aspects=["mi=mos", "mos=mi"])
    assert (swapped["mi"][0], swapped["mos"][0]) == (5.0, 1.0)
    with pytest.raises(UsageError, match="no rated columns 'loud'; it has 'naturaln"):
        read_clips(path, aspects=["mi=loud"])


@pytest.mark.parametrize(
    "name", ["ta", "TA", "text_alignment", "textual alignment", "Textual-Alignment"]
)
def test_text_aspects_are_known_in_every_spelling(name):
    assert is_judged_by_text(name)
    assert not is_judged_by_text("mi")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["transcript"], "transcript"),
        (["lyrics", "Caption"], "Caption"),
        (["lyrics", "description", "transcript"], "description"),
        (["caption", "text", "PROMPT"], "PROMPT"),
    ],
)
def test_of_several_texts_the_first_in_order_is_the_prompt_and_is_named(
    tmp_path, names, chosen
):
    cells = ",".join(f"words of {name}" for name in names)
    clips = read_clips(
        write_file(tmp_path / "t.csv", f"clip_id,mos,{','.join(names)}\na,3,{cells}\n")
    )
    assert clips["prompt"].tolist() == [f"words of {chosen}"]
    others = [name for name in names if name != chosen]
    assert all(clips[name].tolist() == [f"words of {name}"] for name in others)
    (note,) = clips.attrs.get("notes", [])
    assert f"prompt from '{chosen}'" in note
    assert note.count("ignored") == bool(others)
    assert all(f"'{name}'" in note.partition("ignored")[2] for name in others)


def test_two_spellings_of_one_text_are_refused(tmp_path):
    with pytest.raises(UsageError, match="'text' and 'Text' both mean prompt"):
        read_clips(write_file(tmp_path / "t.csv", "id,mos,text,Text\na,3,x,y\n"))


def test_a_table_made_by_hand_is_held_to_the_same_laws(tmp_path):
    clips = read_clips(as_table(tmp_path / "t.csv"))
    validate_clips(clips)
    aspects = {"aspects": ["mos"]}
    for change, message in [
        ({"mos": [3.0, 7.0, 1.0]}, "'NA' are off the scale 1..5"),
        ({"mos": ["3", "3", "3"]}, "'mos' are not numbers"),
        ({"clip_id": ["a", "a", "b"], "split": ""}, "Duplicate clip ids"),
        ({"clip_id": ["a", "", "b"]}, "Row 1 has an empty clip_id"),
        ({"split": ["held", "dev", "test"]}, "Unknown split 'held'"),
        ({"prompt": [None, "a", "b"]}, "must be text"),
    ]:
        changed = clips.assign(**change)
        changed.attrs = aspects
        with pytest.raises(UsageError, match=message):
            validate_clips(changed)
    with pytest.raises(UsageError, match=r"lacks attrs\['aspects'\]"):
        validate_clips(pd.DataFrame(clips.to_dict("list")))
    with pytest.raises(UsageError, match="lacks columns 'audio'"):
        validate_clips(clips.drop(columns="audio"))


def test_real_tables_are_read_as_their_authors_meant():
    if not DATA.is_dir():
        pytest.skip("the shared data folder is not here")
    codec = read_clips(DATA / "codec-listening-test" / "clips.csv")
    assert (len(codec), codec.attrs["aspects"], codec["system_id"].nunique()) == (
        128,
        ["quality"],
        8,
    )
    assert all(Path(audio).is_file() for audio in codec["audio"])
    labels = read_clips(DATA / "musiceval-labels")
    assert labels["split"].value_counts().to_dict() == {"train": 1634, "dev": 289}
    assert labels["system_id"].nunique() == 31
    bvcc = read_clips(DATA / "bvcc-predictions" / "val_half.csv")
    assert (len(bvcc), bvcc.attrs["aspects"]) == (428, ["mos"])


@pytest.mark.parametrize(
    ("unit", "kind"), [("s", pa.duration), ("ms", pa.duration), ("us", pa.timestamp)]
)
def test_a_time_that_python_cannot_hold_is_refused_by_its_column(tmp_path, unit, kind):
    path = tmp_path / "clips.parquet"
    times = pa.array([2**62, 1], pa.int64()).cast(kind(unit))
    pq.write_table(pa.table({"clip_id": ["a", "b"], "when": times}), path)
    with pytest.raises(UsageError) as caught:
        read_clips(path, labels=False)
    assert "column 'when' holds values that cannot be read" in str(caught.value)
