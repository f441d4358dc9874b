#!/usr/bin/env bash
# Starts one Elasticsearch node with security on a free port of 127.0.0.1, and waits until it answers. Prints "export ELASTICSEARCH_URL=…"
# and "export ELASTICSEARCH_CERTS=…", a folder with ca.pem. Does nothing but that for a node that is up already.
# usage: up.sh [NAME]           (default: main)
# environment:
#   OWNER_PID=…     stop the node when this process ends
#   HEAP=512m
#   ROLES=…         a YAML file of roles, each of which is given to a user of the same name; the password is NAME-pw, as it is of admin,
#                   who may do everything
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
"$here/install.sh"
node "${1:-main}"
print_exports() {
  echo "export ELASTICSEARCH_URL=$URL"
  echo "export ELASTICSEARCH_CERTS=$CERTS"
}
if alive elasticsearch; then
  print_exports
  exit 0
fi

make_instance() {
  mkdir -p "$STATE"/{config,data,log,proc,tmp}
  choose_ports
  echo "PORT=$PORT" >"$STATE/env"
}

configure() {
  local config=$STATE/config name
  "$here/../opensearch/certs.sh" "$CERTS"
  cp "$CERTS"/{node,node-key}.pem "$ELASTICSEARCH_HOME/config/log4j2.properties" "$config/"
  printf '%s\n' -Xms128m "-Xmx${HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Djava.io.tmpdir=$STATE/tmp" >"$config/jvm.options"
  cp "${ROLES:-/dev/null}" "$config/roles.yml"
  echo admin:admin-pw >"$config/users"
  echo superuser:admin >"$config/users_roles"
  while read -r name; do
    echo "$name:$name-pw" >>"$config/users"
    echo "$name:$name" >>"$config/users_roles"
  done < <(sed -n 's/^\([a-z_]*\):.*/\1/p' "$config/roles.yml")
  cat >"$config/elasticsearch.yml" <<END
cluster.name: test-$NAME
node.name: $NAME
path.data: $STATE/data
path.logs: $STATE/log
network.host: 127.0.0.1
http.port: $PORT
transport.port: $((PORT + 1))
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
xpack.security.enabled: true
xpack.security.http.ssl: {enabled: true, certificate: node.pem, key: node-key.pem}
END
}

down_on_failure "Elasticsearch $NAME" "$here/down.sh"

[ -f "$STATE/env" ] || with_lock make_instance
node "$NAME"
watch_owner "$here/down.sh" "$NAME"
configure

as=()
# It refuses to run as root, and its launcher does not take its server along when it is killed: it is another user in namespaces of
# its own.
if [ "$(id -u)" = 0 ]; then as=(unshare --user --map-user=1000 --map-group=1000 --pid --fork --kill-child); fi
export ES_PATH_CONF=$STATE/config ES_TMPDIR=$STATE/tmp ES_JAVA_HOME
ES_JAVA_HOME=$(jdk 17)
cd "$STATE"
launch elasticsearch nice -n 5 "${as[@]}" "$ELASTICSEARCH_HOME/bin/elasticsearch"
wait_for 180 elasticsearch answers
say "Elasticsearch $NAME ($ELASTICSEARCH): up after $SECONDS s"
print_exports
