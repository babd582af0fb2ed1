"""A page stands alone, can be read by everyone, and lets no name become markup."""

import base64
import hashlib
import io
import itertools
import re

import numpy as np
import pytest
import soundfile
from report_pages import (
    HOSTILE,
    PROVENANCE,
    Parsed,
    draw_line,
    sections,
    strip,
    systems_table,
    wide_table,
)

from base_models.errors import UsageError
from ensemble.reporting.page import notebook_frame, page
from ensemble.reporting.page_audio import AUDIO_MODES, EMBEDDED_RATE, PageAudio
from ensemble.reporting.page_parts.strip_svg import strip_svg
from ensemble.reporting.section import (
    DECIDE,
    READERS,
    Drawing,
    Paragraph,
    Player,
    Provenance,
    Section,
    Strip,
    Term,
    TextTable,
)
from ensemble.reporting.style.chart_style import SERIES
from ensemble.reporting.style.page_style import page_style, sort_script
from ensemble.reporting.style.tokens import DARK, GRAPHICS_ON, LETTERS_ON, LIGHT
from ensemble.reporting.terminal import literal_table
from ensemble.screen.literal import literal
from ensemble.screen.screen import Screen

WITH_PICTURES = True


@pytest.fixture(scope="module")
def source():
    """A page of every element, with hostile names."""
    return page("Report on <clips>", sections(HOSTILE), PROVENANCE)


@pytest.fixture(scope="module")
def parsed(source):
    return Parsed(source)


def of_tables(*tables, **options):
    """The parsed page of a section with these tables."""
    return Parsed(page("Tables", [Section(title="Some", tables=tables)], **options))


# ---- stands alone


def test_nothing_is_fetched_from_anywhere(source, parsed):
    assert not parsed.all("link", "img", "iframe", "object", "embed", "base")
    for element in parsed.elements:
        for name in ("src", "href"):
            assert element.get(name, "#").startswith("#"), element
    assert not re.search(r"@import|url\((?!#)", source)


def test_the_policy_of_the_page_allows_its_own_script_alone(parsed):
    (policy,) = (m["content"] for m in parsed.all("meta") if "http-equiv" in m)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    (script,) = parsed.all("script")
    digest = base64.b64encode(hashlib.sha256(script["text"].encode()).digest())
    assert rules["script-src"] == f"'sha256-{digest.decode()}'"
    assert script["text"] == sort_script()
    assert not any(name.startswith("on") for e in parsed.elements for name in e)


def test_names_from_the_data_are_shown_and_never_markup(source, parsed):
    heads = [e["text"] for e in parsed.all("th") if e.get("scope") == "row"]
    assert heads[: len(HOSTILE)] == [literal(name) for name in HOSTILE]
    assert not {"b", "clips"} & {e["tag"] for e in parsed.elements}
    assert "\u202e" not in source
    assert "\x1b" not in source
    assert parsed.all("h1")[0]["text"] == "Report on <clips>"
    assert parsed.all("code")[0]["text"] == PROVENANCE.command


def test_the_same_sections_give_the_same_bytes(source):
    assert page("Report on <clips>", sections(HOSTILE), PROVENANCE) == source


def test_a_notebook_shows_a_page_in_a_frame_of_its_own(source):
    frame = Parsed(notebook_frame(source)).elements
    assert [element["tag"] for element in frame] == ["iframe"]
    assert frame[0]["srcdoc"] == source
    assert frame[0]["sandbox"] == "allow-scripts"


# ---- structure


def test_a_page_has_landmarks_a_skip_link_and_contents(parsed):
    for tag in ("header", "nav", "main", "footer", "h1"):
        assert len(parsed.all(tag)) == 1, tag
    skip = parsed.all("a")[0]
    assert (skip["class"], skip["href"]) == ("skip", "#main")
    assert parsed.all("main")[0]["id"] == "main"
    assert parsed.all("html")[0]["lang"] == "en"
    (viewport,) = (m for m in parsed.all("meta") if m.get("name") == "viewport")
    assert viewport["content"] == "width=device-width, initial-scale=1"

    linked = [a["href"][1:] for a in parsed.all("a") if "nav" in a["parents"]]
    titles = {h["id"]: h["text"] for h in parsed.all("h2", "h3") if "id" in h}
    assert [titles[id_] for id_ in linked] == [
        "Summary",
        "For who decides",
        "Ranking of systems",
        "For who doubts",
        "Charts: PIT",
        "Board",
    ]


def test_contents_are_folded_until_somebody_wants_them(parsed):
    (folded,) = (e for e in parsed.all("details") if "nav" in e["parents"])
    assert "open" not in folded
    links = [a for a in parsed.all("a") if "nav" in a["parents"]]
    assert all("details" in link["parents"] for link in links)


def test_headings_leave_out_no_level(parsed):
    levels = [int(h["tag"][1]) for h in parsed.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_every_id_is_there_once_and_every_reference_leads_somewhere(source, parsed):
    ids = [element["id"] for element in parsed.elements if "id" in element]
    assert len(set(ids)) == len(ids) > 20
    named = {e["href"][1:] for e in parsed.elements if "href" in e}
    for element in parsed.elements:
        named |= set(element.get("aria-labelledby", "").split())
    named |= set(re.findall(r"url\(#([^)]+)\)", source))
    assert named <= set(ids)


def test_sections_of_one_reader_stand_together_in_their_order():
    mixed = [Section(title=name, reader=name) for name in (*reversed(READERS), DECIDE)]
    parsed = Parsed(page("Mixed", mixed))
    groups = [h["text"] for h in parsed.all("h2")]
    assert groups == list(READERS.values())
    titles = [h["text"] for h in parsed.all("h3")]
    assert titles == ["summary", "decide", "decide", "doubt"]


def test_a_page_for_one_reader_has_no_groups():
    parsed = Parsed(page("One", [Section(title="a"), Section(title="b")]))
    assert [h["text"] for h in parsed.all("h2")] == ["a", "b"]
    assert not parsed.all("nav", "h3", "footer")


def test_the_page_says_how_it_was_made(parsed):
    (footer,) = parsed.all("footer")
    facts = vars(PROVENANCE).values()
    assert all(fact in footer["text"] for fact in facts)
    (header,) = parsed.all("header")
    assert PROVENANCE.date in header["text"]
    assert "stackedmos 1.2.3" in header["text"]


def test_a_command_of_hundreds_of_files_is_folded():
    command = "predict_mos " + " ".join(f"clip{k}.wav" for k in range(200))
    parsed = Parsed(page("Long", [], Provenance(command=command)))
    first, whole = parsed.all("code")
    assert len(first["text"]) < 400
    assert "details" in whole["parents"]
    assert whole["text"] == command


# ---- terms


def test_a_term_is_explained_where_it_is_first_used_and_at_the_end(parsed):
    (first,) = parsed.all("dfn")
    assert first["text"] == "mi"
    (link,) = (a for a in parsed.all("a") if "dfn" in a["parents"])
    assert link["title"] == "musical impression, whatever the prompt was"
    glossary = {e["id"]: e["text"] for e in parsed.all("dt") if "id" in e}
    assert glossary[link["href"][1:]] == "mi"
    assert sorted(glossary.values()) == ["PIT", "mi"]
    # In titles nothing can be marked, so the section explains it in a list.
    lists = [e["text"].strip() for e in parsed.all("dl") if "terms" in e["class"]]
    assert lists[0] == "PITwhere a rating falls in its predicted distribution"
    assert len(lists) == 2


def test_terms_are_whole_words_and_the_longer_one_is_meant():
    terms = (Term("LCC", "short"), Term("LCC of systems", "long"), Term("mi", "m"))
    text = "family mix LCC of systems, LCC, <mi>"
    parsed = Parsed(
        page("Terms", [Section(paragraphs=(Paragraph(text),), terms=terms)])
    )
    assert [e["text"] for e in parsed.all("dfn")] == ["LCC of systems", "LCC", "mi"]
    assert parsed.all("p")[0]["text"] == text


# ---- tables


def test_tables_have_heads_of_columns_and_rows_and_a_region_that_scrolls():
    parsed = of_tables(systems_table(), wide_table())
    regions = [e for e in parsed.all("div") if e.get("class") == "wide"]
    assert [region["aria-label"] for region in regions] == [
        "Some, table 1",
        "Some, table 2",
    ]
    assert all(e["role"] == "region" and e["tabindex"] == "0" for e in regions)
    heads = parsed.all("th")
    assert all(th["scope"] in ("col", "row", "colgroup") for th in heads)
    levels = [th for th in heads if th["scope"] == "colgroup"]
    assert [(th["text"], th["colspan"]) for th in levels] == [
        ("utterance", "4"),
        ("system", "4"),
    ]
    rows = [th["text"] for th in heads if th["scope"] == "row"]
    # The aspect alone names no row of a board.
    assert rows[:4] == ["alpha", "beta", "gamma", "base_model_0"]


def test_a_row_is_named_by_the_column_after_its_rank():
    rows = [("1", "alpha", "4.0"), ("2", "beta", "3.5")]
    ranked = of_tables(TextTable.plain(("rank", "system", "mi"), rows))
    heads = [th["text"] for th in ranked.all("th") if th["scope"] == "row"]
    assert heads == ["alpha", "beta"]
    rows = [("0.5", "0.4", "S1"), ("0.9", "0.8", "S2")]
    numbers = of_tables(TextTable.plain(("level", "share", "worst"), rows))
    heads = [th["text"] for th in numbers.all("th") if th["scope"] == "row"]
    assert heads == ["0.5", "0.9"]


def test_numbers_stand_at_the_right_and_texts_at_the_left():
    rows = [("a", "1.00 [0.50, 1.50]", "-", "too few"), ("b", "< 0.001", "2", "3 of 4")]
    table = TextTable.plain(("name", "mi", "n", "said"), rows)
    assert table.of_numbers == [False, True, True, True]
    cells = of_tables(table).all("td")[:3]
    assert [cell.get("class") for cell in cells] == [None, None, None]
    assert TextTable.plain(("a", "b"), [("x", "")]).of_numbers == [False, False]
    assert TextTable.plain(("a",), []).of_numbers == [False]


def test_an_interval_is_never_broken_and_a_long_name_is():
    name = "a_name_that_is_much_too_long_for_a_line"
    parsed = of_tables(TextTable.plain(("name", "x"), [(name, "1.0 [0.5, 1.5]")]))
    (head,) = (th for th in parsed.all("th") if th["scope"] == "row")
    assert head["text"] == name
    assert len(parsed.all("wbr")) > 5
    assert parsed.all("td")[0]["text"] == "1.0 [0.5,\N{NO-BREAK SPACE}1.5]"


def test_prose_in_a_cell_has_more_room_than_a_name():
    cells = ("short", "a_name_that_is_too_long_for_a_line", "a prompt in words " * 6)
    parsed = of_tables(TextTable.plain(("a", "b", "c"), [cells]))
    kinds = [span["class"] for span in parsed.all("span")]
    assert kinds == ["long", "long prose"]


def test_columns_can_be_sorted_but_those_of_players():
    parsed = of_tables(systems_table())
    by_column = {th["text"]: th.get("data-column") for th in parsed.all("th")[:4]}
    assert by_column == {
        "system": "0",
        "mi [95\N{NO-BREAK SPACE}%]": "1",
        "predicted": "2",
        "listen": None,
    }
    keys = [td["data-sort"] for td in parsed.all("td") if "data-sort" in td]
    assert keys == ["1.5", "3", "2"]


@pytest.mark.parametrize("width", [60, 80])
def test_a_terminal_breaks_no_number_and_names_what_has_no_room(width):
    names = [f"a system with a long name, number {k}" for k in range(3)]
    cells = [(name, *(f"0.{k}25 [0.10, 0.90]" for k in range(6))) for name in names]
    titles = ("system", *(f"metric {k}" for k in range(6)))
    table = TextTable.plain(titles, cells)
    file = io.StringIO()
    screen = Screen(file=file, width=width)
    screen.print(literal_table(table, elsewhere="the report has them"))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert all(line.count("[") == line.count("]") for line in text.splitlines())
    assert "not shown at this width: " in text
    # No group has two rows, so no line parts them.
    assert text.count("├") == 0


def test_a_narrow_terminal_keeps_what_matters_and_shows_no_picture():
    titles = ("system", *(f"metric {k}" for k in range(6)))
    cells = [("a", *(f"0.{k}25 [0.10, 0.90]" for k in range(6)))]
    table = TextTable(
        TextTable.plain(titles, cells).columns,
        TextTable.plain(titles, cells).rows,
        keep=("metric 5",),
    )
    file = io.StringIO()
    screen = Screen(file=file, width=60)
    screen.print(literal_table(table, elsewhere="the report has them"))
    assert "0.525" in file.getvalue()
    assert "0.325" not in file.getvalue()

    shown = literal_table(systems_table(), elsewhere="the report has them")
    assert [str(column.header) for column in shown.columns] == ["system", "mi [95 %]"]


# ---- charts and strips


def test_every_picture_has_a_name_and_a_description(parsed):
    pictures = parsed.all("svg")
    assert len(pictures) == 4 + len(HOSTILE)
    assert all(svg["role"] == "img" for svg in pictures)
    assert len([t for t in parsed.all("title") if "svg" in t["parents"]]) == len(
        pictures
    )
    texts = {e["id"]: e["text"] for e in parsed.all("title", "desc") if "id" in e}
    charts = [svg for svg in pictures if svg["class"] == "chart"]
    named = [[texts[id_] for id_ in c["aria-labelledby"].split()] for c in charts]
    assert named == [[f"chart {k}", "a line"] for k in range(4)]


def test_charts_have_the_colours_and_letters_of_the_page(parsed):
    charts = [e for e in parsed.elements if "svg" in e["parents"]]
    styles = " ".join(e.get("style", "") for e in charts)
    assert "var(--blue)" in styles
    assert not re.search("font:|font-family", styles)
    left = set(re.findall(r"#[0-9a-fA-F]{6}", styles))
    assert not left, left
    assert {"promised", "kept"} <= {e["text"] for e in charts if e["tag"] == "text"}
    assert not [e for e in charts if e["tag"] in ("style", "metadata")]


def test_a_chart_is_small_and_shares_no_id_with_its_twin():
    drawing = Drawing("twin", draw_line)
    source = page("Twins", [Section(drawings=(drawing, drawing))])
    ids = re.findall(r' id="([^"]+)"', source)
    assert len(set(ids)) == len(ids)
    first = source[source.index("<svg") : source.index("</svg>")]
    assert len(first) < 8000
    assert "aria-labelledby" in first
    assert "<desc" not in first


def test_series_differ_without_their_colour():
    assert len({line for _, line, _ in SERIES}) == len(SERIES)
    assert len({marker for _, _, marker in SERIES}) == len(SERIES)


def test_a_strip_draws_its_bins_its_mean_and_its_interval():
    source = strip_svg(Strip((0, 0.25, 0.5, 0.25), mean=4, low=2, high=7, level=0.95))
    parsed = Parsed(source)
    assert parsed.all("title")[0]["text"] == (
        "4.00, 95 % interval 2.00 to 7.00, on a scale of 1 to 5"
    )
    paths = {path["class"]: path["d"] for path in parsed.all("path")}
    assert paths["d"] == "M0 18V18H30V9H60V0H90V9H120V18Z"
    assert paths["m"] == "M90 0V24"
    # The end of the interval is beyond the scale, the picture is not.
    assert paths["i"] == "M30 21H120"
    assert len(source) < 500


def test_a_strip_on_another_scale_has_the_same_picture():
    of_five = Strip((0.5, 0.5), mean=2, low=1, high=5)
    of_hundred = Strip((0.5, 0.5), 25, 0, 100, scale_low=0, scale_high=100)
    paths = [
        [path["d"] for path in Parsed(strip_svg(it)).all("path")]
        for it in (of_five, of_hundred)
    ]
    assert paths[0] == paths[1]


def test_four_hundred_clips_with_strips_are_a_small_page():
    rows = [(f"clip{k:03}", "3.00 [2.50, 3.50]", strip(), strip()) for k in range(400)]
    table = TextTable.plain(("clip", "mi", "mi", "ta"), rows)
    assert len(page("Clips", [Section(tables=(table,))])) < 500_000


# ---- sound


@pytest.fixture
def clip(tmp_path):
    """A clip in a folder whose name needs quoting."""
    path = tmp_path / "a: b?#c" / "clip one.wav"
    path.parent.mkdir()
    time = np.arange(48_000) / 48_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * time), 48_000)
    return path


def players(clip, mode, folder=None, fragment=""):
    table = TextTable.plain(
        ("clip", "listen"), [("one", Player("clip <one>", f"{clip}{fragment}"))]
    )
    return of_tables(table, audio=PageAudio(mode, folder))


def media_rule(parsed):
    (policy,) = (m["content"] for m in parsed.all("meta") if "http-equiv" in m)
    return re.search(r"media-src ([^;]+)", policy)[1]


def test_a_link_leads_from_the_page_to_the_clip(clip, tmp_path):
    parsed = players(clip, "link", tmp_path / "reports", fragment="#t=0.5,1")
    (audio,) = parsed.all("audio")
    assert audio["src"] == "../a%3A%20b%3F%23c/clip%20one.wav#t=0.5,1"
    assert audio["preload"] == "none"
    assert audio["aria-label"] == "clip <one>"
    assert "controls" in audio
    assert media_rule(parsed) == "'self' file: data:"


def test_embedded_sound_is_the_clip_itself(clip, tmp_path):
    parsed = players(clip, "embed")
    (audio,) = parsed.all("audio")
    kind, _, data = audio["src"].partition(";base64,")
    assert kind == "data:audio/mpeg"
    sound = base64.b64decode(data)
    assert len(sound) < 12_000
    (tmp_path / "embedded.mp3").write_bytes(sound)
    samples, rate = soundfile.read(tmp_path / "embedded.mp3")
    assert rate == EMBEDDED_RATE
    assert samples.ndim == 1
    # An encoder adds a little silence.
    assert abs(len(samples) / rate - 1) < 0.15
    spectrum = np.abs(np.fft.rfft(samples[8000:24000]))
    assert np.argmax(spectrum) * rate / 16000 == pytest.approx(440, abs=4)
    assert media_rule(parsed) == "data:"


def test_a_part_of_a_clip_is_embedded_alone(clip):
    whole, part = (
        len(players(clip, "embed", fragment=f).all("audio")[0]["src"])
        for f in ("", "#t=0,0.5")
    )
    assert part < 0.7 * whole


def test_without_sound_a_page_says_so(clip):
    parsed = players(clip, "none")
    assert not parsed.all("audio")
    assert parsed.all("td")[0]["text"] == "(not included)"
    assert media_rule(parsed) == "'none'"


def test_a_clip_that_cannot_be_read_leaves_a_word(tmp_path):
    parsed = players(tmp_path / "absent.wav", "embed")
    assert not parsed.all("audio")
    assert parsed.all("td")[0]["text"] == "(not included)"


def test_an_unknown_mode_and_a_link_from_nowhere_are_refused():
    with pytest.raises(UsageError, match=r"audio is one of link, .* not 'copy'"):
        PageAudio("copy")
    with pytest.raises(UsageError, match="start from the folder of the page"):
        PageAudio("link")
    assert set(AUDIO_MODES) == {"link", "embed", "none"}


# ---- colours


def contrast(one, other):
    """WCAG 2.2, contrast ratio of two colours as ``#rrggbb``."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_contrast_of_black_and_white_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
def test_letters_and_marks_have_the_contrast_of_level_aa(tokens):
    for least, pairs in ((4.5, LETTERS_ON), (3.0, GRAPHICS_ON)):
        for name, grounds in pairs.items():
            for ground in grounds:
                found = contrast(tokens[name], tokens[ground])
                assert found >= least, f"{name} on {ground}: {found:.2f}"


def test_both_modes_have_the_same_tokens_and_css_uses_no_other_colour():
    assert LIGHT.keys() == DARK.keys()
    css = page_style()
    assert set(re.findall(r"var\(--([\w-]+)\)", css)) <= LIGHT.keys()
    rules = css[css.index("/* Elements") :]
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rules)
    assert css.index("prefers-color-scheme: dark") < css.index("/* Elements")
