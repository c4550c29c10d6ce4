#!/usr/bin/env bash
# Releases all published modules at one version. "scripts/release.sh --help" says how.
set -euo pipefail
cd "$(dirname "$0")/.."

# The modules that a release tags, by folder, and those that it does not tag.
published=(. queue redispacer otelpacer otelpacer/otelqueue)
unpublished=(bench cmd/pacer compat tools)

usage() {
	cat <<'EOF'
usage: scripts/release.sh [--really | --skip-tests] vX.Y.Z
       scripts/release.sh --modules

Releases every published module at version vX.Y.Z. Without --really it is a dry run: it
does all of the work and shows what would be released, and changes nothing here.

The work is done in a temporary worktree of HEAD:
  1. Every "require" of one of our modules gets the version. The "replace" lines stay,
     since the checkout needs them. Go ignores them in a module that somebody fetches.
  2. "go mod tidy" runs in every module that this has changed.
  3. CHANGELOG.md: what is under "Unreleased" gets the version and the date of today.
  4. "./test.sh long" runs. It must pass, and change no file.
With --really the commit and its tags then come to your branch, all at once:
     vX.Y.Z for the root, queue/vX.Y.Z for the module in queue, and so on.
Nothing is pushed. The command that pushes is printed at the end.

Refused are: a version that is not vX.Y.Z or not above the last tag, changes that are not
committed, an "Unreleased" without an entry, and a module that this script does not know.

  --really      Make the commit and the tags.
  --skip-tests  Leave out step 4. Only in a dry run.
  --modules     Print the folders of the published modules, one a line.
  --help        Print this.

RELEASING.md has what comes before and after, and how a release is taken back.
EOF
}

fail() {
	echo "release.sh: $*" >&2
	exit 1
}

really='' skip_tests='' version=''
while [ $# -gt 0 ]; do
	case $1 in
	--help | -h) usage; exit ;;
	--modules) printf '%s\n' "${published[@]}"; exit ;;
	--really) really=1 ;;
	--skip-tests) skip_tests=1 ;;
	-*) fail "$1: there is no such flag; see scripts/release.sh --help" ;;
	*)
		[ -z "$version" ] || fail "two versions, $version and $1: expected one"
		version=$1
		;;
	esac
	shift
done
[ -n "$version" ] || { usage >&2; exit 2; }
[ -z "$really" ] || [ -z "$skip_tests" ] || fail "--skip-tests with --really: a release is tested; leave one of the two out"

# The version.
number='(0|[1-9][0-9]*)'
[[ $version =~ ^v$number\.$number\.$number$ ]] || fail "$version: expected vX.Y.Z, such as v0.2.0"
[ "${BASH_REMATCH[1]}" -lt 2 ] || fail "$version: from v2 on the path of every module ends in /v2; change the paths first"
[ "$version" != v0.0.0 ] || fail "v0.0.0: expected a version above it"
last=$(git tag --list 'v*' | grep -E "^v$number\.$number\.$number$" | sort -V | tail -n 1) || last=''
[ -z "$last" ] || { [ "$version" != "$last" ] && [ "$(printf '%s\n' "$last" "$version" | sort -V | tail -n 1)" = "$version" ]; } ||
	fail "$version: expected a version above the last tag, $last"
tags=()
for m in "${published[@]}"; do
	tag=${m#.}/$version # a module in a folder has the folder before its version
	tags+=("${tag#/}")
done
for tag in "${tags[@]}"; do
	! git rev-parse -q --verify "refs/tags/$tag" >/dev/null || fail "tag $tag exists already: choose a higher version"
done

# The tree.
branch=$(git symbolic-ref -q --short HEAD) || fail "no branch is checked out: the release's commit needs one"
changes=$(git status --porcelain)
[ -z "$changes" ] || fail "these changes are not committed; commit or remove them first:"$'\n'"$changes"
while read -r file; do
	dir=$(dirname "$file")
	[[ " ${published[*]} ${unpublished[*]} " == *" $dir "* ]] ||
		fail "$file: is this module published? Add $dir to one of the two lists at the top of scripts/release.sh"
done < <(git ls-files -- go.mod '*/go.mod')

# The changelog.
awk '/^## /{on = /^## \[Unreleased\]$/} on && /^- /{found = 1} END{exit !found}' CHANGELOG.md ||
	fail 'CHANGELOG.md has no entry ("- ...") under "## [Unreleased]": say what the release changes for its users'
repository=$(sed -nE 's#^\[Unreleased\]: (https://.*)/(commits|compare)/.*#\1#p' CHANGELOG.md)
[ -n "$repository" ] || fail 'CHANGELOG.md has no line "[Unreleased]: https://.../compare/...": it becomes the links of the versions'

root=$PWD dir=$(mktemp -d)
trap 'cd "$root"; git worktree remove --force "$dir/tree" 2>/dev/null; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/tree" HEAD
cd "$dir/tree"
export GOWORK=off

echo "== $version: requirements, go mod tidy, changelog"
paths=()
for m in "${published[@]}"; do paths+=("$(cd "$m" && go list -m)"); done
for m in "${published[@]}" "${unpublished[@]}"; do
	before=$(cat "$m/go.mod")
	for path in "${paths[@]}"; do
		if grep -qE "^(require)?[[:space:]]*$path v" "$m/go.mod"; then
			go -C "$m" mod edit -require="$path@$version"
		fi
	done
	# What names none of our modules needs no tidying, such as tools.
	[ "$before" = "$(cat "$m/go.mod")" ] || go -C "$m" mod tidy
done
awk -v version="${version#v}" -v date="$(date -u +%F)" -v repository="$repository" '
	/^## \[Unreleased\]$/ { print; print ""; print "## [" version "] - " date; next }
	/^\[Unreleased\]:/ {
		print "[Unreleased]: " repository "/compare/v" version "...HEAD"
		print "[" version "]: " repository "/releases/tag/v" version
		next
	}
	{ print }' CHANGELOG.md >"$dir/changelog"
cat "$dir/changelog" >CHANGELOG.md

# Only these may differ: a test that writes into the checkout is found here.
changed() { git status --porcelain | grep -vE '^ M (CHANGELOG\.md|(.*/)?go\.(mod|sum))$'; }
git diff >"$dir/before"
if [ -n "$skip_tests" ]; then
	echo "== !!! THE TESTS ARE SKIPPED (--skip-tests): this says nothing about whether $version works !!!"
else
	echo "== ./test.sh long"
	./test.sh long || fail "the tests have failed: nothing is released"
fi
! stray=$(changed) && git diff | cmp -s - "$dir/before" ||
	fail "the tests have changed files of the checkout: nothing is released"$'\n'"$stray"

echo "== what changes"
git --no-pager diff --stat
if [ -z "$really" ]; then
	git --no-pager diff -- CHANGELOG.md '*go.mod'
	echo "== a dry run: nothing was changed here. With --really there would be a commit on $branch, with these tags:"
	printf '%s\n' "${tags[@]}"
	[ -z "$skip_tests" ] || echo "== !!! THE TESTS WERE SKIPPED !!!"
	exit
fi

git commit --quiet --all --message "Release $version"
commit=$(git rev-parse HEAD)
cd "$root"
git merge --quiet --ff-only "$commit"
for tag in "${tags[@]}"; do git tag --annotate --message "$tag" "$tag" "$commit"; done
echo "== $version is commit $commit on $branch, with the tags ${tags[*]}"
echo "Nothing is pushed yet. This pushes it:"
echo "git push --atomic origin $branch ${tags[*]}"
