"""Pages of every element, and what is found in them: for tests of pages."""

import html.parser

from ensemble.reporting.section import (
    DECIDE,
    SUMMARY,
    Column,
    Drawing,
    Paragraph,
    Player,
    Provenance,
    Row,
    Section,
    Strip,
    Term,
    TextTable,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted' & <b>",
    "\u202eturned",
    "نظام الموسيقى",
    "\x1b[31mred\nline",
    "very_long_name_" * 20,
)
"""Names of systems, as data may have them."""
VOID = frozenset({"meta", "br", "wbr"})


class Parsed(html.parser.HTMLParser):
    """The elements of a page, each as a dict of tag, attributes, text and parents.

    Tags must be closed in order.
    """

    def __init__(self, source):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute of {tag} is there twice"
        parents = tuple(element["tag"] for element in self.open)
        element = {"tag": tag, "parents": parents, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, *tags):
        """The elements of these tags, in order."""
        return [element for element in self.elements if element["tag"] in tags]


def draw_line(axes):
    """A line, a bar and a name, for a chart of its own."""
    axes.plot([0, 1], [0, 1], label="kept")
    axes.bar([0, 1], [1, 2])
    axes.set_xlabel("promised")
    axes.legend()


def strip(mean=3.0):
    """A distribution of four bins around a mean."""
    return Strip((0.1, 0.4, 0.4, 0.1), mean=mean, low=mean - 0.5, high=mean + 0.5)


def systems_table(names=("alpha", "beta", "gamma"), paths=()):
    """Systems with scores that are in no order, a strip and a player each."""
    paths = paths or [f"wav/{k}.wav" for k in range(len(names))]
    rows = []
    for k, name in enumerate(names):
        score = 1 + (3 * k + 1) % 5 * 0.5
        cell = f"{score:.2f} [{score - 0.2:.2f}, {score + 0.2:.2f}]"
        cells = (name, cell, strip(score), Player(name, str(paths[k])))
        rows.append(Row(cells, "stack" if k == 0 else ""))
    titles = ("system", "mi [95 %]", "predicted", "listen")
    return TextTable(tuple(map(Column, titles)), tuple(rows))


def wide_table():
    """A board of ten columns, at two levels."""
    metrics = [
        Column(title, level)
        for level in ("utterance", "system")
        for title in ("MSE", "LCC", "SRCC", "KTAU")
    ]
    columns = (Column("aspect"), Column("model"), *metrics)
    rows = [
        Row(("mi", f"base_model_{k}", *(f"0.{m}{k} [0.10, 0.90]" for m in range(8))))
        for k in range(60)
    ]
    return TextTable(columns, tuple(rows))


def sections(names=("alpha", "beta", "gamma"), paths=()):
    """Sections of every element, for every reader."""
    mi = Term("mi", "musical impression, whatever the prompt was")
    pit = Term("PIT", "where a rating falls in its predicted distribution")
    drawings = tuple(Drawing(f"chart {k}", draw_line, "a line") for k in range(4))
    return [
        Section(
            paragraphs=(Paragraph("alpha is best in mi.", kind="verdict"),),
            points=("Others may differ in mi.",),
            reader=SUMMARY,
            terms=(mi,),
        ),
        Section(
            title="Ranking of systems",
            paragraphs=(Paragraph("Means with their intervals."),),
            tables=(systems_table(names, paths),),
            reader=DECIDE,
        ),
        Section(title="Charts: PIT", drawings=drawings, terms=(pit, mi)),
        Section(title="Board", tables=(wide_table(),)),
    ]


PROVENANCE = Provenance(
    command="predict_mos --clips 'my <clips>.csv'",
    version="1.2.3",
    date="2026-03-01 12:30 UTC",
    data="clips.csv",
    data_hash="ab" * 32,
    stack="ridge-1",
    stack_hash="cd" * 32,
)
