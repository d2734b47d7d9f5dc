#!/bin/sh
# The first process in a cluster's namespaces; with it all of them end: hack/cluster/node.sh FOLDER ADDRESS
set -eu
here=$1 node=$2

start() { # a name for the log, a program and its arguments
    name=$1
    shift
    "$@" >"$here/log/$name" 2>&1 &
}

until_it() { until "$@" >/dev/null 2>&1; do sleep 0.1; done; }

# Mounts: what lies below these is the cluster's own, and a kubelet finds set what it would set for the whole machine.
mount --make-rshared /
mount -t tmpfs run /run
mount -t tmpfs log /var/log
mount --bind "$here/resolv.conf" /etc/resolv.conf
for wish in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    file=$here/sysctl/${wish##*/}
    echo "${wish#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${wish%=*}"
done

# Network: a bridge with nothing on it has the node's address.
hostname node
ip link set lo up
ip link add node0 type bridge
ip address add "$node/24" dev node0
ip link set node0 up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward

start containerd containerd --config "$here/containerd.toml"
start etcd etcd --data-dir "$here/etcd" --unsafe-no-fsync --log-level warn
start apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir "$here/pki" \
    --bind-address "$node" --advertise-address "$node" --service-cluster-ip-range 10.96.0.0/16 \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$here/pki/service-accounts.key" \
    --service-account-signing-key-file "$here/pki/service-accounts.key" \
    --token-auth-file "$here/tokens.csv" --authorization-mode RBAC --allow-privileged \
    --kubelet-preferred-address-types InternalIP
until_it kubectl get --raw /readyz
start controller-manager kube-controller-manager --kubeconfig "$here/kubeconfig" --leader-elect=false \
    --service-account-private-key-file "$here/pki/service-accounts.key" --root-ca-file "$here/pki/apiserver.crt"
start scheduler kube-scheduler --kubeconfig "$here/kubeconfig" --leader-elect=false
start proxy kube-proxy --config "$here/proxy.yaml" --hostname-override node
start coredns coredns -conf "$here/Corefile"
start kubelet kubelet --config "$here/kubelet.yaml" --kubeconfig "$here/kubeconfig" --root-dir "$here/kubelet" \
    --cert-dir "$here/kubelet-pki" --hostname-override node --node-ip "$node"
wait
