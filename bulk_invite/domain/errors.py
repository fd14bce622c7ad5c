"""Errors that end the program early.

Each error says what happened, where, and what to do; its class determines the exit code and the word by which
scripts tell it from others. A bad row is not an error: it becomes a `Rejection` and the run continues.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from bulk_invite.domain.holder import Holder

_RUN_AGAIN: Final = re.compile(r"[;,]?(?: then| and)? run the same command(?: again)?(?=[.;,])")

EXIT_ATTENTION: Final = 1
"""Finished, but some rows need attention or are open."""

EXIT_STOPPED: Final = 75
"""Stopped by a signal before completion; the same command continues (EX_TEMPFAIL of sysexits.h)."""

EXIT_INTERRUPTED: Final = 130
"""Aborted by a second signal, as a shell reports SIGINT."""


class BulkInviteError(Exception):
    """Root of all errors in this package.

    code: the word for it in JSON; every class has its own, and it never changes. hint: what the operator can
    do. topic: the manual topic that explains it. retryable: the cause may pass without a new command, so a
    service waits and retries.
    """

    code: ClassVar[str] = "error"
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

    def while_waiting(self) -> str:
        """The text for a service, which retries by itself: without the advice to run the command again."""
        return _RUN_AGAIN.sub("", str(self))

    def members(self) -> dict[str, str | None]:
        """The error in JSON: code, message, hint, topic; None where there is no hint or topic."""
        return {
            "code": self.code,
            "message": super().__str__(),
            "hint": self.hint or None,
            "topic": self.topic or None,
        }


class UsageError(BulkInviteError):
    """The command line is invalid."""

    code = "usage"
    exit_code = 2


class ConfigurationError(UsageError):
    """The environment or the configuration file is invalid."""

    code = "configuration"


class NotConfirmedError(UsageError):
    """The confirmation before sending to the live catalog was not given."""

    code = "not_confirmed"


class StoppedError(BulkInviteError):
    """A signal stopped the command before its end. Raised only where there is no result, which has it."""

    code = "stopped"
    exit_code = EXIT_STOPPED
    topic = "results"

    def __init__(self, hint: str = "Run the same command to continue.") -> None:
        super().__init__("Stopped before the end.", hint=hint)


class InterruptedRunError(BulkInviteError):
    """A second signal aborted the command. It is not raised: the result has it."""

    code = "interrupted"
    exit_code = EXIT_INTERRUPTED
    topic = "results"

    def __init__(self, hint: str = "Run the same command to continue.") -> None:
        super().__init__("Interrupted.", hint=hint)


class InternalError(BulkInviteError):
    """A defect of this program ended the command."""

    code = "internal_error"
    topic = "troubleshooting"

    def __init__(self, kind: str) -> None:
        """kind: type of the exception; not its text, which may hold values of a row."""
        super().__init__(
            f"Internal error: {kind}.",
            hint="Nothing already recorded is lost: run the same command to resume, and report the lines of "
            "standard error.",
        )


class OutputError(BulkInviteError):
    """Standard output cannot be written."""

    code = "output"
    topic = "results"


class TemporaryFilesError(BulkInviteError):
    """Temporary files cannot be written."""

    code = "temporary_files"
    topic = "troubleshooting"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"Temporary files cannot be written: {why}.",
            hint="Free space for them, or name another directory in TMPDIR, and run the same command again.",
        )


class SourceError(BulkInviteError):
    """A source cannot be opened or read to its end."""

    code = "source"
    topic = "rows"


class DatabaseSourceError(SourceError):
    """A source in PostgreSQL, or its table of outcomes, cannot be used."""

    code = "database_source"
    topic = "postgresql"


class ServiceModelError(BulkInviteError):
    """The service model cannot be used by this program."""

    code = "service_model"
    topic = "rows"


class CheckpointError(BulkInviteError):
    """The checkpoint is locked, damaged, owned by another account, or not writable."""

    code = "checkpoint"
    topic = "troubleshooting"


class EmptyCheckpointError(CheckpointError):
    """Nothing has been written to the checkpoint: its creation was interrupted."""

    code = "checkpoint_empty"


class CheckpointHeldError(CheckpointError):
    """Another sender holds the checkpoint; `--wait-for-lock` waits for it. holder: None if unknown."""

    code = "checkpoint_locked"

    def __init__(
        self,
        checkpoint: str,
        holder: Holder | None = None,
        what: str = "Another sender is working on the checkpoint",
    ) -> None:
        self.holder = holder
        super().__init__(
            f"{what} {checkpoint}{'' if holder is None else f': {holder}'}.",
            hint="Wait for it (--wait-for-lock) or stop it (SIGTERM), then run the same command again.",
            retryable=True,
        )


class SenderError(BulkInviteError):
    """The service refuses the sender, not the row: credentials or clock."""

    code = "credentials"
    topic = "operations"
    retryable = True


class PermissionDeniedError(SenderError):
    """The service keeps denying calls: the account has no permission, or is no member of the engagements."""

    code = "permission"


class SettingError(BulkInviteError):
    """An AWS setting in the environment is invalid; it can change only with a restart."""

    code = "aws_setting"
    topic = "operations"


class EndpointError(BulkInviteError):
    """The endpoint cannot be reached, or the server that answers is not Partner Central."""

    code = "endpoint"
    topic = "operations"
    retryable = True


class ResultsError(BulkInviteError):
    """The results directory cannot be written."""

    code = "results"
    topic = "results"


class ReportError(BulkInviteError):
    """The report cannot be written."""

    code = "report"
    topic = "results"


class ControlError(BulkInviteError):
    """The health file or the control server cannot be provided."""

    code = "monitoring"
    topic = "monitoring"


class ChecksFailedError(BulkInviteError):
    """`doctor` has found what would make a run fail. It is not raised: the result has it."""

    code = "checks_failed"
    topic = "operations"

    def __init__(self, failed: int) -> None:
        super().__init__(f"Checks failed: {failed}.", hint="`checks` has the remedy of each.")


class TooManyFailuresError(BulkInviteError):
    """The number of failed rows reached --max-failures."""

    code = "too_many_failures"
    topic = "troubleshooting"
    exit_code = 3

    def __init__(self, failures: int, ended: int, limit: str) -> None:
        super().__init__(
            f"Stopped: {failures} of the {ended} rows settled in this run failed; --max-failures is {limit}.",
            hint="Inspect them (bulk-invite export --state failed), then run the same command to continue.",
        )
