# The tests and lints, and the second nginx that they take.

# The second nginx is built from source; a browser opens the status page and Prometheus reads the metrics.
TEST_PACKAGES ?= curl libpcre2-dev libssl-dev zlib1g-dev chromium prometheus pkg-config valgrind libnginx-mod-http-lua \
	prometheus-alertmanager apache2-utils python3-aiosmtpd

# The module that the tests load, without optimisation at link time.
test_module := $(CURDIR)/target/quick/ngx_http_alert_module.so
test_dir := $(CURDIR)/target/nginx/1.28
test_nginx := $(test_dir)/objs/nginx
module_1_28 := $(test_dir)/ngx_http_alert_module.so
test_source = NGINX_SOURCE_DIR="$(test_dir)" NGINX_BUILD_DIR="$(test_dir)/objs"
nginx-1.28: export NGX_CARGO_PROFILE := quick
nginx-1.28: export NGX_CARGO := $(CARGO)
nginx-1.28: export CARGO_TARGET_DIR := $(test_dir)/cargo

##@ Development

.PHONY: test
test: test-module module-1.28 static-1.28 ## Unit tests, then the end-to-end tests with the system's nginx and with 1.28
	@$(CARGO) test --workspace --exclude ngx_module --exclude tests
	@$(call end_to_end,$(NGINX),$(test_module),$(test_nginx),$(module_1_28))
	@$(call end_to_end,$(test_nginx),$(module_1_28),$(NGINX),$(test_module))
	@echo "The failover story with the module built in"; \
	TEST_NGINX="$(test_dir)/objs-static/nginx" TEST_NGINX_MODULE=built-in $(CARGO) test --package tests --test e2e story::
	@echo "Endurance: a million requests, a thousand alerts, a hundred reloads"; \
	TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(test_module)" \
		$(CARGO) test --package tests --test endurance -- --test-threads 1

# Not a part of what must hold for every commit: it takes its time. The default of SECONDS is that of the fuzzer.
.PHONY: soak
soak: soak_seconds = $(if $(filter file,$(origin SECONDS)),1800,$(SECONDS))
soak: test-module test-packages ## Half an hour of kills, bad sinks, stepped clocks, hostile traffic; says what was lost: [SECONDS=1800] [SEED=]
	@TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(test_module)" SOAK_SECONDS="$(soak_seconds)" SOAK_SEED="$(SEED)" \
		$(CARGO) test --package tests --test soak -- --nocapture

.PHONY: test-module
test-module: headers ## Build the module for the tests alone, in half the time: target/quick/ngx_http_alert_module.so
	@$(call build_module,quick)
	@$(call put,$(build_dir)/quick/libngx_http_alert_module.so,$(test_module))

.PHONY: story
story: test-module ## The failover story with [NGINX=] [NGINX_SOURCE_DIR=], like mainline, freenginx or Tengine
	@echo "The failover story: $$("$(NGINX)" -v 2>&1)"; \
	TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(test_module)" $(CARGO) test --package tests --test e2e story::

.PHONY: lint
lint: headers deny ## Format, clippy, licences of what is linked in, and whether the documentation builds
	@$(CARGO) fmt --all --check
	@$(nginx_env) $(CARGO) clippy --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --package tests --test endurance --test soak -- -D warnings
	@$(nginx_env) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

# The last version that Rust 1.85 builds.
.PHONY: deny
deny:
	@$(CARGO) deny --version > /dev/null 2>&1 || $(CARGO) install --locked --quiet cargo-deny@0.18.3
	@$(CARGO) deny --log-level error check licenses bans sources

# It is built with the module, loadable and built in, as nginx's own ./configure does that (ngx_module/config).
.PHONY: nginx-1.28
nginx-1.28: test-packages ## Build the second nginx of the tests
	@tree=$(vendored_nginx); \
	[ -n "$$tree" ] || { echo "the crate nginx-src is not among the dependencies of ngx_module" >&2; exit 1; }; \
	wanted="$$tree $(test_configure) $$(cat ngx_module/config ngx_module/config.make | cksum)"; \
	if [ "$$(cat "$(test_dir)/.built" 2>/dev/null)" != "$$wanted" ]; then \
		echo "Building nginx 1.28 from $$tree"; \
		mkdir -p "$(test_dir)"; cd "$(test_dir)"; \
		find . -mindepth 1 -maxdepth 1 ! -name cargo -exec rm -rf {} +; cp -R "$$tree/." .; \
		{ auto/configure $(test_configure) --builddir=objs-static --add-module="$(CURDIR)/ngx_module" && \
			auto/configure $(test_configure) --add-dynamic-module="$(CURDIR)/ngx_module" && \
			make -j2 -f objs/Makefile binary; } > build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }; \
		echo "$$wanted" > .built; \
	fi

.PHONY: module-1.28
module-1.28: nginx-1.28 packages ## Build the module for it
	@$(call in_second_nginx,-f objs/Makefile modules)
	@$(call put,$(test_dir)/objs/ngx_http_alert_module.so,$(module_1_28))

.PHONY: static-1.28
static-1.28: nginx-1.28 packages ## Build it with the module built in
	@$(call in_second_nginx,-j2 -f objs-static/Makefile binary)

# The source that a dependency of ngx_module carries.
vendored_nginx = $$($(CARGO) metadata --format-version 1 --features ngx_module/vendored | tr ',' '\n' \
	| sed -n 's|^"manifest_path":"\(.*/nginx-src-[^/]*\)/Cargo.toml".*|\1/nginx|p')
in_second_nginx = cd "$(test_dir)"; make $(1) > build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }

# As distributions build it, which makes for the same layout of structures.
test_configure := --with-compat --with-debug --with-threads --with-http_ssl_module --with-http_v2_module \
	--with-http_realip_module --with-http_auth_request_module --with-http_stub_status_module \
	--with-http_slice_module --with-pcre

# end_to_end NGINX,MODULE,OTHER_NGINX,OTHER_MODULE: most of these tests wait most of the time, so more of them run at once
# than there are processors.
end_to_end = echo "End-to-end tests: $$("$(1)" -v 2>&1)"; \
	TEST_NGINX="$(1)" TEST_NGINX_MODULE="$(2)" TEST_OTHER_NGINX="$(3)" TEST_OTHER_NGINX_MODULE="$(4)" \
		$(CARGO) test --package tests -- --test-threads 4

.PHONY: test-packages
test-packages:
	@[ -z "$(strip $(TEST_PACKAGES))" ] || docker/packages.sh $(TEST_PACKAGES)
