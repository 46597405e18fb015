//! Blobs that lie in a file as they are, alone or in an archive, go from there to the registry.

use tempfile::tempdir;

use crate::support::archives::{Form, ImageSpec, LayerSpec, layout, oci_archive};
use crate::support::command::hoist;
use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::pushing::read_back;
use crate::support::registry::{Kind, Registry};

#[test]
fn a_cut_blob_is_taken_up_in_the_middle_of_its_file() {
    let dir = tempdir().unwrap();
    // More than what sockets hold, so that the cut is seen while the body goes out.
    let large = LayerSpec {
        seed: 1,
        size: 24 << 20,
        form: Some(Form::Plain),
    };
    let image = [ImageSpec::new("app:1").layer(2, 3_000).with(large)];
    let (folder, archive) = (dir.path().join("folder"), dir.path().join("archive"));
    layout(&folder, &image);
    oci_archive(&archive, &image);
    for path in [folder, archive] {
        let registry = Registry::start(Kind::Serve);
        let proxy = Proxy::to(registry.address());
        proxy.arm(Fault::cut(Up).after(9_000_000));
        let output = hoist(["push", "-o", "json"])
            .arg(&path)
            .arg(format!("{}/t/app:1", proxy.address()))
            .run()
            .expect_code(0);
        let report = output.json();
        read_back(&registry, &report);
        let blobs = report["images"][0]["blobs"].as_array().unwrap();
        let resumed = blobs.iter().filter_map(|blob| blob["resumed_at"].as_u64());
        let resumed: Vec<u64> = resumed.collect();
        assert!(matches!(resumed[..], [1..9_000_000]), "{output}");
    }
}
