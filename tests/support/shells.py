"""Interactive shells on a terminal, in which the command can be completed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from command import COMMAND, PATIENCE, environment
from faults.needs import need

_PROMPT: Final = "ready> "
_ECHOED: Final = "'rea''dy> '"
"""The same in a command, whose echo is not mistaken for it."""

_DISCARD: Final = "\x15"
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?>=]*[a-zA-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>()][0-9A-Z]?)")

_STARTS: Final = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "--private"],
}
_PROMPTS: Final = {
    "bash": f"PS1={_ECHOED}; bind 'set enable-bracketed-paste off'; source {{script}}\n",
    "zsh": "",
    "fish": f"set fish_autosuggestion_enabled 0; function fish_prompt; echo -n {_ECHOED}; end\n",
}


class Shell:
    """A shell that takes keys; `screen` is what it wrote since the last line was begun."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.screen = ""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def shows(self, text: str) -> None:
        """Wait until the screen has a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.screen:
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain for {text!r}: {self.screen!r}"
            if select.select([self._terminal], [], [], left)[0]:
                received = os.read(self._terminal, 65536).decode(errors="replace")
                self.screen += _ESCAPES.sub("", received)

    def completes(self, keys: str, *shown: str) -> None:
        """Type something and press Tab once; then every text is shown. The line is discarded."""
        self.screen = ""
        self.type(f"{keys}\t")
        for text in shown:
            self.shows(text)
        self.screen = ""
        self.type(f"{_DISCARD}echo 'e'nd\n")
        self.shows("end\r\n")
        self.shows(_PROMPT)


@contextmanager
def shell(name: str, folder: Path, script: str) -> Iterator[Shell]:
    """A shell of that name with the completion script installed where a package puts it."""
    need(name, there=shutil.which(name) is not None)
    home = folder / name
    completions = home / ("completions/_bulk-invite" if name == "zsh" else f"completions/bulk-invite.{name}")
    completions.parent.mkdir(parents=True)
    completions.write_text(script)
    (home / ".zshrc").write_text(
        f"PS1='{_PROMPT}'\nunset zle_bracketed_paste\nfpath=({completions.parent} $fpath)\n"
        "autoload -Uz compinit\ncompinit -u\n"
    )
    (home / "fish").mkdir()
    shutil.copytree(completions.parent, home / "fish" / "completions")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *_STARTS[name]],  # fish needs a terminal of its own
        cwd=folder,
        env=environment(
            HOME=str(home),
            ZDOTDIR=str(home),
            XDG_CONFIG_HOME=str(home),
            PATH=f"{COMMAND.parent}:{os.environ['PATH']}",
            TERM="xterm",
        ),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        started = Shell(ours)
        started.type(_PROMPTS[name].format(script=completions))
        started.shows(_PROMPT)
        yield started
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)
