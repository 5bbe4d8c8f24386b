# The blue/green stack, which the sandbox runs.

POOL ?= blue
MODE ?= error
RATE ?= 20
RELEASE ?=
# The stack as processes of this machine (native) or as containers (docker).
RUNTIME ?= native

# The sandbox is kept beside what it started, so that it can stop that whatever becomes of cargo's directory.
program = $(firstword $(wildcard run/sandbox $(build_dir)/debug/sandbox))
sandbox = $(program) --runtime "$(RUNTIME)" --nginx "$(NGINX)"
start = run/sandbox --runtime "$(RUNTIME)" --nginx "$(NGINX)"
# started STATUS: ends a recipe where nothing can have been started yet.
started = [ -n "$(program)" ] || { echo "nothing runs: \"make up\" starts the stack"; exit $(1); }
# What nginx of the stack loads, and the packages without which nothing of that is built here.
product = $(if $(filter docker,$(RUNTIME)),image,module)
stack_packages = $(if $(filter docker,$(RUNTIME)),$(if $(strip $(PACKAGES)),gcc libc6-dev),$(PACKAGES))

##@ See it work

.PHONY: demo
demo: image-or-module sandbox ## The whole story once: traffic, chaos, alert, recovery [RUNTIME=docker]
	@$(start) demo

##@ The stack: nginx on 8080, blue on 8081, green on 8082, the local sink on 8090 [RUNTIME=native|docker]

.PHONY: up
up: image-or-module sandbox ## Start it
	@$(start) up

.PHONY: down
down: ## Stop it, and what a demo that was killed has left
	@$(call started,0); $(sandbox) down

.PHONY: restart
restart: image-or-module sandbox ## Stop it and start it again
	@$(start) restart

.PHONY: status
status: ## Show what runs and what nginx reports
	@$(call started,0); $(sandbox) status

.PHONY: logs
logs: ## Show the logs; in a terminal, follow them
	@$(call started,1); $(sandbox) logs

.PHONY: traffic
traffic: ## Send it requests until Ctrl-C: [RATE=20] a second
	@$(call started,1); $(sandbox) traffic "$(RATE)"

.PHONY: chaos
chaos: ## Break a pool: [POOL=blue|green] [MODE=error|timeout|kill]
	@$(call started,1); $(sandbox) chaos "$(POOL)" "$(MODE)"

.PHONY: recover
recover: ## Mend both pools
	@$(call started,1); $(sandbox) recover

.PHONY: switch
switch: ## Let a pool serve from now on, as a planned change: POOL=blue|green
	@$(call started,1); $(sandbox) switch "$(POOL)"

.PHONY: rollout
rollout: ## Let a pool take over step by step, and watch it: POOL=blue|green [RELEASE=v2]
	@$(call started,1); $(sandbox) rollout "$(POOL)" "$(RELEASE)"

.PHONY: validate
validate: ## The acceptance run against the running stack, with a table of what passed and failed
	@$(call started,1); $(sandbox) validate

.PHONY: clean
clean: ## Stop the stack and remove what it wrote
	@$(call started,0); $(sandbox) clean

# The first build takes a while and shows it; after that nobody wants to read about it.
.PHONY: sandbox
sandbox: stack-packages
	@$(CARGO) build $(if $(wildcard $(build_dir)/debug/sandbox),--quiet) --package sandbox
	@mkdir -p run; $(call put,$(build_dir)/debug/sandbox,run/sandbox)

.PHONY: stack-packages
stack-packages:
	@[ -z "$(strip $(stack_packages))" ] || docker/packages.sh $(stack_packages)

.PHONY: image-or-module
image-or-module: $(product)
