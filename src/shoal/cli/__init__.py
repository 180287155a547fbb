"""The command line."""

from shoal.cli.application import main

__all__ = ["main"]
