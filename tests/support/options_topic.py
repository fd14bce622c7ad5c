"""The manual's topic on options, generated from the settings; as a program it writes the file."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from bulk_invite.runs.settings.options import OPTIONS, Option

FILE: Final = Path(__file__).parents[2] / "bulk_invite" / "manual" / "options.md"

_INTRODUCTION: Final = """# Options

These are the options of `send` and `serve`; other commands take those that concern them
(`bulk-invite COMMAND --help-all`).

Each option is also a key of a TOML file (`--config FILE`; the
[example](../../config/bulk-invite.example.toml) has all of them) and an environment variable
`BULK_INVITE_<NAME>`. An option on the command line overrides the environment, and the environment overrides
the file. Unknown keys and variables end the program with exit code 2, so that a misspelled limit is never
ignored. Durations are written `250ms`, `2s`, `15m`, `8h`.
"""


def options_topic() -> str:
    parts = [_INTRODUCTION]
    for heading, options in groupby(OPTIONS.values(), attrgetter("heading")):
        rows = "\n".join(map(_row, options))
        parts.append(f"## {heading}\n\n| option | default | meaning |\n| --- | --- | --- |\n{rows}\n")
    return "\n".join(parts)


def _row(option: Option) -> str:
    default = f"`{option.default}`" if option.default else ""
    short = f" Short: `{option.short}`." if option.short else ""
    only = f" Only `{option.only}`." if option.only else ""
    meaning = option.help.replace("|", "\\|")
    return f"| `{option.flag}` | {default} | {meaning}{short}{only} |"


if __name__ == "__main__":
    FILE.write_text(options_topic(), encoding="utf-8")
