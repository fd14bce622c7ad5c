"""`simulate`: the command; what it does is joined in `run_scenarios`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from bulk_invite.domain.errors import UsageError

EXAMPLES: Final = """
Examples:

  bulk-invite simulate

  bulk-invite simulate steps --plot steps.svg

  bulk-invite simulate bucket-10 fixed-window --live

  bulk-invite simulate my-server.toml --seeds 20 --format json
"""


def simulate(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]...",
            help="Shipped scenarios by name, or .toml files of your own. Default: all that are shipped.",
        ),
    ] = None,
    *,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="How often, each time with other jitter.")
    ] = 3,
    live: Annotated[
        bool, typer.Option("--live", help="Over real HTTP against the emulator, where a scenario is short.")
    ] = False,
    only_ours: Annotated[
        bool, typer.Option("--only-ours", help="Without the fixed rate and the SDK's modes beside it.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw one scenario, as .png or .svg, in place of figures."
        ),
    ] = None,
    output_format: Annotated[
        Literal["table", "markdown", "json"], typer.Option("--format", help="How the figures are printed.")
    ] = "table",
) -> None:
    """Send to simulated servers whose quota nobody publishes, and see what is reached.

    Shows for each scenario the share of the allowed calls that were granted and the share of the calls that
    were throttled: for this program (the worst seed decides), a fixed rate that happens to be right, and the
    SDK's retry modes, on the same server.

    Exit codes: 0 every target is reached; 1 some are missed; 2 usage.
    """
    # The SDK takes long to import: --help does not wait for it.
    from bulk_invite.cli.simulate import run_scenarios as run  # noqa: PLC0415

    chosen = run.chosen(scenarios or [])
    if plot is not None:
        if live or only_ours or output_format != "table":
            raise UsageError("--plot draws in place of figures.", hint="Leave the other options away.")
        run.draw_one(chosen, plot)
        return
    if live:
        typer.echo("This takes as long as the scenarios say: some minutes each.", err=True)
    results = (
        run.run_live(chosen, only_ours=only_ours) if live else run.run(chosen, seeds, only_ours=only_ours)
    )
    run.show(results, output_format)
    raise typer.Exit(1 if run.tell_missed(results) else 0)
