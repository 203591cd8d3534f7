# Each target installs what it needs, into .venv. Nothing but Python 3.10 or newer (with venv) has to be there.
.DELETE_ON_ERROR:
.PHONY: demo test simulate soak bench bench-live lint wheel servers clean

PYTHON ?= python3
UV = .venv/bin/uv pip install --quiet --python .venv

## A real Airflow with an embedded Redis: three Dags fail, and are retried. Under three minutes.
demo: .venv/demo
	.venv/bin/python -m dag_retry.demo

## All tests: on fakeredis and on a real Redis, side by side; then those on live Airflows, one at a time.
test: .venv/dev servers
	.venv/bin/pytest tests --ignore=tests/live --numprocesses=2 --cov --cov-report=
	.venv/bin/pytest tests/live --cov --cov-append --cov-report=term --cov-fail-under=95

## Every schedule of small cases and of two large ones, and as many random ones as you like: make simulate SEEDS=100000
simulate: .venv/dev
	SEEDS=$(or $(SEEDS),20000) .venv/bin/pytest -q -s tests/test_simulation.py

## 10,000 runs of 8 failing callbacks, processes killed in 5 % of them, Redis killed ten times. Under ten minutes.
soak: .venv/dev servers
	SOAK_RUNS=$(or $(RUNS),10000) .venv/bin/pytest -q tests/test_soak.py

## Claims beside PING and beside what else one would take, on redis-servers of its own. Under fifteen minutes.
bench: .venv/dev servers
	.venv/bin/python -m tests.benchmark

## Failed runs brought back on live Airflows (SQLite, PostgreSQL): by the recipe, and by ours. About half an hour.
bench-live: .venv/dev servers
	.venv/bin/python -m tests.benchmark.live

## Style, strict types, and the rooms kept apart.
lint: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

## What is in the wheel, as users install it: all tests but the long ones and those of Redis's ways and of time.
wheel: .venv/dev servers
	rm -rf dist .venv-wheel
	.venv/bin/uv build --quiet
	.venv/bin/uv venv --quiet --python .venv .venv-wheel
	.venv/bin/uv pip install --quiet --python .venv-wheel "$$(ls dist/*.whl)[demo]" --group dev
	.venv-wheel/bin/pytest -q -p no:cacheprovider --numprocesses=2 tests --ignore=tests/live \
		$(patsubst %,--ignore=tests/test_%.py,simulation soak races model deadline redis redis_topologies compose)

# What the tests start by themselves comes from the system. Where it can't be installed, they skip and say so.
servers:
	@command -v redis-server >/dev/null || $(call install,redis-server) \
		|| echo "redis-server is missing: its tests are skipped"
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || $(call install,postgresql) \
		|| echo "postgresql is missing: its tests are skipped"
	@command -v chromium >/dev/null || $(call install,chromium) || echo "chromium is missing: its tests are skipped"
	@command -v promtool >/dev/null || $(call install,prometheus) || echo "promtool is missing: its tests are skipped"

install = (command -v apt-get && SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo -n) \
	&& $$SUDO apt-get -qq update && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $(1)) >/dev/null

clean:
	rm -rf .venv* build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/demo: pyproject.toml | .venv/bin/uv
	$(UV) --editable ".[demo]"
	@touch $@

# All of the demo's too: nothing is installed anew while the tests run it.
.venv/dev: pyproject.toml | .venv/bin/uv
	$(UV) --editable ".[demo]" --group dev
	@touch .venv/demo $@
