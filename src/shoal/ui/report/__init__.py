"""The views of the page as one file that needs no server: ``page.write_report`` makes it."""
