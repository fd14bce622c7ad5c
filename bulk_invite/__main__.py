"""The entry point: signals are handled before anything else is imported."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from bulk_invite.domain.errors import EXIT_STOPPED, StoppedError


def _stop_before_start(_number: int, _frame: FrameType | None) -> None:
    """Nothing has begun, so there is nothing to finish."""
    if "--json" in sys.argv:
        import json  # noqa: PLC0415 - the program may be stopped before it has imported anything else

        line = json.dumps({"error": StoppedError().members(), "complete": False})
        with suppress(OSError):
            os.write(1, f"{line}\n".encode())
    os._exit(EXIT_STOPPED)


def _open_closed_streams() -> None:
    """Point standard streams that are closed at the null device.

    Else a socket gets their number, and the event loop aborts the process when it closes that.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays


def main() -> None:
    """Run the command line."""
    _open_closed_streams()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_before_start)
    if sys.argv[1:2] == ["serve"]:
        # A reload so early must not end the program, which reads the configuration later anyway.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Imports and calls create many objects and hardly a cycle: by default, collecting takes a tenth of their
    # time, a hundred collections for `status`.
    gc.set_threshold(20_000, 20, 20)
    from bulk_invite.cli.app import run  # noqa: PLC0415 - importing takes long enough to be interrupted

    try:
        run()
    finally:
        gc.freeze()  # the process ends: to look for garbage once more would take 40 ms


if __name__ == "__main__":
    main()
