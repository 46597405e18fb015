//! What hoist compresses is opened by other people's programs, whole and as one member.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hoist::image::compress::{Compressor, Method};
use hoist::image::digest::Digest;
use hoist::image::source::StreamBody as _;
use hoist::pool::workers::Workers;

use crate::support::archives::{ImageSpec, docker_archive};
use crate::support::programs::{on_path, program};
use crate::support::pushing::push;
use crate::support::registry::{Kind, Registry};

/// Each reads gzip on standard input and writes what was in it. The one in Python stops at the end of the
/// first member and fails when anything is behind it.
const OPENERS: &[(&str, &[&str])] = &[
    ("gunzip", &["-c"]),
    ("pigz", &["-dc"]),
    ("zstd", &["-dc", "--format=gzip"]),
    (
        "python3",
        &[
            "-c",
            "import sys, zlib\n\
             one = zlib.decompressobj(wbits=31)\n\
             sys.stdout.buffer.write(one.decompress(sys.stdin.buffer.read()))\n\
             sys.exit(0 if one.eof and not one.unused_data else 'not one member')",
        ],
    ),
];

#[test]
fn other_programs_open_compressed_layers() {
    let compressor = Compressor::new(Arc::new(Workers::new("pack", 2).unwrap()));
    for (name, plain) in [
        ("nothing", Vec::new()),
        ("text over a block's end", text((1 << 20) + 1)),
        ("three blocks", text(3 << 20)),
    ] {
        let plain: Arc<[u8]> = plain.into();
        for level in [0, 1, 2, 9] {
            let method = Method::Gzip { level };
            let layer = compressor.layer(Arc::clone(&plain), Digest::of(&plain), method);
            let (mut stream, mut packed) = (layer.open().unwrap(), Vec::new());
            stream.read_to_end(&mut packed).unwrap();
            assert_eq!(stream.finish().unwrap().digest, Digest::of(&packed));
            for (opener, args) in OPENERS {
                if let Some(program) = on_path(opener) {
                    let opened = run(&program, args, &packed);
                    assert!(opened == *plain, "{opener} on {name} at level {level}");
                }
            }
        }
    }
}

#[test]
fn other_programs_open_layers_of_zstd() {
    let Some(program) = on_path("zstd") else {
        return;
    };
    let compressor = Compressor::new(Arc::new(Workers::new("pack", 2).unwrap()));
    for (size, level) in [
        (0, 3),
        (1, 19),
        (4 << 20, 1),
        ((8 << 20) + 1, 3),
        (9 << 20, 9),
    ] {
        let plain: Arc<[u8]> = text(size).into();
        let method = Method::Zstd { level };
        let layer = compressor.layer(Arc::clone(&plain), Digest::of(&plain), method);
        let (mut stream, mut packed) = (layer.open().unwrap(), Vec::new());
        stream.read_to_end(&mut packed).unwrap();
        // The window that every decoder should have: RFC 8878, section 3.1.1.1.2.
        let opened = run(&program, &["-dc", "--memory=8MiB"], &packed);
        assert!(opened == *plain, "{size} bytes at level {level}");
    }
}

/// As a runtime does: fetch the image, decompress its layers.
#[test]
fn skopeo_unpacks_layers_of_zstd() {
    let Some(skopeo) = program("skopeo") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (archive, unpacked) = (dir.path().join("a.tar"), dir.path().join("unpacked"));
    let spec = ImageSpec::new("app:1").layer(1, (4 << 20) + 1).layer(2, 0);
    docker_archive(&archive, std::slice::from_ref(&spec));
    let registry = Registry::start(Kind::Serve);
    push(&archive, &registry, "app:1", &["--compression", "zstd"]).expect_code(0);
    let copied = Command::new(skopeo)
        .args(["copy", "--insecure-policy", "--src-tls-verify=false"])
        .arg("--dest-decompress")
        .arg(format!("docker://{}/app:1", registry.host()))
        .arg(format!("dir:{}", unpacked.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&copied.stderr);
    assert!(copied.status.success(), "{said}");
    for layer in &spec.layers {
        let diff_id = Digest::of(&layer.tar());
        let plain = std::fs::read(unpacked.join(diff_id.encoded())).unwrap();
        assert!(plain == layer.tar(), "{diff_id}");
    }
}

/// Lines of growing numbers with a pseudo-random one behind each.
fn text(size: usize) -> Vec<u8> {
    let line = |n: u64| format!("{n} {:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20);
    (0..)
        .flat_map(|n| line(n).into_bytes())
        .take(size)
        .collect()
}

fn run(program: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{}", program.display());
    output.stdout
}
