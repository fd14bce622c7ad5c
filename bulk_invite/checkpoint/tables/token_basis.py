"""What the tokens of a source are derived from: any change would send all its rows again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, insert, select

from bulk_invite.checkpoint.tables.schema import about, invitations
from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.text_settings import TextSettings

_CONTENT: Final = "content"


@dataclass(frozen=True, slots=True)
class TokenBasis:
    """What the tokens of a database's rows are derived from. token_from: `content` or `key`."""

    source: str
    campaign: str
    token_from: str
    text_settings: TextSettings


def require(known: Mapping[str, str], basis: TokenBasis) -> None:
    """Raise UsageError if tokens were derived differently before. known: the `about` table."""
    source, token_from, settings = basis.source, basis.token_from, basis.text_settings
    before, session = (known.get(key) for key in _keys(basis))
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


def bind(connection: Connection, known: Mapping[str, str], basis: TokenBasis) -> None:
    """Record the basis on first use. Raises UsageError if it has changed."""
    require(known, basis)
    for key, value in zip(_keys(basis), (basis.token_from, basis.text_settings.session), strict=True):
        if key not in known:
            connection.execute(insert(about).values(key=key, value=value))


def bind_files(connection: Connection, known: Mapping[str, str], campaign: str, token_from: str) -> None:
    """Record what the tokens of rows of files are derived from. known: the `about` table.

    token_from: `content` (not recorded), or `key` and the path of the key. All files of a campaign count as
    one source: the same rows may come in a file of another name. Raises UsageError if tokens of the campaign
    were derived from something else.
    """
    name = f"token_from of files in campaign {campaign}"
    before = known.get(name, _CONTENT)
    if before == token_from:
        return
    of_files = and_(invitations.c.campaign == campaign, invitations.c.row_key == "")
    if connection.execute(select(invitations.c.line).where(of_files).limit(1)).first() is not None:
        raise UsageError(
            f"Rows of files have tokens that were derived with {_option(before)}: {_option(token_from)} "
            "would send all of them again.",
            hint=f"Keep {_option(before)}, or use a new --campaign to send them again on purpose.",
            topic="rows",
        )
    connection.execute(delete(about).where(about.c.key == name))
    if token_from != _CONTENT:
        connection.execute(insert(about).values(key=name, value=token_from))


def _option(token_from: str) -> str:
    basis, _, path = token_from.partition(" ")
    return f"--token-from {basis}" + (f" --key '{path}'" if path else "")


def _keys(basis: TokenBasis) -> tuple[str, str]:
    place = f"of {basis.source} in campaign {basis.campaign}"
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
