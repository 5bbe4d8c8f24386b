# Packages for distributions.

DEB_PACKAGES ?= nginx nginx-dev libclang-dev gcc libc6-dev debhelper dpkg-dev fakeroot

##@ Packages

.PHONY: deb
deb: deb-packages ## Build libnginx-mod-http-alert for this Debian's nginx, into target/deb
	@docker/packaging/deb.sh

.PHONY: deb-packages
deb-packages:
	@[ -z "$(strip $(DEB_PACKAGES))" ] || docker/packages.sh $(DEB_PACKAGES)

# Built in one container and tried in another, neither of which has anything that Debian has not.
.PHONY: deb-test
deb-test: image-inputs ## Build that package for [SUITE=trixie|bookworm], check it, and install, try and purge it in a container
	@$(build) --target package --tag $(image)-package:$(SUITE) . | sed /^sha256:/d
	@rm -rf target/deb/$(SUITE); mkdir -p target/deb/$(SUITE); \
	docker run --rm $(image)-package:$(SUITE) sh -c 'cd target/deb && tar -c *.deb *.changes *.buildinfo' \
		| tar -x -C target/deb/$(SUITE)
	@docker/packages.sh lintian
	@lintian --allow-root --fail-on error,warning target/deb/$(SUITE)/*.changes
	@docker run --rm --volume "$(CURDIR)/docker/packaging:/packaging:ro" --volume "$(CURDIR)/target/deb/$(SUITE):/debs:ro" \
		$(base_image) /packaging/clean-room.sh /debs
