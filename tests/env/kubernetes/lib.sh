# shellcheck shell=bash disable=SC2034
# Sourced by the scripts of this folder: certificates, kubeconfigs and the readiness of a cluster.
# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# cluster NAME: the instance, and what its scripts need to know of it (PORT, INDEX and HOST are remembered in $STATE/env)
cluster() {
  INDEX='' # number of the network namespace, empty without one
  instance kubernetes "$1"
  PKI=$STATE/pki
  NETNS=${INDEX:+kee-$INDEX}
}

# in_netns COMMAND...: in the cluster's network namespace, if it has one
in_netns() {
  if [ -n "$NETNS" ]; then set -- nsenter --net="/run/netns/$NETNS" -- "$@"; fi
  "$@"
}
launch_in_netns() {
  local name=$1
  shift
  if [ -n "$NETNS" ]; then set -- nsenter --net="/run/netns/$NETNS" -- "$@"; fi
  launch "$name" "$@"
}

# certificate NAME SUBJECT [SAN]: key and certificate signed by the cluster's CA
certificate() {
  local file=$PKI/$1
  if [ -s "$file.crt" ]; then return 0; fi
  openssl ecparam -name prime256v1 -genkey -noout -out "$file.key" 2>/dev/null
  openssl req -new -key "$file.key" -subj "$2" 2>/dev/null |
    openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -set_serial "0x$(openssl rand -hex 16)" -days 3650 -sha256 \
      -extfile <(
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=serverAuth,clientAuth"
        if [ -n "${3:-}" ]; then echo "subjectAltName=$3"; fi
      ) -out "$file.crt" 2>/dev/null
}

# kubeconfig FILE CERTIFICATE: for that client certificate, everything inlined
kubeconfig() {
  if [ -s "$STATE/$1" ]; then return 0; fi
  (umask 077 && cat >"$STATE/$1") <<YAML
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$HOST:$PORT", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}}]
users: [{name: $2, user: {client-certificate-data: $(base64 -w0 "$PKI/$2.crt"), client-key-data: $(base64 -w0 "$PKI/$2.key")}}]
contexts: [{name: test, context: {cluster: test, user: $2}}]
current-context: test
YAML
}

api() { curl -sf -m 5 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://$HOST:$PORT$1"; }
kubectl() { "$KUBE_BIN/kubectl" --kubeconfig "$STATE/kubeconfig" "$@"; }

# wait_ready COMPONENT
wait_ready() {
  case $1 in
    etcd) wait_for 60 etcd in_netns curl -sf -m 5 "http://127.0.0.1:$((PORT + 1))/health" ;;
    kube-apiserver) wait_for 120 kube-apiserver api /readyz ;;
  esac
}
