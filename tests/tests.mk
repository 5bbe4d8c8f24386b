# The tests and lints, and the second nginx that they take.

# The second nginx is built from source; a browser opens the status page and Prometheus reads the metrics.
TEST_PACKAGES ?= curl libpcre2-dev libssl-dev zlib1g-dev chromium prometheus pkg-config valgrind libnginx-mod-http-lua \
	prometheus-alertmanager apache2-utils

# The module that the tests load, without optimisation at link time.
test_module := $(CURDIR)/target/quick/ngx_http_alert_module.so
test_dir := $(CURDIR)/target/nginx/1.28
test_nginx := $(test_dir)/objs/nginx
module_1_28 := $(test_dir)/ngx_http_alert_module.so
test_source = NGINX_SOURCE_DIR="$(test_dir)" NGINX_BUILD_DIR="$(test_dir)/objs"
test_env = $(test_source) CARGO_TARGET_DIR="$(test_dir)/cargo"

##@ Development

.PHONY: test
test: test-module module-1.28 ## Unit tests, then the end-to-end tests with the system's nginx and with 1.28
	@$(CARGO) test --workspace --exclude ngx_module --exclude tests
	@$(call end_to_end,$(NGINX),$(test_module),$(test_nginx),$(module_1_28))
	@$(call end_to_end,$(test_nginx),$(module_1_28),$(NGINX),$(test_module))
	@echo "Endurance: a million requests, a thousand alerts, a hundred reloads"; \
	TEST_NGINX="$(NGINX)" TEST_NGINX_MODULE="$(test_module)" \
		$(CARGO) test --package tests --test soak -- --test-threads 1

.PHONY: test-module
test-module: headers ## Build the module for the tests alone, in half the time: target/quick/ngx_http_alert_module.so
	@$(call build_module,quick)
	@$(call put,$(build_dir)/quick/libngx_http_alert_module.so,$(test_module))

.PHONY: lint
lint: headers ## Format, clippy, and whether the documentation builds
	@$(CARGO) fmt --all --check
	@$(nginx_env) $(CARGO) clippy --workspace --all-targets --test soak -- -D warnings
	@$(nginx_env) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

.PHONY: nginx-1.28
nginx-1.28: test-packages ## Build the second nginx of the tests
	@tree=$$($(CARGO) metadata --format-version 1 --features ngx_module/vendored | tr ',' '\n' \
		| sed -n 's|^"manifest_path":"\(.*/nginx-src-[^/]*\)/Cargo.toml".*|\1/nginx|p'); \
	[ -n "$$tree" ] || { echo "the crate nginx-src is not among the dependencies of ngx_module" >&2; exit 1; }; \
	if [ "$$(cat "$(test_dir)/.built" 2>/dev/null)" != "$$tree" ]; then \
		echo "Building nginx 1.28 from $$tree"; \
		rm -rf "$(test_dir)"; mkdir -p "$(test_dir)"; cp -R "$$tree/." "$(test_dir)"; \
		cd "$(test_dir)"; \
		{ auto/configure $(test_configure) && make -j2; } > build.log 2>&1 || { tail -n 20 build.log >&2; exit 1; }; \
		echo "$$tree" > .built; \
	fi

.PHONY: module-1.28
module-1.28: nginx-1.28 packages ## Build the module for it
	@$(test_env) $(CARGO) build --profile quick --package ngx_module
	@$(call put,$(test_dir)/cargo/quick/libngx_http_alert_module.so,$(module_1_28))

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
