PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: test
test: $(VENV)/installed
	$(BIN)/python -m pytest tests

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[test]'
	touch $@
