# Everything happens in .venv; nothing needs root. `make help` lists what there is.

PYTHON_CANDIDATES := python3.13 python3.12 python3.11 python3
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --quiet --quiet --disable-pip-version-check
TEST_PROCESSES := 3# most of the tests' time is waiting
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo up test test-all lint bench requirements clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## one article, one image and one video, for real, into demo-output/
	@exec $(PYTHON) -m devstack demo

up: $(INSTALLED) ## everything on http://127.0.0.1:8000 until Ctrl-C; PORT=8001 make up for another port
	@exec $(PYTHON) -m devstack up

test: $(INSTALLED) ## the tests
	@exec $(PYTHON) -m pytest --numprocesses $(TEST_PROCESSES) --dist worksteal -m "not long"

test-all: $(INSTALLED) ## the tests, with those that kill workers at every step: some ten minutes more
	@exec $(PYTHON) -m pytest --numprocesses $(TEST_PROCESSES) --dist worksteal

lint: $(INSTALLED) ## ruff and mypy
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

bench: $(INSTALLED) ## how fast it is, beside its peers (Linux, about 40 minutes); ONLY=drain,post for some of the figures
	@exec $(PYTHON) -m bench $(if $(ONLY),--only $(ONLY))

requirements: $(INSTALLED) ## pin requirements*.in anew, with hashes
	@$(PIP) install uv
	@for name in requirements requirements-dev; do \
		$(VENV)/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url \
			--custom-compile-command "make requirements" --output-file $$name.txt $$name.in || exit 1; \
	done
	@for name in $(basename $(wildcard bench/requirements/*.in)); do \
		$(VENV)/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url \
			--custom-compile-command "make requirements" --output-file $$name.txt $$name.in || exit 1; \
	done

clean: ## delete .venv, the laptop's data and what the demo made
	@rm -rf $(VENV) .dev demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(PYTHON):
	@for candidate in $(PYTHON_CANDIDATES); do \
		if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$candidate" --version)"; \
			exec "$$candidate" -m venv $(VENV); \
		fi; \
	done; \
	echo "make: Python 3.11 or newer is needed, with its venv module (Debian: the package python3-venv). None was found." >&2; \
	exit 1

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml | $(PYTHON)
	@echo "Installing packages into $(VENV) (a minute or two, the first time) …"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
