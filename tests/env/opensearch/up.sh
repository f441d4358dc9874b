#!/usr/bin/env bash
# Starts one OpenSearch node on a free port of 127.0.0.1 and waits until it answers. Prints "export OPENSEARCH_URL=…".
# Does nothing but that for a node that is up already; one whose data was kept starts again on the same port.
# usage: up.sh [NAME [setting=value …]]           (default: main)
# environment:
#   OWNER_PID=…     stop the node when this process ends
#   VERSION=…       (default: the newest that the JDK here runs, see ../versions.sh)
#   HEAP=512m
#   SECURE=1        with the security plugin: HTTPS, users admin, exporter and reader (password NAME-pw), client certificates
#                   (the name is the CN). exporter may only write to k8s-events*, reader only read them. Prints
#                   "export OPENSEARCH_CERTS=…" too, a folder with ca.pem, otherca.pem and for each of exporter, admin,
#                   stranger (who has no role) and expired (a server's) NAME.pem and NAME-key.pem.
#   UNREADY=1       wait only until it answers at all: it has settings that keep it from being ready
# shellcheck disable=SC2153 # choose_version sets VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
node "${1:-main}"
shift $(($# > 0))
[ -n "${WRITE_ARCHIVE:-}" ] || "$here/install.sh" # (it is install.sh that asks for the archive)
choose_version
print_exports() {
  echo "export OPENSEARCH_URL=$URL"
  if [ -n "$SECURE" ]; then echo "export OPENSEARCH_CERTS=$CERTS"; fi
}
if alive opensearch; then
  print_exports
  exit 0
fi

make_instance() {
  mkdir -p "$STATE"/{config,data,log,proc,tmp}
  choose_ports
  cp -r "$OPENSEARCH_HOME/config/." "$STATE/config/"
  : >"$STATE/config/opensearch.yml"
  if [ -n "$SECURE" ]; then
    "$here/certs.sh" "$STATE/certs"
    cp -r "$here/secure/." "$STATE/config/"
    cp "$STATE"/certs/{ca,node,node-key}.pem "$STATE/config/"
  fi
  printf '%s\n' "PORT=$PORT" "SECURE=$SECURE" "VERSION=$VERSION" >"$STATE/env"
}

down_on_failure "OpenSearch $NAME" "$here/down.sh"

[ -f "$STATE/env" ] || with_lock make_instance
node "$NAME"
watch_owner "$here/down.sh" "$NAME"

options=()
case $VERSION in 3.*) options+=(--enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow) ;; esac
if [ -n "${WRITE_ARCHIVE:-}" ]; then
  options+=(-XX:ArchiveClassesAtExit="$OPENSEARCH_HOME/classes.jsa" -Xlog:cds=off "-Xlog:cds*=off")
elif [ -s "$OPENSEARCH_HOME/classes.jsa" ]; then
  options+=(-XX:SharedArchiveFile="$OPENSEARCH_HOME/classes.jsa" -Xlog:cds=off "-Xlog:cds*=off")
fi
classpath=$(printf '%s:' "$OPENSEARCH_HOME"/lib/*.jar)
cd "$STATE"
launch opensearch nice -n 5 "$JDK/bin/java" -Xms128m -Xmx"${HEAP:-512m}" -Xshare:auto \
  -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k "${options[@]}" -Djava.io.tmpdir="$STATE/tmp" -Djna.nosys=true \
  -Djna.noclasspath=true -Djna.nounpack=true -Dlog4j2.disableJmx=true -Dopensearch.path.conf="$STATE/config" \
  -Djava.awt.headless=true -cp "${classpath%:}" Launch "$OPENSEARCH_HOME" \
  cluster.name="test-$NAME" node.name="$NAME" path.data="$STATE/data" path.logs="$STATE/log" \
  http.host=127.0.0.1 http.port="$PORT" transport.host=127.0.0.1 transport.port=$((PORT + 1)) discovery.type=single-node \
  cluster.routing.allocation.disk.threshold_enabled=false "$@"
wait_for 180 opensearch answers
say "OpenSearch $NAME ($VERSION${SECURE:+, secure}): up after $SECONDS s"
print_exports
