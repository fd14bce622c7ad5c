"""A run that is asked and changed over HTTP, as an operator's scripts would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import CREDENTIALS, PATIENCE, Running, free_port, running, wait_until

TOKEN = "0123456789abcdef"


@dataclass(frozen=True)
class Controlled:
    """One command with a control server."""

    command: Running
    url: str

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        return self._ask(urllib.request.Request(self.url + path, headers=headers))

    @property
    def status(self) -> dict[str, Any]:
        """The answer of `/api/status`."""
        answered, body = self.get("/api/status")
        assert answered == 200
        status: dict[str, Any] = json.loads(body)
        return status

    def metrics(self) -> dict[str, float]:
        """The figures by name and labels, as they are written."""
        _, body = self.get("/metrics")
        lines = (line for line in body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def change(
        self, what: str, value: object = None, *, token: str | None = TOKEN, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """POST; the status and body of the answer."""
        given = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(
            f"{self.url}/api/{what}",
            method="POST",
            data=b"" if value is None else json.dumps(value).encode(),
            headers={"Content-Type": "application/json", **given, **headers},
        )
        answered, body = self._ask(request)
        said: dict[str, Any] = json.loads(body)
        return answered, said

    def events(self) -> Iterator[dict[str, Any]]:
        """The data of every event, until the server ends."""
        with urllib.request.urlopen(f"{self.url}/api/events", timeout=PATIENCE) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def _ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@contextmanager
def controlled(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] = CREDENTIALS, token: str | None = TOKEN
) -> Iterator[Controlled]:
    """Start a command that listens; it does when this returns."""
    port = free_port()
    given = {} if token is None else {"BULK_INVITE_CONTROL_TOKEN": token}
    with running(*arguments, "--listen", str(port), cwd=cwd, env={**env, **given}) as command:
        run = Controlled(command, f"http://127.0.0.1:{port}")
        wait_until(lambda: command.process.poll() is not None or _answers(run))
        yield run


def _answers(run: Controlled) -> bool:
    try:
        return run.get("/livez")[0] == 200
    except OSError:
        return False
