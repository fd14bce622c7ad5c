"""The results directory: rows are written unchanged, files appear whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import rows

from bulk_invite.domain.errors import ResultsError
from bulk_invite.domain.rows import Position, Row, RowError
from bulk_invite.runs.output.results_folder import Results
from bulk_invite.sources.file import resolve

ERRORS = (RowError("$.Invitation", "missing", "is missing"), RowError("$.x", "unknown", "is not known"))
AS_JSON = [
    {"path": "$.Invitation", "code": "missing", "message": "is missing"},
    {"path": "$.x", "code": "unknown", "message": "is not known"},
]
POSITION = Position("in.ndjson", 7)
NAMES = ["created.ndjson", "failed.ndjson", "rejected.ndjson"]
PARTIAL = [f"{name}.partial" for name in NAMES]

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
objects = st.dictionaries(st.text() | st.just("_bulk_invite"), values)


def row(data: bytes, *, oversized: bool = False) -> Row:
    return Row(POSITION, data, oversized=oversized)


def written(directory: Path, *rejected: Row) -> list[bytes]:
    """Lines of rejected.ndjson after a run that rejected these."""
    results = Results.open(directory)
    try:
        for each in rejected:
            results.rejected(each, ERRORS)
        results.close()
    finally:
        results.abandon()
    return (directory / "rejected.ndjson").read_bytes().splitlines()


def metadata(raw: str | None = None) -> dict[str, object]:
    about: dict[str, object] = {"position": {"source": "in.ndjson", "line": 7}, "errors": AS_JSON}
    return {"_bulk_invite": about if raw is None else {**about, "raw": raw}}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_every_outcome_has_its_file(tmp_path: Path) -> None:
    results = Results.open(tmp_path)
    results.created(POSITION, "token-1", "engi-1", "arn:aws:x")
    results.failed(row(b'{"a": 1}'), ERRORS)
    results.rejected(row(b"{}"), ())
    results.close()
    created, failed, rejected = (json.loads((tmp_path / name).read_bytes()) for name in NAMES)
    position = {"source": "in.ndjson", "line": 7}
    assert created == {"token": "token-1", "position": position, "Id": "engi-1", "Arn": "arn:aws:x"}
    assert failed == {"a": 1} | metadata()
    assert rejected == {"_bulk_invite": {"position": position, "errors": []}}


@given(
    value=objects,
    indent=st.sampled_from([None, 1]),
    space=st.sampled_from(["", " ", "\t", "\r"]),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_any_object_is_written_with_its_values(
    value: dict[str, Any], indent: int | None, space: str, bom: bytes
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    data = bom + (space + text + space).encode(errors="surrogatepass")
    with TemporaryDirectory() as directory:
        [line] = written(Path(directory), row(data))
    found = json.loads(line)
    assert list(found)[-1] == "_bulk_invite"
    assert found.pop("_bulk_invite") == metadata()["_bulk_invite"]
    value.pop("_bulk_invite", None)
    assert found == value
    assert list(found) == list(value)


@pytest.mark.parametrize(
    "member",
    [
        '"n":123456789012345678901234567890',
        f'"n":{"9" * 5000}',
        '"n":0.1000000000000000055511151231257827',
        '"n":-0',
        '"n":1e999',
        '"s":"\\u00e9\\/\\ud83d\\ude00"',
        '"s":"\\ud800"',
        '"s":"}, \\"_bulk_invite\\": {"',
        '"deep":{"_bulk_invite" : [ {} , [ ] ]}',
    ],
)
@pytest.mark.parametrize(
    "row_text",
    [
        "{%s}",
        '{%s,"_bulk_invite":{"a":[1,{"b":"}"}]}}',
        '{"_bulk_invite" : 1 , %s }',
        '{"\\u005fbulk_invite":0,%s}',
    ],
)
def test_a_member_keeps_its_spelling(tmp_path: Path, row_text: str, member: str) -> None:
    assert written(tmp_path, row((row_text % member).encode())) == [
        ("{" + member + "," + json.dumps(metadata(), separators=(",", ":"))[1:]).encode()
    ]


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        (b"not json", "not json"),
        (b"[1]", "[1]"),
        (b'{"a":1,"a":2}', '{"a":1,"a":2}'),
        (b'{"a":{"b":1,"b":1}}', '{"a":{"b":1,"b":1}}'),
        (b'{"_bulk_invite":1,"_bulk_invite":2}', '{"_bulk_invite":1,"_bulk_invite":2}'),
        (b'{"a":NaN}', '{"a":NaN}'),
        (b'{"a":1} {}', '{"a":1} {}'),
        (b'{"a":"caf\xe9"}', '{"a":"caf\\xe9"}'),
        (b'{"a":' + b"[" * 100_000, '{"a":' + "[" * 100_000),
        (b'{"a":' + b"[" * 1010 + b"]" * 1010 + b"}", '{"a":' + "[" * 1010 + "]" * 1010 + "}"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_row_that_is_no_strict_object_is_kept_as_text(tmp_path: Path, data: bytes, raw: str) -> None:
    assert [json.loads(line) for line in written(tmp_path, row(data))] == [metadata(raw)]


def test_uncorrected_text_is_not_lost_in_the_next_run(tmp_path: Path) -> None:
    again = [row(line) for line in written(tmp_path, row(b"not json"))]
    assert [json.loads(line) for line in written(tmp_path, *again)] == [metadata("not json")]
    mended = b'{"a":1,' + again[0].data[1:]
    assert [json.loads(line) for line in written(tmp_path, row(mended))] == [{"a": 1} | metadata()]


def test_an_oversized_row_is_recorded_only_by_its_location(tmp_path: Path) -> None:
    assert [json.loads(line) for line in written(tmp_path, row(b"", oversized=True))] == [metadata()]


def test_a_corrected_file_is_a_source_of_the_run_that_replaces_it(tmp_path: Path) -> None:
    count = 5000
    written(tmp_path, *(row(b'{"n":%d}' % n) for n in range(count)))
    results = Results.open(tmp_path)
    for each in rows(resolve([str(tmp_path / "rejected.ndjson")])[0]):
        if each.position.line % 2:
            results.rejected(each, ())
    assert len((tmp_path / "rejected.ndjson").read_bytes().splitlines()) == count
    results.close()
    left = [json.loads(line) for line in (tmp_path / "rejected.ndjson").read_bytes().splitlines()]
    assert [each["n"] for each in left] == list(range(0, count, 2))
    assert left[1]["_bulk_invite"]["position"] == {"source": str(tmp_path / "rejected.ndjson"), "line": 3}


def test_an_abandoned_run_replaces_nothing(tmp_path: Path) -> None:
    before = written(tmp_path, row(b'{"n":1}'))
    results = Results.open(tmp_path)
    results.rejected(row(b'{"n":2}'), ())
    results.abandon()
    results.close()
    assert (tmp_path / "rejected.ndjson").read_bytes().splitlines() == before
    assert b'"n":2' in (tmp_path / "rejected.ndjson.partial").read_bytes()


def test_files_are_private_and_get_their_names_at_the_end(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "out"
    umask = os.umask(0)
    try:
        results = Results.open(directory)
    finally:
        os.umask(umask)
    assert names(directory) == PARTIAL
    results.close()
    results.close()
    assert names(directory) == NAMES
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE((directory / name).stat().st_mode) for name in NAMES} == {0o600}


def test_files_of_a_killed_run_are_replaced_and_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / PARTIAL[0]).write_text("half a li")
    (out / PARTIAL[0]).chmod(0o644)
    (out / PARTIAL[1]).symlink_to(victim)
    written(out)
    assert names(out) == NAMES
    assert [(out / name).read_bytes() for name in NAMES] == [b"", b"", b""]
    assert stat.S_IMODE((out / NAMES[0]).stat().st_mode) == 0o600
    assert victim.read_text() == "precious"


def test_two_runs_do_not_share_a_directory(tmp_path: Path) -> None:
    first = Results.open(tmp_path)
    with pytest.raises(ResultsError, match="Another run is writing its results to"):
        Results.open(tmp_path)
    first.close()
    Results.open(tmp_path).close()


def test_a_directory_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(ResultsError, match=r"Results cannot be written to .+: .+\. Check"):
            Results.open(path)
    (tmp_path / PARTIAL[2]).mkdir()
    with pytest.raises(ResultsError, match=r"Results cannot be written to"):
        Results.open(tmp_path)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the system refuse what goes beyond, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_reported_and_replaces_nothing(tmp_path: Path) -> None:
    before = written(tmp_path, row(b'{"n":1}'))
    for count in (1, 1000):  # seen by close, and by a write
        with files_up_to(100), pytest.raises(ResultsError, match=r": File too large\. .*free space"):
            written(tmp_path, *[row(b'{"n":2}')] * count)
        assert (tmp_path / "rejected.ndjson").read_bytes().splitlines() == before
