"""Models ready to use, one module each."""
