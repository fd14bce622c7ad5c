"""The manual's topic of options, made from the settings; as a program it writes the file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bulk_invite.cli.options.grouped_help import GROUPS
from bulk_invite.runs.settings.model import SEND_ONLY, SERVE_ONLY, Settings, flag, shown_default

FILE: Final = Path(__file__).parents[2] / "bulk_invite" / "manual" / "options.md"

_INTRODUCTION: Final = """# Options

These are the options of `send` and `serve`; other commands take those that concern them
(`bulk-invite COMMAND --help`).

Each option is also a key of a TOML file (`--config FILE`; the
[example](../../config/bulk-invite.example.toml) has all of them) and an environment variable
`BULK_INVITE_<NAME>`. An option on the command line overrides the environment, and the environment overrides
the file. Unknown keys and variables end the program with exit code 2, so that a misspelled limit is never
ignored. Durations are written `250ms`, `2s`, `15m`, `8h`.
"""


def options_topic() -> str:
    parts = [_INTRODUCTION]
    for heading, names in GROUPS.items():
        rows = "\n".join(map(_row, names))
        parts.append(f"## {heading}\n\n| option | default | meaning |\n| --- | --- | --- |\n{rows}\n")
    return "\n".join(parts)


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    default = shown_default(field)
    only = " Only `serve`." if name in SERVE_ONLY else " Only `send`." if name in SEND_ONLY else ""
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{flag(name)}` | {f'`{default}`' if default else ''} | {meaning}{only} |"


if __name__ == "__main__":
    FILE.write_text(options_topic(), encoding="utf-8")
