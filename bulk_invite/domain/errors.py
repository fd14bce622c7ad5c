"""Everything that ends the program early.

Each error says what happened, where, and what to do; the class says with which code the program ends.
A bad row is no error: it is a `Rejection` and the run goes on.
"""

from __future__ import annotations

from typing import ClassVar, Final

EXIT_STOPPED: Final = 75
"""Stopped by a signal before the end: the same command goes on (EX_TEMPFAIL of sysexits.h)."""

EXIT_INTERRUPTED: Final = 130
"""Broken off by a second signal, as a shell says it of SIGINT."""


class BulkInviteError(Exception):
    """Root of all errors of this package.

    hint: what the operator can do about it. topic: the one of the manual that explains it. heals: it may be
    over without another command, so that a service waits for it.
    """

    exit_code: ClassVar[int] = 4
    topic: str = ""
    heals: bool = False

    def __init__(self, message: str, *, hint: str = "", topic: str = "", heals: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.topic = topic or self.topic
        self.heals = self.heals or heals

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} {self.hint}" if self.hint else message


class UsageError(BulkInviteError):
    """The command line, the environment or the configuration file asks for something impossible."""

    exit_code = 2


class SourceError(BulkInviteError):
    """A source cannot be opened or read to its end."""

    topic = "rows"


class DatabaseSourceError(SourceError):
    """The same of a source in PostgreSQL, or of its table of results."""

    topic = "postgresql"


class ServiceModelError(BulkInviteError):
    """The service model is not one that this program can work from."""


class CheckpointError(BulkInviteError):
    """The checkpoint is locked, damaged, of another owner, or cannot be written."""

    topic = "troubleshooting"


class CheckpointHeldError(CheckpointError):
    """Another sender is at work; `--wait-for-lock` waits for it."""

    def __init__(self, checkpoint: str, what: str = "Another sender is working on the checkpoint") -> None:
        super().__init__(
            f"{what} {checkpoint}.",
            hint="Wait for it (--wait-for-lock) or stop it (SIGTERM), then run the same command again.",
            heals=True,
        )


class SenderError(BulkInviteError):
    """The service refuses the sender, not the row: credentials, clock, permission."""

    topic = "operations"
    heals = True


class SettingError(BulkInviteError):
    """A setting of AWS's in the environment is not possible; only a new start can have another one."""

    topic = "operations"


class EndpointError(BulkInviteError):
    """The endpoint cannot be reached, or what answers there is not it."""

    topic = "operations"
    heals = True


class ResultsError(BulkInviteError):
    """The results directory cannot be written."""

    topic = "results"


class ReportError(BulkInviteError):
    """The report cannot be written."""

    topic = "results"


class ControlError(BulkInviteError):
    """What a run tells of itself cannot be told: the health file, the control server."""

    topic = "monitoring"


class TooManyFailuresError(BulkInviteError):
    """As many rows failed as --max-failures allows."""

    topic = "troubleshooting"
    exit_code = 3

    def __init__(self, failures: int, ended: int, limit: str) -> None:
        super().__init__(
            f"Stopped: of {ended} rows that came to their end in this run {failures} failed; "
            f"--max-failures is {limit}.",
            hint="Look at them (bulk-invite export --state failed), then run the same command to go on.",
        )
