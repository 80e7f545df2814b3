#!/bin/sh
# Starts Redis with the password from its environment.
set -eu
umask 077
escaped=$(printf %s "$REDIS_PASSWORD" | sed 's/[\\"]/\\&/g')
printf 'requirepass "%s"\n' "$escaped" >/run/redis/password.conf
unset REDIS_PASSWORD escaped
exec redis-server /etc/redis/redis.conf
