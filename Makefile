# Everything a fresh machine needs is python3 (3.11 or newer), pip and make: each target sets itself up.
#
#   make demo       an hour of the demo strategy on the synthetic market
#   make test       the tests (two workers; without those marked slow)
#   make test-slow  the tests marked slow
#   make clients    third-party clients (pybit, ccxt, ...) against the local exchange servers; installs them first
#   make end-to-end  the demo strategy live on each local exchange for two minutes; books compared
#   make lint       ruff and mypy --strict
#   make bench      the benchmarks
#   make lock       for maintainers: resolve the dependencies anew (with uv, in an environment of its own)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev

.PHONY: demo test test-slow clients end-to-end lint format bench lock clean

demo: $(RUN)
	$(BIN)/python -m mlthon demo_strat

test: $(DEV)
	$(BIN)/python -m pytest -n 2

test-slow: $(DEV)
	$(BIN)/python -m pytest -m slow

clients: $(DEV)
	$(BIN)/python -m tests.clients

end-to-end: $(DEV)
	$(BIN)/python -m tests.clients.end_to_end

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(RUN)
	$(BIN)/python -m benchmarks W1 W2

# The stamps make a second call instant: they are older than the lock file or pyproject.toml only when there is work.
$(RUN): requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $@ $(RUN)

# The locked dependencies, hashes checked; then the project itself, editable, with the build backend of the lock.
# Python is asked for pip in this roundabout way because Debian's python3 makes environments without one.
PIP = $(if $(wildcard $(BIN)/pip),$(BIN)/python -m pip,$(PYTHON) -m pip --python $(BIN)/python) --disable-pip-version-check

define install
	@echo "Installing what $(1) lists into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes --no-deps --requirement $(1)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
endef

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlthon needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": call make PYTHON=/path/to/a/newer/python3")'
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)

# Locks hold for every Python from 3.11 and every platform; --upgrade takes the newest releases.
LOCK = .venv-lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --extra link --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
