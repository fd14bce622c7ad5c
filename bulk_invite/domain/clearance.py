"""What a call rests on, proven once more after its last wait and right before its first byte leaves.

Between the decision to call and the byte lie waits of any length: the commit of the intent, a disk, a
connection, a loop that is starved, a machine that is suspended. Meanwhile another sender may have taken over,
the service may have forgotten the token, the engagement may have filled up. So nothing leaves on a decision
alone: `renew` waits for a fresh proof that the checkpoint is ours, and `holds` looks at everything, with
nothing between it and the write to the socket.

What remains cannot be closed from here: the process may be stopped between `holds` and that write, some ten
microseconds, and the network may keep what was written. The service knows no "not after".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clearance:
    """Asked by whoever writes a call to its connection.

    renew: proves anew what takes a wait to prove, when the connection is ready; raises CheckpointError.
    objection: why the call must not leave now, "" where nothing speaks against it; does not wait.
    withheld: what the last answer to that was.
    """

    renew: Callable[[], Awaitable[None]]
    objection: Callable[[], str]
    withheld: str = field(default="", init=False)

    def holds(self) -> bool:
        """Whether the call may leave in this very moment."""
        self.withheld = self.objection()
        return not self.withheld
