"""``python -m pipeline``: the ``avfuse`` command, for where it is not on the path."""

from pipeline.cli import main

main(prog_name="avfuse")
