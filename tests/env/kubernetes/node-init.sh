#!/usr/bin/env bash
# The first process of the node's namespaces. Started by node-up.sh only.
# usage: node-init.sh FILE      (settings)
set -euo pipefail
[ $$ = 1 ] || {
  echo "not for running by hand" >&2
  exit 2
}
# shellcheck disable=SC1090
. "$1"
# shellcheck disable=SC2153
state=$STATE node=$NODE_DIR
mount --make-rprivate /
hostname node1

# this network namespace's /sys, and in it the cgroups as this cgroup namespace sees them
controllers=$(awk '$3 == "cgroup" {print $2}' /proc/mounts | sed 's|.*/||')
mount -t sysfs sysfs /sys
if [ -n "$controllers" ]; then # cgroup v1
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  for controller in $controllers; do
    mkdir -p "/sys/fs/cgroup/$controller"
    options=$controller
    if [ "$controller" = systemd ]; then options=none,name=systemd; fi
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$controller"
    mkdir -p "/sys/fs/cgroup/$controller/$NODE_CGROUP"
  done
  for setting in cpuset.mems cpuset.cpus; do
    cat /sys/fs/cgroup/cpuset/$setting >"/sys/fs/cgroup/cpuset/$NODE_CGROUP/$setting"
  done
else # cgroup v2: a group with children may hold no process, so those here move into one of their own first
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p /sys/fs/cgroup/kee-init "/sys/fs/cgroup/$NODE_CGROUP"
  while read -r pid; do echo "$pid" >/sys/fs/cgroup/kee-init/cgroup.procs 2>/dev/null || true; done </sys/fs/cgroup/cgroup.procs
  read -r controllers </sys/fs/cgroup/cgroup.controllers
  for controller in $controllers; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
    echo "+$controller" >"/sys/fs/cgroup/$NODE_CGROUP/cgroup.subtree_control" || true
  done
fi

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/containerd /run/netns /run/lock /var/lib/containerd /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers
mount --bind "$node/containerd" /var/lib/containerd
mount --bind "$node/kubelet" /var/lib/kubelet
mount --make-rshared /var/lib/kubelet
mount --bind "$node/cni-lib" /var/lib/cni
mount --bind "$node/pods" /var/log/pods

# The kubelet wants a few kernel settings; let it find them as it likes them, without changing this machine's.
pretend() { # SETTING VALUE
  local file=$node/sysctl/${1//\//.}
  echo "$2" >"$file"
  if [ -e "/proc/sys/$1" ]; then mount --bind "$file" "/proc/sys/$1"; fi
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
containerd -c "$node/containerd.toml" >>"$state/log/containerd.log" 2>&1 &
until ctr -a /run/containerd/containerd.sock version >/dev/null 2>&1; do sleep .1; done
for image in "$node"/images/*.tar; do ctr -a /run/containerd/containerd.sock -n k8s.io images import "$image"; done
"$KUBE_BIN/kubelet" --config "$node/kubelet.yaml" --kubeconfig "$state/kubelet.kubeconfig" --hostname-override node1 \
  --node-ip "$NODE_IP" --root-dir /var/lib/kubelet --v=2 >>"$state/log/kubelet.log" 2>&1 &
"$KUBE_BIN/kube-proxy" --config "$node/kube-proxy.yaml" >>"$state/log/kube-proxy.log" 2>&1 &
while :; do # reap until node-down.sh kills us
  wait -n || true
  sleep 1
done
