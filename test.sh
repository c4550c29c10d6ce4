#!/usr/bin/env bash
# Runs the checks of every module, in lanes: ./test.sh --help says which there are.
#
# It needs Go, and the Go module proxy for what is not in the module cache. It installs nothing.
# A check that cannot run says SKIP and how to install what it needs; with CI=true it fails instead.
set -uo pipefail
cd "$(dirname "$0")"

usage() {
	cat <<-'END'
		usage: ./test.sh [long | consumer]

		  ./test.sh            The fast lane, for every change: formatting, vet, go.mod, all packages of all
		                       modules with -race -short, the examples, the documents' code.
		  ./test.sh long       The fast lane, and then what takes long by design: whole test suites, engines
		                       on real disks and servers, kill tests, Prometheus, compat, short benches, the
		                       rules of the pace, lint, and the consumer check.
		  ./test.sh consumer   Only the consumer check: each published module, fetched as its users do.

		On two idle cores the fast lane is to take at most 5 minutes with a warm build cache, 12 with an
		empty one, and the long lane at most 45, the fast one included. .ci/setup installs what the tests use beside Go.
		With CI=true nothing is skipped: what cannot run has failed.
	END
}

lane=${1:-fast}
case $#,$lane in
0,fast | 1,long | 1,consumer) ;;
1,-h | 1,--help | 1,help)
	usage
	exit
	;;
*)
	echo "./test.sh: $*: expected long, consumer, or nothing" >&2
	usage >&2
	exit 2
	;;
esac

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

# Each module of go.work is tested by itself, as its users get it: with its replace directives,
# without go.work.
export GOWORK=off
mapfile -t modules < <(sed -nE 's#^\t(\./)?##p' go.work)

# The tests make much garbage that lives for short: to collect it more rarely takes a fifth off their time.
export GOGC=400
# With the race detector each process sleeps for a second before it ends, unless it is told not to.
export GORACE=atexit_sleep_ms=0

# Programs are built once, to be run as often as they are needed. "go run" would link them each
# time, and keep each in the build cache: 80 MB for a program that has twilio-go's RestClient.
tmp=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

# build MODULE PACKAGES FLAGS... puts the module's programs into $tmp/MODULE.
build() { go -C "$1" build -ldflags='-s -w' "${@:3}" -o "$tmp/$1/" "$2"; }

# quietly COMMAND... shows what the command prints if it fails.
quietly() { "$@" >"$tmp/out" 2>&1 || { cat "$tmp/out"; return 1; }; }

# together COMMANDS... runs them at the same time, as most of them wait most of the time.
# It shows what those print that fail.
together() {
	local i=0 ok=0 pids=()
	for command; do
		(cd "$tmp" && timeout 300 $command) >"$tmp/out.${#pids[@]}" 2>&1 &
		pids+=($!)
	done
	for command; do
		wait "${pids[i]}" || { ok=1; echo "$command has failed:"; cat "$tmp/out.$i"; }
		i=$((i + 1))
	done
	return $ok
}

emulator=queue/internal/sqstest/emulator
redis() { command -v redis-server >/dev/null; }
sqs() { command -v node >/dev/null && [ -d $emulator/node_modules/fauxqs ]; }

formatted() {
	local files
	files=$(gofmt -l .) && [ -z "$files" ] || { echo "not gofmt-clean: $files"; return 1; }
}

workspace() { GOWORK=$PWD/go.work go list -deps $(printf './%s/... ' "${modules[@]}") >/dev/null; }

requirements() {
	local want='github.com/cenkalti/backoff/v4 github.com/twilio/twilio-go golang.org/x/time' have
	have=$(go list -m -f '{{if not (or .Indirect .Main)}}{{.Path}}{{end}}' all | sed '/^$/d' | sort | tr '\n' ' ')
	[ "${have% }" = "$want" ] || { echo "the root module requires: $have"; echo "expected:                 $want"; return 1; }
}

# finished PID FILE waits for a command in the background, whose output is in the file.
finished() {
	local code
	wait "$1"
	code=$?
	cat "$2"
	return $code
}

# Everything here is compiled once, for the race detector, also the examples. "go test -vet=all" has
# the checks of "go vet", which would load all packages once more. Nobody debugs these programs, so
# none has debug information. Left out of the race detector is SQLite, and what it calls: it is
# translated from C. With the race detector it takes minutes to compile, and is several times as slow.
fast() {
	local -x GOFLAGS="${GOFLAGS:-} -gcflags=all=-dwarf=false"
	local p
	for p in sqlite/lib libc memory; do
		GOFLAGS+=" '-gcflags=modernc.org/$p=-dwarf=false -race=false'"
	done
	run "gofmt" formatted
	run "the workspace is one" workspace
	run "the root module requires three modules" requirements
	command -v promtool >/dev/null || skip "rules and dashboard under Prometheus" "apt-get install prometheus"
	redis || skip "everything with Redis" "apt-get install redis-server"
	sqs || skip "everything with SQS" "apt-get install nodejs npm && npm ci --ignore-scripts --prefix $emulator"
	for m in "${modules[@]}"; do
		run "$m: go.mod is tidy" go -C "$m" mod tidy -diff
	done
	# Alone, since the go command compiles a package twice if it is called for two modules at a time.
	run "what the modules share is compiled" go -C queue build -race . ./sqlitequeue ./redisqueue ./sqsqueue
	# Without the race detector: with it, 200 scenes would take minutes. The long lane has the first 300.
	# All of it is in virtual time, in which one goroutine runs at a time: a second processor would cost
	# a third more, and gain nothing. How long it takes hangs on what runs beside it: with an empty build
	# cache it is more than the 10 minutes that "go test" allows by itself.
	GOMAXPROCS=1 go -C bench test ./storms -run TestEverySequenceOfAnswersKeepsTheRules -seeds 200 -seed 301 -timeout 40m >"$tmp/scenes.test" 2>&1 &
	local scenes=$!
	tests "go vet, go test -race -short" -race -short -vet=all
	run "examples build" examples_build
	run "examples" examples
	tests_end
	run "bench: the rules of the pace in 200 scenes" finished $scenes "$tmp/scenes.test"
}

# tests NAME FLAGS... tests all modules, three at a time on two cores, as some of the tests wait most of
# the time. The queue's and those of small modules go on beside what comes next, until tests_end.
tests() {
	local m
	what=$1
	shift
	small=()
	for m in "${modules[@]}"; do
		case $m in . | bench | queue) ;; *) small+=("$m") ;; esac
	done
	tested queue "$@" >"$tmp/queue.test" 2>&1 &
	beside=($!)
	tested_all "$@" >"$tmp/small.test" 2>&1 &
	beside+=($!)
	run ".: $what" tested . "$@"
	run "bench: $what" tested bench "$@"
}

tests_end() {
	run "${small[*]}: $what" finished "${beside[1]}" "$tmp/small.test"
	run "queue: $what" finished "${beside[0]}" "$tmp/queue.test"
}

# tested MODULE FLAGS... says how long it has taken, too.
tested() {
	local start=$SECONDS code
	go -C "$1" test "${@:2}" -timeout 40m ./...
	code=$?
	echo "$1: $((SECONDS - start)) s"
	return $code
}

tested_all() { # the small modules, one after the other
	local m code=0
	for m in "${small[@]}"; do tested "$m" "$@" || code=1; done
	return $code
}

examples_build() {
	build . ./examples/... -race && build otelpacer/otelqueue ./examples/... -race && build queue ./examples/... -race
}

examples() {
	local commands=(
		./context ./dropin ./errors ./limits ./quickstart
		"./learning -unit 100ms" # whole it takes 75 s
		"otelpacer/otelqueue/observability -for 5s -addr 127.0.0.1:0"
		queue/worker "queue/campaign -n 600 -rate 100 -then 300" "queue/otp -campaign 40 -otps 3"
	)
	redis && commands+=(queue/nodeproducer)
	sqs && commands+=(queue/sqs)
	together "${commands[@]}"
}

consumer() { scripts/consumer.sh; }

lint() (
	root=$PWD
	cd "$1" && "$root/tools/bin/golangci-lint" run --config "$root/.golangci.yml" ./...
)

# What takes long by design, beside what the fast lane has done. Without the race detector, which
# has seen the short runs, it takes a fifth of the time.
long() {
	tests "go test, whole"
	run "programs build" programs_build
	tests_end
	run "queue: workers killed, ten times" quietly "$tmp/queue/killtest" -kills 10
	run "pacer worker killed, ten times" quietly "$tmp/queue/killtest" -kills 10 -worker "$tmp/cmd/pacer/pacer"
	if redis; then
		run "queue on Redis: workers and server killed, ten times" quietly "$tmp/queue/killtest" -engine redis -kills 10
		run "example redispacer/fleet" quietly timeout 400 "$tmp/redispacer/fleet"
		run "bench: fleet, short" quietly timeout 400 "$tmp/bench/fleet" -short
	fi
	if sqs; then
		run "queue on SQS: workers killed, ten times" quietly "$tmp/queue/killtest" -engine sqs -kills 10
	fi
	run "bench: scenarios, short" quietly "$tmp/bench/scenarios" -short
	run "bench: storms, short" quietly "$tmp/bench/storms" -short -check
	run "bench: queues, short" quietly "$tmp/bench/queues" -short
	run "benchmarks run" go test -run '^$' -bench 'Acquire|CreateMessage/.*/(pacer|twilio-go)$' -benchtime 1000x .
	run "otelpacer: benchmarks run" go -C otelpacer test -run '^$' -bench . -benchtime 20x .
	# golangci-lint is a tool of its own module, so that nothing of it is in ours.
	if go -C tools build -o bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint; then
		for m in "${modules[@]}"; do
			run "$m: lint" lint "$m"
		done
	else
		skip "lint" "golangci-lint does not build here (tools/go.mod says which Go it needs)"
	fi
	run "each module as its users get it" consumer
}

programs_build() {
	build queue ./killtest && build cmd/pacer . && build redispacer ./examples/... && build bench ./...
}

case $lane in
fast) fast ;;
long) fast && long ;;
consumer) run "each module as its users get it" consumer ;;
esac

say "summary"
for s in "${skipped[@]}"; do echo "SKIP: $s"; done
for f in "${failed[@]}"; do echo "FAIL: $f"; done
echo "${#failed[@]} failed, ${#skipped[@]} skipped, $SECONDS s"
[ ${#failed[@]} -eq 0 ]
