"""``python -m benchmarks.stage_two``: settles the process as the command line does, then measures.

The options and the parts are in ``benchmarks.stage_two.ratios``.
"""

from __future__ import annotations

from pipeline.cli import prepare_process

if __name__ == "__main__":
    prepare_process()  # before torch is loaded, which the next line does
    from benchmarks.stage_two.ratios import main

    main()
