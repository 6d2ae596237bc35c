"""Fixtures of the tests of benchmarks, which fine-tune and probe what those of stage two do."""

from __future__ import annotations

from tests.trainer.conftest import narrow

__all__ = ["narrow"]
