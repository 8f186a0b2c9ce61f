# make demo: real images clustered, from nothing, in minutes.  make test: everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_RUN := outputs/demo

.PHONY: install demo test test-all check lock clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

demo: install
	rm -rf data/digits $(DEMO_RUN)
	$(BIN)/quorum ingest digits --to data/digits
	$(BIN)/quorum pretrain --config quorum/recipes/coke_digits.yaml --name demo
	$(BIN)/quorum evaluate $(DEMO_RUN)
	$(BIN)/quorum export $(DEMO_RUN) --to $(DEMO_RUN)/backbone.safetensors
	@echo
	@echo "Pictures: $(DEMO_RUN)/pictures"
	@echo "Curves:   $(BIN)/mlflow server --backend-store-uri sqlite:///outputs/mlflow.db   and open http://127.0.0.1:5000"

test: install
	$(BIN)/python -m pytest -m 'not gpu and not slow'

# Also the stops, deaths and sweeps that take minutes.
test-all: install
	$(BIN)/python -m pytest -m 'not gpu'

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The versions that the tests passed with, without index addresses.
lock: install
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' > requirements.lock

clean:
	rm -rf $(VENV) data/digits $(DEMO_RUN)
