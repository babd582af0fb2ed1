"""Terms in a text: marked where a page uses them first, and gathered at its end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from ensemble.reporting.section import Section, Term


class TermMarks:
    """Marks the first use of each term on a page.

    Parameters
    ----------
    sections : of the page; the first explanation of a word holds
    """

    def __init__(self, sections: Iterable[Section]) -> None:
        self._terms: dict[str, Term] = {}
        for section in sections:
            for term in section.terms:
                self._terms.setdefault(term.word, term)
        self._unseen = set(self._terms)

        # Of two terms that begin alike, the longer one is meant where both fit.
        words = sorted(self._terms, key=len, reverse=True)
        pattern = "|".join(map(re.escape, words))
        self._pattern = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)" if words else r"(?!)")

    @property
    def glossary(self) -> list[tuple[str, Term]]:
        """The id and the term of each, in alphabetical order."""
        ordered = sorted(self._terms.values(), key=lambda term: term.word.casefold())
        return [(self._id(term.word), term) for term in ordered]

    def marked(self, text: str) -> Markup:
        """The escaped text, with what it uses first linked to its explanation."""
        parts = []
        done = 0
        for found in self._pattern.finditer(text):
            word = found.group()
            if word in self._unseen:
                self._unseen.discard(word)
                parts.append(escape(text[done : found.start()]))
                parts.append(self._mark(self._terms[word]))
                done = found.end()
        parts.append(escape(text[done:]))
        return Markup("").join(parts)

    def not_yet_explained(self, section: Section) -> Sequence[Term]:
        """Terms of a section that no text before its tables has explained.

        They stand in titles of columns and on pictures, where nothing can be marked.
        """
        terms = [term for term in section.terms if term.word in self._unseen]
        self._unseen -= {term.word for term in terms}
        return terms

    def _mark(self, term: Term) -> Markup:
        template = Markup('<dfn><a href="#{}" title="{}">{}</a></dfn>')
        return template.format(self._id(term.word), term.meaning, term.word)

    def _id(self, word: str) -> str:
        return f"term-{list(self._terms).index(word) + 1}"
