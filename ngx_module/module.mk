# Building and installing the module for one nginx.

module := target/ngx_http_alert_module.so
nginx_version = $(shell "$(NGINX)" -v 2>&1 | sed -n 's|.*nginx/\([0-9.]*\).*|\1|p')
source_dir = $(or $(abspath $(NGINX_SOURCE_DIR)),$(CURDIR)/target/nginx/$(nginx_version))
# What the build scripts of the ngx crates read.
nginx_env = NGINX_SOURCE_DIR="$(source_dir)" NGINX_BUILD_DIR="$(source_dir)/objs"

##@ The module

.PHONY: module
module: headers ## Build it for [NGINX=/path/to/nginx] [NGINX_SOURCE_DIR=configured source]
	@$(call build_module,release)
	@$(call ship,$(build_dir)/release/libngx_http_alert_module.so,$(module))

# build_module PROFILE: that it is libclang which is missing is taken from what cargo says, and from nothing else.
build_module = said=$$(mktemp); trap 'rm "$$said"' EXIT; \
	{ $(nginx_env) $(CARGO) build --profile $(1) --package ngx_module $$([ ! -t 2 ] || echo --color=always) 2>&1 >&3 \
		| tee "$$said" >&2; } 3>&1 || { \
		! grep -q "Unable to find libclang" "$$said" || echo "the build reads nginx's headers by libclang, which is not" \
			"found: install it (Debian's package is libclang-dev), or set LIBCLANG_PATH to its directory" >&2; exit 1; }

# ship FROM,TO: stripped. Debuggers and backtraces find what was stripped in a file beside it.
ship = mkdir -p "$(dir $(2))"; cp "$(1)" "$(2).all"; objcopy --only-keep-debug "$(2).all" "$(2).debug"; \
	objcopy --strip-all --add-gnu-debuglink="$(2).debug" "$(2).all"; $(call put,$(2).all,$(2)); rm "$(2).all"

# Root by sudo often has no cargo: then what `make module` built before is installed.
.PHONY: install
install: $(if $(shell command -v $(CARGO) || :),module) ## Install it where nginx looks for modules; [DESTDIR=] is honoured
	@[ -r $(module) ] || { echo "there is no $(module): run \"make module\" first" >&2; exit 1; }; \
	path=$$("$(NGINX)" -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p'); \
	prefix=$$("$(NGINX)" -V 2>&1 | sed -n 's/.*--prefix=\([^ ]*\).*/\1/p'); \
	path=$${path:-$${prefix:-/usr/local/nginx}/modules}; \
	install -D -m 644 $(module) "$(DESTDIR)$$path/ngx_http_alert_module.so"; \
	echo "Installed. At the top of nginx.conf:"; \
	echo "    load_module $$path/ngx_http_alert_module.so;"

# put FROM,TO: nginx may have TO mapped, so it is replaced and never overwritten; and only when it changed.
put = cmp -s "$(1)" "$(2)" || { cp "$(1)" "$(2).new" && mv -f "$(2).new" "$(2)"; }

# A module loads only into the version it was built for, so headers of another one are an error and not a surprise later.
.PHONY: headers
headers: packages
	@command -v "$(firstword $(CARGO))" > /dev/null || { \
		echo "there is no \"$(firstword $(CARGO))\": install Rust 1.85 or later, or set CARGO to its cargo" >&2; exit 1; }
	@! "$(NGINX)" -v 2>&1 | grep -qi angie || { \
		echo "\"$(NGINX)\" is Angie, for which this module cannot be built: modules are signed and logging is called in" \
			"another way there. nginx 1.22 and later, freenginx and Tengine are fine" >&2; exit 1; }
	@version="$(nginx_version)"; origin="$(or $(NGINX_SOURCE_DIR),$(packaged_source))"; \
	[ -n "$$version" ] || { echo "\"$(NGINX)\" is no nginx that runs here: set NGINX to the nginx to build for" >&2; exit 1; }; \
	[ -n "$(NGINX_SOURCE_DIR)" ] || [ -d "$$origin" ] || { \
		echo "there are no headers in \"$$origin\": install nginx-dev of nginx $$version, or set NGINX_SOURCE_DIR to a" \
			"configured source of it" >&2; exit 1; }; \
	[ -r "$$origin/src/core/nginx.h" ] || { \
		echo "\"$$origin\" is no source of nginx: set NGINX_SOURCE_DIR to a configured source of nginx $$version" >&2; exit 1; }; \
	found=$$(sed -n 's/.*NGINX_VERSION *"\(.*\)".*/\1/p' "$$origin/src/core/nginx.h"); \
	[ "$$found" = "$$version" ] || { \
		echo "$(NGINX) is nginx $$version, but \"$$origin\" is the source of nginx $$found:" >&2; \
		echo "set NGINX_SOURCE_DIR to a configured source of $$version, or NGINX to a binary of $$found" >&2; exit 1; }; \
	if [ "$$origin" = $(packaged_source) ]; then $(configure_packaged_source); fi; \
	[ -r "$(source_dir)/objs/ngx_auto_config.h" ] || { \
		echo "\"$$origin\" is not configured: run ./configure there with the arguments that $(NGINX) -V shows" >&2; exit 1; }

# Where nginx-dev puts the source, which is configured in a copy. That holds until the package changes.
packaged_source := /usr/share/nginx/src
configure_packaged_source = \
	package=$$(dpkg-query -W -f='$${Version}' nginx-dev 2>/dev/null || echo unknown); \
	if [ "$$(cat "$(source_dir)/.prepared" 2>/dev/null)" != "$$package" ]; then \
		echo "Preparing the headers of nginx $$version"; \
		rm -rf "$(source_dir)"; mkdir -p "$(source_dir)"; cp -RL $(packaged_source)/. "$(source_dir)"; \
		cd "$(source_dir)"; \
		bash -c '. ./conf_flags; ./configure "$${NGX_CONF_FLAGS[@]}"' > configure.log 2>&1 \
			|| { tail -n 20 configure.log >&2; exit 1; }; \
		echo "$$package" > .prepared; \
	fi
