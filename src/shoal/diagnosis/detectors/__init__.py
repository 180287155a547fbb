"""Detectors of known failures: each works on any conversation, finished or not, and needs no model."""
