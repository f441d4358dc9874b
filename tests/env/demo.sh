#!/usr/bin/env bash
# The exporter at work, start to end: a cluster, OpenSearch, the exporter between them, workloads that fail each in its own way
# (deploy/samples), and the table of their events out of OpenSearch. Ends by itself and leaves nothing running.
# usage: demo.sh [stop]
# environment:
#   KEEP=1               leave it all running; `demo.sh stop` ends it
#   KUBECONFIG=…         use this cluster: makes the namespace event-samples in it, and deletes it in the end
#   OPENSEARCH_URL=…     use this server: makes the index event-exporter-demo in it, and deletes it in the end
#   EXPORTER=…           use this binary instead of building one
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

namespace="event-samples"
deadline=120 # seconds for all events to arrive
# What has to arrive: REASON OBJECT, where the object's name begins so. The first three need no node.
expected=(
  "FailedScheduling needs-gpu" "FailedScheduling unschedulable" "FailedCreate over-quota"
  "Failed bad-image" "BackOff bad-image" "Failed missing-secret" "BackOff crash-loop" "Unhealthy failed-probe" "Evicted evicted"
)

step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
count_documents() { curl -sf -m 10 "$URL/$INDEX/_count" | sed 's/.*"count":\([0-9]*\).*/\1/'; }
documents() { curl -sf -m 10 "$URL/$INDEX/_search?size=1000&ignore_unavailable=true"; }
delete_index() { curl -sf -m 30 -o /dev/null -X DELETE "$URL/$INDEX?ignore_unavailable=true"; }

# stop_demo: stops what runs, and puts a user's own servers back as they were
stop_demo() {
  stop exporter
  if [ -n "${OWN_CLUSTER:-}" ]; then
    "$here/kubernetes/down.sh" demo
  elif [ -n "${NAMESPACE_MADE:-}" ]; then
    "$KUBECTL" delete namespace "$namespace" --timeout=90s >/dev/null || say "the namespace $namespace is still being deleted"
  fi
  if [ -n "${OWN_OPENSEARCH:-}" ]; then
    "$here/opensearch/down.sh" demo
  elif [ -n "${INDEX_MADE:-}" ]; then
    delete_index || say "could not delete the index $INDEX"
  fi
  stop_watchdog
  rm -rf "$STATE"
}

# remember NAME...: variables that a later `demo.sh stop` has to know
remember() {
  local variable
  for variable in "$@"; do printf 'export %s=%q\n' "$variable" "${!variable}" >>"$STATE/env"; done
}

if [ "${1:-}" = stop ]; then
  instance demo main
  if [ -d "$STATE" ]; then stop_demo; fi
  exit 0
fi
STATE=$RUN/demo/main
if alive exporter; then die "a demo is running here: \`make demo-stop\` ends it"; fi
"$0" stop # what a demo left that was killed

finish() {
  local status=$?
  trap '' INT TERM
  for job in "${jobs[@]}"; do # servers that are still starting
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" || true
  done
  if [ $status = 0 ] && [ -n "${KEEP:-}" ]; then exit 0; fi
  step "stopping"
  stop_demo
  step "nothing is left running"
  exit $status
}
jobs=()
trap finish EXIT
trap 'exit 130' INT TERM HUP

parts=(rust)
if [ -n "${EXPORTER:-}" ]; then parts=(); fi
user_kubeconfig=${KUBECONFIG:-} user_opensearch=${OPENSEARCH_URL:-}
if [ -z "$user_kubeconfig" ]; then parts+=(kubernetes); fi
if [ -z "$user_opensearch" ]; then parts+=(opensearch); fi
"$here/require.sh" python "${parts[@]}"

make_instance() {
  mkdir -p "$STATE/proc"
  choose_ports
  remember PORT
}
with_lock make_instance
export OWNER_PID=$$ # should this script be killed, all of it ends
watch_owner "$here/demo.sh" stop

# The servers start, or are built, while cargo compiles: each in a process group, so that all of it can be stopped.
set -m
start_cluster() {
  if [ "$(id -u)" = 0 ] && unshare --mount --cgroup --pid --uts --ipc --net --fork true 2>/dev/null && "$here/require.sh" node; then
    NODE=yes "$here/kubernetes/up.sh" demo >/dev/null && return
    say "no real node could be started: the demo goes on without"
  fi
  "$here/kubernetes/up.sh" demo >/dev/null
}
if [ -z "$user_kubeconfig" ]; then
  export OWN_CLUSTER=1
  remember OWN_CLUSTER
  step "starting a Kubernetes cluster"
  start_cluster &
  jobs+=($!)
fi
if [ -z "$user_opensearch" ]; then
  export OWN_OPENSEARCH=1
  remember OWN_OPENSEARCH
  step "starting OpenSearch"
  "$here/opensearch/up.sh" demo >/dev/null &
  jobs+=($!)
fi
set +m
if [ -z "${EXPORTER:-}" ]; then
  step "building the exporter"
  (cd "$project" && ${CARGO:-cargo} build --locked)
  # The folder may be another than ./target: CARGO_TARGET_DIR, or the user's cargo configuration.
  target=$(cd "$project" && ${CARGO:-cargo} metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  EXPORTER=$target/debug/kubernetes-event-exporter
fi
for job in "${jobs[@]}"; do wait "$job" || die "a server did not start"; done
jobs=()

if [ -n "$user_kubeconfig" ]; then
  KUBECTL=$(command -v kubectl || echo "$KUBE_BIN/kubectl")
  [ -x "$KUBECTL" ] || die "missing here: kubectl"
  KUBECONFIG=$user_kubeconfig
else
  eval "$("$here/kubernetes/up.sh" demo 2>/dev/null)"
fi
if [ -n "$user_opensearch" ]; then
  URL=${user_opensearch%/} INDEX=event-exporter-demo
else
  eval "$("$here/opensearch/up.sh" demo 2>/dev/null)"
  URL=$OPENSEARCH_URL INDEX=kube-events
fi
export KUBECONFIG KUBECTL
remember KUBECONFIG KUBECTL URL INDEX
curl -sf -m 10 -o /dev/null "$URL/_search?size=0" || die "OpenSearch does not answer: $URL"
if "$KUBECTL" get namespace "$namespace" >/dev/null 2>&1; then
  die "this cluster has a namespace $namespace already; the demo makes and deletes its own"
fi
if [ -n "$(count_documents)" ]; then die "this OpenSearch has an index $INDEX already; the demo makes and deletes its own"; fi
nodes=$("$KUBECTL" get nodes -o name | wc -l)
if [ "$nodes" = 0 ]; then
  step "this cluster has no node (that takes root and Linux namespaces), so left out:$(printf ' %s;' "${expected[@]:3}")"
  expected=("${expected[@]:0:3}")
fi

step "starting the exporter"
INDEX_MADE=1
remember INDEX_MADE
export OPENSEARCH_URL=$URL OPENSEARCH_INDEX=$INDEX
metrics=127.0.0.1:$PORT
launch exporter "$EXPORTER" -conf "$project/config/demo.yaml" -kubeconfig "$KUBECONFIG" -metrics-address "$metrics"
wait_for 30 exporter curl -sf -m 2 "http://$metrics/readyz"

step "applying deploy/samples: workloads that fail, each in its own way"
NAMESPACE_MADE=1
remember NAMESPACE_MADE
"$KUBECTL" apply -f "$project/deploy/samples/00-namespace.yaml" >/dev/null
"$KUBECTL" -n "$namespace" wait resourcequota/cpu-budget --for=jsonpath='{.status.hard.requests\.cpu}'=20m --timeout=30s >/dev/null
"$KUBECTL" apply -f "$project/deploy/samples/" >/dev/null

# missing: which of the expected events OpenSearch does not have yet
missing() {
  local found event
  found=$(documents | python3 "$here/table.py" reasons) || found=''
  for event in "${expected[@]}"; do
    if ! grep -q "^$event" <<<"$found"; then echo "$event"; fi
  done
}
step "waiting for their events in OpenSearch"
end=$((SECONDS + deadline)) last=''
while left=$(missing) && [ -n "$left" ]; do
  if ! alive exporter; then
    say "the exporter died; the end of its log:"
    tail -n 20 "$STATE/log/exporter.log" >&2
    exit 1
  fi
  if [ "$SECONDS" -ge $end ]; then
    say "not in OpenSearch after $deadline s:"
    # shellcheck disable=SC2001
    sed 's/^/  /' <<<"$left" >&2
    say "the end of the exporter's log:"
    tail -n 20 "$STATE/log/exporter.log" >&2
    exit 1
  fi
  now="$((${#expected[@]} - $(wc -l <<<"$left"))) of ${#expected[@]}"
  if [ "$now" != "$last" ]; then step "  $now"; fi
  last=$now
  sleep 1
done
step "  all ${#expected[@]}"
echo
documents | python3 "$here/table.py" table
echo
if [ -n "${KEEP:-}" ]; then
  for STATE in "$RUN/kubernetes/demo" "$RUN/opensearch/demo" "$RUN/demo/main"; do stop_watchdog; done
  cat <<TEXT
All of it goes on running. To look further:
  curl -s '$URL/$INDEX/_search?q=type:Warning&pretty'
  curl -s http://$metrics/metrics
  tail -f $STATE/log/exporter.log
  KUBECONFIG=$KUBECONFIG $KUBECTL -n $namespace get events
How to repair each workload stands in its file in deploy/samples/. To stop it all: make demo-stop
TEXT
else
  cat <<TEXT
To look further, \`make demo KEEP=1\` leaves it all running. How to repair each workload stands in its file in deploy/samples/.
TEXT
fi
