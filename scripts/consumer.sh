#!/usr/bin/env bash
# Does what a user of the published modules does, outside the checkout:
#
#	scripts/consumer.sh              all published modules, and the programs of the documents
#	scripts/consumer.sh -get         only "go get", of all of them
#	scripts/consumer.sh -get queue   only "go get", of the module in queue
#
# Module zips of the files here, committed or not, are served from a folder, at the version
# that the go.mod files require of each other. tools/consumer has the steps.
# The first run takes minutes: it compiles twilio-go and SQLite anew. It needs git.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t published < <(scripts/release.sh --modules)
GOWORK=off exec go -C tools run ./consumer -root "$PWD" -published "${published[*]}" "$@"
