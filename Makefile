PYTHON ?= python3.11

.PHONY: app test lint

app:  ## set everything up and open the app
	$(PYTHON) -m tl_core.setup run

test:  ## set everything up, then ruff, mypy and the tests
	$(PYTHON) -m tl_core.setup test

lint:  ## ruff and mypy alone, in the environment that `make test` made
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
