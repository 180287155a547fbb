"""Analyses that `shoal diagnose --with NAME` prints beside the verdict, one module each."""
