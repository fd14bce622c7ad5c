"""What the emulator can be told. The command line is made of these names, defaults and help texts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.option_fields import Form, check_all, told
from bulk_invite.rehearsal.emulator.rate_trace import RateTrace

_LAST_PORT: Final = 65535


def _fault(name: str, help_text: str) -> float:
    probability: float = told(0.0, name, Form.PROBABILITY, "Faults", help_text)
    return probability


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Probability of each fault per call. They exclude each other, so that their sum is at most 1."""

    error_500: float = _fault("--fault-500", "InternalServerException; committed or not.")
    error_503: float = _fault("--fault-503", "503 with HTML, as from a load balancer; committed or not.")
    reset_before: float = _fault("--fault-reset-before", "Connection reset (RST), nothing committed.")
    reset_after: float = _fault("--fault-reset-after", "Connection reset (RST) after the commit.")
    close: float = _fault("--fault-close", "Connection closed without an answer; committed or not.")
    truncate: float = _fault("--fault-truncate", "Answer cut off in the middle; committed or not.")
    empty: float = _fault("--fault-empty", "200 with {} and no Id; committed or not.")
    html: float = _fault("--fault-html", "200 with an HTML page, as from a proxy; committed or not.")
    slow: float = _fault(
        "--fault-slow", "Answer late by --slow-for; committed before or after the pause, or not."
    )
    throttle: float = _fault("--fault-throttle", "ThrottlingException with x-amz-retry-after.")

    def __post_init__(self) -> None:
        check_all(self)
        # A sum such as 0.7 + 0.2 + 0.1 may exceed 1 by a rounding error.
        if math.fsum(self.probabilities().values()) > 1 + 1e-9:
            raise UsageError("The probabilities of all faults add up to more than 1.")

    def probabilities(self) -> dict[str, float]:
        return {kind.name: getattr(self, kind.name) for kind in fields(self)}


_PLACE, _WHO, _QUOTA, _WORLD, _FAULTS = "Server", "Credentials", "Quotas", "Engagements and lists", "Faults"


@dataclass(frozen=True, slots=True)
class Options:
    """Everything the emulator can be told. Durations are seconds, rates per second; None is "no limit".

    Raises UsageError for values that make no sense.
    """

    host: str = told("127.0.0.1", "--host", Form.TEXT, _PLACE, "Address to listen on.")
    port: int = told(0, "--port", Form.INTEGER, _PLACE, "Port to listen on; 0 takes a free one.")
    ledger: Path | None = told(  # noqa: RUF009 - dataclasses.field with metadata
        None,
        "--ledger",
        Form.PATH,
        _PLACE,
        "File with every call and invitation, as NDJSON; an emulator started again on it goes on from it. "
        "Without it the ledger goes with the process.",
    )
    seed: int = told(
        0,
        "--seed",
        Form.INTEGER,
        _PLACE,
        "The same seed and the same order of calls: the same faults and Ids.",
    )
    latency: float = told(
        0.0,
        "--latency",
        Form.DURATION,
        _PLACE,
        "Time of every call, half before the decision and half after it.",
    )
    jitter: float = told(0.0, "--jitter", Form.DURATION, _PLACE, "Up to so much more, before the decision.")

    credentials: tuple[Credential, ...] = told(
        (),
        "--credentials",
        Form.CREDENTIALS,
        _WHO,
        "Access key to accept; repeatable. Signatures are checked as soon as there is one, "
        "else every caller is let in as account 111122223333.",
    )
    expired_credentials: tuple[str, ...] = told(
        (),
        "--expired-credentials",
        Form.TEXTS,
        _WHO,
        "One of the --credentials that has expired: ExpiredTokenException; repeatable.",
    )
    clock_ahead: float = told(
        0.0,
        "--clock-ahead",
        Form.DURATION,
        _WHO,
        "Have a clock that is ahead by that much, for signatures and Date; over 5m all expire.",
    )
    deny_accounts: tuple[str, ...] = told(
        (),
        "--deny-account",
        Form.TEXTS,
        _WHO,
        "Account whose every Create is AccessDeniedException; repeatable.",
    )
    no_sts: bool = told(False, "--no-sts", Form.SWITCH, _WHO, "Answer GetCallerIdentity with 404.")

    rate: float | None = told(None, "--rate", Form.RATE, _QUOTA, "Create calls per second and account.")
    burst: int | None = told(
        None,
        "--burst",
        Form.COUNT,
        _QUOTA,
        "Create calls at once, above the rate; by default one second's rate, the first of a trace.",
    )
    rate_trace: RateTrace | None = told(  # noqa: RUF009 - dataclasses.field with metadata
        None,
        "--rate-trace",
        Form.RATE_TRACE,
        _QUOTA,
        "Instead of --rate, one that changes, such as 0s:10,20m:4; counted from the account's first call.",
    )
    fixed_window: float | None = told(
        None,
        "--fixed-window",
        Form.DURATION,
        _QUOTA,
        "Instead of a bucket: what the --rate makes in that time, anew at every multiple of it on the clock.",
    )
    refusal_cost: float = told(
        0.0,
        "--refusal-cost",
        Form.AMOUNT,
        _QUOTA,
        "Tokens that a refused Create call takes too; at most a burst is owed.",
    )
    other_rate: float | None = told(
        None,
        "--other-rate",
        Form.RATE,
        _QUOTA,
        "Create calls per second that another program of the account tries to make.",
    )
    other_on: float | None = told(
        None, "--other-on", Form.DURATION, _QUOTA, "How long it does so at a time; by default always."
    )
    other_off: float | None = told(
        None, "--other-off", Form.DURATION, _QUOTA, "How long it does not, before each such time."
    )
    daily_quota: int | None = told(
        None, "--daily-quota", Form.COUNT, _QUOTA, "Create calls per rolling day and account."
    )
    day: float = told(86400.0, "--day", Form.DURATION, _QUOTA, "How long that day is.")
    read_rate: float | None = told(
        None,
        "--read-rate",
        Form.RATE,
        _QUOTA,
        "List and Get calls per second and account; the service has 10.",
    )
    invitations_per_engagement: int | None = told(
        9, "--invitations-per-engagement", Form.COUNT, _QUOTA, "Past it: ServiceQuotaExceededException."
    )
    token_retention: float = told(
        8 * 3600.0,
        "--token-retention",
        Form.DURATION,
        _QUOTA,
        "How long a ClientToken is remembered; a replay after that invites a second time.",
    )
    tell_retry_after: bool = told(
        False,
        "--tell-retry-after",
        Form.SWITCH,
        _QUOTA,
        "Send x-amz-retry-after with the throttles of these quotas.",
    )

    unknown_engagements: tuple[str, ...] = told(
        (),
        "--unknown-engagement",
        Form.TEXTS,
        _WORLD,
        "Engagement that does not exist, by id or glob such as eng-unknown*: ResourceNotFoundException; "
        "repeatable.",
    )
    forbidden_engagements: tuple[str, ...] = told(
        (),
        "--forbidden-engagement",
        Form.TEXTS,
        _WORLD,
        "Engagement of somebody else, by id or glob: AccessDeniedException; repeatable.",
    )
    list_delay: float = told(
        0.0, "--list-delay", Form.DURATION, _WORLD, "Time until a new invitation shows up in lists."
    )

    faults: FaultOptions = field(default_factory=FaultOptions)
    faults_committed: float = told(
        0.5,
        "--fault-committed",
        Form.PROBABILITY,
        _FAULTS,
        'Where a fault says "committed or not": how often it is committed.',
    )
    faults_on_reads: bool = told(
        False, "--fault-reads", Form.SWITCH, _FAULTS, "Let List and Get meet faults too."
    )
    slow_for: float = told(5.0, "--slow-for", Form.DURATION, _FAULTS, "The pause of --fault-slow.")
    retry_after: float = told(
        0.5, "--retry-after", Form.DURATION, _FAULTS, "x-amz-retry-after of --fault-throttle."
    )

    def __post_init__(self) -> None:
        check_all(self)
        if self.port > _LAST_PORT:
            raise UsageError(f"--port has to be between 0 and {_LAST_PORT}.")
        self._check_quotas()
        self._check_others()
        self._check_keys()

    def _check_quotas(self) -> None:
        if self.day == 0:
            raise UsageError("--day has to be more than 0.")
        if self.rate_trace is not None and self.rate is not None:
            raise UsageError("--rate-trace excludes --rate.")
        has_bucket = self.fixed_window is None and (self.rate is not None or self.rate_trace is not None)
        if self.fixed_window is not None:
            if self.fixed_window == 0:
                raise UsageError("--fixed-window has to be more than 0.")
            if self.rate is None:
                raise UsageError("--fixed-window needs a --rate.")
            if self.burst is not None:
                raise UsageError("--fixed-window excludes --burst.")
        if self.burst is not None and not has_bucket:
            raise UsageError("--burst needs a --rate or a --rate-trace.")
        if self.refusal_cost and not has_bucket:
            raise UsageError("--refusal-cost needs a bucket: a --rate or a --rate-trace, no --fixed-window.")

    def _check_others(self) -> None:
        if (self.other_on is None) != (self.other_off is None):
            raise UsageError("--other-on and --other-off go together.")
        if self.other_on == 0:
            raise UsageError("--other-on has to be more than 0.")
        if self.other_on is not None and self.other_rate is None:
            raise UsageError("--other-on needs an --other-rate.")
        if self.other_rate is not None and not (self.rate or self.rate_trace or self.daily_quota):
            raise UsageError("--other-rate needs a quota to share: a --rate, --rate-trace or --daily-quota.")

    def _check_keys(self) -> None:
        known = [credential.access_key for credential in self.credentials]
        if len(set(known)) < len(known):
            raise UsageError("An access key is given twice.")
        for key in self.expired_credentials:
            if key not in known:
                raise UsageError(f"--expired-credentials {key} is not among the --credentials.")
        if self.clock_ahead and not known:
            raise UsageError("--clock-ahead needs --credentials: signatures are not checked without.")
