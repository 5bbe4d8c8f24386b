#!/bin/sh
# Installs the Debian packages named as arguments, where they are missing. Says nothing where there is nothing to do.
#
# As root or by a sudo that asks no password; otherwise it prints the command to run and fails. An nginx that was there
# is left as it is: neither upgraded nor restarted nor disabled.
set -eu

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    # Whether the parts are there under other names cannot be known here: the build says what it misses.
    cat >&2 <<EOF
This system has no apt-get. Install by its own means what these Debian packages hold:
    $*
(nginx-dev is nginx's configured source: where the distribution has none, unpack the source of the same version from
nginx.org, run its configure with the arguments that "nginx -V" shows, and set NGINX_SOURCE_DIR to it.)
Then run make with PACKAGES= to skip this check.
EOF
    exit 1
fi

missing=
services=
for package; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=
    case $status in
        # With triggers pending or awaited it is all there.
        installed | triggers-*) continue ;;
    esac
    missing="$missing $package"
    # What was never here, or was removed, may start by itself; what is half-installed is somebody's.
    case $package:$status in
        nginx: | nginx:not-installed | nginx:config-files) services="$services nginx" ;;
        prometheus*: | prometheus*:not-installed | prometheus*:config-files) services="$services $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root='sudo -n'
else
    echo "These packages are missing:$missing" >&2
    echo "Run this and try again:" >&2
    echo "    sudo apt-get update && sudo $command" >&2
    exit 1
fi

echo "Installing$missing"
# shellcheck disable=SC2086 # $root and $missing are lists of words
$root apt-get update -qq
# One that runs would have to be restarted after its upgrade, which is for those to decide who run it.
# shellcheck disable=SC2086
upgraded=$($root apt-get install --simulate --no-install-recommends $missing |
    sed -n 's/^Inst \(nginx[^ ]*\) \[.*/\1/p' | xargs)
if [ -n "$upgraded" ] && [ -s "${NGINX_PID:-/run/nginx.pid}" ]; then
    echo "This would upgrade $upgraded, and nginx runs here, so it is left to you:" >&2
    echo "    sudo $command" >&2
    exit 1
fi
# Debian starts what it installs, and nginx would take port 80 now and at every boot. A policy says no for the time of the
# installation (a service may also come along with another package), and what is new here is left disabled.
# shellcheck disable=SC2086
$root sh -eu -c '
    policy=$1 services=$2
    shift 2
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        trap "exit 130" INT TERM
        printf "#!/bin/sh\nexit 101\n" > "$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null
    for service in $services; do
        ! command -v systemctl >/dev/null || systemctl disable "$service" >/dev/null 2>&1 || :
    done
' packages "${POLICY:-/usr/sbin/policy-rc.d}" "$services" $missing
[ -z "$services" ] ||
    echo "Not started, and disabled:$services (\"systemctl enable --now NAME\" uses it)."
