#!/bin/sh
# Builds libnginx-mod-http-alert for the nginx of this Debian, into target/deb.
#
# It takes what debian/control names under Build-Depends, and a cargo from wherever that is.
set -eu
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
out=$PWD/target/deb
tree=$out/nginx-alert
log=$out/build.log

# A copy, since the tools of Debian write all over the place that they build in.
rm -rf "$tree" "$out"/*_"$version"*
mkdir -p "$tree"
tar -c --warning=no-file-changed --exclude=./target --exclude=./run --exclude=./.git . | tar -x -C "$tree"
cp -R docker/packaging/debian "$tree/debian"
cat > "$tree/debian/changelog" <<END
nginx-alert ($version-1~$suite) $suite; urgency=medium

  * This version. CHANGELOG.md says what is new.

 -- nginx-alert maintainers <nginx-alert@packages.invalid>  $(date -R -r CHANGELOG.md)
END

echo "Building libnginx-mod-http-alert $version-1~$suite, which takes minutes"
cd "$tree"
# What cargo has built once is taken again.
CARGO_TARGET_DIR=$out/cargo dpkg-buildpackage --build=binary --no-sign --no-check-builddeps > "$log" 2>&1 || {
    tail -n 30 "$log" >&2
    exit 1
}
rm -rf "$tree"
ls "$out"/*.deb
