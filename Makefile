# `make help` lists the targets. Nothing here needs root; `make test` as root also installs
# the Debian packages that the tests of real parts want.

VENV := .venv
RUN := $(VENV)/bin/python
# Tests are rewritten when they are compiled, which takes longer than many of them: it is kept.
TESTS := env -u PYTHONDONTWRITEBYTECODE $(RUN) -m pytest
ONLY ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup tools demo test unit lint format bench lock clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

setup: $(VENV)/.setup  ## Make .venv with wherry in .venv/bin
tools: $(VENV)/.tools

# Again when what is installed changes; the package itself is linked, not copied.
$(VENV)/.setup: pyproject.toml constraints.txt hatch_build.py scripts/setup.sh scripts/python.sh \
		$(wildcard src/wherry/engines/local/native/*.[ch])
	@scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/.tools: $(VENV)/.setup constraints-dev.txt
	@scripts/setup.sh $(VENV) tools
	@touch $@

$(VENV)/.bench: $(VENV)/.tools constraints-bench.txt
	@scripts/setup.sh $(VENV) bench
	@touch $@

demo: $(VENV)/.setup  ## Call images on this machine: no Docker, no root, no network
	@scripts/demo.sh $(VENV)/bin

test: $(VENV)/.bench  ## Check style and types, then run every test
	@scripts/test-packages.sh
	@$(MAKE) --no-print-directory lint
	@$(TESTS) -n 2 --dist loadfile $(ARGS)

unit: $(VENV)/.tools  ## Run the tests that need nothing but Python
	@$(TESTS) tests/unit -n auto $(ARGS)

lint: $(VENV)/.tools  ## Check style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(RUN) -m mypy

format: $(VENV)/.tools  ## Put the code into its usual form
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(VENV)/.bench  ## Measure against competitors and draw it; ONLY=pattern for some rows
	@$(RUN) -m bench $(if $(ONLY),--only '$(ONLY)') $(ARGS)

lock: $(VENV)/.setup  ## Choose the newest versions and write constraints*.txt
	@scripts/lock.sh $(VENV)

clean:  ## Remove everything made here
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist bench/results
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +
