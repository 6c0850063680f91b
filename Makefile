# `make run` serves, `make test` checks and tests; both set up what they need in .venv. `make help` lists the rest.
# PYTHON=python3.12 chooses the interpreter of a new environment, VENV=.venv-3.12 its folder.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The first interpreter whose version is supported; without one, python3, and the check below says what is wrong.
KNOWN = import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c '$(KNOWN)' 2>/dev/null && { echo $$python; exit; }; done; echo python3)
# Grafana's SDK runs on 3.11 and newer, so its types are checked there.
HAS_SDK = import sys; sys.exit(sys.version_info >= (3, 11))
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL_SELF := $(PIP) install --no-deps --no-build-isolation --editable .
UV := build/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header
CODE := $(wildcard service metrics grafana tests benchmarks loadtest)
PYTEST := $(BIN)/python -m pytest
PYTEST_ARGS ?=
NOTHING_COLLECTED := 5

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test properties durability loadtest loadtest-trials compose-test check format bench hostile wheel requirements clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

run: $(VENV)/runtime.stamp  ## set up what the service needs, and serve on http://127.0.0.1:8080
	@exec $(BIN)/python -m recoup serve

test: check  ## check everything, then run every test: those that measure time run last, one at a time
	$(PYTEST) -n 2 --dist loadgroup -m "not load" $(PYTEST_ARGS)
	$(PYTEST) -m load $(PYTEST_ARGS) || test $$? -eq $(NOTHING_COLLECTED)

# In parts: Hypothesis remembers all that it drew in one run, which is gigabytes for 100,000 examples.
properties: $(VENV)/dev.stamp  ## draw 100,000 examples for each property of keys (some 20 minutes of one core)
	@for part in $$(seq 20); do echo "part $$part of 20" && $(PYTEST) -n 0 -m properties \
		--hypothesis-profile thorough --timeout 0 tests/pipelines/test_key_shape.py $(PYTEST_ARGS) || exit 1; done

durability: $(VENV)/dev.stamp  ## mangle 100,000 records of tiers, and kill a writer 200 times (minutes)
	$(BIN)/python -m tests.tiers.mangling
	$(BIN)/python -m tests.tiers.kills

loadtest: $(VENV)/dev.stamp  ## run the load test and report its verdict (SCENARIO=, USERS=, DURATION=)
	@$(BIN)/python -m loadtest $(if $(SCENARIO),--scenario '$(SCENARIO)') $(if $(USERS),--users '$(USERS)') \
		$(if $(DURATION),--duration '$(DURATION)') $(LOADTEST_ARGS)

loadtest-trials: $(VENV)/dev.stamp  ## tell the load test lies of many kinds, and check that it notices each
	$(BIN)/python -m tests.load.trials

compose-test: $(VENV)/dev.stamp  ## build the images and test the compose stack, on an engine of its own (as root)
	$(BIN)/python -m tests.compose

check: $(VENV)/dev.stamp  ## format, lint, types, import rules, the Python floor
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy --strict --python-version 3.10 -p metrics -p loadtest -p benchmarks
	$(BIN)/python -m mypy --config-file tests/mypy.ini
	$(BIN)/python -c '$(HAS_SDK)' || $(BIN)/python -m mypy --strict --python-version 3.11 -p grafana
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/vermin -q --violations --target=3.10- --no-tips --exclude tomllib $(CODE)
	$(BIN)/python -m compileall -q $(CODE)

format: $(VENV)/dev.stamp  ## format the code and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/dev.stamp  ## measure, compared with the alternatives
	$(BIN)/python -m benchmarks

hostile: $(VENV)/dev.stamp  ## attack a service in 3 GiB, and say what held (NAMES="json-arrays html", SHORT=--short)
	$(BIN)/python -m benchmarks.hostile $(SHORT) $(NAMES)

wheel: $(VENV)/dev.stamp  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

requirements: $(UV)  ## compile the pinned requirements again (UPGRADE=--upgrade allows newer versions)
	$(COMPILE) $(UPGRADE) requirements/dev.in --output-file requirements/dev.txt
	$(COMPILE) --constraints requirements/dev.txt requirements/runtime.in --output-file requirements/runtime.txt
	$(COMPILE) --constraints requirements/dev.txt requirements/build.in --output-file requirements/build.txt
	$(COMPILE) --constraints requirements/dev.txt requirements/loadtest.in --output-file requirements/loadtest.txt

clean:  ## remove the environment and all build output
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps, so that serving installs little and a second start installs nothing. The larger set includes the smaller one.
$(VENV)/runtime.stamp: $(BIN)/python requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Installing what the service needs into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(INSTALL_SELF)
	@touch $@

$(VENV)/dev.stamp: $(BIN)/python requirements/dev.txt pyproject.toml
	@echo "Installing what development needs into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(INSTALL_SELF)
	@touch $@ $(VENV)/runtime.stamp

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Recoup needs Python 3.10 or newer, and '$(PYTHON)' is not. Name one: make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(UV):
	@$(PYTHON) -m venv build/uv
	@build/uv/bin/python -m pip --disable-pip-version-check --quiet install uv
