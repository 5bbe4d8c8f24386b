#!/bin/sh
# The entrypoint of the image.
#
#     nginx [ARGUMENT...]   runs nginx with /etc/nginx/nginx.conf where that is mounted, else with the template filled
#                           from the environment
#     reload                does the same for the nginx that runs, without losing a request:
#                               docker exec -e ACTIVE_POOL=green NAME nginx-alert reload
#
# Anything else is run as it is.
set -eu

share=/usr/share/nginx-alert
run=/run/nginx-alert
conf=/etc/nginx/nginx.conf

# The address from which a published port sees what comes from the container's own host.
gateway() {
    hex=$(awk '$2 == "00000000" { print $3; exit }' /proc/net/route)
    [ -n "$hex" ] || return 0
    # Least significant byte first.
    printf '%d.%d.%d.%d' "0x${hex#??????}" "0x$(echo "$hex" | cut -c5-6)" "0x$(echo "$hex" | cut -c3-4)" \
        "0x${hex%??????}"
}

# Fills the template, unless there is a configuration of the user's own.
configure() {
    [ ! -e "$conf" ] || return 0
    conf=$run/nginx.conf
    [ "${ALERT_ALLOW-}" != gateway ] || ALERT_ALLOW=$(gateway)
    export ALERT_ALLOW="${ALERT_ALLOW-}"
    # Through another file, so that a wrong value leaves the one that is in use alone.
    RUN_DIR=$run ERROR_LOG=stderr MODULE=modules/ngx_http_alert_module.so \
        "$share/configure.sh" "$share/nginx.conf" > "$conf.new"
    nginx -t -q -e stderr -c "$conf.new"
    mv "$conf.new" "$conf"
}

case ${1-} in
    nginx)
        shift
        configure
        exec nginx -e stderr -c "$conf" -g 'daemon off;' "$@"
        ;;
    reload)
        configure
        nginx -t -q -e stderr -c "$conf"
        kill -HUP 1
        ;;
    *) exec "$@" ;;
esac
