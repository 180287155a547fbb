"""One file per published system: its experiments and claims."""
