"""The command line, called from tests."""

from __future__ import annotations

from click.testing import CliRunner, Result

from pipeline.cli import main


def avfuse(*words: object) -> Result:
    """Call avfuse in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])
