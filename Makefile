# SPDX-License-Identifier: Apache-2.0
# Two commands do everything from a fresh Debian machine: `make experiment` and `make test`.
# Each first installs what is missing (see setup.sh) and then calls the driver.

VENV   := .venv
DRIVER := $(VENV)/bin/driver
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed

# The experiments of the reply, in the order in which the thread raised its points.
EXPERIMENTS := pagetable-footprint fault-saving lookup-cost unshare-cost five-cases \
               disabled-cost contention reverse-unmap alignment scale
# `make experiments-all PLAN=--quick` runs the plans that are small enough for CI.
PLAN :=

.PHONY: experiment experiments-all reply docs test test-unit test-guest test-all test-trixie coverage check \
        lint format prose hooks setup clean help
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

experiment: $(STAMP)  ## Build kernels and image, run the footprint experiment, render its notebook
	$(DRIVER) run experiment pagetable-footprint
	$(PYTHON) -m analysis.render results/latest

experiments-all: $(STAMP)  ## Run every experiment of the reply, render notebooks and reply
	for name in $(EXPERIMENTS); do $(DRIVER) run experiment $$name $(PLAN) || exit; done
	$(PYTHON) -m analysis.render
	$(PYTHON) -m analysis.reply --newest

reply: $(STAMP)  ## Regenerate the reply and its pictures from the samples
	$(PYTHON) -m analysis.illustrate
	$(PYTHON) -m analysis.reply

docs: $(STAMP)  ## Regenerate the parts of the documentation that come from the code
	$(PYTHON) -m driver.reference docs/reference
	PYTHONPATH=tests $(PYTHON) tests/unit/test_mistakes.py

test: $(STAMP) lint  ## Run lint, all unit tests and the guest tests
	$(PYTHON) -m pytest -q -n 2 --dist=loadfile tests/unit
	$(PYTHON) -m pytest -q -m "not slow" tests/cluster
	$(MAKE) test-guest

test-unit: $(STAMP)  ## Run the fast unit tests: seconds, no QEMU
	$(PYTHON) -m pytest -q -n 2 --dist=loadfile -m "not slow" tests/unit

test-guest: $(STAMP)  ## Run the guest tests: real kernels in QEMU, minutes
	$(PYTHON) -m pytest -v -m "not slow" tests/guest

test-all: test coverage test-trixie  ## Run everything, also mutants, third-party suites, Debian 13: hours
	$(PYTHON) -m pytest -v -m slow tests/guest
	$(PYTHON) -m pytest -v -m slow tests/cluster
	cd tests/guest && $(abspath $(PYTHON)) -m mutation
	cd tests/guest && $(abspath $(PYTHON)) -m thirdparty kselftests
	cd tests/guest && $(abspath $(PYTHON)) -m thirdparty stress-ng --seconds 60

test-trixie:  ## Run the experiment and the tests on Debian 13, in a chroot (as root)
	.ci/on-debian trixie "make experiment" "make test"

coverage: $(STAMP)  ## Measure what the unit tests cover; fail below the threshold
	$(PYTHON) -m pytest -q -n 2 --dist=loadfile --cov --cov-report=term:skip-covered tests/unit

check: lint test-unit  ## Run what a commit must pass

lint: $(STAMP)  ## Run every hook of .pre-commit-config.yaml and check commit messages
	$(VENV)/bin/pre-commit run --all-files --show-diff-on-failure
	$(PYTHON) .ci/check_commits.py

format: $(STAMP)  ## Format Python and C, sort imports
	$(VENV)/bin/ruff check --select I --fix .
	$(VENV)/bin/ruff format .
	git ls-files -z '*.[ch]' ':!tests/fixtures' | xargs -0 $(VENV)/bin/clang-format -i \
	  --style=file --fallback-style=none

prose: $(STAMP)  ## List words that docs/style/words.txt replaces, with a count per folder
	-$(PYTHON) .ci/check_prose.py --summary

hooks: $(STAMP)  ## Install the git hooks: checks before a commit, and of its message
	$(VENV)/bin/pre-commit install

setup: $(STAMP)  ## Install Debian packages and the Python environment

$(STAMP): setup.sh requirements.lock debian-packages.txt pyproject.toml
	./setup.sh $(VENV)
	@touch $@

clean:  ## Remove the Python environment (results and the build cache stay)
	rm -rf $(VENV)
