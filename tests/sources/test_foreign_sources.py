"""Files other than NDJSON are reported once, before any call, with a working remedy; a bad row is a row."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import shlex
import sqlite3
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from itertools import takewhile
from pathlib import Path

import pytest
import zstandard
from command import emulator, run
from following import Consumer
from rows import make_rows, ndjson, write_rows
from source_files import PACKERS, file, numbered, rows

from bulk_invite.domain.errors import SourceError
from bulk_invite.sources.file import resolve
from bulk_invite.sources.first_bytes import only_rows
from bulk_invite.sources.format_detection import MOST_HEAD_BYTES, Format, Verdict, recognize
from bulk_invite.sources.ndjson import NdjsonSource

ROWS = make_rows(300)
NDJSON = ndjson(ROWS)
FEW = ndjson(ROWS[:3])


def table(separator: str, count: int = 300) -> bytes:
    head = ("EngagementIdentifier", "Receiver.Alias", "Message")
    lines = [
        head,
        *((f"eng-{n:014}", "Aveline", f'"Would you, on ""{n:05}"", join?"') for n in range(count)),
    ]
    return "".join(separator.join(line) + "\r\n" for line in lines).encode()


def members(kind: Callable[[io.BytesIO], tarfile.TarFile | zipfile.ZipFile]) -> bytes:
    packed = io.BytesIO()
    with kind(packed) as archive:
        if isinstance(archive, tarfile.TarFile):
            archive.addfile(info := tarfile.TarInfo("rows.ndjson"), None)
            assert info.size == 0
        else:
            archive.writestr("rows.ndjson", NDJSON)
    return packed.getvalue()


def database() -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE a (b)")
        return connection.serialize()


def pretty(rows: list[dict[str, object]], indent: int | str = 2) -> bytes:
    return "\n".join(json.dumps(row, indent=indent) for row in rows).encode()


def elements(begin: str, between: str, end: str) -> bytes:
    return (begin + between.join(map(json.dumps, ROWS)) + end).encode()


JSON = {
    "an array": json.dumps(ROWS).encode(),
    "an array, short": json.dumps(ROWS[:2]).encode() + b"\n",
    "an array, long": json.dumps(make_rows(600)).encode(),
    "an array, indented": json.dumps(ROWS, indent=2).encode(),
    "an array, a row a line": elements("[\n", ",\n", "\n]\n"),
    "an array, a row a line, comma first": elements("[\n", "\n,", "\n]\n"),
    "an array, begun with a row": elements("[", ", \n ", "]"),
    "an array, of one row on its line": b"[\n" + ndjson(ROWS[:1]) + b"]\n",
    "an array, of nothing": b"[]\n",
    "an array, after a mark": b"\xef\xbb\xbf\r\n" + json.dumps(ROWS, indent=1).encode(),
    "indented": pretty(ROWS),
    "indented, one": pretty(ROWS[:1]),
    "indented, two": pretty(ROWS[:2]) + b"\n",
    "indented by tabs": pretty(ROWS, "\t"),
    "indented, begun in its first line": pretty(ROWS).replace(b"{\n  ", b"{ "),
    "utf-16": NDJSON.decode().encode("utf-16"),
    "utf-16-be": NDJSON.decode().encode("utf-16-be"),
    "utf-16-le": NDJSON.decode().encode("utf-16-le"),
    "utf-32": NDJSON.decode().encode("utf-32"),
    "utf-32-be": ("\ufeff" + NDJSON.decode()).encode("utf-32-be"),
    "utf-32-le": NDJSON.decode().encode("utf-32-le"),
    "bzip2": bz2.compress(NDJSON),
    "xz": lzma.compress(NDJSON),
}
"""With the command that makes NDJSON of it."""

OTHERS = {
    "CSV, not NDJSON": table(","),
    "CSV with ';' between its columns": table(";"),
    "TSV, not NDJSON": table("\t"),
    "XML, not NDJSON": b'<?xml version="1.0"?>\n<rows>\n' + b"<row/>\n" * 99,
    "an HTML page": b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>\n</body></html>\n",
    "a ZIP archive": members(lambda packed: zipfile.ZipFile(packed, "w")),
    "a tar archive": members(lambda packed: tarfile.TarFile(fileobj=packed, mode="w")),
    "a Parquet file": b"PAR1" + bytes(100) + b"PAR1",
    "a SQLite database": database(),
    "not NDJSON: none of its first 100 lines": b"- Catalog: Sandbox\n  Message: Hello\n" * 60,
}


def refusal(source: Path | str) -> str:
    with pytest.raises(SourceError) as raised:
        resolve([str(source)])
    assert raised.value.exit_code == 4
    return str(raised.value)


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("data", JSON.values(), ids=JSON)
def test_the_suggested_command_converts_the_file_to_rows(tmp_path: Path, data: bytes, packing: str) -> None:
    path = tmp_path / f"of june.json{packing}"
    path.write_bytes(packed := PACKERS[packing](data))
    found = re.search(r"^(.*): is .*\. Convert it to NDJSON: `(.*)`$", refusal(path))
    assert found is not None
    assert found[1] == str(path)
    subprocess.run(found[2], shell=True, check=True, timeout=30)
    made = rows(resolve([shlex.split(found[2])[-1]])[0])
    read = [json.loads(row.data) for row in made]
    assert read == make_rows(600)[: len(read)]
    assert len(read) > 0 or data.startswith(b"[]")
    assert path.read_bytes() == packed


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize(("called", "data"), OTHERS.items(), ids=OTHERS)
def test_a_file_that_is_no_ndjson_is_named_by_its_format(
    tmp_path: Path, called: str, data: bytes, packing: str
) -> None:
    path = tmp_path / f"rows.ndjson{packing}"
    path.write_bytes(PACKERS[packing](data))
    sentence = refusal(path)
    assert sentence.startswith(f"{path}: is {called}")
    assert len(sentence.removeprefix(f"{path}: is {called}")) > 40, "it says what to do"


def test_a_file_compressed_twice_is_reported_with_a_command(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson.gz"
    path.write_bytes(gzip.compress(gzip.compress(NDJSON)))
    sentence = refusal(path)
    assert "is packed twice" in sentence
    subprocess.run(sentence.split("`")[1], shell=True, check=True, timeout=30)
    assert (tmp_path / "rows.ndjson").read_bytes() == NDJSON
    assert "rows.rows.ndjson" in refusal(path), "an existing file is not overwritten"


@pytest.mark.parametrize("name", ["rows.gz", "rows.zst"])
def test_a_compression_suffix_does_not_hide_the_format(tmp_path: Path, name: str) -> None:
    for called, data in OTHERS.items():
        (tmp_path / name).write_bytes(data)
        assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: is {called}")


BAD = [
    *(b"", b"{", b"[", b"}", b"]", b"[]", b"[1, 2]", b"[{}]", b'[{"a": 1}', b"null", b"1", b'"a"', b"{}{}"),
    *(b'{"a": 1,', b'{"a": [', b"{ 'a': 1 }", b"a,b,c", b"a;b", b"a\tb", b"<html>", b"<?xml?>", b"# comment"),
    *(
        b"{'a': 1}",
        b'"Catalog","ClientToken"',
        b"\x00",
        b"\xff",
        b'{"a": "\xff"}',
        b"P",
        b"BZ",
        b"\x28",
        b"[" * 999,
    ),
]


@pytest.mark.parametrize("ended", [b"\n", b"\r\n"])
@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_a_bad_first_line_rejects_only_itself(tmp_path: Path, bad: bytes, ended: bytes) -> None:
    for good in (NDJSON, FEW):
        found = numbered(rows(file(tmp_path / "rows.ndjson", bad + ended + good.replace(b"\n", ended))))
        first = [(1, bad)] if bad else []
        assert found == first + list(enumerate(good.splitlines(), start=2))


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_bad_lines_between_rows_are_rejected_rows(bad: bytes) -> None:
    head = b"".join(line + b"\n" + bad + b"\n" for line in NDJSON.splitlines()[:200])
    assert recognize(head, is_whole=True) is Verdict.ROWS
    assert recognize(bad + b"\n" + head, is_whole=True) is Verdict.ROWS


@pytest.mark.parametrize("data", [NDJSON, *JSON.values(), *OTHERS.values()])
def test_the_detected_format_does_not_depend_on_block_sizes(data: bytes) -> None:
    """Undecided until it is known, and then final; it does not wait for the rest of a large file."""
    last = recognize(data[: MOST_HEAD_BYTES + 1], is_whole=len(data) <= MOST_HEAD_BYTES)
    assert last is not Verdict.UNDECIDED
    ends = [*range(300), *range(300, len(data), 4_999)]
    seen = {str(recognize(data[:end], is_whole=False)) for end in ends}
    assert seen <= {str(last), str(Verdict.UNDECIDED)}


def test_any_bytes_are_accepted_or_refused() -> None:
    for seed in range(200):
        noise = os.urandom(seed * 7)
        assert isinstance(recognize(noise, is_whole=True), Format | Verdict)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (JSON["an array, a row a line"], "put `jq -c '.[]'` before bulk-invite in the pipe."),
        (OTHERS["CSV, not NDJSON"], "bulk-invite example"),
        (gzip.compress(JSON["indented"]), "put `jq -c .` before bulk-invite in the pipe."),
    ],
    ids=["array", "CSV", "packed"],
)
def test_foreign_standard_input_is_reported_before_its_first_row(data: bytes, said: str) -> None:
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        os.write(writing, data[:60_000])
        os.close(writing)
        with pytest.raises(SourceError, match=r"^Standard input: is ") as raised:
            next(NdjsonSource("-").batches())
        assert said in str(raised.value)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)


@pytest.mark.parametrize("bad", [b"[", b"[{}]", b"{", b"<a>", b"a,b"])
def test_format_detection_delays_no_row_of_a_pipe(bad: bytes) -> None:
    """Whatever its first line looks like; a reader that waits for more would wait forever."""
    ready = only_rows(iter([bad + b"\n", b"", FEW, b"", b"later"]))
    assert b"".join(takewhile(lambda block: block != b"later", ready)) == bad + b"\n" + FEW


def test_a_writer_of_a_fifo_is_judged_independently_of_the_one_before(tmp_path: Path) -> None:
    """A few foreign lines are bad rows; many of them are reported as a foreign file."""
    os.mkfifo(tmp_path / "fifo")
    source = NdjsonSource(str(tmp_path / "fifo"))
    source.poll = 0.05
    consumer = Consumer(source)
    consumer.heartbeats(1)
    for data in (b'[{"n": 1}]\n', b'{\n  "n": 1\n}\n', b"a,b\n1,2\n", FEW):
        (tmp_path / "fifo").write_bytes(data)
        consumer.heartbeats(2)
    assert len(consumer.seen) == 1 + 3 + 2 + 3
    (tmp_path / "fifo").write_bytes(OTHERS["CSV, not NDJSON"][:3000])
    with pytest.raises(SourceError, match="is CSV, not NDJSON"):
        consumer.heartbeats(1)


def test_nothing_is_sent_if_one_source_is_foreign(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.ndjson", ROWS[:3])
    (tmp_path / "b.json").write_bytes(JSON["an array"])
    (tmp_path / "c.csv").write_bytes(OTHERS["CSV, not NDJSON"])
    (tmp_path / "d.ndjson.zst").write_bytes(zstandard.compress(JSON["indented"]))
    with emulator() as service:
        for name in ("b.json", "c.csv", "d.ndjson.zst"):
            ran = run("send", "a.ndjson", name, "--endpoint-url", service.url, "--json", cwd=tmp_path)
            assert (ran.code, ran.json["error"]["code"]) == (4, "source")
            assert ran.said.startswith(f"bulk-invite: {name}: is ")
            assert ran.stderr.splitlines()[1:] == ["See: bulk-invite manual rows"]
        ran = run("validate", "c.csv", cwd=tmp_path)
        assert (ran.code, ran.stdout) == (4, "")
        assert service.calls() == []
