"""What a source's tokens are derived from: any change would send all its rows again."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert

from bulk_invite.checkpoint.tables.schema import about
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.text_settings import TextSettings


def require_tokens(
    known: Mapping[str, str], source: str, campaign: str, token_from: str, settings: TextSettings
) -> None:
    """Raise UsageError if tokens were derived differently before. known: the `about` table."""
    before, session = (known.get(key) for key in _keys(source, campaign))
    if before not in {None, token_from}:
        raise UsageError(
            f"The tokens of the rows of {source} were derived from their {before}: --token-from "
            f"{token_from} would send all of them again.",
            hint=f"Keep --token-from {before}, or use a new --campaign to send them again on purpose.",
        )
    if not settings.affects_tokens:
        return
    if session is None and before is not None and not settings.is_confirmed:
        raise _unknown(source)
    if session not in {None, settings.session}:
        raise _changed(source, str(session))


def note_tokens(
    connection: Connection,
    known: Mapping[str, str],
    source: str,
    campaign: str,
    token_from: str,
    settings: TextSettings,
) -> None:
    """Record the basis on first use; existing values stay."""
    for key, value in zip(_keys(source, campaign), (token_from, settings.session), strict=True):
        if key not in known:
            connection.execute(insert(about).values(key=key, value=value))


def _keys(source: str, campaign: str) -> tuple[str, str]:
    place = f"of {source} in campaign {campaign}"
    return f"token_from {place}", f"session {place}"


def _unknown(source: str) -> UsageError:
    """An earlier version recorded no session settings."""
    return UsageError(
        f"The rows of {source} were read by an earlier version, which did not record the session settings: "
        "times, numbers or bytes may have been formatted differently, and all rows would be sent again.",
        hint=(
            "Name the settings of that session, such as --session-settings "
            '\'{"TimeZone": "Europe/Berlin"}\' (SHOW TimeZone, DateStyle and IntervalStyle report them), '
            "or use a new --campaign to send the rows again on purpose."
        ),
    )


def _changed(source: str, session: str) -> UsageError:
    keep = "Remove --session-settings" if session == "{}" else f"Keep --session-settings '{session}'"
    return UsageError(
        f"The rows of {source} were read with other session settings: times, numbers or bytes may be "
        "formatted differently, and all rows would be sent again.",
        hint=f"{keep}, or use a new --campaign to send the rows again on purpose.",
    )
