# The commands of the README. A fresh machine needs Python 3.10 to 3.13, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest

.PHONY: demo digits explainer docs dist test test-oldest bench bench-peers clean

demo: $(VENV)/installed
	$(BIN)/python examples/train_dates.py --output build/demo

digits: $(VENV)/installed-digits
	$(BIN)/python examples/read_digits.py --output build/digits

# MODEL is a .tflite of this package; by default the one of this project, or else one that is trained on dates.
explainer: $(VENV)/installed
	npm install --prefix examples/web --silent --no-audit --no-fund --no-save
	$(BIN)/python examples/explainer/serve.py $(if $(MODEL),--model $(MODEL))

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	for part in explainer web models; do if [ -d examples/$$part ]; then cp -R examples/$$part build/docs; fi; done
	@echo "Open build/docs/index.html. Its search needs a server: python3 -m http.server --directory build/docs"

# The files for PyPI, checked as PyPI checks them.
dist: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

test: $(VENV)/installed-dev
	-command -v npm > /dev/null && npm install --prefix examples/web --silent --no-audit --no-fund --no-save
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest

# The same tests with the oldest supported versions of the required packages.
test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/pytest

bench: $(VENV)/installed-bench
	$(BIN)/python benchmarks/bench.py --output build/bench

# DATA is the folder that benchmarks/time_to_quality.py describes.
bench-peers: $(VENV)/installed-bench
	$(BIN)/python benchmarks/time_to_quality.py $(DATA) --output build/time_to_quality

$(OLDEST)/installed: pyproject.toml tests/oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]" --constraint tests/oldest.txt
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[litert]"
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	touch $@ $(VENV)/installed

$(VENV)/installed-digits: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[digits]"
	touch $@ $(VENV)/installed

$(VENV)/installed-bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) $(OLDEST) build dist *.egg-info .pytest_cache .ruff_cache
