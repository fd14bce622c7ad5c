"""`schema` and `example`: show what a row looks like."""

from __future__ import annotations

import sys
from typing import Annotated, Final, Literal

import orjson
import typer

from bulk_invite.cli.options.command_options import with_settings
from bulk_invite.domain.texts import escaped_json
from bulk_invite.runs.settings.model import Settings
from bulk_invite.validation import examples, row_json_schema, service_model

SCHEMA_EXAMPLES: Final = """
Examples:

\b
  bulk-invite schema > row.schema.json
"""

EXAMPLE_EXAMPLES: Final = """
Examples:

\b
  bulk-invite example
  bulk-invite example --type lead --without-token > invitations.ndjson
"""

_PAYLOADS: Final = {"lead": "LeadInvitation", "opportunity": "OpportunityInvitation"}


@with_settings("service_model")
def schema(*, settings: Settings) -> None:
    """Print the JSON Schema of a row.

    It describes every field, for an editor or another validator.

    Exit codes: 0 printed; 4 the service model cannot be read.
    """
    _print_json(row_json_schema(service_model.load(settings.service_model)), orjson.OPT_INDENT_2)


@with_settings("service_model")
def example(
    *,
    payload: Annotated[
        Literal["lead", "opportunity"] | None,
        typer.Option(
            "--type", metavar="lead|opportunity", help="Only the row of this type. Default: one of each."
        ),
    ] = None,
    without_token: Annotated[
        bool,
        typer.Option("--without-token", help="Leave out ClientToken: send derives it from the content."),
    ] = False,
    settings: Settings,
) -> None:
    """Print valid example rows as NDJSON.

    There is one row for each payload type, with every optional member.

    Exit codes: 0 printed; 4 the service model cannot be read.
    """
    for row in examples(service_model.load(settings.service_model)):
        if without_token:
            row.pop("ClientToken", None)
        if payload is None or _PAYLOADS[payload] in row["Invitation"]["Payload"]:
            _print_json(row)
    if not without_token:
        sys.stderr.write(
            "Remove ClientToken from rows that you copy (or use --without-token): each row needs its own, or "
            "none.\n"
        )


def _print_json(value: object, option: int = 0) -> None:
    sys.stdout.write(escaped_json(orjson.dumps(value, option=option).decode()) + "\n")
