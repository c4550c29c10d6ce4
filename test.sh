#!/usr/bin/env bash
# Runs every check of every module: ./test.sh
#
# Needs Go, and the Go module proxy for what is not in the module cache. A check that
# cannot run says SKIP and why; with CI=true it fails instead. Takes about half an hour.
set -uo pipefail
cd "$(dirname "$0")"

failed=() skipped=()
say() { printf '\n== %s\n' "$*"; }
run() { # run NAME COMMAND...
	local name=$1 start=$SECONDS
	shift
	say "$name"
	if "$@"; then
		echo "ok: $name ($((SECONDS - start)) s)"
	else
		failed+=("$name")
		echo "FAIL: $name"
	fi
}
skip() { # skip NAME REASON
	if [ "${CI:-}" = true ]; then
		failed+=("$1 (cannot run: $2)")
		echo "FAIL: $1: $2; CI skips nothing"
	else
		skipped+=("$1")
		echo "SKIP: $1: $2"
	fi
}

# Each module is tested by itself, as its users get it: with its replace directives,
# without go.work.
export GOWORK=off
modules=(. bench compat otelpacer queue redispacer)

formatted() {
	local files
	files=$(gofmt -l .) && [ -z "$files" ] || { echo "not gofmt-clean: $files"; return 1; }
}
run "gofmt" formatted

# otelpacer's tests run the rules and the dashboard of deploy/ under a real Prometheus,
# redispacer's and the queue's real Redis servers. Debian's packages would start servers
# of their own; policy-rc.d forbids that.
wanted=()
command -v promtool >/dev/null || wanted+=(prometheus)
command -v redis-server >/dev/null || wanted+=(redis-server)
if [ ${#wanted[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	say "installing ${wanted[*]}"
	policy=/usr/sbin/policy-rc.d
	[ -e $policy ] && policy= || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; }
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}"; } >/dev/null ||
		echo "${wanted[*]} cannot be installed here"
	[ -n "$policy" ] && rm -f "$policy"
fi
command -v promtool >/dev/null || skip "rules and dashboard under Prometheus" "apt-get install prometheus"
command -v redis-server >/dev/null || skip "everything with Redis" "apt-get install redis-server"

# sqsqueue's tests have an emulator of SQS, in Node.
emulator=queue/internal/sqstest/emulator
if command -v npm >/dev/null; then
	say "installing the emulator of SQS"
	npm ci --prefix $emulator --ignore-scripts --silent --no-audit --no-fund || skip "everything with SQS" "npm ci --prefix $emulator has failed"
else
	skip "everything with SQS" "node and npm are not installed"
fi

for m in "${modules[@]}"; do
	run "$m: go vet" go -C "$m" vet ./...
	run "$m: go.mod is tidy" go -C "$m" mod tidy -diff
	# The queue's trials of hours in virtual time are whole without the race detector.
	[ "$m" = queue ] && short=-short || short=
	run "$m: go test -race $short" go -C "$m" test -race $short -timeout 25m ./...
done
run "queue: whole, without the race detector" go -C queue test -timeout 15m .
run "memory, without the race detector" go test -run Memory -count 1 .
workspace() { GOWORK=$PWD/go.work go list -deps ./... ./bench/... ./compat/... ./otelpacer/... ./queue/... ./redispacer/... >/dev/null; }
run "the workspace is one" workspace

requirements() {
	local want='github.com/cenkalti/backoff/v4 github.com/twilio/twilio-go golang.org/x/time' have
	have=$(go list -m -f '{{if not (or .Indirect .Main)}}{{.Path}}{{end}}' all | sed '/^$/d' | sort | tr '\n' ' ')
	[ "${have% }" = "$want" ] || { echo "the root module requires: $have"; echo "expected:                 $want"; return 1; }
}
run "the root module requires three modules" requirements

example() { timeout 120 go run "./examples/$1" ${args[$1]:-} >"$out" 2>&1 || { cat "$out"; return 1; }; }
declare -A args=([learning]="-unit 100ms") # whole it takes 75 s
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for dir in examples/*/; do
	name=$(basename "$dir")
	[ -f "$dir/main.go" ] && run "example $name" example "$name"
done

observability() { timeout 120 go -C otelpacer run ./examples/observability -for 5s -addr 127.0.0.1:0 >"$out" 2>&1 || { cat "$out"; return 1; }; }
run "example observability" observability

# Compiled first: SQLite in Go takes minutes, and counts towards no timeout.
run "queue: programs build" go -C queue build ./...
queued() { timeout 120 go -C queue run "./$1" "${@:2}" >"$out" 2>&1 || { cat "$out"; return 1; }; }
run "example queue/worker" queued examples/worker
run "example queue/campaign" queued examples/campaign -n 600 -rate 100 -then 300
run "example queue/otp" queued examples/otp -campaign 40 -otps 3
run "queue: workers killed, ten times" queued killtest -kills 10
if command -v redis-server >/dev/null; then
	run "queue on Redis: workers and server killed, ten times" queued killtest -engine redis -kills 10
	run "example queue/nodeproducer" queued examples/nodeproducer
	fleet() { timeout 400 go -C "$1" run "./$2" "${@:3}" >"$out" 2>&1 || { cat "$out"; return 1; }; }
	run "example redispacer/fleet" fleet redispacer examples/fleet
	run "bench: fleet, short" fleet bench fleet -short
fi
if [ -d $emulator/node_modules ]; then
	run "queue on SQS: workers killed, ten times" queued killtest -engine sqs -kills 10
	run "example queue/sqs" queued examples/sqs
fi

scenarios() { go -C bench run ./scenarios -short >"$out" 2>&1 || { cat "$out"; return 1; }; }
run "bench: scenarios, short" scenarios
storms() { go -C bench run ./storms -short -check >"$out" 2>&1 || { cat "$out"; return 1; }; }
run "bench: storms, short" storms
run "bench: rules of the pace, without the race detector" go -C bench test -run TestEverySequence ./storms
queues() { go -C bench run ./queues -short >"$out" 2>&1 || { cat "$out"; return 1; }; }
run "bench: queues, short" queues
run "benchmarks run" go test -run '^$' -bench 'Acquire|CreateMessage/.*/(pacer|twilio-go)$' -benchtime 1000x .
run "otelpacer: benchmarks run" go -C otelpacer test -run '^$' -bench . -benchtime 20x .

lint() (
	root=$PWD
	cd "$1" && "$root/tools/bin/golangci-lint" run --config "$root/.golangci.yml" ./...
)
say "lint"
# golangci-lint is a tool of its own module, so that nothing of it is in ours.
if go -C tools build -o bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint; then
	for m in "${modules[@]}"; do
		run "$m: lint" lint "$m"
	done
else
	skip "lint" "golangci-lint does not build here (tools/go.mod says which Go it needs)"
fi

say "summary"
for s in "${skipped[@]}"; do echo "SKIP: $s"; done
for f in "${failed[@]}"; do echo "FAIL: $f"; done
echo "${#failed[@]} failed, ${#skipped[@]} skipped"
[ ${#failed[@]} -eq 0 ]
