#!/bin/sh
# One push from end to end: builds hoist, starts its own registry on a free port, pushes the
# fixtures into it and lists what arrived. Needs cargo and a POSIX shell, leaves nothing behind.
set -eu
cd "$(dirname "$0")/.."

show() {
    printf '\n$ hoist %s\n' "$*"
    cargo run --quiet --locked -- "$@"
}

cargo build --locked

room=$(mktemp -d)
# Nothing of the user's is read or written.
export XDG_CONFIG_HOME="$room/config" XDG_CACHE_HOME="$room/cache" XDG_STATE_HOME="$room/state"
unset HOIST_CONFIG HOIST_CACHE_DIR HOIST_STATE_DIR
server=
cleanup() {
    status=$?
    trap - EXIT INT TERM
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$room"
    [ "$status" -eq 0 ] || printf 'demo: failed (%s)\n' "$status" >&2
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The registry says on its standard output where it listens; a pipe lets us wait for that line.
mkfifo "$room/said"
printf '\n$ hoist serve --listen 127.0.0.1:0 %s\n' "$room/registry"
# `cargo run` replaces itself with hoist, so this is the process to end.
cargo run --quiet --locked -- serve --listen 127.0.0.1:0 "$room/registry" >"$room/said" &
server=$!
exec 3<"$room/said"
read -r said <&3 || { echo 'demo: the registry did not start' >&2; exit 1; }
printf '%s\n' "$said"
port=${said##*:}
port=${port%%[!0-9]*}

show push --progress plain fixtures/ "localhost:$port/demo/"
show list "$room/registry" >"$room/listed"
cat "$room/listed"
grep -q 'demo/' "$room/listed" || { echo 'demo: nothing arrived' >&2; exit 1; }

# What was sent once is not sent again.
show push --progress plain fixtures/ "localhost:$port/demo/"
