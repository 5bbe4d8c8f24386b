# The measurements.

BENCH_PACKAGES ?= valgrind apache2-utils wrk strace python3 libnginx-mod-http-lua

.PHONY: bench
bench: module bench-packages $(if $(VTS_SOURCE_DIR),vts) ## What it costs and how fast it tells: writes tests/bench/RESULTS.md; [ONLY="idle ..."] [BEFORE=module] [VTS_SOURCE_DIR=]
	@$(CARGO) bench --quiet --package alert_core --bench stages --no-run
	@$(bench_env) $(CARGO) run --quiet --release --package bench -- $(ONLY)

.PHONY: instructions
instructions: module bench-packages ## Whether a request costs more instructions than recorded; [RECORD=1] records them
	@$(bench_env) $(CARGO) run --quiet --package bench -- $(if $(RECORD),record,check)-instructions

# BEFORE is a module of the version before, built for the same nginx.
bench_env = TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(CURDIR)/$(module)" BENCH_BEFORE="$(abspath $(BEFORE))" \
	BENCH_VTS_SOURCE="$(abspath $(VTS_SOURCE_DIR))"

# nginx-module-vts, which is compared where there is its source (github.com/vozlt/nginx-module-vts). Built in a copy of nginx's
# source that is configured in the same way, as `make module` needs that one as it is.
vts_build := target/vts
vts_module := $(vts_build)/objs/ngx_http_vhost_traffic_status_module.so

.PHONY: vts
vts: headers
	@[ -r "$(VTS_SOURCE_DIR)/config" ] || { echo "\"$(VTS_SOURCE_DIR)\" is no source of nginx-module-vts" >&2; exit 1; }; \
	arguments=$$(sed -n 's/^#define NGX_CONFIGURE "\(.*\)"$$/\1/p' "$(source_dir)/objs/ngx_auto_config.h"); \
	rm -rf $(vts_build); mkdir -p $(vts_build); cp -R "$(source_dir)/." $(vts_build); cd $(vts_build); \
	{ eval "./configure --with-cc-opt=-O2 $$arguments --add-dynamic-module='$(abspath $(VTS_SOURCE_DIR))'" \
		&& $(MAKE) -f objs/Makefile objs/$(notdir $(vts_module)); } > vts.log 2>&1 || { tail -n 20 vts.log >&2; exit 1; }

.PHONY: bench-packages
bench-packages: packages
	@[ -z "$(strip $(BENCH_PACKAGES))" ] || docker/packages.sh $(BENCH_PACKAGES)
