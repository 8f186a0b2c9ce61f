# make demo: real images clustered, from nothing, in minutes.  make test: the tests; make test-jobs: more of them, as CI has them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
LOWEST_TESTS := tests/algos tests/pipelines/config tests/pipelines/datasets tests/pipelines/files tests/pipelines/tracking \
	tests/pipelines/views tests/pipelines/test_progress.py tests/tune/search
DEMO_RUN := outputs/demo
BARS ?=
# Else each of the many processes that tests start would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-jobs test-all test-gpu test-lowest check bench lock clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]' --config-settings editable_mode=compat
	touch $@

demo: install
	rm -rf $(DEMO_RUN)
	$(BIN)/quorum ingest digits --val 0.1 --to data/digits --overwrite
	$(BIN)/quorum pretrain --config coke_digits --data data/digits --name demo
	$(BIN)/quorum evaluate $(DEMO_RUN)
	$(BIN)/quorum export $(DEMO_RUN) --to $(DEMO_RUN)/backbone.safetensors
	@echo
	@echo "Pictures: $(DEMO_RUN)/pictures"
	@echo "Curves:   $(BIN)/mlflow server --backend-store-uri sqlite:///outputs/mlflow.db   and open"
	@$(BIN)/python -c "import quorum; print('         ', quorum.open_run('$(DEMO_RUN)').page)"

# Two processes at a time, and those that they start, on as many cores: threads of theirs would wait for each other.
test test-jobs test-lowest: export OMP_NUM_THREADS = 1

test: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not gpu and not slow and not job'

# Also what takes whole jobs on Ray to see, or as long: trainings, clusterings, sweeps.
test-jobs: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not gpu and not slow'

# All of these, and the stops, deaths and sweeps that take minutes.
test-all: install
	$(BIN)/python -m pytest -m 'not gpu'

# What only a GPU can show: on a machine that has one; elsewhere each test says why it is skipped.
test-gpu: install
	$(BIN)/python -m pytest -m gpu

# The quick tests that need no Ray, at the lowest versions that pyproject.toml declares, torch included: some 6 GB more.
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest -p no:cacheprovider -m 'not ray and not gpu and not slow' $(LOWEST_TESTS)

$(LOWEST)/installed: pyproject.toml tests/lowest.py
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python tests/lowest.py > $(LOWEST)/requirements.txt
	$(LOWEST)/bin/python -m pip install --quiet --no-cache-dir --requirement $(LOWEST)/requirements.txt
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is promised, measured on a quiet machine: make bench, or make bench BARS="online_pass stream".
bench: install
	$(BIN)/python -m benchmarks.bars $(BARS)

# The versions that the tests passed with, without index addresses.
lock: install
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' > requirements.lock

clean:
	rm -rf $(VENV) $(LOWEST) data/digits $(DEMO_RUN)
