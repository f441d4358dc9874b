#!/usr/bin/env bash
# A real node for a cluster that was started with NODE=yes (up.sh calls this): containerd, runc, kubelet and kube-proxy, in mount,
# pid, cgroup, uts and ipc namespaces of their own and the cluster's network namespace. So nothing but files under
# $STATE stays behind, and killing one process ends every pod. The node is called node1, has no way out to any registry, and
# holds two images: registry.k8s.io/pause:3.10 and a stand-in for busybox:1.36 (see testtool).
# usage: node-up.sh [NAME [IMAGE.tar …]]       more images, as docker or OCI archives
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
"$here/../require.sh" node
cluster "${1:-main}"
shift $(($# > 0))
[ -n "$NETNS" ] || die "the cluster $NAME was not started with NODE=yes"
if alive node; then exit 0; fi

node=$STATE/node
mkdir -p "$node"/{containerd,kubelet,cni,cni-lib,pods,sysctl,images}
certificate kubelet "/O=system:nodes/CN=system:node:node1"
certificate kubelet-server "/CN=node1" "DNS:node1,DNS:localhost,IP:127.0.0.1,IP:$HOST"
certificate kube-proxy /CN=system:kube-proxy
kubeconfig kubelet.kubeconfig kubelet
kubeconfig kube-proxy.kubeconfig kube-proxy
tool=$KUBE_BIN/testtool
python3 "$here/mkimage.py" registry.k8s.io/pause:3.10 "$node/images/pause.tar" '["/pause"]' "$tool:/pause"
python3 "$here/mkimage.py" docker.io/library/busybox:1.36 "$node/images/busybox.tar" '[]' "$tool":/bin/{sleep,cat,tail,touch,dd}
for image in "$@"; do cp "$image" "$node/images/"; done

cat >"$node/containerd.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = true # works without CAP_SYS_RESOURCE too
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$node/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TOML
cat >"$node/cni/10-test.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "test", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/var/lib/cni"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
cat >"$node/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
port: $((PORT + 5))
healthzPort: $((PORT + 6))
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NETNS
failCgroupV1: false
failSwapOn: false
resolvConf: ""
clusterDNS: [$HOST]
clusterDomain: cluster.local
serializeImagePulls: false
imageGCHighThresholdPercent: 100
volumeStatsAggPeriod: 5s # evictions for a full volume come soon
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
YAML
cat >"$node/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $STATE/kube-proxy.kubeconfig}
mode: iptables
clusterCIDR: 10.244.0.0/16
hostnameOverride: node1
healthzBindAddress: 127.0.0.1:$((PORT + 8))
metricsBindAddress: 127.0.0.1:$((PORT + 9))
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
printf '%q=%q\n' NODE_DIR "$node" STATE "$STATE" KUBE_BIN "$KUBE_BIN" NODE_CGROUP "$NETNS" NODE_IP "$HOST" >"$node/env"

# It asks the API server as the admin, so that pods find Services by their names.
launch_in_netns dns python3 "$here/dns.py" "$HOST" "$KUBE_BIN/kubectl" --kubeconfig "$STATE/kubeconfig"
from=$(date -u +%Y-%m-%dT%H:%M:%SZ)
launch_in_netns node unshare --mount --cgroup --pid --uts --ipc --fork --kill-child --mount-proc "$here/node-init.sh" "$node/env"
ready() { # and said so by this kubelet, not by one that ran here before
  local state
  state=$(kubectl get node node1 -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}') || return 1
  [ "${state% *}" = True ] && [[ ! "${state#* }" < "$from" ]]
}
wait_for 60 node ready || {
  for log in containerd kubelet; do tail -n 5 "$STATE/log/$log.log" 2>/dev/null | cut -c1-300 >&2; done
  exit 1
}
say "cluster $NAME: node1 ready after $SECONDS s"
