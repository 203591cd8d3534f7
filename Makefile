# Each target installs what it needs, into .venv. Nothing but Python 3.10 or newer (with venv) has to be there.
.DELETE_ON_ERROR:
.PHONY: demo test simulate lint wheel servers clean

PYTHON ?= python3
UV = .venv/bin/uv pip install --quiet --python .venv

## A real Airflow with an embedded Redis: three Dags fail, and are retried. Under three minutes.
demo: .venv/demo
	.venv/bin/python -m dag_retry.demo

## All tests: on fakeredis, on a real Redis, and on a live Airflow.
test: .venv/dev servers
	.venv/bin/pytest --cov --cov-report=term --cov-fail-under=95

## Random schedules of crashes, lost replies and lost data, as many as you like: make simulate SEEDS=100000
simulate: .venv/dev
	SEEDS=$(or $(SEEDS),2000) .venv/bin/pytest -q tests/test_simulation.py

## Style, strict types, and the rooms kept apart.
lint: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

## The tests that need no live Airflow, against the wheel as users install it.
wheel: .venv/dev servers
	rm -rf dist .venv-wheel
	.venv/bin/uv build --quiet
	.venv/bin/uv venv --quiet --python .venv .venv-wheel
	.venv/bin/uv pip install --quiet --python .venv-wheel "$$(ls dist/*.whl)[demo]" --group dev
	.venv-wheel/bin/pytest -q -m "not live" -p no:cacheprovider

# What the tests start by themselves comes from the system. Where it can't be installed, they skip and say so.
servers:
	@command -v redis-server >/dev/null || $(call install,redis-server) \
		|| echo "redis-server is missing: its tests are skipped"
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || $(call install,postgresql) \
		|| echo "postgresql is missing: its tests are skipped"

install = (command -v apt-get && SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo -n) \
	&& $$SUDO apt-get -qq update && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $(1)) >/dev/null

clean:
	rm -rf .venv* dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/demo: pyproject.toml | .venv/bin/uv
	$(UV) --editable ".[demo]"
	@touch $@

.venv/dev: pyproject.toml | .venv/bin/uv
	$(UV) --editable ".[demo]" --group dev
	@touch $@
