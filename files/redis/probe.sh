#!/bin/sh
# Probes Redis: `ready` once it serves commands, with the passwords that its Secret has now; `alive` also while it reads its
# log or runs a script.
set -eu
run() { REDISCLI_AUTH=$(cat /run/redis/probe) redis-cli --user probe --no-auth-warning "$@" 2>&1 || true; }

if [ "$1" = ready ]; then
  sh /etc/redis/users.sh
  cd /run/redis
  if ! cmp -s users.acl loaded.acl; then
    answer=$(run acl load)
    [ "$answer" = OK ] || { echo "the passwords of the Secret are not taken over: $answer"; exit 1; }
    cp users.acl loaded.acl
  fi
fi
answer=$(run ping)
case "$1:$answer" in
  *:PONG) ;;
  alive:*LOADING* | alive:*BUSY*) ;;
  *) echo "$answer"; exit 1 ;;
esac
