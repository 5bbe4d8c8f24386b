#!/bin/sh
# Installs the packages of a directory on a bare Debian as its user would, has them tell of a failover, and removes them:
#
#     docker run --rm -v "$PWD/docker/packaging:/packaging:ro" -v "$PWD/target/deb:/debs:ro" debian:trixie-slim \
#         /packaging/clean-room.sh /debs
#
# This is for a container that is thrown away.
set -eu
export DEBIAN_FRONTEND=noninteractive

debs=$1
state=/var/lib/nginx-alert
enabled=/etc/nginx/modules-enabled/50-mod-http-alert.conf

step() {
    printf '%3ss  %s\n' $(($(date +%s) - began)) "$1"
}

fail() {
    echo "clean room: $1" >&2
    tail -n 20 /var/log/nginx/error.log >&2 || :
    exit 1
}

# until_true WHAT COMMAND...: the command may need a few seconds to become true.
until_true() {
    what=$1
    shift
    for _ in $(seq 100); do
        if "$@" > /dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    fail "$what did not happen within 10 s"
}

# master_maps: whether nginx, as it runs, has the module.
master_maps() {
    grep -q ngx_http_alert_module "/proc/$(cat /run/nginx.pid)/maps"
}

[ ! -e /usr/sbin/nginx ] || fail "there is an nginx already: this is for a container that is thrown away"
began=$(date +%s)
# Without an init system Debian starts and reloads services only where a policy says so.
printf '#!/bin/sh\nexit 0\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq
apt-get install -qq --no-install-recommends nginx curl > /dev/null
pidof nginx > /dev/null || /etc/init.d/nginx start > /dev/null
until_true "nginx's start" test -s /run/nginx.pid
step "nginx runs: $(nginx -v 2>&1)"

apt-get install -qq --no-install-recommends "$debs"/libnginx-mod-http-alert_*.deb > /dev/null
[ -e "$enabled" ] || fail "the module is not enabled"
until_true "the reload after the installation" master_maps
[ "$(stat -c %U:%a $state)" = www-data:750 ] || fail "$state is not www-data's alone"
dpkg -s libnginx-mod-http-alert | grep -q '^Depends:.*nginx-abi-' || fail "any nginx would do for the package"
step "the package is installed, and nginx has reloaded with it"

# Everything in one nginx: both pools, the proxy before them, and a service that keeps what it is told.
cat > /etc/nginx/conf.d/alert.conf <<'END'
alert_zone zone=alert:1m;
alert_state /var/lib/nginx-alert/state;
alert_notify webhook http://127.0.0.1:8090/;
alert_monitor app {
    pool blue 127.0.0.1:8081;
    pool green 127.0.0.1:8082;
    active blue;
}
upstream app {
    server 127.0.0.1:8081 max_fails=1 fail_timeout=5s;
    server 127.0.0.1:8082 backup;
}
server {
    listen 8080;
    alert app;
    location / {
        proxy_pass http://app;
        proxy_next_upstream error timeout http_500;
    }
    location /alert/ {
        alert_status;
        allow 127.0.0.1;
        deny all;
    }
}
server {
    listen 8081;
    location / {
        if (-f /tmp/broken) { return 500; }
        return 200 blue;
    }
}
server {
    listen 8082;
    location / { return 200 green; }
}
log_format told '$request_body';
server {
    listen 8090;
    location / {
        access_log /tmp/told told;
        proxy_pass http://127.0.0.1:8082;
    }
}
END
nginx -t -q || fail "the configuration is not taken"
/etc/init.d/nginx reload > /dev/null
until_true "the status page" curl -sf http://127.0.0.1:8080/alert/status.json
for _ in $(seq 20); do [ "$(curl -s http://127.0.0.1:8080/)" = blue ] || fail "blue does not serve"; done
touch /tmp/broken
for _ in $(seq 20); do [ "$(curl -s http://127.0.0.1:8080/)" = green ] || fail "green does not step in"; done
until_true "the failover alert" grep -q failover /tmp/told
step "blue broke, green stepped in, and the alert arrived"

/etc/init.d/nginx stop > /dev/null
until_true "the state file" test -s $state/state
/etc/init.d/nginx start > /dev/null
until_true "the state's return" sh -c 'curl -sf http://127.0.0.1:8080/alert/status.json | grep -q "\"failover\""'
step "nginx was started anew and remembers"

rm /etc/nginx/conf.d/alert.conf
/etc/init.d/nginx reload > /dev/null
apt-get remove -qq libnginx-mod-http-alert > /dev/null
nginx -t -q || fail "nginx does not start without the package"
[ ! -e "$enabled" ] || fail "a removal leaves the module enabled"
[ -d $state ] || fail "a removal takes the state"
apt-get purge -qq libnginx-mod-http-alert > /dev/null
[ ! -e $state ] || fail "a purge leaves the state"
[ -z "$(find / -xdev -name '*http-alert*' -not -path '/proc/*' -not -path '/var/log/*')" ] || fail "a purge leaves files"
! grep -E '\[(emerg|alert|crit)\]' /var/log/nginx/error.log || fail "the error log is not clean"
step "the package is purged, and nothing is left of it"
