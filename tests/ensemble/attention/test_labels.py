"""Names on pictures: in a font that has their letters, or transliterated."""

from __future__ import annotations

import pytest

from ensemble.attention import labels


def test_what_the_usual_font_has_stays_and_needs_no_other():
    assert labels.short("Été №1 Ελ") == "Été №1 Ελ"
    assert labels.font_families(["Été №1 Ελ"]) == ["DejaVu Sans"]


def test_what_no_font_has_is_transliterated(monkeypatch):
    usual = labels._installed_fonts()[:1]
    labels._fonts_for.cache_clear()
    monkeypatch.setattr(labels, "_installed_fonts", lambda: usual)
    try:
        assert not labels.is_drawable("曲 №1")
        assert labels.short("曲 №1") == "Qu No1"
        assert labels.font_families(["曲"]) == ["DejaVu Sans"]
    finally:
        labels._fonts_for.cache_clear()


def test_another_font_is_taken_where_it_has_the_letters(monkeypatch):
    usual = labels._installed_fonts()[0]
    fonts = (usual, ("Songti", "songti.ttf"), ("Other", "other.ttf"))
    has = {"songti.ttf": {"曲"}}
    real = labels._with_glyph

    def with_glyph(path, chars):
        known = has.get(path)
        return real(path, chars) if path == usual[1] else chars & (known or set())

    labels._fonts_for.cache_clear()
    monkeypatch.setattr(labels, "_installed_fonts", lambda: fonts)
    monkeypatch.setattr(labels, "_with_glyph", with_glyph)
    try:
        assert labels.short("曲 1") == "曲 1"
        assert labels.font_families(["曲 1"]) == ["DejaVu Sans", "Songti"]
    finally:
        labels._fonts_for.cache_clear()


@pytest.mark.parametrize("name", ["مرحبا", "שלום"])
def test_writing_from_right_to_left_is_transliterated(name):
    # Its letters would stand in the wrong order.
    assert labels.short(name).isascii()
    assert labels.short(name)


def test_what_has_neither_letters_nor_a_transliteration_is_spelled_out():
    assert labels.short("\ue000") == r"'\ue000'" or labels.short("\ue000").isascii()


def test_a_label_is_cut_to_a_length():
    assert labels.short("x" * 99, longest=9) == "x" * 8 + "…"
