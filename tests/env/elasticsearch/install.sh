#!/usr/bin/env bash
# Unpacks Elasticsearch into the cache folder, once: the distribution that its plugins are tested with, which is the only one that
# Maven's repository has. It has security, and neither data streams, policies, analyzers nor the processors of pipelines.
# usage: install.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
[ -e "$ELASTICSEARCH_HOME/.installed" ] && exit 0
"$here/../require.sh" elasticsearch
mkdir -p "$CACHE/elasticsearch"
exec 9>"$CACHE/elasticsearch/.lock"
flock 9
[ -e "$ELASTICSEARCH_HOME/.installed" ] && exit 0

say "Elasticsearch $ELASTICSEARCH: downloading (a minute the first time)"
work=$(mktemp -d "$CACHE/elasticsearch/install-XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! JAVA_HOME=$(jdk 17) nice -n 5 mvn -q -B -ntp "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN:copy" \
  "-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$ELASTICSEARCH:zip" -DoutputDirectory="$work" >"$work/log" 2>&1; then
  grep -m 10 ERROR "$work/log" | cut -c1-300 >&2
  exit 1
fi
(cd "$work" && "$(jdk 17)/bin/jar" xf ./*.zip)
rm -rf "$ELASTICSEARCH_HOME"
mv "$work/elasticsearch-$ELASTICSEARCH" "$ELASTICSEARCH_HOME"
chmod +x "$ELASTICSEARCH_HOME"/bin/*
touch "$ELASTICSEARCH_HOME/.installed"
say "Elasticsearch $ELASTICSEARCH: installed in $SECONDS s"
