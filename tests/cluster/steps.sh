# shellcheck shell=bash
# How a demonstration prints: each step with its time, each command as it was typed, its output as it came. Sourced.

steps_started=${EPOCHREALTIME/./}
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

step() {
  printf '\n%s== %5.1f s  %s%s\n' "$bold" "$(((${EPOCHREALTIME/./} - steps_started) / 100000))e-1" "$*" "$plain"
}

# show COMMAND...: prints the command, then runs it.
show() {
  if [ "$1" = bash ] && [ "$2" = -c ]; then printf '$ %s\n' "$3"; else printf '$ %s\n' "$*"; fi
  "$@"
}

# show_refused COMMAND...: the same for a command that must fail.
show_refused() {
  if show "$@"; then
    echo "demo: the command above should have been refused" >&2
    exit 1
  fi
}

# import_image: takes an image archive from stdin into the node's container runtime.
import_image() { ctr --namespace k8s.io images import - > "$CLUSTER_STATE/log/import.log" 2>&1; }

# wait_for_gpus COUNT: until the scheduler can give that many.
wait_for_gpus() {
  kubectl wait "node/$CLUSTER_NODE_NAME" --for="jsonpath={.status.allocatable.nvidia\.com/gpu}=$1" --timeout=60s > /dev/null
}
