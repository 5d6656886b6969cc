# Wirebook's commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help lab demo test bench clean
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
TOUR := notebooks/00-tour.ipynb
# What an installation depends on: the source itself is installed in place.
INSTALLED := pyproject.toml $(shell find kernel/data -type f 2>/dev/null)
# JupyterLab refuses to run as root unless told; containers often have nobody else.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
PYTHON ?= python3
LAB_ARGS ?=
PYTEST_ARGS ?=
# The tests of a file share kernels, servers and browsers, so they stay in one process.
IN_PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile

help: ## list these commands
	@echo "usage: make COMMAND"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-6s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(VENV)/.lab ## open JupyterLab on the tour (options for it: LAB_ARGS=...)
	$(BIN)/jupyter lab $(AS_ROOT) $(LAB_ARGS) $(TOUR)

demo: $(VENV)/.lab ## run the tour without a browser and write build/tour.html
	$(BIN)/python -m tools.demo $(TOUR) build/tour.html

test: $(VENV)/.test ## check format, style and types, then run every test (options for pytest: PYTEST_ARGS=...)
	$(BIN)/python -m tools.system_packages
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_ARGS)

bench: $(VENV)/.bench ## measure Wirebook beside asyncio, uvloop and Twisted
	$(BIN)/python -m tools.system_packages cc
	$(BIN)/python -m tests.bench

clean: ## remove everything that these commands made, the environment included
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@PYTHON='$(PYTHON)' tools/create_venv.sh $(VENV)

# One stamp for each extra: .venv/.lab says that wirebook[lab] is installed.
$(VENV)/.%: $(BIN)/python $(INSTALLED)
	$(BIN)/python -m pip install -qq --editable '.[$*]'
	@touch $@
