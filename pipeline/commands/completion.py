"""``avfuse completion``: the script by which a shell completes commands and options."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

COMPLETING = "_AVFUSE_COMPLETE"  # set by the script, when the shell asks
_SET_FOLDER = re.compile(r"(.+)-[0-9a-f]{16}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes commands, options, choices and names of sets.

    \b
    To install it, once:
      bash: avfuse completion bash > ~/.local/share/bash-completion/completions/avfuse
      zsh:  avfuse completion zsh > ~/.zfunc/_avfuse
            (with fpath+=~/.zfunc in ~/.zshrc, before compinit)
      fish: avfuse completion fish > ~/.config/fish/completions/avfuse.fish

    Make the folder first if it isn't there, and open a new shell. For the shell at hand alone:
    eval "$(avfuse completion bash)".
    """  # noqa: D301 - click reads the character itself
    program = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click has no completion for {shell}")
    click.echo(made(program, {}, "avfuse", COMPLETING).source())


def complete_from(
    names: Iterable[str], incomplete: str, *, separator: str = ""
) -> list[CompletionItem]:
    """Offer the names that begin with a word, or with its last part behind a separator."""
    before, sign, last = incomplete.rpartition(separator) if separator else ("", "", incomplete)
    return [CompletionItem(before + sign + name) for name in names if name.startswith(last)]


def complete_set(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the sets of the cache that was named before, by their folders alone."""
    cache = ctx.params.get("cache")
    folders = Path(cache).iterdir() if cache and Path(cache).is_dir() else ()
    names = {found[1] for one in folders if (found := _SET_FOLDER.fullmatch(one.name))}
    return complete_from(sorted(names), incomplete)
