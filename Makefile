# Three commands do everything: `make train`, `make test` and, of a real man, `make real`; `make quick` is for every
# change. All of them set up .venv first, step by step: each finished step leaves a stamp in .venv/, so an interrupted
# set-up goes on where it stopped.
PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

BIN    := $(VENV)/bin
STEP   := $(VENV)/steps
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup train real test quick check format clean
.DELETE_ON_ERROR:

# Where LPIPS's networks are (python -m hgg_pyg.weights lpips), LPIPS is in the loss: of one image a clip, since of all
# a step takes eleven times as long.
train: setup
	$(BIN)/python -m hgg_pyg.train --preset recommended --loss.lpips-views 1 --resume $(ARGS)

# A real man on a beam, filmed by four cameras: from his videos to an avatar, without training.
CLIP := captures/balancing_clip
REAL := runs/real
real: setup
	$(BIN)/python -m hgg_pyg.weights clip
	$(BIN)/python -m hgg_pyg.prepare --videos $(CLIP)/videos --calibration $(CLIP)/calibration/Calib.qca.txt \
	    --every 2 --out $(REAL)/balancing $(ARGS)
	$(BIN)/python -m hgg_pyg.avatar $(REAL)/balancing --fps 30 --crop True --out $(REAL)/balancing.avatar
	$(BIN)/python -m hgg_pyg.avatar $(REAL)/balancing --fps 30 --crop True --direct --out $(REAL)/direct.avatar
	$(BIN)/python -m hgg_pyg.export $(REAL)/balancing.avatar --to html --out $(REAL)/avatar.html
	$(BIN)/python -m hgg_pyg.animate $(REAL)/balancing.avatar --capture $(REAL)/balancing --beside $(REAL)/direct.avatar truth \
	    --out $(REAL)/beside.mp4
	$(BIN)/python -m hgg_pyg.evaluate hgg_pyg/shipped --data $(REAL) --cache $(REAL)/cache --out $(REAL)/scores
	@echo "$(REAL): balancing/report.html, avatar.html to move him, beside.mp4 (ours, direct binding, truth), scores/report.html"

# Files of tests are shared out among as many processes as there are cores, in the order of tests/conftest.py;
# ARGS="-n 0 --pdb" stays in one.
SHARED := -n $(JOBS) --dist loadfile --no-loadscope-reorder
test: setup
	$(BIN)/python -m pytest $(SHARED) $(ARGS)

# What a change should run, in under 90 seconds on two cores.
QUICK  := tests/nn tests/attention tests/graphs tests/model tests/test_imports.py tests/test_repository.py \
          tests/test_command_lines.py
quick: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest $(SHARED) -m "not slow" $(QUICK) $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache

# torch_scatter and torch_cluster come as sources only. They build side by side, each with all cores.
setup: $(STEP)/torch
	@$(MAKE) --silent --no-print-directory -j2 $(STEP)/torch_scatter $(STEP)/torch_cluster
	@$(MAKE) --silent --no-print-directory $(STEP)/package

$(STEP)/venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"hgg_pyg needs Python 3.11 or newer, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --without-pip $(VENV) && \
	    $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }  # Debian without its package python3-venv
	$(PIP) install --quiet --upgrade pip "setuptools>=70,<81" wheel
	@mkdir -p $(STEP) && touch $@

# A torch that is already there (a CUDA build in your own environment, say) is kept.
$(STEP)/torch: $(STEP)/venv
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install --quiet "$(TORCH)"
	@$(PIP) install --quiet numpy scipy  # torch_cluster imports scipy without saying so
	@touch $@

# setuptools builds a package's extensions one after another unless told otherwise in a file.
# A wheel that pip cached under another torch does not import: then build it afresh.
$(STEP)/torch_scatter $(STEP)/torch_cluster: $(STEP)/%: | $(STEP)/torch
	@printf '[build_ext]\nparallel=%s\n' $(JOBS) > $(STEP)/$*.cfg
	@echo "building $* from source with $(JOBS) jobs (about 15 minutes on two cores, once)"
	@DIST_EXTRA_CONFIG=$(abspath $(STEP))/$*.cfg $(PIP) install --quiet --no-build-isolation --no-deps $*
	@$(BIN)/python -W ignore -c 'import $*' 2>/dev/null || DIST_EXTRA_CONFIG=$(abspath $(STEP))/$*.cfg \
	    $(PIP) install --quiet --no-build-isolation --no-deps --no-cache-dir --force-reinstall $*
	@$(BIN)/python -W ignore -c 'import $*'
	@touch $@

$(STEP)/package: pyproject.toml $(STEP)/torch_scatter $(STEP)/torch_cluster
	$(PIP) install --quiet --editable ".[dev,diffusion,export,film,prepare,snapshot,view]"
	@touch $@
