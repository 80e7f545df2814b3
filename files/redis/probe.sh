#!/bin/sh
# Probes Redis: `ready` once it serves commands, with the passwords that its Secret has now; `alive` also while it reads its
# log or runs a script.
set -eu
run() { REDISCLI_AUTH=$(cat /run/redis/probe) redis-cli --user probe --no-auth-warning "$@" 2>&1 || true; }

if [ "$1" = ready ]; then
  before=$(cat /run/redis/users.acl)
  sh /etc/redis/users.sh
  if [ "$before" != "$(cat /run/redis/users.acl)" ] && [ "$(run acl load)" != OK ]; then
    # Tried again with the next probe.
    printf '%s\n' "$before" >/run/redis/users.acl
    echo 'a changed password could not be taken over'
    exit 1
  fi
fi
answer=$(run ping)
case "$1:$answer" in
  *:PONG) ;;
  alive:*LOADING* | alive:*BUSY*) ;;
  *) echo "$answer"; exit 1 ;;
esac
