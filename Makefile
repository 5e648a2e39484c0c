# Two commands do everything: `make demo` and `make test`. Both build .venv when it is missing or stale.
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
DEMO   := demo-workspace
# What `make bench` measures; `make bench BENCH=` is everything, and takes hours.
BENCH  ?= --table made --rows 1500 --trials 3 --folds 3

.PHONY: setup demo test lint schemas bench clean

setup: $(VENV)/.installed

# Compiled here: where PYTHONDONTWRITEBYTECODE is set, each process would do it anew.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@[ -x $(BIN)/python ] && $(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m compileall -q agents steps gpu
	@touch $@

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh $(DEMO)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schemas: setup
	$(BIN)/python -m agents.schemas

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.step5 $(BENCH)

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache
