#!/bin/sh
# Installs the Debian packages named as arguments, where they are missing. Says nothing where there is nothing to do.
#
# As root or by a sudo that asks no password; otherwise it prints the command to run and fails.
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
for package; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
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
# Debian starts what it installs, and nginx would take port 80 now and at every boot. A policy says no for the time of the
# installation (a service may also come along with another package), and the services named here are left disabled.
# shellcheck disable=SC2086 # $root and $missing are lists of words
$root sh -eu -c '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        trap "exit 130" INT TERM
        printf "#!/bin/sh\nexit 101\n" > "$policy"
        chmod 755 "$policy"
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null
    command -v systemctl >/dev/null || exit 0
    for package; do
        case $package in
            nginx | prometheus | prometheus-alertmanager) systemctl disable "$package" >/dev/null 2>&1 || : ;;
        esac
    done
' packages $missing
case " $missing " in
    *' nginx '* | *' prometheus '* | *' prometheus-alertmanager '*)
        echo 'What was installed is not started, and its service is disabled ("systemctl enable --now nginx" uses it).'
        ;;
esac
