# `make help` says what there is. Everything is set up by itself, in .venv.

.DEFAULT_GOAL := help
.PHONY: help run test test-clients test-kills bench lint lock clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\): ## /  make \1	/p' Makefile

run: ## Start the app at http://localhost:8000 (PORT, HOST)
	@scripts/setup run
	@exec scripts/run

test: ## Run all tests, a real browser included (ARGS="-k weather" goes to pytest; "-n 0": one process)
	@scripts/setup dev
	@.venv/bin/python -m tests.browser.chromium
	@.venv/bin/python -m pytest -n 2 -rR --dist loadfile --no-loadscope-reorder $(ARGS)

test-clients: ## Try every client of Literal AI against the server, in throw-away environments (ARGS="node litellm")
	@scripts/setup dev
	@.venv/bin/python -m tests.clients $(ARGS)

test-kills: ## Kill app and server 1,000 times at random moments of many turns, four pairs at once (KILLS=n, JOBS=n)
	@scripts/setup dev
	@TEST_KILLS=$(or $(KILLS),1000) TEST_JOBS=$(or $(JOBS),4) .venv/bin/python -m pytest tests/test_kills.py -s $(ARGS)

bench: ## Measure beside others, and write bench/RESULTS.md (ARGS="ingestion --no-peers"; --quick only proves that it runs)
	@scripts/setup dev
	@.venv/bin/python -m tests.browser.chromium
	@.venv/bin/python -m bench $(ARGS)

lint: ## Check style and types
	@scripts/setup dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy --strict .

UV_COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock"

lock: ## Pin requirements.in and requirements-dev.in anew (ARGS=--upgrade takes the newest versions)
	@scripts/setup dev
	$(UV_COMPILE) $(ARGS) requirements.in -o requirements.txt
	$(UV_COMPILE) $(ARGS) requirements-dev.in -o requirements-dev.txt
	for pins in tests/clients/pins/*.in bench/pins/*.in; do $(UV_COMPILE) --no-annotate $(ARGS) $$pins -o $${pins%.in}.txt; done

clean: ## Remove what setting up and testing made; the recorded data stays
	rm -rf .venv .clients .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .files
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
