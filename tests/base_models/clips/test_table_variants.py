"""A table as people export it has the labels that its maker would name, or a refusal.

Each case here once led to other labels, unnoticed, or to a message without a cure.
"""

import pytest
from workbooks import write_xlsx

from base_models.clips import read_clips as read_clips_module
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError

IDS = [f"c{k:02d}" for k in range(12)]


def rows(pattern, ids=IDS):
    """A line per clip: its file, a system of two, a mean (1.0 to 4.3), a rating."""
    return "".join(
        pattern.format(
            i=name,
            f=f"{name}.wav",
            s="AB"[k % 2],
            m=f"{1 + 0.3 * k:.1f}",
            c=f"{1 + 0.3 * k:.1f}".replace(".", ","),
            r=1 + k % 5,
            t=1 + k % 4,
            p=20 * (k % 5),
        )
        + "\n"
        for k, name in enumerate(ids)
    )


def table(folder, header, pattern, encoding="utf-8"):
    path = folder / "t.csv"
    path.write_bytes(f"{header}\n{rows(pattern)}".encode(encoding))
    return path


def labels_of(path, **options):
    clips = read_clips(path, **options)
    return {
        aspect: [round(float(value), 3) for value in clips[aspect]]
        for aspect in clips.attrs["aspects"]
    }


MEANS = [round(1 + 0.3 * k, 3) for k in range(12)]
RATINGS = [1.0 + k % 5 for k in range(12)]

CLIP_TABLES = {
    "German": ("Dateiname;Modell;Bewertung (1-5)", "{f};{s};{c}", "Bewertung", MEANS),
    "German, version": ("Datei;Version;Bewertung", "{f};{s};{c}", "Bewertung", MEANS),
    "French": ("Fichier;Modèle;Note (1-5)", "{f};{s};{c}", "Note", MEANS),
    "Polish": ("Plik;Model;Ocena", "{f};{s};{c}", "Ocena", MEANS),
    "settings of a model": (
        "File,Model,Version,Temperature,Steps,CFG scale,Top_k,Groove",
        "{f},{s},2,1.0,4,3,5,{m}",
        "Groove",
        MEANS,
    ),
    "bookkeeping of a test": (
        "File,Model,Take,Batch,Session 1,Trial,Plays,Groove",
        "{f},{s},2,4,3,1,2,{m}",
        "Groove",
        MEANS,
    ),
    "units": (
        "File,Loudness (LUFS),Tempo (bpm),Länge (s),Cost in EUR,Groove",
        "{f},3,4,2.0,1.5,{m}",
        "Groove",
        MEANS,
    ),
    "a stated scale": ("File,Groove (1-5),Other", "{f},{m},3", "Groove", MEANS),
    "a mean beside raters": (
        "File,Subject 1,Subject 2,Mean",
        "{f},2,5,{m}",
        "Mean",
        MEANS,
    ),
    "an average of users": (
        "File,User A,User B,Average",
        "{f},2,5,{m}",
        "Average",
        MEANS,
    ),
    "clusters": ("File,A1,A2,A3,MOS", "{f},2,4,{r},{m}", "MOS", MEANS),
    "who made it": ("File,Model,User,MOS", "{f},{s},u{r},{m}", "MOS", MEANS),
    "names of pairs": (
        "audio,option_1,option_2,answer,MOS",
        "{f},x,y,1,{m}",
        "MOS",
        MEANS,
    ),
    "pairs of numbers": ("audio,a,b,result,mos", "{f},1.0,2.0,3,{m}", "mos", MEANS),
    "a word called quality": ("File,Quality,Rating", "{f},high,{m}", "Rating", MEANS),
    "percent": (
        "File,Score (%)",
        "{f},{p}%",
        "Score (%)",
        [20.0 * (k % 5) for k in range(12)],
    ),
    "a percent of something": ("File,Like,Score", "{f},{p}%,{m}", "Score", MEANS),
    "of five": ("File,Rating", "{f},{r}/5", "Rating", RATINGS),
    "stars": ("File,Rating", "{f},{r} stars", "Rating", RATINGS),
    "thousands of plays": ("File;Plays;MOS", "{f};1.234;{m}", "MOS", MEANS),
    "three decimals": (
        "File;MOS",
        "{f};{t},125",
        "MOS",
        [1.125 + k % 4 for k in range(12)],
    ),
    "no listeners": (
        "c90.wav,2,1.0",
        "{f},{r},{m}",
        "field 3",
        [1.0, *MEANS],
    ),
}


@pytest.mark.parametrize(
    ("header", "pattern", "aspect", "expected"),
    CLIP_TABLES.values(),
    ids=CLIP_TABLES.keys(),
)
def test_the_label_of_a_table_is_its_rating(
    header, pattern, aspect, expected, tmp_path
):
    found = labels_of(table(tmp_path, header, pattern))
    assert found[aspect] == pytest.approx(expected)
    assert set(found) <= {aspect, "field 2"}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("File,Rating 1,Rating 2,Rating 3", "taken for as many aspects"),
        ("File,Anna,Ben,Carla", "since their numbers lie on the scale"),
        ("File,h1,h2,Groove", "since their numbers lie on the scale"),
    ],
)
def test_guessed_ratings_are_said_to_be_guessed(header, said, tmp_path):
    path = table(tmp_path, header, "{f},2,4,{r}")
    notes = read_clips(path).attrs["notes"]
    assert sum(said in note for note in notes) == 1
    named = read_clips(path, aspects=[header.split(",")[1]])
    assert not any(said in note for note in named.attrs.get("notes", []))


LISTENING_TESTS = {
    "a count of raters": ("clip_id,n_raters,rater_1,rater_2", "{i},2,2,4", "rating", 3),
    "one who rated nothing": ("clip_id,R1,R2,R3", "{i},2,,4", "rating", 3),
    "rater and aspect": (
        "clip_id,rater1_groove,rater2_groove,rater2_depth",
        "{i},2,4,1",
        "groove",
        3,
    ),
}


@pytest.mark.parametrize(
    ("header", "pattern", "aspect", "mean"),
    LISTENING_TESTS.values(),
    ids=LISTENING_TESTS.keys(),
)
def test_a_column_per_rater_is_a_rater_and_nothing_else(
    header, pattern, aspect, mean, tmp_path
):
    clips = read_clips(table(tmp_path, header, pattern))
    assert clips.attrs["means_of"]
    assert clips[aspect].tolist() == [mean] * 12
    assert clips[f"{aspect}_n"].tolist() == [2] * 12


SURVEYS = {
    "German, brackets": (
        'Zeitstempel,"Wie gut ist das? (c00.wav)","Und das? (c01.wav)",Wie alt?\n'
        "2024/01/01 10:00,3,4,31\n2024/01/01 10:05,1,2,22\n",
        {"c00": {"rating": 2}, "c01": {"rating": 3}},
    ),
    "questions on the rater": (
        "Timestamp,Clip A,Clip B,Clip C,How old are you?\n"
        "10:00,3,4,5,31\n10:05,1,2,5,22\n",
        {
            "Clip A": {"rating": 2},
            "Clip B": {"rating": 3},
            "Clip C": {"rating": 5},
        },
    ),
    "a grid of aspects": (
        "Timestamp,c0 [Quality],c0 [Clarity],c1 [Quality],c1 [Clarity]\n"
        "10:00,3,4,5,1\n10:05,1,2,5,1\n",
        {"c0": {"Quality": 2, "Clarity": 3}, "c1": {"Quality": 5, "Clarity": 1}},
    ),
    "a grid of clips": (
        "Timestamp,Quality [c0.wav],Quality [c1.wav],Clarity [c0.wav]\n"
        "10:00,3,4,5\n10:05,1,2,5\n",
        {"c0": {"Quality": 2, "Clarity": 5}, "c1": {"Quality": 3}},
    ),
    "words": (
        "Timestamp,c00.wav,c01.wav\n10:00,3 - Fair,5 - Excellent\n10:05,1 - Bad,\n",
        {"c00": {"rating": 2}, "c01": {"rating": 5}},
    ),
    "one who quits": (
        "Timestamp,c00.wav,c01.wav\n10:00,3,4\n10:05,1,\n",
        {"c00": {"rating": 2}, "c01": {"rating": 4}},
    ),
    "names with blanks": (
        "Timestamp,my song.wav,your song.wav\n10:00,3,4\n10:05,1,2\n",
        {"my song": {"rating": 2}, "your song": {"rating": 3}},
    ),
}


@pytest.mark.parametrize(("text", "expected"), SURVEYS.values(), ids=SURVEYS.keys())
def test_answers_of_a_survey_are_of_the_clips_it_asks_about(text, expected, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    clips = read_clips(path).set_index("clip_id")
    found = {
        clip: {
            aspect: clips.loc[clip, aspect]
            for aspect in clips.attrs["aspects"]
            if clips.loc[clip, aspect] == clips.loc[clip, aspect]
        }
        for clip in clips.index
    }
    assert found == expected


HEAD = [["File", "Model", "Quality"], *[[f"{i}.wav", "A", 3.5] for i in IDS]]
SHEETS = {
    "a title of groups": [["Clip", None, "Scores"], *HEAD],
    "two rows of names": [
        ["File", "Model", "Scores", None],
        [None, None, "Quality", "Groove"],
        *[[*row, 2] for row in HEAD[1:]],
    ],
    "a mean below": [*HEAD, [None, None, None], ["Mean:", None, 3.5]],
    "a mean in the next column": [*HEAD, [None, "Mittelwert", 3.5]],
    "a sum below": [*HEAD, ["Total", None, 42]],
}


@pytest.mark.parametrize("cells", SHEETS.values(), ids=SHEETS.keys())
def test_what_surrounds_a_table_in_a_sheet_is_no_clip(cells, tmp_path):
    write_xlsx(tmp_path / "t.xlsx", {"S": cells})
    clips = read_clips(tmp_path / "t.xlsx")
    assert clips["clip_id"].tolist() == IDS
    assert clips["system_id"].unique().tolist() == ["A"]
    assert clips["Quality"].tolist() == [3.5] * 12
    assert clips.attrs["notes"][0].startswith("t.xlsx: ")


def test_a_sheet_of_clips_wins_over_a_summary_before_it(tmp_path):
    summary = [["Model", "MOS"], ["A", 3], ["B", 2]]
    write_xlsx(tmp_path / "t.xlsx", {"summary": summary, "raw": HEAD})
    assert read_clips(tmp_path / "t.xlsx")["clip_id"].tolist() == IDS


def test_a_last_clip_of_a_system_called_mean_is_a_clip(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"system,id,mos\n{rows('A,{i},{m}')}mean,z,3\n")
    assert read_clips(path)["clip_id"].tolist() == [*IDS, "z"]


REFUSED = {
    "a German date": ("File,Score", "{f},0{t}. Mrz", "spreadsheets make of numbers"),
    "a date of all": ("File,Score", "{f},{t}. Mai", "spreadsheets make of numbers"),
    "a date of a sheet": ("File,Score", "{f},2026-05-0{t}", "spreadsheets make"),
    "a slashed date": ("File,Score", "{f},{t}/5/2026", "spreadsheets make"),
    "of ten": ("File,Score", "{f},{t}/10", "Score is no number"),
    "percent that would pass": ("File,Score", "{f},{t}%", "Score is no number"),
    "percent of 1..5": ("File,Score", "{f},{p}%", r"off the scale 1\.\.5"),
    "remarks": ("File,Score", "{f},3 {i}x", "Score is no number"),
    "an error": ("File,Score", "{f},#N/A", "--missing-code '#N/A'"),
    "two readings": ("File,Plays", '{f},"{t},125"', None),
    "off every scale": ("File;Score", "{f};9,125", "It may be 9125 or 9.125"),
}


@pytest.mark.parametrize(
    ("header", "pattern", "message"), REFUSED.values(), ids=REFUSED.keys()
)
def test_what_is_no_rating_beyond_doubt_is_refused_with_a_cure(
    header, pattern, message, tmp_path
):
    path = table(tmp_path, header, pattern)
    if message is None:
        assert read_clips(path).attrs["aspects"] == []
        return
    with pytest.raises(UsageError, match=message):
        read_clips(path)


def test_a_number_with_two_words_is_not_shortened_to_a_number(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,rating\na,4 - dull\nb,4 - noisy\nc,1 - bad\n")
    with pytest.raises(UsageError, match="3 of 3 rows: rating is no number"):
        read_clips(path)


def test_all_that_a_rater_rates_twice_is_listed(tmp_path):
    path = tmp_path / "t.csv"
    once = rows("r1,{i},{r}")
    path.write_text(f"rater,clip_id,rating\n{once}{once}")
    with pytest.raises(UsageError, match="12 of 24 rows: a rater rates a clip twice"):
        read_clips(path)


def test_a_rater_who_answers_a_survey_twice_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("rater,c00.wav,c01.wav\nr1,3,4\nr2,1,2\nr1,3,4\n")
    with pytest.raises(UsageError, match="a rater rates a clip twice"):
        read_clips(path)


def test_two_questions_on_one_clip_are_not_merged(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("rater,Is a.wav good?,Is a.wav new?,b.wav\nr1,3,4,1\nr2,1,2,1\n")
    with pytest.raises(UsageError, match=r"both ratings of 'a\.wav'"):
        read_clips(path)


HOSTILE = {
    "digits and blanks": (
        "1" * 50_000 + " " * 50_000 + "x",
        "rating is no number|a label",
    ),
    "brackets": ("[" * 30_000, "a label is"),
    "a long word": ("1 " + "é" * 100_000 + "1", "a label is"),
    "a huge cell": ("9" * 200_000, "more than 131,072 characters"),
}


@pytest.mark.parametrize(("cell", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_cell_is_refused_at_once(cell, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"rater,clip_id,rating\nr1,a,{cell}\n")
    with pytest.raises(UsageError, match=message):
        read_clips(path)


def test_brackets_without_end_in_a_header_are_a_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"rater,{'[' * 30_000}a.wav,b.wav\nr1,1,2\n")
    assert len(read_clips(path)) == 2


def test_a_table_of_clips_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "clips.csv"
    path.write_text("clip_id,audio,mi\na,a.wav,3.5\n")
    read = []
    read_table = read_clips_module.read_table

    def noting(*words):
        read.append(words)
        return read_table(*words)

    monkeypatch.setattr(read_clips_module, "read_table", noting)
    assert read_clips(path)["clip_id"].tolist() == ["a"]
    assert read == [(path,)]
