#!/usr/bin/env bash
# Starts a cluster: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, and a real node if asked for.
# Prints "export KUBECONFIG=…", "export KUBECTL=…" and "export ETCD=…". Does nothing but that for a cluster that is up already; one
# whose data was kept starts again on the same port.
# usage: up.sh [NAME]           (default: main)
# environment:
#   OWNER_PID=…                 stop the cluster when this process ends
#   COMPONENTS='…'              besides etcd and the API server (default: kube-controller-manager kube-scheduler)
#   EVENT_TTL=1h0m0s            how long the API server keeps Events
#   APISERVER_ARGS, CONTROLLER_MANAGER_ARGS, SCHEDULER_ARGS
#   NODE=yes                    and a real node (node-up.sh); needs root
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
components=${COMPONENTS-kube-controller-manager kube-scheduler}
"$here/build.sh"
cluster "${1:-main}"
print_exports() {
  echo "export KUBECONFIG=$STATE/kubeconfig"
  echo "export KUBECTL=$KUBE_BIN/kubectl"
  echo "export ETCD=http://127.0.0.1:$((PORT + 1))"
}
if alive etcd && alive kube-apiserver; then
  print_exports
  exit 0
fi

make_instance() {
  mkdir -p "$STATE"/{pki,log,proc}
  chmod 700 "$STATE"
  choose_ports
  HOST=127.0.0.1
  if [ -n "${NODE:-}" ]; then # a network of its own, which only this machine can reach
    INDEX=1
    while [ -e "/run/netns/kee-$INDEX" ]; do INDEX=$((INDEX + 1)); done
    HOST=10.95.$INDEX.2
    ip netns add "kee-$INDEX"
  fi
  printf '%s\n' "PORT=$PORT" "HOST=$HOST" "INDEX=$INDEX" >"$STATE/env"
}

down_on_failure "the cluster $NAME" "$here/down.sh"

[ -f "$STATE/env" ] || with_lock make_instance
cluster "$NAME"
watch_owner "$here/down.sh" "$NAME"
bind=127.0.0.1
advertise=10.95.0.1 # the Service's endpoint must not be a loopback address; only pods would use it
if [ -n "$NETNS" ]; then
  bind=0.0.0.0
  advertise=$HOST
  if ! ip link show "kee$INDEX" >/dev/null 2>&1; then
    ip link add "kee$INDEX" type veth peer name eth0 netns "$NETNS"
    ip addr add "10.95.$INDEX.1/30" dev "kee$INDEX"
    ip link set "kee$INDEX" up
    ip -n "$NETNS" addr add "$HOST/30" dev eth0
    ip -n "$NETNS" link set lo up
    ip -n "$NETNS" link set eth0 up
    ip -n "$NETNS" route add 10.96.0.0/16 dev lo src "$HOST" # the Services' addresses
  fi
fi

if [ ! -s "$PKI/sa.pub" ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/ca.key" 2>/dev/null
  openssl req -x509 -new -key "$PKI/ca.key" -subj /CN=test-ca -days 3650 -sha256 -out "$PKI/ca.crt" \
    -addext "keyUsage=critical,keyCertSign,digitalSignature,cRLSign" 2>/dev/null
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
fi
names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
certificate apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:10.96.0.1,IP:$advertise"
certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet-client
certificate front-proxy /CN=front-proxy-client
certificate admin /O=system:masters/CN=admin
certificate controller-manager /CN=system:kube-controller-manager
certificate scheduler /CN=system:kube-scheduler
kubeconfig kubeconfig admin
kubeconfig controller-manager.kubeconfig controller-manager
kubeconfig scheduler.kubeconfig scheduler

etcd=http://127.0.0.1:$((PORT + 1))
peer=http://127.0.0.1:$((PORT + 2))
alive etcd || launch_in_netns etcd "$KUBE_BIN/etcd" --name test --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
  --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "test=$peer"
wait_ready etcd # an API server that finds no etcd waits a second before each new try

# shellcheck disable=SC2086  # the …_ARGS are several words
alive kube-apiserver || launch_in_netns kube-apiserver "$KUBE_BIN/kube-apiserver" --etcd-servers "$etcd" \
  --bind-address $bind --secure-port "$PORT" --advertise-address "$advertise" \
  --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
  --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true \
  --service-cluster-ip-range 10.96.0.0/16 --event-ttl "${EVENT_TTL:-1h0m0s}" \
  --service-account-issuer https://kubernetes.default.svc.cluster.local \
  --service-account-key-file "$PKI/sa.pub" --service-account-signing-key-file "$PKI/sa.key" \
  --kubelet-client-certificate "$PKI/apiserver-kubelet.crt" --kubelet-client-key "$PKI/apiserver-kubelet.key" \
  --kubelet-preferred-address-types InternalIP \
  --requestheader-client-ca-file "$PKI/ca.crt" --requestheader-allowed-names front-proxy-client \
  --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
  --requestheader-extra-headers-prefix X-Remote-Extra- \
  --proxy-client-cert-file "$PKI/front-proxy.crt" --proxy-client-key-file "$PKI/front-proxy.key" ${APISERVER_ARGS:-}
wait_ready kube-apiserver

for component in $components; do
  alive "$component" && continue
  config=$STATE/${component#kube-}.kubeconfig
  set -- --kubeconfig "$config" --authentication-kubeconfig "$config" --authorization-kubeconfig "$config" --bind-address 127.0.0.1
  # shellcheck disable=SC2086
  case $component in
    kube-controller-manager)
      launch_in_netns "$component" "$KUBE_BIN/$component" "$@" --secure-port $((PORT + 3)) \
        --service-account-private-key-file "$PKI/sa.key" --root-ca-file "$PKI/ca.crt" \
        --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
        --use-service-account-credentials --kube-api-qps 500 --kube-api-burst 500 \
        --allocate-node-cidrs --cluster-cidr 10.244.0.0/16 ${CONTROLLER_MANAGER_ARGS:-}
      ;;
    kube-scheduler)
      launch_in_netns "$component" "$KUBE_BIN/$component" "$@" --secure-port $((PORT + 4)) ${SCHEDULER_ARGS:-}
      ;;
    *) die "unknown component $component" ;;
  esac
done
if [[ " $components " == *" kube-controller-manager "* ]]; then # no pod can be made before this
  wait_for 120 kube-controller-manager api /api/v1/namespaces/default/serviceaccounts/default
fi
if [ -n "${NODE:-}" ]; then "$here/node-up.sh" "$NAME"; fi
say "cluster $NAME: up after $SECONDS s"
print_exports
