"""The web page: systems, runs, traces, worlds, populations and games in a browser, on this machine only."""
