"""The installed command as an operator runs it, and its servers: an emulator, or any scripted one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import sysconfig
import termios
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

from anyio.from_thread import start_blocking_portal
from certificates import CERTIFICATES
from forked import Forked, ForkServer

from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.server import serve

COMMAND = Path(sysconfig.get_path("scripts")) / "bulk-invite"
PATIENCE = 40.0

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
FAST = ("--rate", "300", "--burst", "20", "--json")
"""Options of a `send` that shall be over soon."""


def environment(**more: str) -> dict[str, str]:
    """No variables of AWS, of ours, of a proxy or a terminal from outside, and no credentials."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BULK_INVITE_"))
        and not name.lower().endswith("_proxy")
        and name not in {"COLUMNS", "LINES"}
    }
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return {**kept, **nowhere, **CERTIFICATES, "AWS_EC2_METADATA_DISABLED": "true", **more}


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.stdout)
        return result

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of standard output, parsed."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines of standard error, parsed; its other lines are left out."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    @property
    def said(self) -> str:
        """The sentence of the error that ended it, or ""."""
        return "".join(line for line in self.stderr.splitlines() if line.startswith("bulk-invite: "))


@dataclass
class Running:
    """A command that keeps running. The caller that starts one ends it."""

    process: subprocess.Popen[str]
    started: float = field(default_factory=time.monotonic)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, *, within: float = PATIENCE) -> Ran:
        stdout, stderr = self.process.communicate(timeout=within)
        return Ran(self.process.returncode, stdout, stderr, time.monotonic() - self.started)


def start(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] = CREDENTIALS,
    stdin: int | IO[str] = subprocess.DEVNULL,
    installed: bool = False,
) -> Running:
    """installed: from its file, with imports that take most of a second. For tests of the start."""
    return Running(
        _popen(
            [COMMAND, *map(str, arguments)],
            cold=installed,
            cwd=cwd,
            env=environment(**env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


@cache
def fork_server(**more: str) -> ForkServer:
    return ForkServer(environment(**more))


_started_with: list[dict[str, str]] = [{}]


def fork_with(**more: str) -> None:
    """From now on fork runs, too, whose interpreter has to be started with these variables."""
    if more not in _started_with:
        _started_with.append(more)


def _server_for(env: Mapping[str, str]) -> ForkServer | None:
    servers = (fork_server(**more) for more in _started_with)
    return next((server for server in servers if server.can_start(env)), None)


def under_watch(*arguments: str | Path, cwd: Path, watcher: int) -> subprocess.Popen[bytes]:
    """A command whose file-changing calls wait for the holder of the other end of a socket (Linux only)."""
    return Forked(
        fork_server(),
        [COMMAND, *map(str, arguments)],
        watcher=watcher,
        cwd=cwd,
        env=environment(**CREDENTIALS),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def forked(module: str, *, cwd: Path) -> subprocess.Popen[bytes]:
    """The `main` of a module of the tests as a program, which has no imports to wait for (Linux only)."""
    return Forked(
        fork_server(),
        [module],
        module=module,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=2,
    )


def _popen(command: list[str | Path], *, cold: bool, **options: Any) -> subprocess.Popen[Any]:
    server = None if cold or sys.platform != "linux" else _server_for(options["env"])
    return subprocess.Popen(command, **options) if server is None else Forked(server, command, **options)


@contextmanager
def running(*arguments: str | Path, cwd: Path, **options: Any) -> Iterator[Running]:
    """`start`, and killed at the end of the block unless it has ended by itself."""
    command = start(*arguments, cwd=cwd, **options)
    try:
        yield command
    finally:
        command.process.kill()
        # communicate also closes the pipes; unclosed ones would cause a warning.
        command.process.communicate(timeout=PATIENCE)


def run(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] = CREDENTIALS,
    stdin: bytes = b"",
    shell: bool = False,
    installed: bool = False,
    stdout: int = subprocess.PIPE,
    within: float = PATIENCE,
) -> Ran:
    """Run the command to its end; with `shell`, the one argument is a script in which "$0" is the command.

    installed: as of `start`. stdout: a descriptor that gets its standard output in place of the result.
    """
    began = time.monotonic()
    with _popen(
        ["sh", "-c", *map(str, arguments), COMMAND] if shell else [COMMAND, *map(str, arguments)],
        cold=installed or shell,
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            result, stderr = process.communicate(stdin, timeout=within)
        except BaseException:
            process.kill()
            raise
    return Ran(process.returncode, (result or b"").decode(), stderr.decode(), time.monotonic() - began)


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    """The end to write to of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def together(*calls: Callable[[], Ran]) -> list[Ran]:
    """Run independent commands side by side; in the order of the calls."""
    with ThreadPoolExecutor(4) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


def wait_until(true: Callable[[], object], *, within: float = PATIENCE, step: float = 0.02) -> None:
    """Return when `true()` is, asked every `step` seconds; an assertion fails when it does not become so."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(step)


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Emulator:
    """An emulator on a thread of this process; it is asked over HTTP, as an auditor would."""

    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def audit(self) -> dict[str, Any]:
        audit: dict[str, Any] = json.loads(self._get("audit"))
        return audit

    def calls(self) -> list[dict[str, Any]]:
        """Every Create call, oldest first."""
        return [call for call in self._calls() if call["operation"] == "CreateEngagementInvitation"]

    def reads(self) -> list[dict[str, Any]]:
        """Every List and Get call, oldest first."""
        reads = ("ListEngagementInvitations", "GetEngagementInvitation")
        return [call for call in self._calls() if call["operation"] in reads]

    def _calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._get("calls").splitlines()]

    def invitations(self) -> list[dict[str, Any]]:
        """Every committed invitation with its request, oldest first."""
        return [json.loads(line) for line in self._get("ledger?full=1").splitlines()]

    def messages(self) -> Counter[str]:
        """How often each message was invited."""
        return Counter(entry["request"]["Invitation"]["Message"] for entry in self.invitations())

    def _get(self, page: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/_emulator/{page}", timeout=PATIENCE) as answer:
            data: bytes = answer.read()
        return data


@contextmanager
def emulator(**options: Any) -> Iterator[Emulator]:
    """Run one with `emulator.options.Options`; on a thread it is there in milliseconds."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(Options(**options))) as server,
    ):
        yield Emulator(server.url)


def free_port() -> int:
    """A port without a listener, for a server that comes up late."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


class Then(Enum):
    """What happens to the connection after a reply."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()


@dataclass(frozen=True)
class Reply:
    """Bytes to answer with, as they go over the wire, `after` seconds; unasked: what comes a moment later."""

    data: bytes = b""
    then: Then = Then.KEEP
    after: float = 0.0
    unasked: bytes = b""


@dataclass(frozen=True)
class Request:
    """A request as it came; header names in lower case. head: its lines before the body."""

    headers: Mapping[str, str]
    body: bytes
    head: str = ""

    @property
    def operation(self) -> str:
        """The operation of Partner Central; "" for a call of STS."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    @property
    def is_create(self) -> bool:
        return self.operation == "CreateEngagementInvitation"

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


def http(
    status: int, body: object, *, content_type: str = "application/x-amz-json-1.0", **headers: str
) -> bytes:
    """A whole HTTP answer; `body` is bytes or becomes JSON. Underscores in header names become hyphens."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {content_type}", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def refusal(
    code: str, *, status: int = 400, headers: Mapping[str, str] | None = None, **members: object
) -> bytes:
    """An error as Partner Central writes it."""
    return http(status, {"__type": f"com.amazonaws#{code}", **members}, **(headers or {}))


CREATED = http(200, {"Id": "engi-0123456789abc", "Arn": "arn:aws:any"})
"""Of a `ScriptedServer` every row gets an Id of its own in its place, the first one this."""

_IDENTITY = http(
    200,
    b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    b"<Arn>arn:aws:iam::111122223333:user/x</Arn><UserId>x</UserId><Account>111122223333</Account>"
    b"</GetCallerIdentityResult></GetCallerIdentityResponse>",
    content_type="text/xml",
)


class ScriptedServer:
    """Answers Create calls by a script, and all other calls by `others`: STS, with account 111122223333.

    reads: a script for List and Get calls, where `others` is for STS only. tls: what it speaks then;
    greeting: seconds before it does.

    creates: the Create calls as they came, oldest first. others: all the rest. heard: the sizes of all that
    came, HTTP or not, inside of TLS.
    """

    def __init__(
        self,
        script: Callable[[Request], Reply],
        *,
        others: Callable[[], bytes] = lambda: _IDENTITY,
        reads: Callable[[Request], Reply] | None = None,
        tls: ssl.SSLContext | None = None,
        greeting: float = 0.0,
    ) -> None:
        self._others = others
        self._reads = reads
        self._tls = tls
        self._greeting = greeting
        self.heard: list[int] = []
        self.creates: list[Request] = []
        self.others: list[Request] = []
        self._numbers: dict[str, int] = {}
        self._script = script
        self._stopped = threading.Event()
        self._connections: set[socket.socket] = set()
        scripted = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                scripted._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}" if tls is None else f"https://localhost:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        for connection in tuple(self._connections):
            with suppress(OSError):  # its caller may have gone in this instant
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def _serve(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        try:
            if self._tls is None:
                self._talk(connection)
                return
            self._stopped.wait(self._greeting)
            # Known before the handshake, in which the caller may hang.
            with self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            ) as secured:
                self._connections.add(secured)
                secured.do_handshake()
                self._talk(secured)
        except OSError:  # the caller has hung up, or does not like the certificate
            return
        finally:
            self._connections.discard(connection)

    def _talk(self, connection: socket.socket) -> None:
        while (request := _read(connection, self.heard)) is not None and self._answer(connection, request):
            pass

    def _reply(self, request: Request) -> Reply:
        if request.is_create:
            return self._script(request)
        if self._reads is not None and request.operation:
            return self._reads(request)
        return Reply(self._others())

    def _created(self, request: Request) -> bytes:
        number = self._numbers.setdefault(request.json["ClientToken"], len(self._numbers))
        return CREATED.replace(b"engi-0123456789abc", f"engi-{0x123456789ABC + number:013x}".encode())

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        (self.creates if request.is_create else self.others).append(request)
        reply = self._reply(request)
        data = self._created(request) if reply.data == CREATED else reply.data
        self._stopped.wait(reply.after)
        connection.sendall(data)
        if reply.unasked:
            self._stopped.wait(0.02)
            connection.sendall(reply.unasked)
        if reply.then is Then.RESET:
            # Lingering for no time makes close send RST in place of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        return reply.then is Then.KEEP


def _read(connection: socket.socket, heard: list[int]) -> Request | None:
    """The next request; None where none comes, or what comes is no HTTP, such as a TLS greeting."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        heard += [len(received)] if received else []
        if not received or not (data + received).startswith((b"POST", b"GET")):
            return None
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    headers = {name.lower(): value for name, _, value in lines}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Request(headers, body, head.decode())


def always(*replies: Reply | bytes) -> Callable[[Request], Reply]:
    """A script that gives each reply in turn, and the last one again and again."""
    waiting = list(replies)

    def script(_: Request) -> Reply:
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return reply if isinstance(reply, Reply) else Reply(reply)

    return script


def run_on_terminal(
    *arguments: str | Path,
    cwd: Path,
    typed: str = "",
    columns: int = 160,
    stdout_too: bool = False,
    until: bytes = b"",
    asked: Callable[[subprocess.Popen[bytes]], str] | None = None,
) -> tuple[int, str, str]:
    """Run with standard input and error on a terminal: exit code, standard output, what the terminal got.

    until: once the terminal has got this three times, the command gets a SIGINT. asked: called when the
    command asks a yes-or-no question; returns what is typed then.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = _popen(
        [COMMAND, *map(str, arguments)],
        cold=False,
        cwd=cwd,
        env=environment(TERM="xterm-256color", **CREDENTIALS),
        stdin=theirs,
        stdout=theirs if stdout_too else subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    screen = b""
    try:
        while received := os.read(ours, 65536):
            screen += received
            if until and screen.count(until) >= 3:
                process.send_signal(signal.SIGINT)
                until = b""
            if asked is not None and b"[y/n]" in screen:
                os.write(ours, asked(process).encode())
                asked = None
    except OSError:  # how Linux reports that the other end is closed
        pass
    finally:
        os.close(ours)
    stdout, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, (stdout or b"").decode(), screen.decode()
