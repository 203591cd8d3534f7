# Each target installs into .venv what it needs. The machine needs only Python 3.10 or newer, with venv.
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo test units live matrix simulate soak bench bench-live lint wheel servers clean

PYTHON ?= python3
UV = .venv/bin/uv pip install --quiet --python .venv

## Run a real Airflow on a real PostgreSQL and Valkey. Three Dags fail and are retried. Takes about a minute.
demo: .venv/demo
	.venv/bin/python -m tests.demo

## Run all tests: on fakeredis and a real Valkey, and on live Airflows.
test: units live
	.venv/bin/coverage combine --quiet .coverage.units .coverage.live
	.venv/bin/coverage report --fail-under=95

## Run the tests on fakeredis and a real Valkey, in four processes: some wait.
units: .venv/dev servers
	COVERAGE_FILE=.coverage.units .venv/bin/pytest tests --ignore=tests/live --numprocesses=4 --cov --cov-report=

## Run the tests on live Airflows, in three processes: they wait a lot.
live: .venv/dev servers
	COVERAGE_FILE=.coverage.live .venv/bin/pytest tests/live --numprocesses=3 --cov --cov-report=

## Run the tests on every version that we name, and print a table. Some rows only: make matrix ROWS="lowest redis-6.2"
matrix: .venv/dev servers
	.venv/bin/python -m tests.matrix $(ROWS)

## Simulate every schedule of the small cases and two large ones, then random schedules: make simulate SEEDS=100000
simulate: .venv/dev
	SEEDS=$(or $(SEEDS),20000) .venv/bin/pytest -q -s tests/test_simulation.py

## Run 10,000 runs of 8 failing callbacks. Processes are killed, and six kinds of outages come. Takes eight minutes.
soak: .venv/dev servers
	SOAK_RUNS=$(or $(RUNS),10000) .venv/bin/pytest -q tests/test_soak.py

## Measure claims beside PING and beside other libraries, on Valkeys of its own. Takes five minutes.
bench: .venv/dev servers
	.venv/bin/python -m tests.benchmark

## Measure how the three ways and the recipe bring runs back, on live Airflows. Takes twenty minutes.
bench-live: .venv/dev servers
	.venv/bin/python -m tests.benchmark.live

## Check style, strict types and the import contracts.
lint: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

## Test the wheel as users install it: it holds the source, whole, and Python and Airflow find what it offers.
wheel: .venv/dev
	rm -rf dist .venv-wheel
	.venv/bin/uv build --quiet
	.venv/bin/uv venv --quiet --python .venv .venv-wheel
	.venv/bin/uv pip install --quiet --python .venv-wheel dist/*.whl --group dev
	.venv-wheel/bin/pytest -q -p no:cacheprovider tests/wheel.py $(patsubst %,tests/test_%.py,exported provider clear_app)

# PostgreSQL and Valkey come in wheels. Install the rest; if that is not possible, its tests are skipped and say so.
servers:
	@command -v redis-server >/dev/null || $(call install,redis-server) \
		|| echo "redis-server is missing: the tests of TLS are skipped, for which the wheel's Valkey is not built"
	@command -v chromium >/dev/null || $(call install,chromium) || echo "chromium is missing: its tests are skipped"
	@command -v promtool >/dev/null || $(call install,prometheus) || echo "promtool is missing: its tests are skipped"

install = (command -v apt-get && SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo -n) \
	&& $$SUDO apt-get -qq update && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $(1)) >/dev/null

clean:
	rm -rf .venv* build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/bin/uv:
	@echo "installing Airflow and more into .venv, once: a minute or two …"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/demo: pyproject.toml | .venv/bin/uv
	$(UV) --editable . --group demo
	@touch $@

# The group `dev` includes `demo`: `make demo` must install nothing while the tests run it.
.venv/dev: pyproject.toml | .venv/bin/uv
	$(UV) --editable . --group dev
	@touch .venv/demo $@
