"""Recognize sources that are not NDJSON, to report that once instead of a rejected row for every line.

Pure, and cautious: a bad row must not affect the others, wherever it is. So a source is refused only

- if its first bytes are those of another format (archives, other compression, UTF-16, ...);
- as multi-line JSON, if its text begins with `[` and `{`, or with an open `{` and a line with a member, and
  it is one value as a whole, or fewer than half of the lines after the first, up to 100, are JSON objects;
- as a table or a page, if it begins like one (`<`; two or more columns, the same number in each of its first
  lines) and none of its first 100 lines is a JSON object;
- if it has 100 lines and none of the first 100 is a JSON object.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import orjson

MOST_HEAD_BYTES: Final = 256 * 1024
"""Maximum number of bytes examined."""

_LINES: Final = 100
_FEW_LINES: Final = 5
"""Number of lines that identify a table; all lines of a shorter source."""

_SEPARATORS: Final = ",;\t|"
_COLUMN: Final = re.compile(r"[\w .$/()\[\]-]{1,64}")
_ARRAY: Final = re.compile(rb"\s*\[\s*(\{|\]\s*\Z)")
_MARKUP: Final = re.compile(rb"\s*<(\?xml|!doctype|!--|[a-z][\w:.-]*[\s/>])", re.IGNORECASE)
_HTML: Final = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+)?html", re.IGNORECASE | re.DOTALL)
_GOES_ON: Final = (b"{", b"[", b",", b":")


@dataclass(frozen=True, slots=True)
class Format:
    """Another format.

    called: follows "is". filter: a command that converts it to NDJSON; otherwise `remedy`.
    """

    called: str
    filter: str = ""
    remedy: str = ""


class Verdict(Enum):
    ROWS = auto()
    UNDECIDED = auto()


_EXPORT: Final = "Write each row as one JSON object on its own line; `bulk-invite example` shows two."
_ARCHIVE: Final = "Unpack it, and name the NDJSON files inside."

_MAGIC: Final = (
    (b"\x1f\x8b\x08", Format("packed twice", filter="gzip -dc")),
    (b"\x28\xb5\x2f\xfd", Format("packed twice", filter="zstd -dc")),
    *(
        (b"BZh%d1AY&SY" % level, Format("compressed with bzip2", filter="bzip2 -dc"))
        for level in range(1, 10)
    ),
    (b"\xfd7zXZ\x00", Format("compressed with xz", filter="xz -dc")),
    (b"\x04\x22\x4d\x18", Format("compressed with lz4", filter="lz4 -dc")),
    (b"LZIP", Format("compressed with lzip", filter="lzip -dc")),
    (
        b"PK\x03\x04",
        Format("a ZIP archive or an Excel workbook", remedy=f"{_ARCHIVE} For a workbook: {_EXPORT}"),
    ),
    (b"7z\xbc\xaf\x27\x1c", Format("a 7z archive", remedy=_ARCHIVE)),
    (b"Rar!\x1a\x07", Format("a RAR archive", remedy=_ARCHIVE)),
    (b"PAR1", Format("a Parquet file", remedy=_EXPORT)),
    (b"Obj\x01", Format("an Avro file", remedy=_EXPORT)),
    (b"ORC\n", Format("an ORC file", remedy=_EXPORT)),
    (b"ARROW1\x00\x00", Format("an Arrow file", remedy=_EXPORT)),
    (b"SQLite format 3\x00", Format("a SQLite database", remedy=_EXPORT)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("an old Excel or Office file", remedy=_EXPORT)),
    (b"%PDF-", Format("a PDF", remedy=_EXPORT)),
    (b"\xff\xfe\x00\x00", Format("UTF-32, not UTF-8", filter="iconv -f UTF-32 -t UTF-8")),
    (b"\x00\x00\xfe\xff", Format("UTF-32, not UTF-8", filter="iconv -f UTF-32 -t UTF-8")),
    (b"{\x00\x00\x00", Format("UTF-32, not UTF-8", filter="iconv -f UTF-32LE -t UTF-8")),
    (b"\x00\x00\x00{", Format("UTF-32, not UTF-8", filter="iconv -f UTF-32BE -t UTF-8")),
    (b"\xff\xfe", Format("UTF-16, not UTF-8", filter="iconv -f UTF-16 -t UTF-8")),
    (b"\xfe\xff", Format("UTF-16, not UTF-8", filter="iconv -f UTF-16 -t UTF-8")),
    (b"{\x00", Format("UTF-16, not UTF-8", filter="iconv -f UTF-16LE -t UTF-8")),
    (b"\x00{", Format("UTF-16, not UTF-8", filter="iconv -f UTF-16BE -t UTF-8")),
)
"""If two begin alike, the longer one comes first."""

_TAR: Final = Format("a tar archive", remedy=_ARCHIVE)
_TAR_MARK: Final = (257, b"ustar")
_JSON_ARRAY: Final = Format("one JSON array, not NDJSON", filter="jq -c '.[]'")
_PRETTY: Final = Format("multi-line JSON; each row must be on a single line", filter="jq -c .")
_XML: Final = Format("XML, not NDJSON", remedy=_EXPORT)
_PAGE: Final = Format(
    "an HTML page, not NDJSON",
    remedy="Download it again: it may be a server's error page instead of the file.",
)
_UNKNOWN: Final = Format(
    f"not NDJSON: none of its first {_LINES} lines is a JSON object",
    remedy=f"{_EXPORT} To see what is wrong with the first lines: head FILE | bulk-invite validate -",
)


def recognize(head: bytes, *, is_whole: bool, may_wait: bool = True) -> Format | Verdict:
    """Recognize the format of a head. UNDECIDED: more data is needed.

    is_whole: nothing follows. may_wait: more data is available at once; otherwise no row is held back.
    """
    is_all = is_whole or len(head) >= MOST_HEAD_BYTES
    if not is_all and any(magic.startswith(head) for magic, _ in _MAGIC):
        return Verdict.UNDECIDED
    if (found := by_magic(head)) is not None:
        return found
    text = head.removeprefix(codecs.BOM_UTF8)
    lines = _lines(text, is_all=is_all)
    if not lines or _is_object(lines[0]):
        return Verdict.ROWS if lines or is_all else Verdict.UNDECIDED
    suspected = _suspected(text, lines)
    if suspected is None:
        return _if_none_is_a_row(lines, is_all=is_all or not may_wait)
    if suspected not in (_JSON_ARRAY, _PRETTY):
        return _judged(suspected, lines, is_all=is_all)
    # A line this long is not a row; what begins in it is an array.
    is_one = _is_json(text) if is_whole else is_all and len(lines) == 1
    return suspected if is_one else _judged_json(suspected, lines[1:], is_all=is_all, may_wait=may_wait)


def by_magic(head: bytes) -> Format | None:
    """Recognize the first bytes alone."""
    at, mark = _TAR_MARK
    if head[at : at + len(mark)] == mark:
        return _TAR
    return next((known for magic, known in _MAGIC if head.startswith(magic)), None)


def _lines(text: bytes, *, is_all: bool) -> list[bytes]:
    """The first complete lines that are not blank."""
    *ended, begun = text.split(b"\n", 2 * _LINES)
    if begun and is_all:
        ended.append(begun.partition(b"\n")[0])
    return [line.rstrip(b"\r") for line in ended if line.strip()][:_LINES]


def _suspected(text: bytes, lines: list[bytes]) -> Format | None:
    """What it looks like, if its first line is not a row."""
    if _ARRAY.match(text):
        return _JSON_ARRAY
    first = lines[0].strip()
    if first.startswith(b"{"):
        goes_on = all(line.lstrip().startswith((b'"', b"}")) for line in lines[1:2])
        return _PRETTY if first.endswith(_GOES_ON) and goes_on else None
    if _MARKUP.match(text):
        return _PAGE if _HTML.match(text) else _XML
    return _table(lines)


def _judged_json(suspected: Format, rest: list[bytes], *, is_all: bool, may_wait: bool) -> Format | Verdict:
    """rest: the lines after the first."""
    objects = sum(map(_is_object, rest))
    if len(rest) < _FEW_LINES and not is_all:
        return Verdict.ROWS if objects and not may_wait else Verdict.UNDECIDED
    # Arrays are also written with their first or last row on its own line.
    return Verdict.ROWS if objects * 2 >= len(rest) else suspected


def _judged(suspected: Format, lines: list[bytes], *, is_all: bool) -> Format | Verdict:
    if any(map(_is_object, lines)):
        return Verdict.ROWS
    if len(lines) >= (_FEW_LINES if not is_all else 1 if suspected in (_XML, _PAGE) else 2):
        return suspected
    return Verdict.ROWS if is_all else Verdict.UNDECIDED


def _if_none_is_a_row(lines: list[bytes], *, is_all: bool) -> Format | Verdict:
    if any(map(_is_object, lines)):
        return Verdict.ROWS
    if len(lines) == _LINES:
        return _UNKNOWN
    return Verdict.ROWS if is_all else Verdict.UNDECIDED


def _table(lines: list[bytes]) -> Format | None:
    try:
        texts = [line.decode() for line in lines[:_FEW_LINES]]
    except UnicodeDecodeError:
        return None
    for separator in _SEPARATORS:
        try:
            records = list(csv.reader(texts, delimiter=separator))
        except csv.Error:
            return None
        width = len(records[0])
        if width > 1 and all(map(_COLUMN.fullmatch, records[0])) and all(len(r) == width for r in records):
            kind = {",": "CSV", "\t": "TSV"}.get(separator, f"CSV with {separator!r} between its columns")
            return Format(f"{kind}, not NDJSON", remedy=_EXPORT)
    return None


def _is_object(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
