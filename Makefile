# Needs: Linux, Python 3.11 or newer with venv, a C++20 compiler, make. All else comes from PyPI.

PYTHON ?= python3
MODEL ?= smollm2-135m-instruct
QUESTION ?= Explain in three sentences how a rainbow forms.
export CMAKE_BUILD_PARALLEL_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
REFERENCE := .venv-reference
CPP := $(wildcard cpp/*)

.PHONY: demo test test-reference check format bench clean

demo: .venv/package.done  ## build, install, fetch the default model, answer a question
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/outrider generate --model $(MODEL) --max-tokens 200 "$(QUESTION)"

test: .venv/test.done  ## everything but the comparisons with transformers
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-reference: $(REFERENCE)/done  ## compare with transformers, in an environment with PyTorch
	$(BIN)/outrider pull $(MODEL)
	$(REFERENCE)/bin/python -m pytest -m reference tests/reference $(PYTEST_ARGS)

check: .venv/dev.done  ## formatting, lint, types, direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: .venv/dev.done  ## rewrite the sources as `check` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP)

bench: .venv/package.done  ## plain decoding beside llama.cpp's; leaves a record
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/python benchmarks/versus_llamacpp.py $(BENCH_ARGS)

clean:
	rm -rf .venv .venv-* build dist

# The environments. The package is installed as a link to src, so only C++ needs building again; its
# build requirements stay in .venv, because an environment made anew for each build rebuilds all.

.venv/created.done:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	touch $@

.venv/package.done: .venv/created.done pyproject.toml CMakeLists.txt $(CPP)
	$(BIN)/python -m pip install --quiet --group build
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	touch $@

.venv/test.done: .venv/package.done
	$(BIN)/python -m pip install --quiet --group test
	touch $@

.venv/dev.done: .venv/test.done
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

# PyTorch stays out of .venv; the package and the test tools are taken from there.
$(REFERENCE)/done: .venv/test.done
	$(BIN)/python -m venv $(REFERENCE)
	$(REFERENCE)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(REFERENCE)/bin/python -m pip install --quiet --group reference
	$(BIN)/python -c "import sysconfig; \
	print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	> "$$($(REFERENCE)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/outrider.pth"
	touch $@
