//! Examples out of `fixtures/`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::soak::outcome::CANARY;

/// One file of `fixtures/`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fs::read(path.join(name)).unwrap()
}

/// All files directly in `fixtures/` with this ending, by name.
pub(crate) fn fixtures(ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file() && path.to_string_lossy().ends_with(ending));
    paths.sort();
    assert!(!paths.is_empty(), "no fixture ends in {ending}");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// An example as it is read: for `@@` the secret, as it is, and for `@64` a login with it, as a
/// credential file has it; both only as values of a JSON object, and no user's name. What was mutated gives no secret then.
pub(crate) fn with_secrets(text: &str) -> String {
    let login = STANDARD.encode(format!("me:{CANARY}"));
    let text = text.replace(r#"sername":"@@""#, r#"sername":"me""#);
    let text = text.replace(r#":"@@""#, &format!(r#":"{CANARY}""#));
    text.replace(r#":"@64""#, &format!(r#":"{login}""#))
}
