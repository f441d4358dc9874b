#!/usr/bin/env bash
# Makes the certificates of a secure node: a CA, the node's, three clients' (admin, exporter, stranger), a second CA that
# signs nothing, for tests of a wrong CA, and one of the node's that is over as soon as it is made.
# usage: certs.sh FOLDER
set -euo pipefail
mkdir -p "$1"
cd "$1"
key() { openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1-key.pem" 2>/dev/null; }
for ca in ca otherca; do
  key $ca
  openssl req -x509 -new -key $ca-key.pem -sha256 -days 3650 -subj "/O=test/CN=$ca" -out $ca.pem \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
done
leaf() { # NAME [EXTENSION]
  key "$1"
  openssl req -new -key "$1-key.pem" -subj "/O=test/CN=$1" |
    openssl x509 -req -CA ca.pem -CAkey ca-key.pem -set_serial "0x$(openssl rand -hex 16)" -days "${DAYS:-3650}" -sha256 -extfile <(
      printf '%s\n' basicConstraints=CA:FALSE keyUsage=digitalSignature,keyEncipherment extendedKeyUsage=serverAuth,clientAuth ${2:+"$2"}
    ) -out "$1.pem" 2>/dev/null
}
names=subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1
leaf node "$names"
DAYS=0 leaf expired "$names"
leaf admin
leaf exporter
leaf stranger
chmod 600 ./*-key.pem
