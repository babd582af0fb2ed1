"""Small spreadsheets, written part by part so that each can be made hostile."""

import zipfile
from xml.sax.saxutils import escape

_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="'
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    '"/></Types>'
)
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
    '<xf numFmtId="14"/></cellXfs></styleSheet>'
)


def cell_of_xlsx(place, value):
    """A cell: text, a number, True, or XML as it stands (bytes)."""
    if isinstance(value, bytes):
        return value.decode().replace("PLACE", place)
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        text = escape(value)
        return (
            f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{text}</t>'
            "</is></c>"
        )
    return f'<c r="{place}"><v>{value}</v></c>'


def sheet_of_xlsx(rows, more=""):
    """The XML of a sheet; None in a row is no cell."""
    text = f'<worksheet xmlns="{_MAIN}"><sheetData>'
    for number, row in enumerate(rows, start=1):
        cells = "".join(
            cell_of_xlsx(f"{'ABCDEFGH'[k]}{number}", value)
            for k, value in enumerate(row)
            if value is not None
        )
        text += f'<row r="{number}">{cells}</row>'
    return f"{text}</sheetData>{more}</worksheet>"


def write_xlsx(path, sheets, hidden=()):
    """Write sheets, name to XML or rows."""
    book = f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    links = f'<Relationships xmlns="{_LINKS}">'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, rows) in enumerate(sheets.items(), start=1):
            state = ' state="hidden"' if name in hidden else ""
            book += (
                f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"'
                f"{state}/>"
            )
            links += (
                f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" '
                f'Target="worksheets/sheet{number}.xml"/>'
            )
            data = rows if isinstance(rows, (str, bytes)) else sheet_of_xlsx(rows)
            archive.writestr(f"xl/worksheets/sheet{number}.xml", data)
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("xl/workbook.xml", f"{book}</sheets></workbook>")
        archive.writestr("xl/_rels/workbook.xml.rels", f"{links}</Relationships>")
        archive.writestr("xl/styles.xml", _STYLES)
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_LINKS}"><Relationship Id="rId1" '
            f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        archive.writestr("xl/media/picture.png", b"\x00" * 10)
    return path


_ODS = "application/vnd.oasis.opendocument.spreadsheet"
_NAMES = "urn:oasis:names:tc:opendocument:xmlns:"


def cell_of_ods(value):
    """A cell: text, a number, or XML as it stands (bytes)."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return (
            '<table:table-cell office:value-type="string"><text:p>'
            f"{escape(value)}</text:p></table:table-cell>"
        )
    return (
        f'<table:table-cell office:value-type="float" office:value="{value}">'
        f"<text:p>{value}</text:p></table:table-cell>"
    )


def write_ods(path, rows, more=""):
    """Write one sheet, `more` being rows as XML."""
    text = (
        f'<office:document-content xmlns:office="{_NAMES}office:1.0" '
        f'xmlns:table="{_NAMES}table:1.0" xmlns:text="{_NAMES}text:1.0" '
        'office:version="1.2"><office:body><office:spreadsheet>'
        '<table:table table:name="Blatt1">'
    )
    for row in rows:
        cells = "".join(map(cell_of_ods, row))
        text += f"<table:table-row>{cells}</table:table-row>"
    text += f"{more}</table:table></office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", _ODS)
        archive.writestr("content.xml", f"{text}</office:document-content>")
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{_NAMES}manifest:1.0">'
            f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{_ODS}"'
            "/></manifest:manifest>",
        )
    return path
