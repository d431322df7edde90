# The two commands of a fresh machine are `make demo` and `make test`. Each target sets up .venv itself; at once when
# nothing changed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup env demo lab test browser-test proof peers kills overfitting bench lint types contracts lock clean

help:  ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Build .venv from the lock

$(READY): pyproject.toml requirements.lock requirements-bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "quantlab needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	@rm -f $(READY)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setting up .venv (once) ..."
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes \
		--compile-bytecode requirements.lock requirements-bootstrap.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q quantlab
	@touch $(READY)

env: $(READY)  ## Write .env with a generated password and token, owner-only; never over an existing one
	@$(BIN)/python .ci/make_env.py

demo: $(READY)  ## Run 45 bots on a generated market and leave an HTML report
	@$(BIN)/quantlab demo $(ARGS)

lab: $(READY)  ## Open JupyterLab on the start notebook
	@$(BIN)/quantlab lab

test: $(READY)  ## Run the tests, on all cores
	@$(BIN)/python -m pytest -n auto $(ARGS)

browser-test: $(READY)  ## Run the tests that need Chromium
	@$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

proof: $(READY)  ## Show from the other side of the wire that nothing but market data leaves (root, nftables)
	@$(BIN)/python -m pytest -m proof tests/proof $(ARGS)

peers: $(READY)  ## What others wrote beside ours, in throwaway environments (PyPI, four minutes)
	@$(BIN)/python -m pytest -m campaign tests/peers $(ARGS)

kills: $(READY)  ## Kill runs 600 times and compare them with one that nobody killed (35 minutes)
	@$(BIN)/python -m pytest -m campaign tests/faults/test_kills.py $(ARGS)

overfitting: $(READY)  ## Judge the best of 1,000 combinations, 150 times: random walks, tossed coins, planted trends (5 minutes)
	@$(BIN)/python -m pytest -s -m campaign tests/backtest/test_validation.py $(ARGS)

bench: $(READY)  ## Measure, as ratios in one run, into reports/benchmarks.json
	@$(BIN)/python -m tests.benchmarks.bench

lint: $(READY)  ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict where money and wires are
	@$(BIN)/mypy

contracts: $(READY)  ## Who may import whom
	@$(BIN)/lint-imports --no-logo

lock: $(READY)  ## Resolve requirements.lock anew
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --no-header --no-annotate --no-config \
		--python-version 3.11 pyproject.toml --output-file requirements.lock
	@echo uv | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-config \
		--python-version 3.11 - --output-file requirements-bootstrap.lock

clean:  ## Take away what can be made again (never .env, .quantlab or reports)
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .quantlab-demo
	@find quantlab tests -name __pycache__ -type d -prune -exec rm -rf {} +
