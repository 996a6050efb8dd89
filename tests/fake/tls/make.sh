#!/bin/sh
# Makes the certificates that test_tls.py uses: an authority, a broker that it signed, one for another name, and a stranger.
set -eu
cd "$(dirname "$0")"
request() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$2" -out "$1.csr"; }
sign() { openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 36500 -extfile "$1.ext" -out "$1.crt"; }
for name in ca stranger; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -subj "/CN=pykafka tests $name" \
        -days 36500 -out $name.pem
done
request broker localhost && echo "subjectAltName=DNS:localhost,IP:127.0.0.1" > broker.ext && sign broker
request elsewhere elsewhere.example && echo "subjectAltName=DNS:elsewhere.example" > elsewhere.ext && sign elsewhere
cat broker.key broker.crt > broker.pem
cat elsewhere.key elsewhere.crt > elsewhere.pem
rm -f ./*.key ./*.csr ./*.crt ./*.ext ./*.srl
