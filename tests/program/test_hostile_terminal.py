"""No control character of rows, file names or the service reaches a terminal."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import (
    FAST,
    Ran,
    Reply,
    Request,
    ScriptedServer,
    http,
    refusal,
    run,
    run_on_terminal,
    together,
)
from rows import make_row, write_rows
from sensitive import sensitive_values

from bulk_invite.cli.csv_cells import cell
from bulk_invite.domain.texts import escaped_json
from bulk_invite.validation.service_model import load

EVIL = "\x1b]0;owned\x07\x1b[6n\x9b2J\x7f\x08\r\n\x85\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR}\x1bc"
ROW_EVIL = EVIL.replace("\n", "")  # the service takes no line end in a token
FORMULA = "=HYPERLINK(A1);@SUM(A1)"
SOURCE = f"rows{EVIL}.ndjson"
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?K|\x1b\[[0-9]*A|\r\n|\r|\n")
"""Colors, the cursor of the bar, and line ends."""


def check_printable(*texts: str, ours: str = r"\n") -> None:
    for text in texts:
        strange = {each for each in re.sub(ours, "", text) if not each.isprintable()}
        assert not strange, ascii(text)


def hostile_row(number: int) -> dict[str, Any]:
    row = make_row(number, ClientToken=f"{FORMULA}{number}{ROW_EVIL}")
    row["Invitation"]["Message"] = f"Secret message {number} {EVIL}"
    return row


BROKEN = [
    *(EVIL.replace("\n", ""), f'{{"{ROW_EVIL}": 1}}', json.dumps({EVIL: 1, "Catalog": EVIL})),
    *(json.dumps(make_row(90, EngagementIdentifier=EVIL)), '{"\x7f\x9b\u202e":[]}', "[]"),
]


def answer(request: Request) -> Reply:
    """By the number of the row: every place in which the service says something."""
    secret = request.json["Invitation"]["Message"]
    named = {"x_amzn_RequestId": "r\x1b[6n\x9b"}
    entry = {"FieldName": secret, "Code": EVIL, "Message": secret}
    replies = [
        http(200, {"Id": "engi-1", "Arn": f"arn{EVIL}"}, **named),
        refusal("ValidationException", Message=secret, ErrorList=[entry]),
        refusal("ValidationException", Message=secret, Reason=EVIL, ErrorList=[entry, entry]),
        refusal("ResourceNotFoundException", Message=secret),
        refusal("ConflictException", Message=secret),
        refusal("ServiceQuotaExceededException", Message=secret),
        http(200, secret.encode(), content_type="text/html", **named),
        http(200, {"Id": f"engi{EVIL}", "Arn": "arn:aws:any"}, **named),
    ]
    return Reply(replies[int(request.json["EngagementIdentifier"].removeprefix("eng-")) % len(replies)])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answer) as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / SOURCE, [*map(hostile_row, range(8)), *BROKEN])


def send_options(server: ScriptedServer, log_format: str) -> list[str]:
    loud = ["--log-level", "debug", "--log-format", log_format, "--max-attempts", "1"]
    return ["--endpoint-url", server.url, *FAST, *loud, "--checkpoint", f"{log_format}.db"]


def secrets() -> set[str]:
    values = set().union(*(sensitive_values(load(), hostile_row(number)) for number in range(8)))
    return {value for value in values if len(value) > 4} | {"Secret message"}


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_text_of_a_row_or_the_service_controls_a_reader_of_our_output(
    server: ScriptedServer, source: Path, log_format: str
) -> None:
    cwd = source.parent
    sent = run("send", source.name, *send_options(server, log_format), "--results", f"out{EVIL}", cwd=cwd)
    assert (sent.code, len({call.json["ClientToken"] for call in server.creates})) == (1, 8)
    assert (sent.json["created"], sent.json["rejected"]) == (1, len(BROKEN))
    assert sent.json["failed"] >= 3
    stored = ("--checkpoint", f"{log_format}.db")
    shown = together(
        partial(run, "export", *stored, "--format", "csv", cwd=cwd),
        partial(run, "status", *stored, cwd=cwd),
        partial(run, "validate", source.name, cwd=cwd),
        partial(run, "validate", source.name, "--json", cwd=cwd),
    )
    assert [ran.code for ran in shown] == [0, 0, 1, 1]
    for ran in (sent, *shown):
        check_printable(ran.stdout, ran.stderr)
        assert not {secret for secret in secrets() if secret in ran.stdout + ran.stderr}
    # Escaped text keeps its meaning.
    assert json.loads(shown[3].stdout)["first"][0]["position"]["source"] == source.name
    assert "owned" in sent.stderr
    assert "owned" in shown[0].stdout
    # Nor a spreadsheet, whichever separator it takes.
    cells = list(csv.DictReader(io.StringIO(shown[0].stdout)))
    assert len(cells) == 8 + len(BROKEN)
    tokens = {each["token"] for each in cells if each["token"]}
    assert all(token.startswith("'=HYPERLINK(A1);'@SUM(A1)") for token in tokens)
    assert len(tokens) == 8


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(f"{sign}1", f"'{sign}1") for sign in "=+-@\uff1d\uff20"],
        ("\t=1", "\\t=1"),
        ("\r=1", "\\r=1"),
        ("\n", "\\n"),
        (" =1", "' =1"),
        ("a;=1", "a;'=1"),
        ("a; -1", "a;' -1"),
        ("a=1", "a=1"),
        ("arn:aws:x", "arn:aws:x"),
        ("", ""),
        (-1, -1),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(value: object, shown: object) -> None:
    assert cell(value) == shown


def test_a_terminal_gets_only_our_own_colors_and_lines(server: ScriptedServer, source: Path) -> None:
    code, _, screen = run_on_terminal(
        "send", source.name, *send_options(server, "console"), cwd=source.parent, stdout_too=True
    )
    assert code == 1
    assert screen.count("owned") >= 7
    check_printable(screen, ours=OURS.pattern)
    assert not {secret for secret in secrets() if secret in screen}
    code, _, screen = run_on_terminal("validate", source.name, cwd=source.parent, stdout_too=True)
    assert code == 1
    check_printable(screen, ours=OURS.pattern)


def test_an_unfamiliar_error_code_is_shown_in_printable_characters(source: Path) -> None:
    def script(request: Request) -> Reply:
        return Reply(refusal(f"Validation{EVIL}", Message=request.json["Invitation"]["Message"]))

    with ScriptedServer(script) as server:
        ran = run("send", source.name, *send_options(server, "console"), cwd=source.parent)
    assert ran.code == 1
    assert "Unfamiliar.400." in ran.stderr
    check_printable(ran.stdout, ran.stderr)


def test_results_escape_terminal_control_sequences(server: ScriptedServer, source: Path) -> None:
    cwd = source.parent
    run("send", source.name, *send_options(server, "json"), "--results", "out", cwd=cwd)
    created, failed, rejected = (
        (cwd / "out" / f"{name}.ndjson").read_text("utf-8") for name in ("created", "failed", "rejected")
    )
    check_printable(created, failed)
    ours = [json.loads(line) for line in created.splitlines()]
    assert [(each["Id"], each["Arn"], each["token"]) for each in ours] == [
        ("engi-1", "", f"{FORMULA}0{ROW_EVIL}")
    ]
    assert [json.loads(line)["ClientToken"] for line in failed.splitlines()]
    # Members of a row stay as they were written; what we say of it is escaped.
    metadata = [line.partition('"_bulk_invite":')[2] for line in rejected.split("\n")]
    check_printable(*metadata)
    assert json.loads(rejected.split("\n")[0])["_bulk_invite"]["raw"] == EVIL.replace("\n", "")


def said(ran: Ran, code: int) -> None:
    assert ran.code == code
    assert "owned" in ran.stderr
    check_printable(ran.stdout, ran.stderr)


def test_no_error_about_a_name_controls_a_terminal(tmp_path: Path) -> None:
    torn = f"torn{EVIL}.gz"
    (tmp_path / torn).write_bytes(gzip.compress(b"{}\n" * 99)[:-9])
    wide = f"wide{EVIL}"
    (tmp_path / wide).write_bytes("{}".encode("utf-16"))
    (tmp_path / f"folder{EVIL}").mkdir()
    rows = write_rows(tmp_path / "rows.ndjson", [make_row(0)])
    here = partial(partial, run, cwd=tmp_path)
    ran = together(
        *(here("validate", name) for name in (torn, wide, f"gone{EVIL}", f"*{EVIL}", f"folder{EVIL}")),
        here("validate", rows, "--results", f"rows.ndjson/{EVIL}"),
        here("validate", rows, "--service-model", f"gone{EVIL}"),
        here("status", "--checkpoint", f"gone{EVIL}"),
        here("send", rows, "--checkpoint", f"gone{EVIL}/x.db", *FAST, "--endpoint-url", "http://127.0.0.1:1"),
    )
    for each in ran:
        said(each, 4)
    said(run("validate", rows, "--config", f"gone{EVIL}", cwd=tmp_path), 2)


@pytest.mark.parametrize("command", [("export",), ("status", "--json")], ids=lambda command: command[0])
def test_json_of_the_checkpoint_is_printable(
    server: ScriptedServer, source: Path, command: tuple[str, ...]
) -> None:
    checkpoint = f"hostile{EVIL}.db"
    options = [*send_options(server, "json"), "--checkpoint", checkpoint]
    assert run("send", source.name, *options, cwd=source.parent).json["created"] == 1
    ran = run(*command, "--checkpoint", checkpoint, cwd=source.parent)
    assert "owned" in ran.stdout
    check_printable(ran.stdout, ran.stderr)


def test_the_confirmation_prompt_is_printable(server: ScriptedServer, source: Path) -> None:
    options = [*send_options(server, "console"), "--catalog", "AWS"]
    code, _, screen = run_on_terminal("send", source.name, *options, cwd=source.parent, typed="n\n")
    assert code == 2
    check_printable(screen, ours=OURS.pattern)


def test_an_id_with_invalid_unicode_does_not_end_the_run(source: Path) -> None:
    with ScriptedServer(lambda _: Reply(http(200, {"Id": "engi-\ud800", "Arn": "arn:\udfff"}))) as server:
        ran = run("send", source.name, *send_options(server, "json"), cwd=source.parent)
    assert (ran.code, ran.json["created"], ran.json["in_doubt"]) == (1, 0, 8)


def test_escaped_json_means_the_same() -> None:
    for code in [*range(0xD800), *range(0xE000, 0x11000), 0x1F44B, 0xE0001, 0x10FFFF]:
        text = json.dumps({"\x7f": chr(code)}, ensure_ascii=False)
        shown = escaped_json(text)
        assert shown.isprintable()
        assert json.loads(shown) == {"\x7f": chr(code)}
        assert (chr(code) in shown) == (chr(code).isprintable() and code not in {0x22, 0x5C}) or code < 0x80
