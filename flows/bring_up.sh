#!/usr/bin/env bash
# A Prefect server, a work pool, a worker, the blocks and the deployments of this repository, on this machine, with
# Prefect's own commands. All of it ends with this script (Ctrl-C); what it has recorded stays in PREFECT_HOME.
#
#     flows/bring_up.sh                            bring everything up, and stay
#     flows/bring_up.sh prefect deployment run …   bring everything up, run one command, and end with its status
#
# PREFECT_API_URL set before: that server is used and no other is started; else PORT is its port (4200).
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
case "${1:-}" in -h | --help) usage; exit 0 ;; esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d .venv ] && PATH="$PWD/.venv/bin:$PATH"
command -v prefect >/dev/null || { echo "prefect is not on the path: run \`make install\` first." >&2; exit 2; }
export PREFECT_SERVER_ANALYTICS_ENABLED="${PREFECT_SERVER_ANALYTICS_ENABLED:-false}"
POOL=deriva-ml # as in prefect.yaml
LOGS="$(mktemp -d)"
started=()

bring_down() {
  trap - EXIT INT TERM
  for ((at = ${#started[@]} - 1; at >= 0; at--)); do
    kill -INT "${started[at]}" 2>/dev/null || true
    wait "${started[at]}" 2>/dev/null || true
  done
  rm -rf "$LOGS"
}
trap bring_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# a child of a script ignores Ctrl-C; this one must not, or it could not be ended in good order
in_background() {
  python -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.setsid()
os.execvp(sys.argv[1], sys.argv[1:])' "$@" &
  started+=("$!")
}

# until COMMAND succeeds; gives up, and shows the log, when the process behind it has ended
wait_for() {
  local what="$1" log="$2"
  shift 2
  for _ in $(seq 240); do
    "$@" >/dev/null 2>&1 && return
    kill -0 "${started[-1]}" 2>/dev/null || break
    sleep 0.5
  done
  echo "$what did not come up:" >&2
  tail -n 20 "$log" >&2
  exit 1
}

answers() {
  python -c 'import sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/health", timeout=2).read()' "$PREFECT_API_URL"
}

if [ -z "${PREFECT_API_URL:-}" ]; then
  PORT="${PORT:-4200}"
  export PREFECT_API_URL="http://127.0.0.1:$PORT/api"
  if answers 2>/dev/null; then
    echo "Port $PORT is taken by another Prefect server: set PREFECT_API_URL to use it, or PORT to start one beside it." >&2
    exit 2
  fi
  echo "Starting a Prefect server at http://127.0.0.1:$PORT ..."
  in_background prefect server start --host 127.0.0.1 --port "$PORT" >"$LOGS/server" 2>&1
  wait_for "The Prefect server" "$LOGS/server" answers
fi

prefect work-pool inspect "$POOL" >/dev/null 2>&1 || prefect work-pool create "$POOL" --type process
python flows/load_digits.py
python blocks/digits.py
prefect --no-prompt deploy --all
echo "Starting a worker for the work pool $POOL ..."
in_background prefect worker start --pool "$POOL" --name "worker-$$" --with-healthcheck >"$LOGS/worker" 2>&1
wait_for "The worker" "$LOGS/worker" grep -q "started" "$LOGS/worker"

if [ $# -gt 0 ]; then
  "$@"
else
  echo "Everything is up: ${PREFECT_API_URL%/api}. For instance: prefect deployment run train-digits/process"
  echo "PREFECT_API_URL=$PREFECT_API_URL in other terminals. Ctrl-C ends server and worker."
  wait -n "${started[@]}"
  echo "A process ended by itself:" >&2
  tail -n 20 "$LOGS"/* >&2
  exit 1
fi
