"""The page of scored clips: systems in order, clips to listen to, names as they are."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from answered import answer, compared, texts, with_distributions
from builders import music

from base_models.clips.read_clips import SetAside
from ensemble.formats import Scores
from ensemble.reporting.answers.answer_content import AnswerContent
from ensemble.reporting.answers.answer_report import (
    answer_page,
    answer_report,
    answer_sections,
)
from ensemble.reporting.answers.clips import MOST_CLIPS, clips_sections
from ensemble.reporting.answers.ranking_chart import MOST_LINES, both_ends
from ensemble.reporting.answers.systems import MOST_DIFFERENCES, systems_sections
from ensemble.reporting.page_audio import PageAudio
from ensemble.reporting.section import DECIDE, Player, Strip
from meta.score_columns import FLAGS, OUT_OF_RANGE

WITH_PICTURES = True
HOSTILE = "</script><b>v1</b> $x^2$ \u202e'\""


@pytest.fixture(scope="module")
def three():
    return compared(answer())


def section(sections, title):
    return next(part for part in sections if part.title.startswith(title))


def column(table, title):
    place = [column.title for column in table.columns].index(title)
    return [row.cells[place] for row in table.rows]


# ---- systems


def test_systems_are_ranked_best_first_with_their_intervals(three):
    ranking, differences = systems_sections(three)
    (table,) = ranking.tables
    assert column(table, "system") == ["v0", "v1", "v2"]
    assert column(table, "rank") == ["1", "2", "3"]
    assert column(table, "rank [95 %]") == ["1", "2", "3"]
    assert all("[" in mean for mean in column(table, "mean [95 %]"))
    assert ranking.reader == differences.reader == DECIDE
    assert column(differences.tables[0], "shown")[0] == "v0 is better"
    assert all("is better than" in sentence for sentence in differences.points)


def test_of_many_systems_only_neighbours_are_compared_on_the_page():
    many = compared(answer(n_systems=40, clips_each=4, gap=0.05))
    ranking, differences = systems_sections(many)
    assert len(ranking.tables[0].rows) == 40
    names = column(ranking.tables[0], "system")
    pairs = zip(
        column(differences.tables[0], "first"),
        column(differences.tables[0], "second"),
        strict=True,
    )
    assert [set(pair) for pair in pairs] == [
        {a, b} for a, b in itertools.pairwise(names)
    ]
    assert "of 780 pairs" in texts([differences])
    assert len(differences.tables[0].rows) < MOST_DIFFERENCES


def test_a_picture_has_the_best_and_the_worst_of_very_many_systems():
    systems = pd.DataFrame({"system_id": [f"s{k}" for k in range(100)]})
    shown = both_ends(systems)
    assert len(shown) == MOST_LINES
    assert shown["system_id"].tolist()[:: MOST_LINES - 1] == ["s0", "s99"]
    assert both_ends(systems.head(5)).equals(systems.head(5))


@pytest.mark.parametrize("n_systems", [0, 1])
def test_without_two_systems_there_is_no_ranking(n_systems):
    content = answer(n_systems=max(n_systems, 1))
    if not n_systems:
        content = replace(content, frame=content.frame.drop(columns="system_id"))
    assert list(systems_sections(content)) == []
    assert b"Best clips by mos" in answer_page(content)


# ---- clips


def test_best_and_worst_clips_are_those_of_the_extreme_scores(three):
    sections = list(clips_sections(three))
    ordered = three.frame.sort_values("mos")["clip_id"].tolist()
    worst = section(sections, "Worst clips").tables[0]
    best = section(sections, "Best clips").tables[0]
    assert column(worst, "clip") == ordered[:MOST_CLIPS]
    assert column(best, "clip") == ordered[::-1][:MOST_CLIPS]


def test_silence_is_neither_best_nor_worst_but_to_be_looked_at(three):
    top = three.frame["mos"].idxmax()
    flags = np.where(three.frame.index == top, "silent", "")
    silent = replace(three, frame=three.frame.assign(**{FLAGS: flags}))
    sections = list(clips_sections(silent))
    clip = three.frame["clip_id"][top]
    assert clip not in column(section(sections, "Best clips").tables[0], "clip")
    table = section(sections, "Clips to look at: 1").tables[0]
    assert column(table, "clip") == [clip]
    assert column(table, "why")[0].startswith("silent")


def test_what_most_clips_have_is_said_once(three):
    marked = replace(three, frame=three.frame.assign(**{FLAGS: "narrow_band"}))
    about = section(list(clips_sections(marked)), "About most clips")
    assert "high frequencies are missing" in texts([about])
    assert not about.tables


def test_clips_without_a_score_stand_with_their_reason(three):
    failed = replace(three, unscored={"x.wav": "no such file"})
    table = section(list(clips_sections(failed)), "Clips to look at: 1").tables[0]
    assert column(table, "why") == ["no score: no such file"]
    assert not any("look at" in part.title for part in clips_sections(three))


def test_ratings_show_the_largest_errors(three):
    rated = three.frame["mos"].to_numpy().copy()
    rated[4] += 2.0
    with_ratings = replace(three, frame=three.frame.assign(mos_true=rated))
    table = section(list(clips_sections(with_ratings)), "Largest errors").tables[0]
    assert column(table, "clip")[0] == three.frame["clip_id"][4]
    assert not any("errors" in part.title for part in clips_sections(three))


def test_distributions_become_strips(three):
    best = section(list(clips_sections(with_distributions(three))), "Best clips")
    strips = column(best.tables[0], "distribution")
    assert all(isinstance(strip, Strip) for strip in strips)
    scores = three.frame["mos"].nlargest(MOST_CLIPS).tolist()
    assert [strip.mean for strip in strips] == scores
    titles = [
        c.title for c in section(list(clips_sections(three)), "Best").tables[0].columns
    ]
    assert "distribution" not in titles


@pytest.mark.parametrize("mode", ["embed", "link", "none"])
def test_audio_is_in_the_page_beside_it_or_nowhere(three, tmp_path, mode):
    soundfile.write(tmp_path / "song.wav", music(), 16_000)
    audio = str(tmp_path / "song.wav")
    content = replace(three, frame=three.frame.assign(audio=audio))
    players = column(section(list(clips_sections(content)), "Best").tables[0], "listen")
    assert all(isinstance(player, Player) for player in players)
    source = answer_page(content, audio=PageAudio(mode, tmp_path)).decode()
    assert ("data:audio" in source) == (mode == "embed")
    assert ('src="song.wav"' in source) == (mode == "link")
    assert ("<audio" in source) == (mode != "none")


# ---- the page


def test_names_cannot_become_markup_or_formulas(three):
    named = {"v1": HOSTILE}
    frame = three.frame.assign(
        system_id=three.frame["system_id"].replace(named),
        clip_id=three.frame["clip_id"].str.replace("v", HOSTILE, regex=False),
        prompt=HOSTILE,
        **{FLAGS: "<i>odd</i>", OUT_OF_RANGE: True},
    )
    source = answer_page(compared(replace(three, frame=frame))).decode()
    assert "<b>v1" not in source
    assert "<i>odd" not in source
    assert source.count("</script>") == 1
    assert "\u202e" not in source


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("sign", ["\x00", "\x01", "\x1b", "\ufffe", "\uffff"])
def test_signs_that_no_picture_can_hold_are_replaced_in_it(three, sign):
    names = three.frame["system_id"].replace("v0", f"v{sign}0")
    source = answer_page(
        compared(replace(three, frame=three.frame.assign(system_id=names)))
    )
    assert "v\N{REPLACEMENT CHARACTER}0" in source.decode()


def test_the_page_of_scores_has_those_that_are_usable():
    frame = answer(n_systems=1, clips_each=3).frame
    frame = frame.assign(audio="", status=["ok", "missing", "ok"], reason="")
    frame.loc[1, ["mos", "mos_low", "mos_high"]] = np.nan
    aside = (SetAside("0-1", "no such file", "missing"),)
    scores = Scores(frame, ("mos",), (), aside)
    source = answer_report(scores).decode()
    assert "no score: no such file" in source
    assert AnswerContent.of(scores).frame["clip_id"].tolist() == ["0-0", "0-2"]


def test_the_same_clips_give_the_same_page(three):
    assert answer_page(three) == answer_page(three)


def test_no_sentence_has_a_gap_or_a_number_that_is_none(three):
    contents = [
        three,
        answer(n_systems=1, clips_each=0),
        answer(n_systems=1, clips_each=1),
        compared(answer(n_systems=2, clips_each=1)),
        replace(three, frame=three.frame.assign(mos=np.nan), comparison=None),
    ]
    gap = re.compile(r"\bnan\b|\bNone\b|\binf\b|\bNaT\b| [.,;]|\(\)|\.\.")
    for content in contents:
        sections = list(answer_sections(content))
        tables = [table for part in sections for table in part.tables]
        cells = [cell for table in tables for row in table.rows for cell in row.words]
        said = [texts(sections), *cells]
        assert not [text for text in said if gap.search(text)]
        assert answer_page(content)
