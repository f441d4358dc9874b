# shellcheck shell=bash disable=SC2034
# Sourced by the scripts of this folder: which Elasticsearch, in which home.
# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

ELASTICSEARCH_HOME=$CACHE/elasticsearch/$ELASTICSEARCH

node() {
  PORT=''
  instance elasticsearch "$1"
  CERTS=$STATE/certs
  URL=https://127.0.0.1:$PORT
}

answers() {
  curl -sf -m 5 --cacert "$CERTS/ca.pem" -u admin:admin-pw "$URL/_cluster/health?wait_for_status=yellow&timeout=1s"
}
