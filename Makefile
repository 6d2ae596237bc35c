# Two commands for a newcomer: `make demo` and `make test`. Each sets up .venv by itself. While one
# works on the code, `make quick`: the same checks, and the tests that take less than a moment.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# A folder with one subfolder of clips per class; empty: the demo makes a corpus of its own.
CORPUS ?=
# What else pytest is told: make test TESTS="-k kills"
TESTS ?=
# Two processes; the tests of a file share one, and what its fixtures have made.
PYTEST := pytest -n 2 --dist loadfile
LOWEST := .venv-lowest

.PHONY: demo quick test test-lowest lint bench docs clean

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "avfuse needs Python 3.11 or later; say where: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,tables,onnx,docs,readers]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/avfuse demo $(if $(CORPUS),"$(CORPUS)")

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

quick: lint
	$(BIN)/$(PYTEST) -m "not slow" $(TESTS)

test: lint
	$(BIN)/$(PYTEST) $(TESTS)

# Every lower bound of setup.cfg, taken exactly: numpy>=1.26 becomes numpy==1.26. PyTorch alone is
# that of constraints.txt, which is a CPU build: PyPI's 2.11 brings gigabytes of CUDA along.
$(LOWEST)/.installed: setup.cfg pyproject.toml
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	sed -nE '/^ +torch>/d; s/^ +([A-Za-z0-9_-]+)>=([0-9.]+)$$/\1==\2/p' setup.cfg >$(LOWEST)/constraints.txt
	grep '^torch==' constraints.txt >>$(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c $(LOWEST)/constraints.txt -e '.[dev]'
	touch $@

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/$(PYTEST) $(TESTS)

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# The documentation as a site that needs no network: build/docs/index.html.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info
