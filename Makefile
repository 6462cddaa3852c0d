# connector-sidecar. With Python 3.11+ and make:  make demo, make test.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WHICH  := -c 'import sys; print(*sys.version_info[:2])'
# Third-party servers and API documents to test against; a plain clone has none and tests that need them say so.
SHARED ?= ../shared
export SHARED
# Test processes beside each other. More than cores, and tests that give others a time to answer in would fail of it.
WORKERS ?= 2

.PHONY: permissions properties demo test check lint types contracts schemas real real-auth chaos deaths drain-test rotate-test bench-quick durability image-test sim prove-red lock clean

demo: $(VENV)/ready  ## everything on this machine, no account needed (KEEP=1 leaves it running)
	@$(BIN)/python -m sidecar.sandbox.demo

test: $(VENV)/ready  ## every test that needs nothing but this clone (and SHARED, where it is)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: lint types contracts schemas  ## what a reviewer would otherwise have to look for

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/ready
	$(BIN)/mypy

contracts: $(VENV)/ready
	$(BIN)/lint-imports

schemas: $(VENV)/ready
	$(BIN)/python -m sidecar.schemas --check
	$(BIN)/python -m sidecar.nats_config --check

permissions: $(VENV)/ready  ## who may do what on NATS: each role x kind of subject x tenant, against a real nats-server
	$(BIN)/python -m tests.permissions.matrix

real: $(VENV)/ready  ## real Synapse, Redmine and PocketBase, called through NATS (needs SHARED)
	$(BIN)/python -m tests.real.run

real-auth: $(VENV)/ready  ## tokens that end, against a strict OAuth server: kills, pauses, outages, cancelled calls; all figures (SCENES=, SHORT=1; needs SHARED)
	$(BIN)/python -m tests.auth_real.run

chaos: $(VENV)/ready  ## kills, pauses, outages and too many calls, in real processes, against a counting upstream: all figures (SCENES=, SHORT=1)
	$(BIN)/python -m tests.chaos.run

durability: $(VENV)/ready  ## three nodes killed, paused, cut off, their power cut: what was acknowledged is there (COUNT=2000 for a short run; root for all)
	$(BIN)/python -m tests.cluster.run

deaths: $(VENV)/ready  ## every known death of the NATS client, at production's pace: healed or ended, and in how many seconds
	$(BIN)/python -m tests.nats.deaths

drain-test: $(VENV)/ready  ## SIGTERM a hundred times under load, two sidecars: no call fails, each ends in time
	$(BIN)/python -m tests.app.drain 100

rotate-test: $(VENV)/ready  ## a key changes under 10,000 records (RECORDS=) in use: no call fails, none is left behind
	$(BIN)/python -m tests.bench.rotation

bench-quick: $(VENV)/ready  ## start, memory, latency and throughput beside HTTPX and aiohttp, one run
	$(BIN)/python -m tests.bench.quick

image-test: $(VENV)/ready  ## build, lint and run the image, render and check the manifests (needs SHARED and root)
	$(BIN)/python -m tests.deploy.image

sim: $(VENV)/ready  ## ten thousand simulated worlds: faults, lost answers, dying processes, and every promise looked at (SEEDS=n)
	$(BIN)/python -m tests.sim.run --seeds $(or $(SEEDS),10000)

properties: $(VENV)/ready  ## every property with thirty times the examples, and new ones each time
	PROPERTIES=long $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m hypothesis --timeout 900

prove-red: $(VENV)/ready  ## plant a bug against each promise in a copy of the tree, and see its test fail
	$(BIN)/python -m tests.prove_red

lock: $(VENV)/ready  ## pin every dependency again, with hashes and without addresses
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.txt
	$(BIN)/uv pip compile -q deploy/requirements-build.in --constraints requirements-dev.txt --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -o deploy/requirements-build.txt

# Of a Python that has gone, or of another than the one that PYTHON= names, it is made anew.
ifneq ($(shell test -x $(BIN)/python && echo there),there)
.PHONY: $(VENV)/ready
else ifneq ($(origin PYTHON),file)
ifneq ($(shell $(BIN)/python $(WHICH)),$(shell $(PYTHON) $(WHICH)))
.PHONY: $(VENV)/ready
endif
endif

$(VENV)/ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	@echo "setting up $(VENV) (once)"
	@test "`$(BIN)/python $(WHICH) 2>&1`" = "`$(PYTHON) $(WHICH)`" || rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
