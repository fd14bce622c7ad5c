"""Which commands there are. Each is imported when it is looked up: most of a start is imports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

import typer
from typer.core import TyperCommand

from bulk_invite.cli.options.grouped_help import GroupedCommand


@dataclass(frozen=True, slots=True)
class Listed:
    """A command in the list of all.

    module: has its function and its examples, for `init-db` as `init_db` and `INIT_DB_EXAMPLES`. topic: its
    topic in the manual. purpose: the first sentence of its help, as its own docstring has it.
    """

    module: str
    topic: str
    purpose: str


COMMANDS: Final[Mapping[str, Mapping[str, Listed]]] = {
    "Send": {
        "send": Listed(
            "bulk_invite.cli.send",
            "operations",
            "Send one invitation for every row of the sources, exactly once.",
        ),
        "serve": Listed("bulk_invite.cli.serve", "serve", "Send new rows as they arrive, until stopped."),
        "reconcile": Listed(
            "bulk_invite.cli.reconcile",
            "unknown-outcomes",
            "Look up the rows in doubt in the service; send nothing.",
        ),
    },
    "Prepare": {
        "validate": Listed(
            "bulk_invite.cli.validate",
            "rows",
            "Check every row of the sources, and compare them; send nothing.",
        ),
        "schema": Listed("bulk_invite.cli.row_format", "rows", "Print the JSON Schema of a row."),
        "example": Listed("bulk_invite.cli.row_format", "rows", "Print valid example rows as NDJSON."),
        "init-db": Listed(
            "bulk_invite.cli.init_db", "postgresql", "Create the table for --write-back in a database."
        ),
        "doctor": Listed(
            "bulk_invite.cli.doctor.command",
            "operations",
            "Check everything that a run needs before it starts.",
        ),
    },
    "Inspect": {
        "status": Listed(
            "bulk_invite.cli.status", "results", "Show the counts of a checkpoint, also during a run."
        ),
        "report": Listed(
            "bulk_invite.cli.report.command",
            "results",
            "Report the outcome of every row and audit the checkpoint.",
        ),
        "export": Listed(
            "bulk_invite.cli.status", "results", "Write the rows of a checkpoint to standard output."
        ),
    },
    "Rehearse": {
        "demo": Listed(
            "bulk_invite.cli.demo.command",
            "rehearsal",
            "Show that a killed run loses nothing and sends nothing twice.",
        ),
        "emulator": Listed(
            "bulk_invite.rehearsal.emulator.command",
            "rehearsal",
            "Run a local Partner Central that sends no real invitation.",
        ),
        "simulate": Listed(
            "bulk_invite.cli.simulate.command",
            "rehearsal",
            "Measure the pacing on simulated servers with unknown quotas.",
        ),
    },
    "Operate": {
        "health": Listed(
            "bulk_invite.cli.health", "monitoring", "Check whether a run is alive and ready, for probes."
        ),
        "help": Listed("bulk_invite.cli.help", "overview", "Show the help of a command."),
        "manual": Listed("bulk_invite.cli.manual", "overview", "Show a topic of the manual."),
        "completion": Listed(
            "bulk_invite.cli.completion.command", "overview", "Print a shell completion script."
        ),
    },
}
"""Every command by the heading in the help."""


class Commands(Mapping[str, TyperCommand]):
    """The commands by name, in the order of the help. Listing them imports none."""

    def __init__(self, headings: Mapping[str, Mapping[str, Listed]]) -> None:
        self.headings = headings
        self._listed = {name: each for listed in headings.values() for name, each in listed.items()}
        self._imported: dict[str, TyperCommand] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in self._imported:
            self._imported[name] = _imported(name, self._listed[name])
        return self._imported[name]

    def purposes(self, start: str) -> Iterator[tuple[str, str]]:
        """Commands whose names begin so, with what each is for."""
        return ((name, each.purpose) for name, each in self._listed.items() if name.startswith(start))


def _imported(name: str, listed: Listed) -> TyperCommand:
    module, function = import_module(listed.module), name.replace("-", "_")
    # Plain help wraps long words where the boxed one cuts them off.
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(
        name,
        epilog=getattr(module, f"{function.upper()}_EXAMPLES"),
        cls=GroupedCommand,
        context_settings={"obj": listed.topic},
    )(getattr(module, function))
    return cast("TyperCommand", typer.main.get_command(program))
