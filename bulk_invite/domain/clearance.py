"""Re-check the conditions of a call after its last wait, immediately before its first byte leaves.

Between the decision to call and the first byte lie waits of any length: committing the intent, a slow disk,
connecting, a starved event loop, a suspended machine. In the meantime another sender may have taken over, the
service may have forgotten the token, or the engagement may have filled up. So no call leaves on the decision
alone: `renew` waits for fresh proof that this sender still holds the checkpoint, and `holds` checks every
condition with nothing between it and the write to the socket.

One gap remains: the process may be stopped between `holds` and that write (some ten microseconds), and the
network may delay what was written. The service has no "not after" parameter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clearance:
    """The check that the transport makes before it writes a call to its connection.

    renew: once the connection is ready, proves anew what requires a wait to prove; raises CheckpointError.
    objection: why the call must not leave now, or ""; never waits. withheld: the result of the last check.
    """

    renew: Callable[[], Awaitable[None]]
    objection: Callable[[], str]
    withheld: str = field(default="", init=False)

    def holds(self) -> bool:
        """Whether the call may leave at this moment."""
        self.withheld = self.objection()
        return not self.withheld
