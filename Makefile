# Each target sets itself up: Python 3.11 or newer is all that has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIDEO ?=
MODEL ?=
MINUTES ?= 10
# What processes import is compiled once, also where the environment says otherwise: tests start hundreds of them, and
# each process of a run would compile for a second.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-slow lint chaos bench bench-quality bench-queue bench-fleet screenshots image-bases clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [VIDEO=clip.mp4]   crop a sample clip, or your own, with the whole service"
	@echo "make test                    every test that is not marked slow"
	@echo "make test-slow               the slow ones: images are built, what is deployed is applied to stand-ins, earlier releases run"
	@echo "make chaos [MINUTES=10]      kill, freeze and cut off workers, PostgreSQL and S3; CHAOS_SEED=n replays a run"
	@echo "make lint                    ruff, mypy, import-linter"
	@echo "make bench [VIDEO=clip.mp4]  speed of each stage beside its floor, and of each kind beside the ffmpeg command"
	@echo "make bench-quality           tracking, camera paths, seams and cost beside single pass, EMA and static"
	@echo "make image-bases             pin the images that docker/ builds on to what their tags name now; needs docker"
	@echo "make bench-queue             claims a second and latency; PEERS=python: beside the peers, which that python has"
	@echo "make screenshots             pictures of each view of the page, in build/screenshots"
	@echo "make bench-fleet             the simulated fleet beside real runs on this machine"

setup: $(VENV)/.ready

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "framefleet needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

# Compiled when they are installed, for commands that are started without make.
STARTED = backend.cli, backend.workers.gpu_chunk_worker, backend.workers.analysis_worker, backend.media.fork_server
LATER = backend.vision.detectors.openvino, scipy.optimize
COMPILED = $(BIN)/python -m compileall -q backend && $(BIN)/python -c 'import $(STARTED), $(LATER)'

# What a machine needs that runs framefleet on its CPU: no torch.
$(VENV)/.lean: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV); the first time takes a minute or two."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(COMPILED)
	@touch $@

# Two thirds of what there is to unpack is torch with CUDA. `make --jobs 2` does that beside the rest; pip alone would do
# one after the other.
PIP_QUICKLY = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

$(VENV)/.torch: constraints.txt | $(BIN)/python
ifeq ($(shell uname -sm),Linux x86_64)
	@grep -E '^(torch|torchvision|triton|nvidia-|cuda-)' constraints.txt | grep -v '^nvidia-ml-py' > $@.txt
	@$(PIP_QUICKLY) --no-deps -r $@.txt
endif
	@touch $@

$(VENV)/.others: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV), torch too; the first time takes some minutes."
	@$(PIP_QUICKLY) --no-warn-conflicts -e '.[otel,runpod]' # what torch wants comes with .ready
	@touch $@

$(VENV)/.ready: $(VENV)/.torch $(VENV)/.others
	@$(PIP_QUICKLY) -e '.[dev]'
	@$(COMPILED)
	@touch $(VENV)/.lean $@

demo: $(VENV)/.lean
	@$(BIN)/framefleet demo $(if $(VIDEO),'$(VIDEO)')

# Four more than two cores: many tests wait for leases and for servers that are away.
test: setup
	@$(BIN)/python -m pytest -n 6 --dist loadfile

# One after the other: each has the machine to itself.
test-slow: setup
	@$(BIN)/python -m pytest -m slow -n 0 --timeout 3600

chaos: setup
	@CHAOS_EXAMPLES=$$((20 * $(MINUTES))) $(BIN)/python -m pytest -q tests/integration/test_state_machine.py
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Beside our packages, not among them: what they require would replace the headless OpenCV.
$(VENV)/.rivals: | $(VENV)/.ready
	@$(PIP_QUICKLY) --no-deps --target $(VENV)/rivals trackers==2.6.1 supervision==0.31.2
	@touch $@

bench-quality: setup $(VENV)/.rivals
	@PYTHONPATH=$(VENV)/rivals $(BIN)/python -m benchmarks.tracking
	@$(BIN)/python -m benchmarks.framing
	@$(BIN)/python -m benchmarks.paths
	@$(BIN)/python -m benchmarks.seams
	@$(BIN)/python -m benchmarks.length

bench-queue: setup
	@$(BIN)/python -m benchmarks.queue $(if $(PEERS),--peers '$(PEERS)')

bench-fleet: setup
	@$(BIN)/python -m benchmarks.simulated $(if $(VIDEO),'$(VIDEO)')

bench: setup
	@$(BIN)/python -m benchmarks.pipeline $(if $(VIDEO),'$(VIDEO)')
	@$(BIN)/python -m benchmarks.kinds $(if $(VIDEO),'$(VIDEO)')

screenshots: setup
	@$(BIN)/python -m tests.screenshots

image-bases:
	@$(PYTHON) docker/refresh_bases.py

clean:
	rm -rf $(VENV) .framefleet build *.egg-info
