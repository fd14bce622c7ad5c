"""Faults before the first byte leaves: a sentence about the sender, no doubt about a row, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from certificates import CERTIFICATES
from checkpoints import NOW, Place, admit, writing
from clearances import cleared
from command import (
    CREATED,
    CREDENTIALS,
    FAST,
    ScriptedServer,
    always,
    emulator,
    environment,
    http,
    run,
    running,
    wait_until,
)
from emulator_client import eventually
from facts import RowFacts, RunFacts
from fakes import invitation
from misconfigured import ALL, ROLE, SECRET, WAYS, Wrong, process, profile
from rows import make_rows, write_rows
from test_partner_central import body, connection

from bulk_invite.cli.doctor.all_checks import checks_of
from bulk_invite.cli.doctor.check import run_in_order
from bulk_invite.domain.classify import classify
from bulk_invite.domain.errors import BulkInviteError, SenderError, SettingError
from bulk_invite.domain.events import Sent
from bulk_invite.domain.next_step import StopRun, Until, Wait, next_step
from bulk_invite.domain.outcomes import NOT_COUNTED
from bulk_invite.domain.sender_fault import Fault, Recovery
from bulk_invite.domain.transitions import after_answer, reason_to_stop
from bulk_invite.domain.verdicts import (
    Created,
    Doubtful,
    NoAnswer,
    SenderRefused,
    State,
    Unknown,
    Unreachable,
    Verdict,
)
from bulk_invite.partner_central import connect
from bulk_invite.runs.settings.model import Settings

pytestmark = pytest.mark.anyio

Setting = Callable[[Wrong], str]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """Gives the process the wrong environment; returns an endpoint that would accept calls."""
    with ExitStack() as stack:

        def set_up(wrong: Wrong) -> str:
            service = stack.enter_context(ScriptedServer(always(CREATED)))
            keys = stack.enter_context(ScriptedServer(always(b""), others=lambda: wrong.answer))
            values = {
                name: text.replace("{url}", keys.url) for name, text in wrong.environment(tmp_path).items()
            }
            wanted = {name: text for name, text in environment(**values).items() if text}
            for name in os.environ.keys() - wanted.keys():
                monkeypatch.delenv(name)
            for name, value in wanted.items():
                monkeypatch.setenv(name, value)
            return service.url

        yield set_up


async def refusal_of(url: str) -> BulkInviteError:
    with pytest.raises(BulkInviteError) as caught:
        async with connect(connection(url)):
            pass
    return caught.value


@pytest.mark.parametrize("name", ALL)
async def test_a_sender_fault_is_one_sentence_that_names_the_setting(wrongly: Setting, name: str) -> None:
    wrong = ALL[name]
    error = await refusal_of(wrongly(wrong))
    assert wrong.said in str(error)
    assert (SECRET in str(error), "There are no AWS credentials" in str(error)) == (False, False)
    assert type(error) is (SettingError if wrong.recovery is Recovery.RESTART else SenderError)
    assert error.exit_code == 4
    assert error.retryable is (wrong.recovery is not Recovery.RESTART)


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
async def test_an_empty_profile_name_is_not_the_default_profile(
    wrongly: Setting, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    url = wrongly(Wrong(lambda _: CREDENTIALS, ""))
    monkeypatch.setenv(variable, "")
    error = await refusal_of(url)
    assert isinstance(error, SettingError)
    assert str(error).startswith(f"{variable} is empty")


@pytest.mark.parametrize(
    "name",
    [*WAYS, "process unbalanced quotes", "token file missing", "MFA", "metadata timeout", "container null"],
)
async def test_doctor_reports_it_in_the_same_words(wrongly: Setting, tmp_path: Path, name: str) -> None:
    url = wrongly(ALL[name])
    error = await refusal_of(url)
    options: dict[str, Any] = {"endpoint_url": url, "checkpoint": str(tmp_path / "a.db")}
    settings = Settings(**options)
    async with AsyncExitStack() as stack:
        checks = {each.name: each for each in checks_of(settings, [], None, stack, 10.0)}
        # The check of the connection to the endpoint reports the fault of the connection.
        found = await run_in_order([checks["endpoint"], checks["credentials"]], 10.0, lambda _: None)
    said = [(each.found, each.mend) for each in found if each.result == "failed"]
    assert said == [(error.args[0], error.hint)] * (2 if name in WAYS else 1)


# A call that did not leave


FAULT = Fault("A setting is wrong.", "Mend it.")
PASSING = Fault("A file is away.", "Put it there.", Recovery.TRANSIENT)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (NoAnswer(("ReadTimeoutError",), started=False), Unreachable("ReadTimeoutError")),
        (NoAnswer(("TimeoutError",), started=False), Unreachable("TimeoutError")),
        (NoAnswer(("HTTPClientError", "ValueError"), started=False), Unreachable("ValueError")),
        (NoAnswer(("SomethingNew",), started=False), SenderRefused("SomethingNew")),
        (NoAnswer(("ValueError",), started=False, fault=FAULT), SenderRefused("ValueError", FAULT)),
        (NoAnswer(("OSError",), started=False, fault=PASSING), Unreachable("OSError")),
        (NoAnswer(("ReadTimeoutError",)), Doubtful("ReadTimeoutError")),
        (NoAnswer(("HTTPClientError", "ValueError")), Doubtful("ValueError")),
        (NoAnswer(("SomethingNew",)), Unknown("Unfamiliar.SomethingNew")),
    ],
)
def test_doubt_arises_only_if_bytes_may_have_left(answer: NoAnswer, verdict: Verdict) -> None:
    assert classify(answer) == verdict
    assert (verdict.outcome not in NOT_COUNTED) is answer.started
    for since in (None, 5.0):
        made = after_answer(verdict, doubt_since=since, sent_at=9.0)
        if not answer.started:  # the row is unchanged, however often that happens
            assert (made.state, made.doubt_since) == (
                State.PENDING if since is None else State.IN_DOUBT,
                since,
            )
            assert made.counted is False
            step = next_step(made, RowFacts(tries_left=0), RunFacts())
            assert step in (Wait(Until.UNREACHABLE, made.code), StopRun(made))


def test_a_run_ended_by_a_fault_names_it_and_its_remedy() -> None:
    made = after_answer(SenderRefused("ValueError", FAULT), doubt_since=None, sent_at=9.0)
    error = reason_to_stop(made)
    assert (type(error), error.exit_code) == (SenderError, 4)
    assert str(error) == "A setting is wrong. Mend it. No row was touched."


async def test_a_missing_authorities_file_at_a_call_leaves_no_doubt(wrongly: Setting, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    shutil.copy(CERTIFICATES["AWS_CA_BUNDLE"], bundle)
    url = wrongly(Wrong(lambda _: CREDENTIALS | {"AWS_CA_BUNDLE": str(bundle)}, ""))
    async with connect(connection(url)) as partner_central:
        bundle.unlink()
        answer = await partner_central.create(body(), cleared())
        listed = await partner_central.list_one()
    for each in (answer, listed):
        assert isinstance(each, NoAnswer)
        verdict = classify(each)
        assert not each.started
        assert isinstance(verdict, SenderRefused)
        assert verdict.fault is not None
        assert "AWS_CA_BUNDLE" in verdict.fault.problem + verdict.fault.remedy


async def test_a_renewed_key_with_a_line_end_leaves_no_doubt(wrongly: Setting, tmp_path: Path) -> None:
    url = wrongly(Wrong(lambda folder: process(folder, f"cat {folder / 'keys.json'}"), ""))
    file, keys = tmp_path / "keys.json", {"Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "x"}
    soon, later = (  # so soon that it is renewed
        (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ") for minutes in (9, 99)
    )
    good = keys | {"SessionToken": "y", "Expiration": soon}
    file.write_text(json.dumps(good))
    async with connect(connection(url)) as partner_central:
        assert await partner_central.ready() is None
        assert not partner_central.is_ready, "the next call has to renew it"
        file.write_text(json.dumps(good | {"SessionToken": f"{SECRET}\n"}))
        for unready in (await partner_central.ready(), await partner_central.create(body(), cleared())):
            assert isinstance(unready, NoAnswer)
            assert (unready.started, unready.fault is not None) == (False, True)
            assert unready.fault is not None
            assert unready.fault.problem == "The session token of the credentials contains a line break."
        file.write_text(json.dumps(good))
        assert isinstance(classify(await partner_central.create(body(), cleared())), Created)
        file.write_text(json.dumps(good | {"SessionToken": f"{SECRET}\n", "Expiration": later}))
        assert await partner_central.ready() is not None
        assert not partner_central.is_ready, "it lasts, and is of no use"
    file.write_text(json.dumps(good | {"Expiration": later}))
    async with connect(connection(url)) as partner_central:
        assert (partner_central.is_ready, await partner_central.ready()) == (False, None)
        assert partner_central.is_ready


# Faults that a run waits out


@pytest.mark.parametrize("harm", ["gone", "empty", "a directory", "binary"])
async def test_the_sender_waits_for_a_token_file_that_is_briefly_missing(
    wrongly: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token")
    url = wrongly(Wrong(lambda _: {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": ROLE}, ""))
    with ScriptedServer(always(b""), others=role_taken) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        async with connect(connection(url)) as partner_central:
            token.unlink()
            if harm == "a directory":
                token.mkdir()
            elif harm != "gone":
                token.write_bytes(b"" if harm == "empty" else b"\xff\xfe")
            unready = await partner_central.ready()
            assert isinstance(unready, NoAnswer)
            assert isinstance(classify(unready), Unreachable)
            if harm == "a directory":
                token.rmdir()
            token.write_text("another-token")
            assert await partner_central.ready() is None
            assert isinstance(classify(await partner_central.create(body(), cleared())), Created)


def role_taken() -> bytes:
    """An answer of STS with keys that end so soon that they are renewed for every call."""
    ends = (datetime.now(UTC) + timedelta(minutes=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = (
        "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken>"
    )
    result = f"<Credentials>{keys}<Expiration>{ends}</Expiration></Credentials>"
    name = "AssumeRoleWithWebIdentity"
    answer = f"<{name}Response><{name}Result>{result}</{name}Result></{name}Response>"
    return http(200, answer.encode(), content_type="text/xml")


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def test_an_abandoned_credential_process_is_ended_with_its_children(
    wrongly: Setting, tmp_path: Path
) -> None:
    script = f"sleep 40 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/pid; wait"
    url = wrongly(Wrong(lambda folder: process(folder, script), ""))
    with anyio.move_on_after(0.5):
        async with connect(connection(url)):
            pytest.fail("there are no credentials")
    pids = [int((tmp_path / name).read_text()) for name in ("pid", "child")]
    await eventually(lambda: not any(map(is_running, pids)))


async def test_a_credential_process_does_not_read_standard_input(wrongly: Setting) -> None:
    ours, theirs = os.pipe()  # nothing comes, and it does not end
    taken = os.dup(0)
    os.dup2(ours, 0)
    try:
        url = wrongly(Wrong(lambda folder: process(folder, "cat; exit 3"), ""))
        with anyio.fail_after(5):
            assert "exited with code 3" in str(await refusal_of(url))
    finally:
        os.dup2(taken, 0)
        for each in (ours, theirs, taken):
            os.close(each)


# The command


@pytest.mark.parametrize("command", ["send", "serve", "reconcile"])
def test_a_waiting_start_says_what_it_waits_for_and_ends_on_the_first_signal(
    tmp_path: Path, command: str
) -> None:
    env = process(tmp_path, f"echo $$ >{tmp_path}/pid; sleep 60")
    (tmp_path / "in").mkdir()
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    if command == "reconcile":
        place = Place(str(tmp_path / "bulk-invite.db"))
        with writing(place) as writer:
            admit(writer, invitation("a"))
            writer.record([Sent("a", NOW)])
    named = {"send": (source,), "serve": (tmp_path / "in",), "reconcile": ()}[command]
    options = ("--endpoint-url", "http://127.0.0.1:1", "--json", "--log-format", "json")
    with running(command, *named, *options, cwd=tmp_path, env=env) as started:
        assert started.process.stderr is not None
        while (waiting := json.loads(started.process.stderr.readline()))["event"] != "sender.waiting":
            pass
        pid = int((tmp_path / "pid").read_text())
        started.signal(signal.SIGTERM)
        ran = started.ended(within=5)
    assert ran.code == (0 if command == "serve" else 75), ran.stderr
    assert waiting["waiting_for"] == "credentials from credential_process"
    assert 2 <= waiting["elapsed_s"] < 10
    wait_until(lambda: not is_running(pid), within=5)
    assert "Traceback" not in ran.stderr


def test_a_run_that_could_not_start_prints_the_reason_without_a_table_of_zeros(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.ndjson", make_rows(2))
    to = ("--endpoint-url", "http://127.0.0.1:1")
    unfit = {**CREDENTIALS, "AWS_CA_BUNDLE": "/no/such"}
    for ran in (
        run("send", source, *to, cwd=tmp_path, env=unfit),
        run("send", source, *to, "--health-file", "no/such", cwd=tmp_path),
    ):
        assert (ran.code, ran.stdout) == (4, "")
        assert "No such file" in ran.said
    counted = run("send", source, *to, "--json", cwd=tmp_path, env=unfit)
    assert (counted.code, counted.json["rows"]) == (4, 0)


def test_authorities_removed_after_the_start_end_the_run_with_every_row_pending(
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "ca.pem"
    shutil.copy(CERTIFICATES["AWS_CA_BUNDLE"], bundle)
    keys = json.dumps({"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "example"})
    env = {**process(tmp_path, f"rm {bundle}; echo '{keys}'"), "AWS_CA_BUNDLE": str(bundle)}
    source = write_rows(tmp_path / "rows.ndjson", make_rows(6))
    with emulator() as service:
        command = ("send", source, "--endpoint-url", service.url, *FAST)
        ran = run(*command, cwd=tmp_path, env=env)
        assert (ran.code, ran.json["attempts"], ran.json["in_doubt"]) == (4, 0, 0), ran.stderr
        assert "AWS_CA_BUNDLE" in ran.said
        assert "Traceback" not in ran.stderr
        status = run("status", "--json", cwd=tmp_path).json
        assert (status["pending"], status["in_doubt"], status["attempts"]) == (status["rows"], 0, 0)
        again = run(*command, cwd=tmp_path)
        assert (again.code, again.json["attempts"], len(service.invitations())) == (0, 6, 6), again.stderr
        started = next(each for each in again.events if each["event"] == "run.started")
        assert started["counted"] == 0, "nothing of the day was used up"


def test_serve_waits_only_for_faults_that_can_be_fixed_while_it_runs(tmp_path: Path) -> None:
    env = profile(tmp_path, "credential_process = tool 'half")
    inbox = tmp_path / "in"
    inbox.mkdir()
    write_rows(inbox / "rows.ndjson", make_rows(3))
    with emulator() as service:
        options = ("--endpoint-url", service.url, "--rate", "50", "--json", "--log-format", "json")
        never = run(
            "serve", inbox, *options, cwd=tmp_path, env=CREDENTIALS | {"AWS_METADATA_SERVICE_TIMEOUT": "x"}
        )
        assert never.code == 4
        assert "AWS_METADATA_SERVICE_TIMEOUT" in never.said
        assert "Traceback" not in never.stderr
        with running("serve", inbox, *options, cwd=tmp_path, env=env) as serving:
            assert serving.process.stderr is not None
            while (waiting := json.loads(serving.process.stderr.readline()))["event"] != "serve.retrying":
                pass
            profile(tmp_path, "aws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = example")
            wait_until(lambda: len(service.invitations()) == 3)
            serving.signal(signal.SIGTERM)
            ran = serving.ended()
    assert ran.code == 0, ran.stderr
    assert "checkpoint.possibly_stale" not in {each["event"] for each in ran.events}
    assert "has an unbalanced quote" in waiting["reason"]
