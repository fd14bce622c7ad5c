"""What the tokens of a source's rows are made from: with anything else all would be invited again."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert

from bulk_invite.checkpoint.tables.schema import about
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.text_settings import TextSettings


def require_tokens(
    known: Mapping[str, str], source: str, campaign: str, token_from: str, settings: TextSettings
) -> None:
    """Raise UsageError where they were made from something else before. known: the `about` table."""
    before, session = (known.get(key) for key in _keys(source, campaign))
    if before not in {None, token_from}:
        raise UsageError(
            f"The rows of {source} were sent with tokens made from their {before}: with --token-from "
            f"{token_from} all of them would be invited once more.",
            hint=f"Keep --token-from {before}, or name a new --campaign if that is what you want.",
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
    """For whoever begins; what is known already stays as it is."""
    for key, value in zip(_keys(source, campaign), (token_from, settings.session), strict=True):
        if key not in known:
            connection.execute(insert(about).values(key=key, value=value))


def _keys(source: str, campaign: str) -> tuple[str, str]:
    place = f"of {source} in campaign {campaign}"
    return f"token_from {place}", f"session {place}"


def _unknown(source: str) -> UsageError:
    """An earlier version took the session as it came, and noted nothing."""
    return UsageError(
        f"The rows of {source} were read by an earlier version, in a session whose settings are not known: "
        "times, numbers or bytes may have been other texts than they are now, and all of the rows would be "
        "invited once more.",
        hint='Say how that session was set, such as --session-settings \'{"TimeZone": "Europe/Berlin"}\' (as '
        "SHOW TimeZone, DateStyle and IntervalStyle tell it there), or name a new --campaign if that is what "
        "you want.",
    )


def _changed(source: str, session: str) -> UsageError:
    keep = "Leave --session-settings away" if session == "{}" else f"Keep --session-settings '{session}'"
    return UsageError(
        f"The rows of {source} were read in a session with other settings: with these times, numbers or "
        "bytes may be other texts, and all of the rows would be invited once more.",
        hint=f"{keep}, or name a new --campaign if that is what you want.",
    )
