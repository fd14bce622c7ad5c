"""`simulate`: the command; `run_scenarios` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from bulk_invite.domain.errors import UsageError

SIMULATE_EXAMPLES: Final = """
Examples:

\b
  bulk-invite simulate
  bulk-invite simulate steps --plot steps.svg
  bulk-invite simulate bucket-10 fixed-window --live
  bulk-invite simulate my-server.toml --seeds 20 --format json
"""


def _matching(incomplete: str) -> list[str]:
    # Only where a scenario is completed: reading scenarios imports the emulator's options.
    from bulk_invite.rehearsal.simulation.scenario import names  # noqa: PLC0415

    return [each for each in names() if each.startswith(incomplete)]


def simulate(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO...]",
            help="Names of shipped scenarios, listed in bulk-invite manual rehearsal, or your own .toml "
            "files. Default: all shipped scenarios.",
            autocompletion=_matching,
        ),
    ] = None,
    *,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", min=1, help="Runs of each scenario, with different jitter."),
    ] = 3,
    live: Annotated[
        bool, typer.Option("--live", help="Run short scenarios over real HTTP against the emulator.")
    ] = False,
    only_ours: Annotated[
        bool, typer.Option("--only-ours", help="Leave out the fixed rate and the retry modes of the SDK.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Plot one scenario as .png or .svg instead of printing figures."
        ),
    ] = None,
    output_format: Annotated[
        Literal["table", "markdown", "json"],
        typer.Option("--format", metavar="table|markdown|json", help="Output format of the figures."),
    ] = "table",
) -> None:
    """Measure the pacing on simulated servers with unknown quotas.

    Shows, for each scenario, the share of the quota that was used and the share of the calls that were
    throttled. It compares this program (the worst seed counts), a fixed rate that happens to be right, and
    the retry modes of the SDK on the same server.

    Exit codes: 0 every target is met; 1 a target is missed; 2 usage error.
    """
    # Importing the SDK is slow: --help should not wait for it.
    from bulk_invite.cli.simulate import run_scenarios as run  # noqa: PLC0415

    chosen = run.chosen(scenarios or [])
    if plot is not None:
        if live or only_ours or output_format != "table":
            raise UsageError("--plot replaces the figures.", hint="Remove --live, --only-ours and --format.")
        run.draw_one(chosen, plot)
        return
    if live:
        typer.echo("Each scenario runs in real time and takes some minutes.", err=True)
    results = (
        run.run_live(chosen, only_ours=only_ours) if live else run.run(chosen, seeds, only_ours=only_ours)
    )
    run.show(results, output_format)
    raise typer.Exit(1 if run.report_missed(results) else 0)
