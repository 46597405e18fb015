#!/bin/sh
# Builds the static binary, target/static/hoist, for the architecture of this machine.
#
# With rustup's musl target this is an ordinary build. Without it, Debian's rustc-web, cargo-web and
# rust-web-src can do it: they bring the sources of the standard library, which cargo then builds
# for musl. Debian's compiler has no C runtime for musl of its own, hence musl-gcc links, and libgcc's
# unwinder stands in for LLVM's under the name that the standard library asks for.
set -eu
cd "$(dirname "$0")/../.."

die() { printf 'make static: %s\n' "$*" >&2; exit 1; }

target=$(uname -m)-unknown-linux-musl
out=${CARGO_TARGET_DIR:-target}/static
variable=$(printf '%s' "$target" | tr a-z- A-Z_)
debian=/usr/lib/rustlib/src/rust/library/std

# ring has C and assembly in it.
if command -v musl-gcc >/dev/null; then
    cc=musl-gcc
elif ls /lib/ld-musl-*.so.1 >/dev/null 2>&1; then
    cc=cc
else
    die 'no C compiler for musl: install musl-tools'
fi
export "CC_$(printf '%s' "$target" | tr - _)=$cc"

if [ -e "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
    set -- cargo
elif [ -d "$debian" ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ]; then
    # Another folder when the C changes: cargo does not look into it, but links again.
    lib=$out/lib-$(cksum <tests/static/dl_find_object.c | cut -d ' ' -f 1)
    mkdir -p "$lib"
    $cc -Wall -Wextra -Werror -Os -c tests/static/dl_find_object.c -o "$lib/dl_find_object.o"
    cat "$(gcc -print-file-name=libgcc_eh.a)" >"$lib/libunwind.a"
    ar r "$lib/libunwind.a" "$lib/dl_find_object.o"
    # musl-gcc would ask for a dynamic linker in a position-independent executable.
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "CARGO_TARGET_${variable}_LINKER=$cc"
    export "CARGO_TARGET_${variable}_RUSTFLAGS=-C link-self-contained=no -C relocation-model=static -L native=$(cd "$lib" && pwd)"
    set -- /usr/bin/cargo -Z build-std=std
else
    die "no Rust for musl: \`rustup target add $target\`, or on Debian \`apt-get install rustc-web cargo-web rust-web-src\`"
fi

"$@" build --quiet --locked --release --bin hoist --target "$target" --target-dir "$out/build"
rm -f "$out/hoist" # It may be running.
cp "$out/build/$target/release/hoist" "$out/hoist"

if command -v readelf >/dev/null && readelf -lW "$out/hoist" | grep -q INTERP; then
    die "$out/hoist asks for a dynamic linker"
fi
printf '%s: %s KiB, static\n' "$out/hoist" "$(($(wc -c <"$out/hoist") / 1024))"
