"""Causal language models run by transformers: tiny ones trained here, or any from a local folder."""
