"""The fifteen risks of arXiv 2603.27771, one declaration a file (1.5 has a second scenario, 1.5b)."""
