"""One module for each page; each has a function that builds it, named in ``ui.server.PAGES``."""
