# Two commands do all the set-up: `make demo` and `make test`. Each makes the environment it needs.

PYTHON ?= python3
# The release that CI tests with. Any torch from pyproject.toml's range works: make test TORCH=torch
TORCH ?= torch==2.13.0

DEV := .venv/bin
DEMO := .venv-demo/bin
WHEEL := .venv-wheel/bin
SOURCES := pyproject.toml $(shell git ls-files edgesplit export runtime 2>/dev/null)

.PHONY: help demo test lint types tests wheel soak motion-split clean

help:
	@echo "make demo          predict, split a class, swap it in: a minute with the install, no torch"
	@echo "make test          everything CI runs"
	@echo "make soak          the long counts; writes benchmarks/results/"
	@echo "make motion-split  render, train and export the demo's model anew (half an hour)"

demo: .venv-demo/ready
	$(DEMO)/edgesplit demo demo --force

test: lint types tests wheel

lint: .venv/ready
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .

types: .venv/ready
	$(DEV)/mypy

tests: .venv/ready
	$(DEV)/python -m pytest -q

# The wheel is tested as a user gets it: in an environment of its own, away from the checkout.
wheel: .venv/ready
	rm -rf dist build
	$(DEV)/python -m pip wheel -q --no-deps -w dist .
	$(PYTHON) -m venv --clear .venv-wheel
	$(WHEEL)/python -m pip install -q "$$(ls $(CURDIR)/dist/*.whl)[cpu]"
	mkdir -p build/wheel-check
	cd build/wheel-check && ../../$(WHEEL)/python -I ../../tests/installed/check_wheel.py

soak: .venv/ready
	$(DEV)/python -m benchmarks.soak

motion-split: .venv/ready
	$(DEV)/python -m benchmarks.motion_split.make_demo

clean:
	rm -rf .venv .venv-demo .venv-wheel build dist demo *.egg-info

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(DEV)/python -m pip install -q --upgrade pip
	$(DEV)/python -m pip install -q "$(TORCH)"
	$(DEV)/python -m pip install -q -e ".[export]" --group dev
	touch $@

.venv-demo/ready: $(SOURCES)
	$(PYTHON) -m venv .venv-demo
	rm -rf build
	$(DEMO)/python -m pip install -q ".[cpu]"
	touch $@
