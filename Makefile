# Needs make and any Python >= 3.11; every target sets up what it uses and can be run again.
# PYENV_ROOT, when set, is searched for interpreters that are not active on PATH.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
PYTHON := $(VENV)/bin/python
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Tests start some 300 processes. Each would compile what it imports, in an environment that forbids
# to write it down; here that does not touch the tree.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/bytecode
APPS ?=
ARGS ?=
# Each collects all tests and has a PostgreSQL of its own. Three, for two leave a third of two cores
# idle: tests wait for other processes, for a browser, for timeouts. Tests are given out by module,
# or by folder (tests/scheduling.py), for these have servers of their own; in the order of
# conftest.py, which has those that take long early.
PROCESSES = -n 3 --dist loadfile --no-loadscope-reorder

# Parts of the tests that take little time. Of the installed package: much of what users see. In
# Python's development mode: what waits, is cancelled, closes and gives back.
OF_WHEEL = tests/test_checks.py tests/test_conf.py tests/test_native_orm.py tests/test_reroute.py \
	tests/test_versions.py tests/cli tests/testing tests/units/test_loading.py tests/lab/test_cli.py \
	tests/lab/test_reports.py tests/db/test_lifespan.py tests/http/test_handler.py \
	tests/http/test_files.py -k "not uvloop and not eager"
OF_DEV_MODE = tests/bridge tests/units tests/offload tests/test_closing.py \
	$(addprefix tests/db/test_,$(addsuffix .py,aiterator atomic cancellation concurrency lifespan \
	pool pool_races session_reset session_state threaded waiting_thread_blocks waiting_threads)) \
	$(addprefix tests/http/test_,$(addsuffix .py,body body_limits cancellation handler handler_threads lifespan streams)) \
	-k "not uvloop and not eager and not 0_000 and not interleaving"

# An interpreter that really runs (a pyenv shim may not) and can make a venv. 3.13 comes first: what
# tests/django_suite/accepted.toml lists was found with it.
FIND_PYTHON = for python in $(BOOTSTRAP_PYTHON) \
	$(foreach minor,13 14 12 11,python3.$(minor) $${PYENV_ROOT:-/nonexistent}/versions/3.$(minor).*/bin/python) python3 python; do \
		$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	test -n "$$python" || { echo "no Python >= 3.11 with venv found on PATH" >&2; exit 1; }

$(VENV)/uv.stamp:
	@$(FIND_PYTHON); echo "creating $(VENV) with $$($$python --version)"; $$python -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/dev.stamp: $(VENV)/uv.stamp pyproject.toml uv.lock
	@$(PYTHON) -m uv sync --quiet --locked --inexact
	@touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp
	@$(PYTHON) -m uv sync --quiet --locked --inexact --group bench
	@touch $@

$(VENV)/django-suite.stamp: $(VENV)/dev.stamp
	@$(PYTHON) -m uv sync --quiet --locked --inexact --group django-suite
	@touch $@

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(VENV)/dev.stamp ## Create .venv with the locked dependencies

.PHONY: test
test: setup ## Run the tests in three processes (ARGS="-k name" for some of them)
	@$(PYTHON) -m pytest $(PROCESSES) $(ARGS)

.PHONY: test-fast
test-fast: setup ## Run what takes a minute and touches every room, while working
	@$(PYTHON) -m pytest $(PROCESSES) -m fast $(ARGS)

.PHONY: coverage
coverage: setup ## Run the tests, and show by which branches they do not pass: no gate; pages in build/coverage
	@$(PYTHON) -m pytest $(PROCESSES) --cov --cov-report=term --cov-report=html $(ARGS)
	@echo "open build/coverage/index.html"

.PHONY: lint
lint: setup ## Check style and types
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

.PHONY: test-matrix
test-matrix: setup ## Run the tests on each supported pair of Python and Django
	@$(PYTHON) scripts/test_matrix.py $(PROCESSES) $(ARGS)

.PHONY: test-wheel
test-wheel: setup ## Build the wheel, and run a part of the tests on it instead of src
	@$(PYTHON) scripts/test_wheel.py $(PROCESSES) $(OF_WHEEL) $(ARGS)

.PHONY: test-dev-mode
test-dev-mode: setup ## Run a part of the tests in Python's development mode
	@PYTHONDEVMODE=1 $(PYTHON) -m pytest $(PROCESSES) $(OF_DEV_MODE) $(ARGS)

.PHONY: mutants
mutants: setup ## Change the riskiest modules, and list what no test notices (ARGS="--modules 'bridge/*' --limit 50")
	@$(PYTHON) -m scripts.mutants $(ARGS)

.PHONY: docs
docs: setup ## Build the documentation into build/docs
	@$(PYTHON) -m sphinx --quiet --fail-on-warning --builder html docs build/docs
	@echo "open build/docs/index.html"

.PHONY: demo
demo: setup ## Serve the demo site, a small learning platform, until Ctrl-C (ARGS="--port 9000")
	@$(PYTHON) -m demo $(ARGS)

.PHONY: django-suite
django-suite: $(VENV)/django-suite.stamp ## Run Django's own tests on our engines (APPS="queries transactions" for some)
	@$(PYTHON) tests/django_suite/run.py $(APPS) $(ARGS)

.PHONY: fuzz
fuzz: setup ## Cancel 100,000 tasks at random moments and look for damage
	@$(PYTHON) -m benchmarks.cancel_fuzz $(ARGS)

.PHONY: bench-bridge
bench-bridge: $(VENV)/bench.stamp ## Measure run_sync and await_
	@$(PYTHON) -m benchmarks.bridge $(ARGS)

.PHONY: bench-orm
bench-orm: $(VENV)/bench.stamp ## Measure the ORM beside its peers
	@$(PYTHON) -m benchmarks.orm $(ARGS)

.PHONY: bench-http
bench-http: $(VENV)/bench.stamp ## Measure whole requests beside peers (40 minutes)
	@$(PYTHON) -m benchmarks.http $(ARGS)

.PHONY: bench-instructions
bench-instructions: $(VENV)/bench.stamp ## Count instructions per request and query (ARGS="--base REVISION"; needs valgrind)
	@$(PYTHON) -m benchmarks.instructions $(ARGS)

.PHONY: clean
clean: ## Remove the environments and caches that make created
	@rm -rf $(VENV) .venvs .cache build .mypy_cache .pytest_cache .ruff_cache
