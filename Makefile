# Everything here works on a fresh clone: the virtual environment is made when it is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := local,examples,dask,dev
PYTEST_ARGS ?=
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
# a busy machine takes longer than the 20 s that Prefect grants its temporary server
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS ?= 120

# without its bytecode the package is compiled anew in each of the processes that the tests and figures start
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test workers check conformance compat bench faults system clean install

install: $(STAMP)

# compiled on all cores, pip would do it on one; some packages hold templates that are no Python, which is no matter
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt --editable ".[$(EXTRAS)]"
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $(STAMP)

quickstart: $(STAMP)  ## train on real digits against the embedded DERIVA, from nothing to Uploaded
	$(BIN)/python flows/train_digits.py

test: $(STAMP)  ## all tests of the everyday run
	$(BIN)/python -m pytest -n 3 -m "not workers" $(PYTEST_ARGS)

workers: $(STAMP)  ## each state of Prefect, an outage, a cluster that loses a worker: with workers, signals and kills
	$(BIN)/python -m pytest -n 2 -m workers $(PYTEST_ARGS)

check: $(STAMP)  ## format, lint, strict types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd compat && $(abspath $(BIN))/mypy --strict --cache-dir ../.mypy_cache deriva_ml
	$(BIN)/lint-imports
	$(BIN)/python -m tests.spec.table --check
	$(BIN)/python -m tests.spec.states --check

conformance: $(STAMP)  ## the recorded exchanges of the real ERMrest and Hatrac, passed and failed by group
	$(BIN)/python tests/embedded/conformance_report.py --all

compat: $(STAMP)  ## deriva-ml from the registry, unmodified, in an environment of its own
	$(BIN)/python tests/compat/run_deriva_ml.py

bench: $(STAMP)  ## ratios of speed, each within one run
	$(BIN)/python -m tests.benchmarks

faults: $(STAMP)  ## kill and fail at every boundary of a run
	$(BIN)/python -m tests.faults

system:  ## packages of Debian that some tests look for (a browser)
	apt-get install --yes --no-install-recommends aria2 chromium chromium-driver

clean:  ## everything that was made here, but nothing in the home folder
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
