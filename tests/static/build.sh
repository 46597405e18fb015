#!/bin/sh
# Builds the static binary, target/static/hoist, for the architecture of this machine.
#
# With rustup's musl target this is an ordinary build, and with its rust-src beside it one that builds the
# standard library too, which makes the binary smaller: without what reads debug information that is
# not there. Without the target, Debian's rustc-web, cargo-web and rust-web-src can do the same. Debian's
# compiler has no C runtime for musl of its own, hence musl-gcc links, and libgcc's unwinder stands in
# for LLVM's under the name that the standard library asks for.
set -eu
cd "$(dirname "$0")/../.."

die() { printf 'make static: %s\n' "$*" >&2; exit 1; }

target=$(uname -m)-unknown-linux-musl
out=${CARGO_TARGET_DIR:-target}/static
variable=$(printf '%s' "$target" | tr a-z- A-Z_)
sources=lib/rustlib/src/rust/library/std

# ring has C and assembly in it.
if command -v musl-gcc >/dev/null; then
    cc=musl-gcc
elif ls /lib/ld-musl-*.so.1 >/dev/null 2>&1; then
    cc=cc
else
    die 'no C compiler for musl: install musl-tools'
fi
export "CC_$(printf '%s' "$target" | tr - _)=$cc"
# No panic passes through C.
export "CFLAGS_$(printf '%s' "$target" | tr - _)=${CFLAGS:-} -fno-asynchronous-unwind-tables"

# musl-gcc would ask for a dynamic linker in a position-independent executable; without one nothing is
# left to relocate at the start.
flags='-C relocation-model=static'
if [ -e "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
    set -- cargo
    if [ -d "$(rustc --print sysroot)/$sources" ]; then
        own_std=yes
    else
        echo 'make static: above 4 MiB; `rustup component add rust-src` makes it smaller' >&2
    fi
elif [ -d "/usr/$sources" ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ]; then
    # Another folder when the C changes: cargo does not look into it, but links again.
    lib=$out/lib-$(cksum <tests/static/dl_find_object.c | cut -d ' ' -f 1)
    mkdir -p "$lib"
    $cc -Wall -Wextra -Werror -Os -c tests/static/dl_find_object.c -o "$lib/dl_find_object.o"
    cat "$(gcc -print-file-name=libgcc_eh.a)" >"$lib/libunwind.a"
    ar r "$lib/libunwind.a" "$lib/dl_find_object.o"
    export RUSTC=/usr/bin/rustc "CARGO_TARGET_${variable}_LINKER=$cc"
    flags="$flags -C link-self-contained=no -L native=$(cd "$lib" && pwd)"
    own_std=yes
    set -- /usr/bin/cargo
else
    die "no Rust for musl: \`rustup target add $target\`, or on Debian \`apt-get install rustc-web cargo-web rust-web-src\`"
fi

export "CARGO_TARGET_${variable}_RUSTFLAGS=$flags"
if [ "${own_std:-no}" = yes ]; then
    export RUSTC_BOOTSTRAP=1
    set -- "$@" -Z build-std=std -Z build-std-features=panic-unwind,optimize_for_size
fi

# Everything is put together with the crate that is built last, at its level: below 2 no loop becomes
# vector code any more, not even in what is compiled for speed.
"$@" rustc --quiet --locked --profile static --bin hoist --target "$target" --target-dir "$out/build" \
    -- -C opt-level=3
rm -f "$out/hoist" # It may be running.
cp "$out/build/$target/static/hoist" "$out/hoist"

if command -v readelf >/dev/null && readelf -lW "$out/hoist" | grep -q INTERP; then
    die "$out/hoist asks for a dynamic linker"
fi
printf '%s: %s KiB, static\n' "$out/hoist" "$(($(wc -c <"$out/hoist") / 1024))"
