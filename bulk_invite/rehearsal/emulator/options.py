"""The options of the emulator. The command line is generated from these names, defaults and help texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bulk_invite.domain.durations import DAY, HOUR
from bulk_invite.domain.errors import UsageError
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.fault_options import FAULTS, FaultOptions
from bulk_invite.rehearsal.emulator.option_fields import Form, check_all, option
from bulk_invite.rehearsal.emulator.rate_trace import RateTrace

_LAST_PORT: Final = 65535


_PLACE, _WHO, _QUOTA, _WORLD = "Server", "Credentials", "Quotas", "Engagements and lists"


@dataclass(frozen=True, slots=True)
class Options:
    """All options of the emulator. Durations are seconds, rates per second; None is "no limit".

    Raises UsageError for values that make no sense.
    """

    host: str = option("127.0.0.1", "--host", Form.TEXT, _PLACE, "Address to listen on.")
    port: int = option(
        0, "--port", Form.INTEGER, _PLACE, "Port to listen on; 0 takes a free one.", common=True
    )
    ledger: Path | None = option(  # noqa: RUF009 - dataclasses.field with metadata
        None,
        "--ledger",
        Form.PATH,
        _PLACE,
        "NDJSON file that records every call and invitation. An emulator restarted with it continues. "
        "Without it, the ledger is lost when the process ends.",
        common=True,
    )
    seed: int = option(
        0,
        "--seed",
        Form.INTEGER,
        _PLACE,
        "Seed: the same seed and order of calls give the same faults and Ids.",
    )
    latency: float = option(
        0.0,
        "--latency",
        Form.DURATION,
        _PLACE,
        "Duration of every call, half before and half after the decision.",
    )
    jitter: float = option(
        0.0, "--jitter", Form.DURATION, _PLACE, "Maximum random extra latency before the decision."
    )

    credentials: tuple[Credential, ...] = option(
        (),
        "--credentials",
        Form.CREDENTIALS,
        _WHO,
        "Access key to accept; repeatable. With at least one key, signatures are checked. "
        "Without keys, every caller is accepted as account 111122223333.",
    )
    expired_credentials: tuple[str, ...] = option(
        (),
        "--expired-credentials",
        Form.TEXTS,
        _WHO,
        "Access key among --credentials that has expired (ExpiredTokenException); repeatable.",
    )
    clock_ahead: float = option(
        0.0,
        "--clock-ahead",
        Form.DURATION,
        _WHO,
        "How far the clock is ahead, for signatures and Date. Above 5m, every signature has expired.",
    )
    deny_accounts: tuple[str, ...] = option(
        (),
        "--deny-account",
        Form.TEXTS,
        _WHO,
        "Account that gets AccessDeniedException on every Create call; repeatable.",
    )
    no_sts: bool = option(False, "--no-sts", Form.SWITCH, _WHO, "Respond to GetCallerIdentity with 404.")

    rate: float | None = option(
        None, "--rate", Form.RATE, _QUOTA, "Create calls per second and account.", common=True
    )
    burst: int | None = option(
        None,
        "--burst",
        Form.COUNT,
        _QUOTA,
        "Create calls that may arrive at once. Default: one second of the rate (the first rate of a trace).",
        common=True,
    )
    rate_trace: RateTrace | None = option(  # noqa: RUF009 - dataclasses.field with metadata
        None,
        "--rate-trace",
        Form.RATE_TRACE,
        _QUOTA,
        "Rate that changes over time, instead of --rate, such as 0s:10,20m:4; "
        "starts at an account's first call.",
    )
    fixed_window: float | None = option(
        None,
        "--fixed-window",
        Form.DURATION,
        _QUOTA,
        "Length of a fixed window, instead of a token bucket. It allows --rate times its length, and starts "
        "at every multiple of its length on the clock.",
    )
    refusal_cost: float = option(
        0.0,
        "--refusal-cost",
        Form.AMOUNT,
        _QUOTA,
        "Tokens that a throttled Create call takes from the bucket; the debt is at most one burst.",
    )
    other_rate: float | None = option(
        None,
        "--other-rate",
        Form.RATE,
        _QUOTA,
        "Create calls per second that another program attempts in the same account.",
    )
    other_on: float | None = option(
        None,
        "--other-on",
        Form.DURATION,
        _QUOTA,
        "How long the other program runs at a time. Default: always.",
    )
    other_off: float | None = option(
        None, "--other-off", Form.DURATION, _QUOTA, "How long the other program pauses before each time."
    )
    daily_quota: int | None = option(
        None, "--daily-quota", Form.COUNT, _QUOTA, "Create calls per rolling day and account.", common=True
    )
    day: float = option(DAY, "--day", Form.DURATION, _QUOTA, "Length of the day of --daily-quota.")
    read_rate: float | None = option(
        None,
        "--read-rate",
        Form.RATE,
        _QUOTA,
        "List and Get calls per second and account; the service allows 10.",
    )
    invitations_per_engagement: int | None = option(
        9,
        "--invitations-per-engagement",
        Form.COUNT,
        _QUOTA,
        "Invitations that an engagement takes; beyond: ServiceQuotaExceededException.",
        common=True,
    )
    token_retention: float = option(
        8 * HOUR,
        "--token-retention",
        Form.DURATION,
        _QUOTA,
        "How long a ClientToken is remembered; a later replay invites a second time.",
    )
    tell_retry_after: bool = option(
        False,
        "--tell-retry-after",
        Form.SWITCH,
        _QUOTA,
        "Send x-amz-retry-after when one of these quotas throttles a call.",
    )

    unknown_engagements: tuple[str, ...] = option(
        (),
        "--unknown-engagement",
        Form.TEXTS,
        _WORLD,
        "Engagement that does not exist (ResourceNotFoundException), as an id or a glob "
        "(eng-unknown*); repeatable.",
    )
    forbidden_engagements: tuple[str, ...] = option(
        (),
        "--forbidden-engagement",
        Form.TEXTS,
        _WORLD,
        "Engagement of another account (AccessDeniedException), as an id or a glob; repeatable.",
    )
    list_delay: float = option(
        0.0, "--list-delay", Form.DURATION, _WORLD, "Time until a new invitation appears in lists."
    )

    faults: FaultOptions = field(default_factory=FaultOptions)
    faults_committed: float = option(
        0.5,
        "--fault-committed",
        Form.PROBABILITY,
        FAULTS,
        'Probability of a commit in a fault "with or without a commit".',
    )
    faults_on_reads: bool = option(
        False, "--fault-reads", Form.SWITCH, FAULTS, "Apply faults to List and Get, too."
    )
    slow_for: float = option(5.0, "--slow-for", Form.DURATION, FAULTS, "Delay of --fault-slow.")
    retry_after: float = option(
        0.5, "--retry-after", Form.DURATION, FAULTS, "x-amz-retry-after of --fault-throttle."
    )

    def __post_init__(self) -> None:
        check_all(self)
        if self.port > _LAST_PORT:
            raise UsageError(f"--port must be between 0 and {_LAST_PORT}.")
        self._check_quotas()
        self._check_others()
        self._check_keys()

    def _check_quotas(self) -> None:
        if self.day == 0:
            raise UsageError("--day must be more than 0.")
        if self.rate_trace is not None and self.rate is not None:
            raise UsageError("Use --rate or --rate-trace, not both.")
        has_bucket = self.fixed_window is None and (self.rate is not None or self.rate_trace is not None)
        if self.fixed_window is not None:
            if self.fixed_window == 0:
                raise UsageError("--fixed-window must be more than 0.")
            if self.rate is None:
                raise UsageError("--fixed-window needs --rate.")
            if self.burst is not None:
                raise UsageError("Use --fixed-window or --burst, not both.")
        if self.burst is not None and not has_bucket:
            raise UsageError("--burst needs --rate or --rate-trace.")
        if self.refusal_cost and not has_bucket:
            raise UsageError("--refusal-cost needs a bucket: --rate or --rate-trace, without --fixed-window.")

    def _check_others(self) -> None:
        if (self.other_on is None) != (self.other_off is None):
            raise UsageError("--other-on and --other-off need each other.")
        if self.other_on == 0:
            raise UsageError("--other-on must be more than 0.")
        if self.other_on is not None and self.other_rate is None:
            raise UsageError("--other-on needs --other-rate.")
        if self.other_rate is not None and not (self.rate or self.rate_trace or self.daily_quota):
            raise UsageError("--other-rate needs a quota to share: --rate, --rate-trace or --daily-quota.")

    def _check_keys(self) -> None:
        known = [credential.access_key for credential in self.credentials]
        if len(set(known)) < len(known):
            raise UsageError("--credentials has the same access key twice.")
        for key in self.expired_credentials:
            if key not in known:
                raise UsageError(f"--expired-credentials {key} is not among the --credentials.")
        if self.clock_ahead and not known:
            raise UsageError("--clock-ahead needs --credentials: without them, signatures are not checked.")
