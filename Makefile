# SPDX-License-Identifier: Apache-2.0
# Two commands do everything from a fresh Debian machine: `make experiment` and `make test`.
# Each installs what it lacks first (see setup.sh) and then hands over to the driver.

VENV   := .venv
DRIVER := $(VENV)/bin/driver
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed

# What the reply is about, in the order in which the thread raised it.
EXPERIMENTS := pagetable-footprint fault-saving lookup-cost unshare-cost five-cases \
               disabled-cost contention reverse-unmap alignment scale
# `make experiments-all PLAN=--quick` runs the plans that are small enough for CI.
PLAN :=

.PHONY: experiment experiments-all reply test test-unit test-guest docs lint setup clean help
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

experiment: $(STAMP)  ## Build kernels and image, run the footprint experiment, render its notebook
	$(DRIVER) run experiment pagetable-footprint
	$(PYTHON) -m analysis.render results/latest

experiments-all: $(STAMP)  ## Every experiment of the reply, then notebooks and reply into results/
	for name in $(EXPERIMENTS); do $(DRIVER) run experiment $$name $(PLAN) || exit; done
	$(PYTHON) -m analysis.render
	$(PYTHON) -m analysis.reply --newest

reply: $(STAMP)  ## Make the reply and its pictures anew from the samples
	$(PYTHON) -m analysis.illustrate
	$(PYTHON) -m analysis.reply

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
