#!/bin/sh
# Probes Redis: `ready` once it serves commands; `alive` also while it reads its log or runs a script.
set -eu
answer=$(REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli --no-auth-warning ping 2>&1) || true
case "$1:$answer" in
  *:PONG) ;;
  alive:*LOADING* | alive:*BUSY*) ;;
  *) echo "$answer"; exit 1 ;;
esac
