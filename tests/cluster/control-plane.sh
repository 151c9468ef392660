# shellcheck shell=bash disable=SC2154
# etcd, API server, controller-manager and scheduler. Sourced by `run` inside the namespaces.

# cert NAME SUBJECT [SUBJECT_ALT_NAMES]: a leaf of the cluster's CA.
cert() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
    -keyout "$state/pki/$1.key" -out "$state/pki/$1.csr" 2> /dev/null
  openssl x509 -req -in "$state/pki/$1.csr" -CA "$state/pki/ca.crt" -CAkey "$state/pki/ca.key" -CAcreateserial -days 2 \
    -out "$state/pki/$1.crt" -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=$3}") 2> /dev/null
}

# kubeconfig CERT FILE: credentials of CERT's subject.
kubeconfig() {
  cat > "$2" <<Y
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$node_ip:6443", certificate-authority-data: $(base64 -w0 < "$state/pki/ca.crt")}}]
users: [{name: test, user: {client-certificate-data: $(base64 -w0 < "$state/pki/$1.crt"), client-key-data: $(base64 -w0 < "$state/pki/$1.key")}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
Y
}

ip link set lo up
ip link add node0 type bridge
ip addr add $node_ip/24 dev node0
ip link set node0 up
ip route add default dev node0

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test-cluster -days 2 \
  -keyout "$state/pki/ca.key" -out "$state/pki/ca.crt" 2> /dev/null
openssl genrsa -out "$state/pki/service-accounts.key" 2048 2> /dev/null
cert apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$node_ip,IP:$api_service_ip,DNS:kubernetes.default.svc,DNS:localhost"
cert admin /O=system:masters/CN=admin
kubeconfig admin "$KUBECONFIG"

# Who created which Pods, with the annotations of the webhooks that were asked.
cat > "$state/audit.yaml" <<Y
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, verbs: [create], resources: [{group: "", resources: [pods]}]}
  - {level: None}
Y

launch etcd etcd --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn
launch kube-apiserver kube-apiserver --bind-address 0.0.0.0 --advertise-address $node_ip --etcd-servers http://127.0.0.1:2379 \
  --tls-cert-file "$state/pki/apiserver.crt" --tls-private-key-file "$state/pki/apiserver.key" --client-ca-file "$state/pki/ca.crt" \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$state/pki/service-accounts.key" \
  --service-account-signing-key-file "$state/pki/service-accounts.key" --service-cluster-ip-range $service_network \
  --kubelet-preferred-address-types InternalIP --kubelet-client-certificate "$state/pki/admin.crt" --kubelet-client-key "$state/pki/admin.key" \
  --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction,ExtendedResourceToleration --allow-privileged \
  --audit-policy-file "$state/audit.yaml" --audit-log-path "$state/log/audit.log" \
  --enable-aggregator-routing --cert-dir "$state/pki" ${CLUSTER_FEATURE_GATES:+"--feature-gates=$CLUSTER_FEATURE_GATES"}
until_ok "API server ready" kubectl get --raw /readyz
launch kube-controller-manager kube-controller-manager --kubeconfig "$KUBECONFIG" --authentication-skip-lookup --leader-elect=false \
  --use-service-account-credentials --service-account-private-key-file "$state/pki/service-accounts.key" --root-ca-file "$state/pki/ca.crt" \
  --cluster-signing-cert-file "$state/pki/ca.crt" --cluster-signing-key-file "$state/pki/ca.key" --cert-dir "$state/pki"
launch kube-scheduler kube-scheduler --kubeconfig "$KUBECONFIG" --authentication-skip-lookup --leader-elect=false --cert-dir "$state/pki" \
  --kube-api-qps 1000 --kube-api-burst 1000 ${CLUSTER_FEATURE_GATES:+"--feature-gates=$CLUSTER_FEATURE_GATES"}
