#!/bin/bash
# Healthy is an nginx that answers HTTP on PORT, whatever it answers: a pool that fails is no failure of nginx's. The
# path is one that is not watched, since what is asked here every few seconds must not count as traffic.
set -eu

exec 3<> "/dev/tcp/127.0.0.1/${PORT:-8080}"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "${HEALTHCHECK_PATH:-/alert/status.json}" >&3
read -r answer <&3
[[ $answer == HTTP/* ]]
