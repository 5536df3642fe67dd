# One command for each task, used by developers and CI alike; the environment is created on demand.

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all soak soak-service check lint types imports bench bench-all build clean

demo: $(VENV)/.ok
	$(BIN)/farm demo

# With --hypothesis-profile ci, property tests draw the same examples each time; alone, new ones.
PYTEST = $(BIN)/python -m pytest --durations 10 --dist loadgroup $(EXAMPLES)

test: $(VENV)/.ok
	$(PYTEST) --numprocesses 2 -m "not proof"

# Proofs mostly wait for other processes, so more of them run than there are cores.
test-all: EXAMPLES := --hypothesis-profile ci
test-all: $(VENV)/.ok
	$(PYTEST) --numprocesses 3
	$(BIN)/python tests/mutations.py

MINUTES ?= 10

soak: $(VENV)/.ok
	$(BIN)/python tests/soak.py --minutes $(MINUTES)

soak-service: $(VENV)/.ok
	$(BIN)/python tests/soak_service.py
	$(BIN)/python tests/soak_service.py --postgres

check: lint types imports

lint: $(VENV)/.ok
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.ok
	$(BIN)/mypy

imports: $(VENV)/.ok
	$(BIN)/lint-imports

bench: $(VENV)/.ok
	$(BIN)/python tests/benchmarks/table.py

bench-all: bench
	$(BIN)/python tests/benchmarks/engine.py
	$(BIN)/python tests/benchmarks/memory.py
	$(BIN)/python tests/benchmarks/overhead.py
	$(BIN)/python tests/benchmarks/ledger.py
	$(BIN)/python tests/benchmarks/threads.py
	$(BIN)/python tests/benchmarks/film.py
	$(BIN)/python tests/benchmarks/style.py
	$(BIN)/python tests/benchmarks/fast.py
	$(BIN)/python tests/benchmarks/training.py

build: $(VENV)/.ok
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist demo

$(VENV)/.ok: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@
