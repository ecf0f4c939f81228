# `make demo` and `make test` are all that a new machine needs; both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test fuzz check format lint types defs dev bench screenshots lock clean

$(STAMP): setup.cfg pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(STAMP)

demo: $(STAMP)  ## index the user guide, show what was made, and search it
	$(BIN)/dataflow run
	$(BIN)/dataflow status
	$(BIN)/dataflow search "how do I agree to a large delete" --top-k 3
	@echo "Again: nothing changed, so nothing is done."
	$(BIN)/dataflow run
	@echo "The report: $$(ls -t .dataflow/reports/guide/*.html | head -n 1)"
	@echo "Next: make dev opens the Dagster UI; docs/guide/ tells the rest."

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fuzz: $(STAMP)  ## the property tests with other and more inputs each time; takes half an hour
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 -m hypothesis

check: format lint types test defs

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

defs: $(STAMP)
	DAGSTER_HOME= $(BIN)/dagster definitions validate -m dataflow_assets.definitions

dev: $(STAMP)  ## the Dagster UI on the instance that the command uses
	$(BIN)/dataflow dev

bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/messages.py
	$(BIN)/python benchmarks/extraction.py $(if $(MARKITDOWN),--floor $(MARKITDOWN))

screenshots: $(STAMP)  ## needs Debian's package chromium
	$(BIN)/python tools/screenshots.py

lock:  ## newest versions within setup.cfg's ranges
	rm -rf $(VENV)/lock && $(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check ".[dev]"
	$(VENV)/lock/bin/python -m pip freeze --exclude dataflow-assets > requirements.lock

clean:
	rm -rf $(VENV) .dataflow build *.egg-info
