# `make demo` and `make test` are all that a fresh machine with Python and make needs.
# Everything goes into .venv; a second call finds the stamps there and is quick.

VENV    ?= .venv
PYTHON  ?= python3
TESTS   ?= tests
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
STAMP   := $(VENV)/.stamp
CLIENT  := $(VENV)/client
CLIENTS := $(VENV)/clients
# Each list of packages makes an environment. That of the newest client follows constraints.txt instead.
OLDER   := $(patsubst tests/clients/constraints/%.txt,$(CLIENTS)/%/.stamp,$(wildcard tests/clients/constraints/*.txt))
BACKENDS := $(patsubst tests/backends/packages/%.txt,backend-%,$(wildcard tests/backends/packages/*.txt))
# The packages of 2023 have no wheels for Python 3.13: then make clients CLIENT_PYTHON=python3.12
CLIENT_PYTHON ?= $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test proofs coverage mutants lint types layers ci options docs screenshots examples clients older backends
.PHONY: clean $(BACKENDS)

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)-base ## Watch a session keep a device to itself (about a minute)
	$(BIN)/sojourn demo

test: $(STAMP)-test ## Run the tests (TESTS=tests/unit for some of them)
	$(BIN)/python -m pytest $(TESTS)

proofs: $(STAMP)-test ## The same promises at length: thousands of seeds, a hundred kills, an hour of attacks (two hours on two cores)
	HYPOTHESIS_PROFILE=nightly SOJOURN_CRASH_SEEDS=5000 SOJOURN_KILLS=100 SOJOURN_SOAK=3600 \
	  $(BIN)/python -m pytest -s tests/proofs tests/acceptance/test_kill.py

coverage: $(STAMP)-test ## Every line and branch of the policy core is tested, or this fails
	$(BIN)/python -m pytest tests/unit/core tests/proofs --ignore=tests/proofs/crash \
	  --cov=sojourn.core --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

mutants: $(STAMP)-mutants ## Change the core in every small way and see whether a test notices (half an hour; MUTANTS='sojourn.core.queues*')
	$(BIN)/mutmut run $(MUTANTS)
	$(BIN)/python -m tests.mutants

lint: $(STAMP)-dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)-dev ## Check the types
	$(BIN)/mypy

layers: $(STAMP)-dev ## Check who imports whom
	$(BIN)/lint-imports --no-logo --no-cache

ci: ## What the CI runs
	.ci/run

options: $(STAMP)-base ## Write the tables of docs/options.md, which follow from the programs
	$(BIN)/python -m sojourn.worker.programs.page docs/options.md

docs: $(STAMP)-docs ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

screenshots: $(STAMP)-screenshots ## Make the pictures of the dashboard in the documentation again (two minutes; needs Chromium)
	$(BIN)/python docs/screenshots/make.py

examples: $(STAMP)-test $(CLIENT)/.stamp ## Run examples/ in an environment that has the Qiskit client and no Sojourn
	EXAMPLES_PYTHON=$(CURDIR)/$(CLIENT)/bin/python $(BIN)/python -m pytest tests/acceptance/test_examples.py

clients: $(CLIENT)/.stamp $(OLDER) ## Make an environment for each client that must work; `make test` then tests them all

older: $(STAMP)-base ## Make an environment with an older Qiskit for a device, as `sojourn drivers make-env` does; `make test` then tests it
	$(BIN)/sojourn drivers make-env older --older-qiskit --with "qiskit==1.4.*" --to $(VENV)/older

backends: $(BACKENDS) ## Make an environment for each vendor's package that must work as a device; `make test` then tests them all

clean: ## Remove what was built, the environments too
	rm -rf $(VENV) site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Three tries, as the plain `python3` of many machines is too old while a newer one lies beside it.
$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Sojourn needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "Python could not make an environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(STAMP)-base: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing Sojourn and Qiskit into $(VENV)"
	$(PIP) -e '.[dashboard]'
	@touch $@

$(STAMP)-%: $(STAMP)-base
	$(PIP) -e '.[$*]'
	@touch $@

# make would delete them as intermediate files.
.SECONDARY: $(STAMP)-base $(STAMP)-test $(STAMP)-dev $(STAMP)-docs $(STAMP)-mutants $(STAMP)-browser $(STAMP)-screenshots $(OLDER)

$(CLIENT)/.stamp: $(BIN)/python constraints.txt
	$(BIN)/python -m venv $(CLIENT)
	$(CLIENT)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt \
	  qiskit-ibm-runtime scipy
	@touch $@

$(CLIENTS)/%/.stamp: tests/clients/constraints/%.txt | $(BIN)/python
	@echo "Installing the client $* into $(CLIENTS)/$*"
	@rm -rf $(CLIENTS)/$*
	$(CLIENT_PYTHON) -m venv --without-pip $(CLIENTS)/$*
	$(BIN)/python -m pip --python $(CLIENTS)/$*/bin/python --disable-pip-version-check install --quiet \
	  --no-compile -r $<
	@touch $@

# make-env sees what there is to do. A list without samplomatic is of a Qiskit that is too old for it.
$(BACKENDS): backend-%: tests/backends/packages/%.txt $(STAMP)-base
	@echo "Installing the backend $* into $(VENV)/backends/$*"
	@PIP_QUIET=1 $(BIN)/sojourn drivers make-env $* $$(grep -q '^samplomatic' $< || echo --older-qiskit) \
	  $$(sed -n 's/^[^#]/--with &/p' $<) --to $(VENV)/backends/$* --json >/dev/null
