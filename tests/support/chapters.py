"""A chapter of the documents as a reader copies it: its commands, in order, as one script for a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from documents import Copy

_LOCAL_PORT: Final = re.compile(r"--(?:port|listen) (?:127\.0\.0\.1:)?(\d+)")

_BEGIN: Final = r"""
exec 3> .failed
trap 'echo "$? $BASH_COMMAND" >&3' ERR
answers() {
  for _ in {1..400}; do (exec 4<> /dev/tcp/127.0.0.1/$1) 2> /dev/null && return; sleep 0.05; done
  echo "Nothing answers at port $1." >&3
}
at_last() { for _ in {1..100}; do "$@" > .shown && break; sleep 0.1; done; cat .shown; }
"""

_MARK: Final = "\x1e"
"""Before the number of a copy, in what the terminal shows."""


def script(chapter: Sequence[Copy], replaced: Mapping[str, str], prefixes: Mapping[str, str]) -> str:
    """A script that marks where each copy begins, and lists the commands that fail in the file `.failed`.

    It goes on as soon as what was begun in the background answers. replaced: what exists only in the
    documents, by pattern. prefixes: what commands are run by, by pattern.
    """
    parts = [_BEGIN]
    for number, copy in enumerate(chapter):
        text = copy.text
        for pattern, name in replaced.items():
            text = re.sub(pattern, name, text)
        if copy.language == "sql":
            text = f"sql <<'END'\n{text}END\n"
        for pattern, prefix in prefixes.items():
            text = f"{prefix} {text}" if re.search(pattern, text) else text
        parts.append(f"echo {_MARK}{number}\n{text}set +e")
        parts += [
            f"answers {port}"
            for port in _LOCAL_PORT.findall(text)
            if re.search(r"&( +#.*)?$", text, re.MULTILINE)
        ]
    return "\n".join([*parts, f"echo {_MARK}end\n"])


def outputs(terminal: str) -> dict[str, str]:
    """What each copy printed, by its number; `end` if the script came to its end."""
    found = re.findall(rf"{_MARK}(\w+)\n([^{_MARK}]*)", terminal)
    return dict(found)
