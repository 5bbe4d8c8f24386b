# The measurements.

BENCH_PACKAGES ?= valgrind apache2-utils wrk strace python3 libnginx-mod-http-lua

.PHONY: bench
bench: module bench-packages ## What it costs and how fast it tells: writes tests/bench/RESULTS.md; [ONLY="idle ..."] [BEFORE=older module]
	@$(CARGO) bench --quiet --package alert_core --no-run
	@$(bench_env) $(CARGO) run --quiet --release --package bench -- $(ONLY)

.PHONY: instructions
instructions: module bench-packages ## Whether a request costs more instructions than recorded; [RECORD=1] records them
	@$(bench_env) $(CARGO) run --quiet --package bench -- $(if $(RECORD),record,check)-instructions

# BEFORE is a module of the version before, built for the same nginx.
bench_env = TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(CURDIR)/$(module)" BENCH_BEFORE="$(abspath $(BEFORE))"

.PHONY: bench-packages
bench-packages: packages
	@[ -z "$(strip $(BENCH_PACKAGES))" ] || docker/packages.sh $(BENCH_PACKAGES)
