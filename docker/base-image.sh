#!/bin/sh
# Makes the image of a Debian release from its packages, where no registry of images can be reached:
#
#     docker/base-image.sh [SUITE]      debian:trixie-slim, or that of another SUITE, like bookworm
#
# Needs root, or a sudo that asks no password. DEBIAN_MIRROR names another mirror than debootstrap's own.
set -eu

suite=${1:-trixie}
image=debian:$suite-slim

"$(dirname "$0")/packages.sh" debootstrap debian-archive-keyring
root=
[ "$(id -u)" -eq 0 ] || root='sudo -n'

directory=$(mktemp -d)
trap '$root rm -rf "$directory"' EXIT
trap 'exit 130' INT TERM

echo "Making $image, which takes a minute or two"
log=$directory/log
$root debootstrap --variant=minbase "$suite" "$directory/root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} > "$log" 2>&1 || {
    tail -n 20 "$log" >&2
    exit 1
}
# As in the original, documentation and translations stay out, also of packages that are installed later, downloaded
# packages go, and dpkg does not wait for the disk: a layer is there as a whole or not at all.
$root sh -eu -c '
    cat > "$1/etc/dpkg/dpkg.cfg.d/docker" <<END
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
END
    cat > "$1/etc/apt/apt.conf.d/docker" <<END
Acquire::Languages "none";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
END
    find "$1/usr/share/doc" -type f ! -name copyright -delete
    rm -rf "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin \
        "$1"/var/lib/apt/lists/* "$1"/var/log/*.log
' slim "$directory/root"
$root tar -C "$directory/root" --numeric-owner -c . \
    | docker import --change 'CMD ["bash"]' --message "debootstrap --variant=minbase $suite" - "$image" > /dev/null
docker image ls "$image"
