#!/bin/sh
# Writes who may log in to Redis: its clients, with each password in the Secret (during a rotation also the next and the
# previous one), and two users of this pod alone, whose passwords are made here. Of clients' passwords only digests are written.
set -eu
umask 077
secret=/etc/orfeas-redis
cd /run/redis
[ -s $secret/password ] || { echo 'the Secret orfeas-redis has no value under the key password' >&2; exit 1; }

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
digest() { sha256sum | cut -d ' ' -f 1; }

[ -s probe ] || random >probe
[ -s exporter ] || random >exporter
[ -s exporter.json ] || printf '{"redis://exporter@127.0.0.1:6379":"%s"}' "$(cat exporter)" >exporter.json

clients=
for file in password password.next password.previous; do
  [ $file != password ] && [ ! -e $secret/$file ] && continue
  clients="$clients #$(printf %s "$(cat $secret/$file)" | digest)"
done
cat >users.acl.part <<USERS
user default on$clients ~* &* +@all
user probe on #$(digest <probe) resetchannels -@all +ping +acl|load
user exporter on #$(digest <exporter) resetchannels -@all +ping +info +config|get +client|setname +latency|latest +latency|histogram +slowlog|get +slowlog|len
USERS
mv users.acl.part users.acl
