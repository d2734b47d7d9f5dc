#!/bin/sh
# Write what the programs of a cluster read into its folder: hack/cluster/configure.sh FOLDER ADDRESS
set -eu
cd "$(dirname "$0")/config"
here=$1 node=$2 token=$(openssl rand -hex 16)
mkdir -p "$here/cni" "$here/log" "$here/pki" "$here/sysctl"

filled() { sed "s#@HERE@#$here#g; s#@NODE@#$node#g; s#@TOKEN@#$token#g" "$1"; }

for file in *.* cni/* kubeconfig Corefile; do
    filled "$file" >"$here/$file"
done
for number in $(seq 32); do
    mkdir -p "$here/volumes/$number"
    echo ---
    filled volume.yaml | sed "s#@NUMBER@#$number#g"
done >>"$here/storage.yaml"
openssl genrsa -out "$here/pki/service-accounts.key" 2048 2>/dev/null
