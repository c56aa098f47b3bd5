# SPDX-License-Identifier: Apache-2.0
# Two commands do everything from a fresh Debian machine: `make experiment` and `make test`.
# Each installs what it lacks first (see setup.sh) and then hands over to the driver.

VENV   := .venv
DRIVER := $(VENV)/bin/driver
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed

.PHONY: experiment test test-unit test-guest docs lint setup clean help
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

experiment: $(STAMP)  ## Build kernels and image, run the footprint experiment, render its notebook
	$(DRIVER) run experiment pagetable-footprint
	$(PYTHON) -m analysis.render results/latest

test: $(STAMP) lint test-unit test-guest  ## Everything: lint, types, unit tests, guest tests

test-unit: $(STAMP)  ## Unit tests: seconds, no QEMU
	$(PYTHON) -m pytest -q -n 2 tests/unit

test-guest: $(STAMP)  ## Guest tests: real kernels in QEMU
	$(PYTHON) -m pytest -v tests/guest

docs: $(STAMP)  ## Make anew what the documentation has from the code
	$(PYTHON) -m driver.reference docs/reference
	PYTHONPATH=tests $(PYTHON) tests/unit/test_mistakes.py

lint: $(STAMP)  ## ruff, mypy --strict, shellcheck
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy tests/guest
	shellcheck setup.sh .ci/run

setup: $(STAMP)  ## Install Debian packages and the Python environment

$(STAMP): setup.sh requirements.lock debian-packages.txt pyproject.toml
	./setup.sh $(VENV)
	@touch $@

clean:  ## Remove the Python environment (results and the build cache stay)
	rm -rf $(VENV)
