"""Laws of lines of MusicEval lists that cannot be used: all in one run, with a cure."""

import pytest
from builders import write_file
from commands import call
from hypothesis import given
from hypothesis import strategies as st

from base_models.clips.problems import TableProblems
from base_models.clips.ratings import read_ratings
from base_models.clips.read_clips import collect_clips, read_clips

GOOD = "S1_P1.wav,3,3.5"
BAD_LABELS = {
    "S1_P2.wav,3": "expected file.wav,MI,TA",
    "S1_P3.wav": "expected file.wav,MI,TA",
    "S1_P4.wav,3,5,4,0": "more numbers than MI and TA",
    "S1_P5.wav,3,5,4": "more numbers than MI and TA",
    "../S1_P6.wav,3,3": "the file name points out of the wav folder",
    "C:\\S1_P7.wav,3,3": "the file name points out of the wav folder",
    "P8.wav,3,3": "the file name names no system",
    ",3,3": "the clip id is empty",
    "S1_\x07P9.wav,3,3": "the clip id holds a control character",
    "S1_P10.wav,four,3": "mi is no number",
    "S1_P11.wav,3,9": "ta is off the scale 1..5",
    GOOD: "the clip id stands twice",
}
BAD_RATINGS = {
    "S1_P1.wav,R2,3": "expected file.wav,rater,MI,TA",
    "S1_P1.wav": "expected file.wav,rater,MI,TA",
    "S1_P1.wav,R3,3,5,4,0": "more numbers than MI and TA",
    "/S1_P1.wav,R1,3,3": "the file name points out of the wav folder",
    "P1.wav,R1,3,3": "the file name names no system",
    ".wav,R1,3,3": "the clip id is empty",
    "S1_P1.wav,,3,3": "the rater is empty",
    "S1_P1.wav,R\x07,3,3": "the rater holds a control character",
    "S1_P2.wav,R1,x,3": "mi is no number",
    "S1_P3.wav,R1,3,7": "ta is off the scale 1..5",
    "S1_P1.wav,R1,3,4": "a rater rates a clip twice",
}


def listed(folder, lines, name="train_mos_list.txt"):
    return write_file(folder / name, "".join(f"{line}\n" for line in lines))


def expected(bad):
    """Line and problem of lines that follow a good one."""
    return [(number, what) for number, what in enumerate(bad.values(), start=2)]


def found(problems):
    return sorted((one.line, one.what) for one in problems)


def test_all_bad_lines_of_a_label_list_are_named_in_one_run(tmp_path):
    path = listed(tmp_path, [GOOD, *BAD_LABELS])
    with pytest.raises(TableProblems) as caught:
        read_clips(path)
    assert found(caught.value.problems) == expected(BAD_LABELS)
    assert all(one.file == str(path) for one in caught.value.problems)
    ids = (one for one in caught.value.problems if "clip id" not in one.what)
    assert all(one.cure and one.value for one in ids)


def test_all_bad_lines_of_a_rating_list_are_named_in_one_run(tmp_path):
    lines = ["S1_P1.wav,R1,3,3.5", *BAD_RATINGS]
    path = listed(tmp_path, lines, "person_mos/train_person_mos.txt")
    with pytest.raises(TableProblems) as caught:
        read_ratings(path)
    assert found(caught.value.problems) == expected(BAD_RATINGS)
    assert all(one.cure for one in caught.value.problems)


@pytest.mark.parametrize("line", BAD_LABELS)
def test_lines_that_can_be_used_are_kept_beside_one_that_cannot(tmp_path, line):
    path = listed(tmp_path, ["S9_P9.wav,3,4", GOOD, line])
    rows = collect_clips(path)
    assert rows.clips["clip_id"].tolist() == ["S9_P9", "S1_P1"]
    assert len(rows.problems) == 1


@pytest.mark.parametrize("line", ["S1_P2.wav", "S1_P2.wav,3,5,4,0", "P2.wav,3,3"])
def test_a_list_of_bad_lines_alone_is_refused_for_them(tmp_path, line):
    listed(tmp_path, [line, line.replace("P2", "P3")])
    with pytest.raises(TableProblems, match=r"2 of 2 rows: .*first in line 1") as error:
        read_clips(tmp_path)
    assert len(error.value.problems) == 2


def test_problems_of_labels_and_of_single_ratings_are_named_together(tmp_path):
    listed(tmp_path, ["S1_P1.wav", "P2.wav", "S1_P1.wav"], "sets/train_mos_list.txt")
    ratings = ["S1_P1.wav,R1,3", "S1_P1.wav,R2,3,x"]
    listed(tmp_path, ratings, "person_mos/train_person_mos.txt")
    problems = tmp_path / "problems.jsonl"
    code, _, err = call("check_clips", tmp_path, "--problems", problems)
    assert code == 3, err
    lines = problems.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    for words in (
        "names no system",
        "stands twice",
        "expected file.wav,rater",
        "ta is",
    ):
        assert words in err


def test_words_after_the_labels_are_no_fault_and_an_eval_list_has_no_labels(tmp_path):
    clips = read_clips(listed(tmp_path, ["S1_P1.wav,3,4,good,", "S1_P2.wav,3,4,"]))
    assert clips["ta"].tolist() == [4, 4]
    lines = ["S1_P1.wav", "S1_P2,1,2,3,4"]
    clips = read_clips(listed(tmp_path, lines, "eval_list.txt"))
    assert clips["clip_id"].tolist() == ["S1_P1", "S1_P2"]
    assert clips["mi"].isna().all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lists")


@given(
    texts=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        min_size=1,
        max_size=8,
    )
)
def test_any_lines_give_clips_or_problems_with_their_place(folder, texts):
    path = listed(folder, ["S1_P1.wav,3,3", *(f"S2_P{text}" for text in texts)])
    rows = collect_clips(path)
    assert len(rows.clips) + len(rows.problems.rows) == rows.problems.n_rows
    assert "S1_P1" in rows.clips["clip_id"].tolist() or rows.problems
    assert all(one.line >= 1 and one.file == str(path) for one in rows.problems)
