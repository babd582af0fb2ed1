"""Numbers in any notation are read back, and text is never taken for numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_models.clips.tables.notation import in_plain_form, is_doubtful, readings
from base_models.clips.text_table import parse_number

NUMBERS = st.decimals(-(10**7), 10**7, places=2)
GROUPS = {",": [".", " ", "\u00a0", "\u202f", "'", ""], ".": [",", " ", "\u2019", ""]}


@given(
    numbers=st.lists(NUMBERS, min_size=1, max_size=6),
    point=st.sampled_from([",", "."]),
    data=st.data(),
)
def test_a_column_of_one_notation_is_read_back(numbers, point, data):
    group = data.draw(st.sampled_from(GROUPS[point]))
    cells = [
        f"{number:,}".replace(",", "_").replace(".", point).replace("_", group)
        for number in numbers
    ]
    plain = in_plain_form(cells) or cells
    assert [parse_number(cell) for cell in plain] == [float(n) for n in numbers]


@given(st.lists(st.text("0123456789,.e -'NA", max_size=7), max_size=5))
def test_what_is_rewritten_was_numbers_alone_and_is_plain(cells):
    plain = in_plain_form(cells)
    if plain is None:
        return
    assert len(plain) == len(cells)
    for before, after in zip(cells, plain, strict=True):
        assert after == before or (
            parse_number(after) is not None and after in readings(before)
        )
    assert not is_doubtful(cells)


@pytest.mark.parametrize(
    "cells",
    [
        ["3,5", "fast"],
        ["3,4,5", "3,4"],
        ["1,234", "5"],
        ["1.234", "3,5"],
        ["12,34,567"],
        ["1e400"],
        ["\u0663,\u0665"],
        ["3.5", "NA", ""],
        [],
        ["", "NA"],
    ],
)
def test_a_column_that_is_plain_text_or_in_doubt_stays_as_it_is(cells):
    assert in_plain_form(cells) is None


def test_a_column_in_doubt_is_called_so():
    assert is_doubtful(["1,234", "5"])
    assert is_doubtful(["1.234", "3,5"])
    assert not is_doubtful(["1.234", "3.5"])
    assert not is_doubtful(["1,234", "fast"])


def test_a_word_here_and_there_does_not_keep_a_column_from_being_read():
    cells = ["3,5", "good", *["2,25"] * 20]
    assert in_plain_form(cells) == ["3.5", "good", *["2.25"] * 20]
    assert in_plain_form(["good", *cells]) == ["good", "3.5", "good", *["2.25"] * 20]


def test_numbers_among_many_words_stay_as_they_are():
    titles = ["1,5", "Nocturne", "2,5", "Rain", "3,5"]
    assert in_plain_form(titles) is None
    assert not is_doubtful(titles)
