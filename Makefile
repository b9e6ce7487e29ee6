# Needs: Linux, Python 3.11 or newer with venv, a C++20 compiler, make. All else comes from PyPI.

PYTHON ?= python3
MODEL ?= smollm2-135m-instruct
QUESTION ?= Explain in three sentences how a rainbow forms.
export CMAKE_BUILD_PARALLEL_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
REFERENCE := .venv-reference
CPP := $(wildcard cpp/*)
DRIVERS := $(wildcard benchmarks/*.cpp)
FUZZ := $(wildcard fuzz/*.?pp)

FUZZ_SECONDS ?= 60
CLANG ?= $(firstword $(foreach name,clang++ $(foreach n,21 20 19 18 17 16 15 14,clang++-$(n)), \
	$(shell command -v $(name))))
FUZZERS := file pass
UNDEFINED := undefined,float-cast-overflow
RUN_FUZZER = FUZZ_MODELS=build/fuzz/seeds/models UBSAN_OPTIONS=print_stacktrace=1
# How much memory is resident means nothing beside what a sanitizer keeps of its own.
SANITIZED := tests/contract tests/unit/engines tests/unit/models/test_gguf.py \
	tests/unit/test_sampling.py --ignore=tests/unit/engines/test_large_files.py

.PHONY: demo test test-reference certify certify-full check format bench peers counts fuzz corpus sanitize sanitize-address sanitize-thread clean

demo: .venv/package.done  ## build, install, fetch the default model, answer a question
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/outrider generate --model $(MODEL) --max-tokens 200 "$(QUESTION)"

test: .venv/test.done  ## everything but the comparisons with transformers
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-reference: $(REFERENCE)/done  ## compare with transformers, in an environment with PyTorch
	$(BIN)/outrider pull $(MODEL)
	$(REFERENCE)/bin/python -m pytest -m reference tests/reference $(PYTEST_ARGS)

certify: .venv/package.done  ## a prompt of each category: speculation says what plain decoding says
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/outrider certify --model $(MODEL) --batch --limit 13 --max-tokens 24 $(CERTIFY_ARGS)

certify-full: .venv/package.done  ## every prompt of PROMPTS=file (or a set by name), or of our own
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/outrider certify --model $(MODEL) --batch $(if $(PROMPTS),--prompts $(PROMPTS),--limit 104) $(CERTIFY_ARGS)

check: .venv/dev.done  ## formatting, lint, types, direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $(CPP) $(DRIVERS) $(FUZZ)

format: .venv/dev.done  ## rewrite the sources as `check` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP) $(DRIVERS) $(FUZZ)

bench: .venv/test.done  ## plain decoding and prefill beside llama.cpp's; leaves records
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/python benchmarks/versus_peers.py $(BENCH_ARGS)

peers: .venv/test.done  ## beside other engines that draft too, at the prompts of PROMPTS=file or ours
	$(BIN)/outrider pull $(MODEL)
	$(BIN)/outrider lab run peers --model $(MODEL) -o build/peers --limit 13 --repeats 1 \
	$(if $(PROMPTS),--prompts $(PROMPTS)) $(PEERS_ARGS)

# The fuzzers start from small models and from the corpus, and keep under build/fuzz what reaches
# new code; `make corpus` takes into the corpus the least of it that reaches as much.
fuzz: $(FUZZERS:%=fuzz-%)  ## feed the model reader and the engine's calls with made-up input, FUZZ_SECONDS each

fuzz-file: INPUTS := build/fuzz/seeds/files
$(FUZZERS:%=fuzz-%): fuzz-%: build/fuzz/made.done
	mkdir -p build/fuzz/corpus/$* fuzz/corpus/$*
	$(RUN_FUZZER) build/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -timeout=30 \
	-rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix=build/fuzz/$*- \
	$(FUZZ_ARGS) build/fuzz/corpus/$* fuzz/corpus/$* $(INPUTS)

corpus: $(FUZZERS:%=corpus-%)  ## take what the fuzzers found into fuzz/corpus

corpus-file: INPUTS := build/fuzz/seeds/files
$(FUZZERS:%=corpus-%): corpus-%: build/fuzz/made.done
	rm -rf build/fuzz/merged/$*
	mkdir -p build/fuzz/merged/$* build/fuzz/corpus/$* fuzz/corpus/$*
	$(RUN_FUZZER) build/fuzz/fuzz_$* -set_cover_merge=1 -use_counters=0 build/fuzz/merged/$* \
	fuzz/corpus/$* build/fuzz/corpus/$* $(INPUTS)
	rm -rf fuzz/corpus/$*
	cp -r build/fuzz/merged/$* fuzz/corpus/$*

sanitize: sanitize-address sanitize-thread  ## the engine's tests under the sanitizers of the compiler

# The interpreter is not built with the sanitizer, so its library has to be loaded first; what the
# interpreter leaves behind at its end is not the engine's, nor is what numpy's own threads do.
sanitize-address: .venv-address/package.done
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so):$$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	.venv-address/bin/python -m pytest $(SANITIZED) $(PYTEST_ARGS)

sanitize-thread: .venv-thread/package.done
	LD_PRELOAD="$$($(CXX) -print-file-name=libtsan.so)" TSAN_OPTIONS=halt_on_error=1 \
	OPENBLAS_NUM_THREADS=1 \
	.venv-thread/bin/python -m pytest $(SANITIZED) $(PYTEST_ARGS)

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

build/fuzz/made.done: .venv/test.done CMakeLists.txt $(CPP) $(FUZZ) fuzz/seeds.py tests/synthetic.py
	@test -n "$(CLANG)" || { echo "make fuzz needs clang 14 or newer with its runtime library" \
	"(Debian, Ubuntu: apt install clang libclang-rt-dev), or CLANG=... naming it."; exit 1; }
	$(BIN)/cmake -G Ninja -S . -B build/fuzz -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	-DCMAKE_CXX_COMPILER="$(CLANG)" -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" \
	-DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" \
	-DOUTRIDER_FUZZ=ON -DOUTRIDER_SANITIZE=address,$(UNDEFINED)
	$(BIN)/cmake --build build/fuzz --target $(FUZZERS:%=fuzz_%)
	$(BIN)/python fuzz/seeds.py build/fuzz/seeds
	touch $@

# Environments whose extension module is built with a sanitizer.
.venv-address/package.done: FLAGS := address,$(UNDEFINED)
.venv-thread/package.done: FLAGS := thread
.venv-address/created.done .venv-thread/created.done: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(@D)/bin/python -m pip install --quiet --group build --group test
	touch $@

.venv-%/package.done: .venv-%/created.done CMakeLists.txt $(CPP)
	$(@D)/bin/python -m pip install --quiet --no-build-isolation --editable . \
	-Cbuild-dir=build/$* -Ccmake.define.OUTRIDER_SANITIZE=$(FLAGS)
	touch $@
