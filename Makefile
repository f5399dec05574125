# Two commands matter: `make demo` boots a stock Debian kernel, `make test` runs every test.
# Both set up what they need the first time (system packages, .venv, kernels) and are quick later.
#
#   make test SEED=1234                   repeats a run: pytest prints the seed of each
#   make test ARGS='-k elf -x'            anything more for pytest
#   make test JOBS=1                      one test at a time (default: one for each processor)
#   make demo PYTHON=python3.12           the interpreter to make .venv with

PYTHON ?= python3
SEED ?=
ARGS ?=

BIN := .venv/bin
# A guest keeps one processor busy while its test waits: a worker for each, a file's tests together,
# in the order of tests/conftest.py (xdist's would be by how many they are).
JOBS ?= auto
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
	$(if $(SEED),--randomly-seed=$(SEED)) $(ARGS)

.PHONY: help demo test nightly bench lint clean setup-demo setup-test stub
.DELETE_ON_ERROR:

help:
	@echo "make demo     boot a stock Debian kernel as a PVH guest"
	@echo "make test     run all tests, real boots included"
	@echo "make lint     ruff and mypy only"
	@echo "make bench    compare the speed with QEMU's own loader"
	@echo "make nightly  all tests with the long budgets: more random cases, more boots"
	@echo "make clean    remove everything that make made"

demo: setup-demo build/demo-initrd.gz
	$(BIN)/hvmlite run build/kernels/cloud/vmlinuz -i build/demo-initrd.gz -a "console=ttyS0 quiet"

test: setup-test
	$(PYTEST)

nightly: setup-test
	HYPOTHESIS_PROFILE=nightly $(PYTEST) -o faulthandler_timeout=1800

# An installed wheel has its bytecode; so has the tree, whatever PYTHONDONTWRITEBYTECODE says.
bench: setup-test
	@$(BIN)/python -m compileall -q src
	$(BIN)/python benchmarks $(ARGS)

lint: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	$(MAKE) --silent -C stub clean
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
	find src tests tools -name __pycache__ -type d -exec rm -rf {} +

# Each of these is instant when all is there. The packages come first: one of them may be the one
# that makes a virtual environment possible.
setup-demo:
	@$(PYTHON) tools/packages.py demo
	@! command -v $(CC) >/dev/null || $(MAKE) --silent --no-print-directory -C stub blobs
	@$(MAKE) --silent --no-print-directory .venv/installed-demo
	@$(PYTHON) tools/kernels.py cloud

setup-test:
	@$(PYTHON) tools/packages.py test
	@$(MAKE) --silent --no-print-directory stub
	@$(MAKE) --silent --no-print-directory .venv/installed-test
	@$(PYTHON) tools/kernels.py
	@$(PYTHON) tools/busybox_i386.py
	@$(PYTHON) tools/boot_images.py

# Machine code for guests. The demo does without it, hence without a compiler.
stub:
	@$(MAKE) --silent --no-print-directory -C stub

# An attempt that was interrupted leaves no target behind (.DELETE_ON_ERROR) and is made anew.
.venv/pyvenv.cfg:
	$(PYTHON) -m venv --clear .venv

.venv/installed-demo: pyproject.toml | .venv/pyvenv.cfg
	@echo "installing hvmlite into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-test: pyproject.toml | .venv/pyvenv.cfg
	@echo "installing hvmlite and its test tools into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ .venv/installed-demo

build/demo-initrd.gz: tools/initramfs.py tools/demo-init.sh tools/packages.py | setup-demo
	$(PYTHON) tools/initramfs.py $@
