#!/bin/sh
# Fills nginx.conf with what the environment says and writes it to standard output:
#
#     docker/configure.sh nginx.conf > run/nginx.conf
#
# A variable that is unset or empty leaves what the file says. .env.example describes the variables; RUN_DIR, ERROR_LOG,
# MODULE, WORKER_PROCESSES and ALERT_ALLOW (who may see the status, besides this machine) are for those who start nginx
# elsewhere or otherwise.
set -eu

fail() {
    printf 'configure.sh: %s\n' "$1" >&2
    exit 1
}

[ $# -eq 1 ] || fail 'usage: configure.sh NGINX_CONF'
conf=$1
[ -r "$conf" ] || fail "cannot read $conf"

# wrong NAME VALUE WHAT_IS_RIGHT
wrong() {
    fail "$1=\"$2\" is wrong, it must be $3"
}

# matches VALUE EXTENDED_REGEX: the whole value, which therefore holds nothing that sed or nginx would take for syntax.
# A line end would let grep look at the first line only.
matches() {
    case $1 in *'
'*) return 1 ;; esac
    printf '%s\n' "$1" | grep -Eqx -- "$2"
}

# integer NAME VALUE MIN MAX WHAT
integer() {
    if ! matches "$2" '0|[1-9][0-9]{0,8}' || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        wrong "$1" "$2" "$5 from $3 to $4"
    fi
}

script=

# replace REGEX_BEFORE VALUE REGEX_OLD_VALUE: puts VALUE in the place of what follows REGEX_BEFORE at the start of a line.
# A file without such a line would silently ignore the setting, so that is an error.
replace() {
    grep -q "^[[:space:]]*$1$3" "$conf" || fail "$conf has no line like \"$1...\" to put \"$2\" into"
    script="$script
s|^\\([[:space:]]*$1\\)$3|\\1$2|"
}

# current REGEX_BEFORE: what the file says there.
current() {
    sed -n "s/^[[:space:]]*$1\([^;]*\);.*/\1/p" "$conf" | head -n 1
}

address='([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}'
blue=${BLUE_ADDRESS:-$(current 'pool blue ')}
green=${GREEN_ADDRESS:-$(current 'pool green ')}
matches "$blue" "$address" || wrong BLUE_ADDRESS "$blue" 'HOST:PORT, like 127.0.0.1:8081'
matches "$green" "$address" || wrong GREEN_ADDRESS "$green" 'HOST:PORT, like 127.0.0.1:8082'
[ "$blue" != "$green" ] || wrong GREEN_ADDRESS "$green" 'another address than BLUE_ADDRESS'
replace 'pool blue ' "$blue" '[^;]*'
replace 'pool green ' "$green" '[^;]*'

# The servers of both upstreams. The new blue may be what green was, so at most one of the two is replaced in a line.
server() {
    printf '%s' "server $(current "pool $1 " | sed 's/[].[]/\\&/g') "
}
script="$script
/^[[:space:]]*server [^;{]*;/{
s|$(server blue)|server $blue |
t
s|$(server green)|server $green |
}"

active=${ACTIVE_POOL:-$(current 'active ')}
case $active in
    blue | green) replace 'active ' "$active" '[^;]*' ;;
    *) wrong ACTIVE_POOL "$active" 'blue or green' ;;
esac

if [ -n "${SLACK_WEBHOOK_URL-}" ]; then
    # The value stays in the environment, and out of this file and of every message.
    matches "$SLACK_WEBHOOK_URL" 'https?://[^[:space:]]+' ||
        fail 'SLACK_WEBHOOK_URL is wrong, it must be a URL like https://hooks.slack.com/services/...'
    replace 'alert_notify slack ' env:SLACK_WEBHOOK_URL '[^ ;]*'
elif [ -n "${SINK_ADDRESS-}" ]; then
    matches "$SINK_ADDRESS" "$address" || wrong SINK_ADDRESS "$SINK_ADDRESS" 'HOST:PORT, like 127.0.0.1:8090'
    replace 'alert_notify slack ' "http://$SINK_ADDRESS/" '[^ ;]*'
fi

if [ -n "${PORT-}" ]; then
    integer PORT "$PORT" 1 65535 'a port'
    replace 'listen ' "$PORT" '[^ ;]*'
fi

if [ -n "${ERROR_RATE_THRESHOLD-}" ]; then
    percent=${ERROR_RATE_THRESHOLD%\%}
    matches "$percent" '(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)' ||
        wrong ERROR_RATE_THRESHOLD "$ERROR_RATE_THRESHOLD" 'a percentage from 0 to 100, like 2 or 0.5'
    replace 'error_rate ' "$percent%" '[^;]*'
fi

if [ -n "${WINDOW_SIZE-}" ]; then
    integer WINDOW_SIZE "$WINDOW_SIZE" 1 1000000 'a number of requests'
    replace 'window ' "$WINDOW_SIZE" '[^ ;]*'
fi

if [ -n "${ALERT_COOLDOWN_SEC-}" ]; then
    integer ALERT_COOLDOWN_SEC "$ALERT_COOLDOWN_SEC" 0 31536000 'a number of seconds'
    replace 'cooldown ' "${ALERT_COOLDOWN_SEC}s" '[^;]*'
fi

if [ -n "${ROLLOUT-}" ]; then
    matches "$ROLLOUT" '[0-9]+(\.[0-9]+)?%[0-9a-z_=.% ]*' || wrong ROLLOUT "$ROLLOUT" 'steps, like 5% 25% 50% every=60s'
    replace 'rollout ' "$ROLLOUT" '[^;]*'
fi

case ${MAINTENANCE_MODE-} in
    '') ;;
    on | true | yes | 1) replace 'maintenance ' on '[^;]*' ;;
    off | false | no | 0) replace 'maintenance ' off '[^;]*' ;;
    *) wrong MAINTENANCE_MODE "$MAINTENANCE_MODE" 'on or off' ;;
esac

if [ -n "${ALERT_ALLOW-}" ]; then
    matches "$ALERT_ALLOW" '[0-9A-Fa-f.:]+(/[0-9]{1,3})?' ||
        wrong ALERT_ALLOW "$ALERT_ALLOW" 'an address or a range, like 10.0.0.0/8'
    replace 'allow 127\.0\.0\.1;' " allow $ALERT_ALLOW;" ''
fi

if [ -n "${WORKER_PROCESSES-}" ]; then
    [ "$WORKER_PROCESSES" = auto ] || integer WORKER_PROCESSES "$WORKER_PROCESSES" 1 1024 'auto or a number'
    replace 'worker_processes ' "$WORKER_PROCESSES" '[^;]*'
fi

path='[A-Za-z0-9_./+@%,-]+'
if [ -n "${MODULE-}" ]; then
    matches "$MODULE" "$path" || wrong MODULE "$MODULE" "a path without spaces"
    replace 'load_module ' "$MODULE" '[^;]*ngx_http_alert_module\.so'
fi
if [ -n "${ERROR_LOG-}" ]; then
    matches "$ERROR_LOG" "$path" || wrong ERROR_LOG "$ERROR_LOG" "a path without spaces, or stderr"
    replace 'error_log ' "$ERROR_LOG" '[^ ;]*'
fi
if [ -n "${RUN_DIR-}" ]; then
    matches "$RUN_DIR" "$path" || wrong RUN_DIR "$RUN_DIR" "a path without spaces"
    replace '[a-z_]* ' "${RUN_DIR%/}/" 'run/'
fi

sed "$script" "$conf"
