"""Fifty published multi-agent systems, in one laboratory."""
