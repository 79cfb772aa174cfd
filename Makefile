# make demo, make test, make check. Everything lives in .venv; PYTHON is any Python ≥ 3.11.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-fast check picture schema benchmark benchmark-store benchmark-engine benchmark-scale clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rsbench needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# The main job on the embedded dataset: train, certify, compare.
demo: install
	$(BIN)/rsbench sweep --dataset digits --method dssn,ssn,uniform,cohen --sigma 0.25,0.5,1 --seed 0,1,2
	$(BIN)/rsbench leaderboard --dataset digits --norm l1 --radius 0.25,0.5,1
	$(BIN)/rsbench export figure --dataset digits --norm l1 --to curves.svg --force
	@echo "The certified-accuracy curves are in curves.svg. Open the dashboard with: $(BIN)/rsbench dashboard"

# In two processes, a file to one of them: tests wait for Ray, servers and browsers more than they compute.
test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# The tests that need neither seconds nor a browser, for use while you work.
test-fast: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -q -m "not slow and not browser and not statistical"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The picture in the README, taken of the dashboard after `make demo`.
picture: install
	$(BIN)/python docs/take_picture.py docs/board.png

# The diagram of the tables in docs/reference/store.md.
schema: install
	$(BIN)/python docs/draw_schema.py docs/reference/store.md

# Rows per second of every certificate.
benchmark: install
	$(BIN)/python -m tests.benchmarks.certificates

# Speed and size of the store, on SQLite and PostgreSQL, with a million results.
benchmark-store: install
	$(BIN)/python -m tests.benchmarks.store

# Votes per second, against one image at a time as released code certifies it.
benchmark-engine: install
	$(BIN)/python -m tests.benchmarks.engine

# Image results per second through the driver of 256 actors, and its memory over a million images.
benchmark-scale: install
	$(BIN)/python -m tests.benchmarks.scale

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
