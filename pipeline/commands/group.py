"""Group of commands: it lists whole lines and names the nearest command to an unknown one."""

from __future__ import annotations

import difflib
import sys

import click

from pipeline.extract.versions import explain_import as explain_import


class Group(click.Group):
    """A click group for people who mistype, and for helps longer than 45 characters."""

    def describe_command(self, ctx: click.Context, name: str) -> str:
        """Return the line that stands beside a command: the first of its help."""
        command = self.get_command(ctx, name)
        return ((command and command.help) or "").strip().partition("\n")[0]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List every command with its whole line; click itself cuts it short."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.describe_command(ctx, name)) for name in self.list_commands(ctx)]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called.

        Raises:
            click.UsageError: there is none of that name; the nearest is named.
        """
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        found = super().resolve_command(ctx, args)
        if tell := getattr(sys.stderr, "name_command", None):  # a log of events
            tell(f"{ctx.command_path} {found[0]}".partition(" ")[2])
        return found
