"""A checkpoint in either kind of database, and what tests do to it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import psycopg

from bulk_invite.checkpoint.reader import CheckpointReader
from bulk_invite.checkpoint.writer import CheckpointWriter
from bulk_invite.domain.admissions import Admission
from bulk_invite.domain.events import Answered, Sent
from bulk_invite.domain.outcomes import Outcome
from bulk_invite.domain.records import Overview, Owner, Record
from bulk_invite.domain.rows import Invitation, Rejection
from bulk_invite.domain.verdicts import State


@dataclass(frozen=True)
class Place:
    """A file, or a schema of a database."""

    name: str
    schema: str = ""

    def writer(self, catalog: str = "Sandbox") -> CheckpointWriter:
        return CheckpointWriter.open(self.name, catalog=catalog, schema=self.schema)

    def reader(self) -> CheckpointReader:
        return CheckpointReader(self.name, self.schema)

    @property
    def options(self) -> tuple[str, ...]:
        """Of the command."""
        schema = ("--checkpoint-schema", self.schema) if self.schema else ()
        return ("--checkpoint", self.name, *schema)

    @property
    def is_file(self) -> bool:
        return "://" not in self.name

    def run(self, *statements: str) -> None:
        """Change it as another program would."""
        if self.is_file:
            with closing(sqlite3.connect(self.name)) as file:
                for statement in statements:
                    file.execute(statement)
                file.commit()
            return
        with psycopg.connect(self.name) as connection:
            connection.execute(f"SET search_path TO {self.schema}".encode())
            for statement in statements:
                connection.execute(statement.encode())

    def content(self) -> str:
        """All that is in it."""
        if self.is_file:
            files = sorted(Path(self.name).parent.iterdir())
            return "".join(file.read_bytes().decode("latin-1") for file in files)
        with psycopg.connect(self.name) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", (self.schema,)
            )
            tables = [connection.execute(f"TABLE {self.schema}.{name}".encode()) for (name,) in names]
            return "".join(repr(row) for table in tables for row in table)


OWNER = Owner("123456789012", "a" * 64)


NOW = 1_800_000_000.0


@contextmanager
def writing(place: Place, owner: Owner = OWNER, *, at: float = NOW) -> Iterator[CheckpointWriter]:
    with place.writer("Sandbox") as writer:
        writer.claim(owner)
        writer.begin_run(at)
        yield writer


def admit(
    writer: CheckpointWriter, *batch: Invitation | Rejection, retry_failed: bool = False
) -> list[Admission]:
    return writer.admit(batch, campaign="", retry_failed=retry_failed)


def records_of(place: Place, *states: State) -> list[Record]:
    with place.reader() as reader:
        return list(reader.records(states))


def overview_of(place: Place, now: float = NOW) -> Overview:
    with place.reader() as reader:
        return reader.overview(now)


def answered(token: str, state: State, outcome: str, at: float = NOW, **more: object) -> Answered:
    return Answered(token, at, state, Outcome(outcome), **more)  # type: ignore[arg-type]  # the fields are checked where they are read


def created(token: str) -> Answered:
    return answered(token, State.CREATED, "created", invitation_id=f"engi-{token}", arn=f"arn:{token}")


def settle(writer: CheckpointWriter, *tokens: str) -> None:
    writer.record([Sent(token, NOW) for token in tokens])
    writer.record([created(token) for token in tokens])


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
