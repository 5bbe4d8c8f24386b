# The blue/green stack, which the sandbox runs.

POOL ?= blue
MODE ?= error
# The stack as processes of this machine (native) or as containers (docker).
RUNTIME ?= native

sandbox = $(build_dir)/debug/sandbox --runtime "$(RUNTIME)" --nginx "$(NGINX)"
# What nginx of the stack loads, and the packages without which nothing of that is built here.
product = $(if $(filter docker,$(RUNTIME)),image,module)
stack_packages = $(if $(filter docker,$(RUNTIME)),$(if $(strip $(PACKAGES)),gcc libc6-dev),$(PACKAGES))

##@ See it work

.PHONY: demo
demo: image-or-module sandbox ## The whole story once: traffic, chaos, alert, recovery [RUNTIME=docker]
	@$(sandbox) demo

##@ The stack: nginx on 8080, blue on 8081, green on 8082, the local sink on 8090 [RUNTIME=native|docker]

.PHONY: up
up: image-or-module sandbox ## Start it
	@$(sandbox) up

.PHONY: down
down: sandbox ## Stop it
	@$(sandbox) down

.PHONY: restart
restart: image-or-module sandbox ## Stop it and start it again
	@$(sandbox) restart

.PHONY: status
status: sandbox ## Show what runs and what nginx reports
	@$(sandbox) status

.PHONY: logs
logs: sandbox ## Show the logs; in a terminal, follow them
	@$(sandbox) logs

.PHONY: chaos
chaos: sandbox ## Break a pool: [POOL=blue|green] [MODE=error|timeout|kill]
	@$(sandbox) chaos "$(POOL)" "$(MODE)"

.PHONY: recover
recover: sandbox ## Mend both pools
	@$(sandbox) recover

.PHONY: switch
switch: sandbox ## Let a pool serve from now on, as a planned change: POOL=blue|green
	@$(sandbox) switch "$(POOL)"

.PHONY: validate
validate: sandbox ## The acceptance run against the running stack, with a table of what passed and failed
	@$(sandbox) validate

.PHONY: clean
clean: sandbox ## Stop the stack and remove what it wrote
	@$(sandbox) clean

# The first build takes a while and shows it; after that nobody wants to read about it.
.PHONY: sandbox
sandbox: stack-packages
	@$(CARGO) build $(if $(wildcard $(build_dir)/debug/sandbox),--quiet) --package sandbox

.PHONY: stack-packages
stack-packages:
	@[ -z "$(strip $(stack_packages))" ] || docker/packages.sh $(stack_packages)

.PHONY: image-or-module
image-or-module: $(product)
