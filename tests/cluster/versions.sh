# shellcheck shell=bash
# Every version that the test cluster is made of, and where its binaries lie. Sourced by `build` and `run`.
# Kubernetes and etcd are pinned by go/*/go.mod; a new minor is a new folder there.
CONTAINERD_VERSION=2.4.2
RUNC_VERSION=1.5.2
CNI_VERSION=1.9.1
HELM_VERSION=4.3.1
PAUSE_VERSION=1

KUBE_VERSION=${KUBE_VERSION:-1.37}

if [ ! -d "$cluster/go/kubernetes-$KUBE_VERSION" ]; then
  printf 'KUBE_VERSION=%s: no such test cluster; choose one of:%s\n' "$KUBE_VERSION" \
    "$(cd "$cluster/go" && printf ' %s' kubernetes-* | sed 's/kubernetes-//g')" >&2
  exit 2
fi

# required GO_MOD_DIR MODULE: the version of MODULE that go/GO_MOD_DIR/go.mod pins, without the "v".
required() { sed -nE "s,^(require )?[[:space:]]*$2 v([^ ]+).*,\2,p" "$cluster/go/$1/go.mod"; }
KUBERNETES_RELEASE=$(required "kubernetes-$KUBE_VERSION" k8s.io/kubernetes)
ETCD_VERSION=$(required etcd go.etcd.io/etcd/server/v3)

# KUBE_ASSETS names one folder that holds every binary; without it they are built into the user's cache.
cluster_cache=${XDG_CACHE_HOME:-$HOME/.cache}/gpu-capgate/cluster
kubernetes_bin=${KUBE_ASSETS:-$cluster_cache/kubernetes-$KUBERNETES_RELEASE}
tools_bin=${KUBE_ASSETS:-$cluster_cache/tools}
