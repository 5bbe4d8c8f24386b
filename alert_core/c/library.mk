# The C library.

##@ The engine as a C library

# Where it is installed, as in other makefiles.
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
# The profile of cargo that it is built with.
LIB_PROFILE ?= release
lib_out = $(build_dir)/$(if $(filter dev,$(LIB_PROFILE)),debug,$(LIB_PROFILE))

.PHONY: lib
lib: ## Build libalert_core, shared and static
	@$(CARGO) rustc --package alert_core_c --lib --profile $(LIB_PROFILE) --crate-type cdylib,staticlib

.PHONY: install-lib
install-lib: $(if $(shell command -v $(CARGO) || :),lib) ## Install it with header and pkg-config file; [PREFIX=] [DESTDIR=]
	@lib="$(DESTDIR)$(LIBDIR)"; \
	[ -r $(lib_out)/libalert_core_c.so ] || { echo "there is no library: run \"make lib\" first" >&2; exit 1; }; \
	install -D -m 755 $(lib_out)/libalert_core_c.so "$$lib/libalert_core.so.$(version)"; \
	ln -sf libalert_core.so.$(version) "$$lib/libalert_core.so.0"; \
	ln -sf libalert_core.so.0 "$$lib/libalert_core.so"; \
	install -D -m 644 $(lib_out)/libalert_core_c.a "$$lib/libalert_core.a"; \
	install -D -m 644 alert_core/include/alert_core.h "$(DESTDIR)$(PREFIX)/include/alert_core.h"; \
	mkdir -p "$$lib/pkgconfig"; \
	sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(LIBDIR)|' -e 's|@version@|$(version)|' \
		alert_core/c/alert_core.pc.in > "$$lib/pkgconfig/alert_core.pc"

.PHONY: header
header: ## Write its header anew after a change of its source
	@UPDATE_HEADER=1 $(CARGO) test --quiet --package alert_core_c --test abi the_checked_in_header
