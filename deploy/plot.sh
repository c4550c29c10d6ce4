#!/usr/bin/env bash
# Draws docs/dashboard.svg from a real run: ./deploy/plot.sh
#
# The example program runs for three minutes under a Prometheus of its own, with trouble
# in the second one. Needs Go and prometheus (apt-get install prometheus).
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$dir"' EXIT

export GOWORK=off
go -C otelpacer/otelqueue build -o "$dir/" ./examples/observability ./internal/plot
sed 's/\(scrape\|evaluation\)_interval: 15s/\1_interval: 1s/; s/9464/19464/' deploy/prometheus.yml >"$dir/prometheus.yml"
cp deploy/alerts.yml "$dir"
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" --web.listen-address=127.0.0.1:19090 2>"$dir/prometheus.log" &
pids+=($!)
"$dir/observability" -addr 127.0.0.1:19464 >/dev/null &
pids+=($!)
sleep 180
"$dir/plot" -prometheus http://127.0.0.1:19090 -dashboard deploy/grafana-dashboard.json -o docs/dashboard.svg -last 3m -trouble 1m \
	-note "A run of otelpacer/otelqueue/examples/observability. Shaded: the limit for messages falls from 30/s to 8/s per sender, and one request in eight is throttled."
