"""Errors that end the program early.

Each error says what happened, where, and what to do; its class determines the exit code. A bad row is not an
error: it becomes a `Rejection` and the run continues.
"""

from __future__ import annotations

from typing import ClassVar, Final

EXIT_STOPPED: Final = 75
"""Stopped by a signal before completion; the same command continues (EX_TEMPFAIL of sysexits.h)."""

EXIT_INTERRUPTED: Final = 130
"""Aborted by a second signal, as a shell reports SIGINT."""


class BulkInviteError(Exception):
    """Root of all errors in this package.

    hint: what the operator can do. topic: the manual topic that explains it. retryable: the cause may pass
    without a new command, so a service waits and retries.
    """

    exit_code: ClassVar[int] = 4
    topic: str = ""
    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "", topic: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.topic = topic or self.topic
        self.retryable = self.retryable or retryable

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} {self.hint}" if self.hint else message


class UsageError(BulkInviteError):
    """The command line, the environment or the configuration file is invalid."""

    exit_code = 2


class SourceError(BulkInviteError):
    """A source cannot be opened or read to its end."""

    topic = "rows"


class DatabaseSourceError(SourceError):
    """A source in PostgreSQL, or its table of outcomes, cannot be used."""

    topic = "postgresql"


class ServiceModelError(BulkInviteError):
    """The service model cannot be used by this program."""

    topic = "rows"


class CheckpointError(BulkInviteError):
    """The checkpoint is locked, damaged, owned by another account, or not writable."""

    topic = "troubleshooting"


class CheckpointHeldError(CheckpointError):
    """Another sender holds the checkpoint; `--wait-for-lock` waits for it."""

    def __init__(self, checkpoint: str, what: str = "Another sender is working on the checkpoint") -> None:
        super().__init__(
            f"{what} {checkpoint}.",
            hint="Wait for it (--wait-for-lock) or stop it (SIGTERM), then run the same command again.",
            retryable=True,
        )


class SenderError(BulkInviteError):
    """The service refuses the sender, not the row: credentials, clock or permission."""

    topic = "operations"
    retryable = True


class SettingError(BulkInviteError):
    """An AWS setting in the environment is invalid; it can change only with a restart."""

    topic = "operations"


class EndpointError(BulkInviteError):
    """The endpoint cannot be reached, or the server that answers is not Partner Central."""

    topic = "operations"
    retryable = True


class ResultsError(BulkInviteError):
    """The results directory cannot be written."""

    topic = "results"


class ReportError(BulkInviteError):
    """The report cannot be written."""

    topic = "results"


class ControlError(BulkInviteError):
    """The health file or the control server cannot be provided."""

    topic = "monitoring"


class TooManyFailuresError(BulkInviteError):
    """The number of failed rows reached --max-failures."""

    topic = "troubleshooting"
    exit_code = 3

    def __init__(self, failures: int, ended: int, limit: str) -> None:
        super().__init__(
            f"Stopped: {failures} of the {ended} rows settled in this run failed; --max-failures is {limit}.",
            hint="Inspect them (bulk-invite export --state failed), then run the same command to continue.",
        )
