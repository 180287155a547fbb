# Every target sets up what it needs: a fresh machine with Python 3.11 or later is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup browser demo test test-all lint table results bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("shoal needs Python 3.11 or later; set PYTHON=") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[local,analysis,posttrain,ui,dev]'
	touch $@

demo: setup
	$(BIN)/shoal demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The page is tested in Debian's Chromium; without one those tests are skipped and say so.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } || \
		echo "no Chromium: the tests of the page are skipped"

# A file's tests share servers, runs and compiled programs, so each file stays in one process.
test: lint browser
	$(BIN)/pytest -n 2 --dist loadfile

test-all: lint browser
	$(BIN)/pytest -n 2 --dist loadfile -m ''

# The generated tables of README.md and docs/speed.md.
table: setup
	$(BIN)/python tools/tables.py

# The standard runs of all systems; some two hours on two cores. Verdicts that are not reproduced are results too.
results: setup
	$(BIN)/shoal models pull
	for name in $$($(BIN)/python -c 'import shoal; print(*shoal.list_studies())'); do \
		$(BIN)/shoal run $$name --record --fresh || test $$? -eq 1 || exit 1; done
	$(MAKE) table

bench: setup
	$(BIN)/shoal bench

clean:
	rm -rf $(VENV) runs
