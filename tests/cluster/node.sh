# shellcheck shell=bash disable=SC2154
# containerd and a kubelet. Sourced by `run` inside the namespaces, after control-plane.sh.
# What differs from the defaults is what a sandboxed root on a small machine lacks; each line says why.

mkdir -p "$state"/node "$state"/cni

# Paths that a node has fixed, made private: the kubelet's device-plugin sockets are always under /var/lib/kubelet.
mkdir -p /var/lib/kubelet /run/containerd
mount -t tmpfs kubelet /var/lib/kubelet
mount -t tmpfs containerd /run/containerd

# Services without kube-proxy: the API server dials a webhook's endpoints itself (aggregator routing), and these two
# rules give Pods the API server's own address.
for chain in PREROUTING OUTPUT; do
  iptables -w -t nat -A $chain -d $api_service_ip -p tcp --dport 443 -j DNAT --to-destination $node_ip:6443
done

cat > "$state/cni/10-bridge.conflist" <<Y
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_network"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$state/cni/addresses"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
cat > "$state/node/containerd.toml" <<Y
version = 3
root = "$state/node/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true # root may lack CAP_SYS_RESOURCE, and runc then cannot write a negative score
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["$tools_bin"]
    conf_dir = "$state/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "docker.io/gpu-capgate-test/pause:1"
Y
launch containerd containerd --config "$state/node/containerd.toml"
until_ok "containerd ready" ctr version

mkdir -p "$state/node/pause"
cp "$tools_bin/pause" "$state/node/pause/pause"
"$cluster/pack-image" "$state/node/pause" docker.io/gpu-capgate-test/pause:1 '{"Entrypoint": ["/pause"]}' \
  | ctr --namespace k8s.io images import - > "$state/log/images.log" 2>&1

cert kubelet "/O=system:nodes/CN=system:node:$node_name" "IP:$node_ip,DNS:$node_name"
kubeconfig kubelet "$state/node/kubeconfig"
cat > "$state/node/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
tlsCertFile: $state/pki/kubelet.crt
tlsPrivateKeyFile: $state/pki/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
address: 0.0.0.0 # or exec and logs are refused
# The kernel may offer control groups v1 only, and no systemd to manage them.
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
# Never evict from a machine that is shared with a build.
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
resolvConf: ""
# A test does not want to wait for the ten-second rhythm of a real node.
nodeStatusUpdateFrequency: 1s
syncFrequency: 2s
Y
# A script, so that a test can kill the kubelet and start it again.
cat > "$state/node/start-kubelet" <<Y
#!/bin/sh
exec kubelet --config "$state/node/kubelet.yaml" --kubeconfig "$state/node/kubeconfig" --hostname-override $node_name \
  --node-ip $node_ip --cert-dir "$state/pki" --v 2
Y
chmod +x "$state/node/start-kubelet"
launch kubelet "$state/node/start-kubelet"
until_ok "node registered" kubectl get node $node_name
until_ok "node Ready" kubectl wait --for=condition=Ready node/$node_name --timeout=60s
# The controller-manager makes the ServiceAccount that every Pod needs.
until_ok "default ServiceAccount" kubectl get serviceaccount default
