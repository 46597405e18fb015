//! A home with what is lying about in one, and a registry that takes nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, Output, hoist};
use crate::support::scripted::{Scripted, Seen, answer, computed, on};

/// A home, an image to push, and a registry that takes nobody.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
    pub(crate) registry: Scripted,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempdir().unwrap();
        layout(&dir.path().join("image"), &ImageSpec::many("app", 1, 1, 10));
        let refusal = answer(401).header("WWW-Authenticate", "Basic realm=\"test\"");
        let registry = Scripted::start([on("*", "/").then(refusal)]);
        Self { dir, registry }
    }

    /// With a registry that asks everybody, and takes what they say.
    pub(crate) fn welcome() -> Self {
        let ask = answer(401).header("WWW-Authenticate", "Basic realm=\"test\"");
        let asks = move |seen: &Seen| match (seen.header("authorization"), seen.target.as_str()) {
            (None, _) => ask.clone(),
            (Some(_), "/v2/") => answer(200),
            (Some(_), _) => answer(501),
        };
        let registry = Scripted::start([on("*", "/").then(computed(asks))]);
        Self {
            registry,
            ..Self::new()
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn host(&self) -> String {
        self.registry.address().to_string()
    }

    /// Writes files, mode 0600: `HOST` in a text is the registry's name, `BASE64(x)` what it says.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, self.filled(text)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub(crate) fn filled(&self, text: &str) -> String {
        let mut text = text
            .replace("HOST", &self.host())
            .replace("HOME", self.dir.path().to_str().unwrap());
        while let Some(start) = text.find("BASE64(") {
            let end = start + text[start..].find(')').unwrap();
            let packed = STANDARD.encode(&text[start + 7..end]);
            text.replace_range(start..=end, &packed);
        }
        text
    }

    pub(crate) fn push(&self, env: &[(&str, &str)], args: &[&str]) -> Command {
        let command = hoist(["push", "-v", "--retries", "0", "--progress", "none"])
            .args(args.iter().map(|arg| self.filled(arg)))
            .arg(self.path("image"))
            .arg(format!("{}/team/", self.host()));
        self.at_home(command, env)
    }

    /// `hoist login` or `hoist logout`, and the registry.
    pub(crate) fn log(&self, inout: &str, env: &[(&str, &str)], args: &[&str]) -> Command {
        let command = hoist([inout])
            .args(args.iter().map(|arg| self.filled(arg)))
            .arg(self.host());
        self.at_home(command, env)
    }

    pub(crate) fn at_home(&self, command: Command, env: &[(&str, &str)]) -> Command {
        let mut command = command
            .env("HOME", self.dir.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin")))
            .env("HELPER_STATE", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.path("run"));
        for (name, value) in env {
            command = command.env(name, self.filled(value));
        }
        command
    }

    /// `docker-credential-SUFFIX`, which behaves by its name.
    pub(crate) fn helper(&self, suffix: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/credential-helper.sh");
        fs::create_dir_all(self.path("bin")).unwrap();
        let program = format!("bin/docker-credential-{suffix}");
        symlink(script, self.path(&program)).unwrap();
    }

    /// The last `user:password` that the registry was shown.
    pub(crate) fn shown(&self) -> Option<String> {
        let seen = self.registry.requests();
        let header = seen
            .iter()
            .rev()
            .find_map(|seen| seen.header("authorization"))?;
        let packed = header.strip_prefix("Basic ").unwrap();
        Some(String::from_utf8(STANDARD.decode(packed).unwrap()).unwrap())
    }
}

/// Refused by the registry with credentials from there.
#[track_caller]
pub(crate) fn found(home: &Home, output: Output, origin: &str, pair: &str) -> Output {
    let expected = format!(
        "credentials for {} are from {}\n",
        home.host(),
        home.filled(origin)
    );
    let output = output.expect_code(4).expect_stderr(&expected);
    assert_eq!(home.shown().as_deref(), Some(pair), "{output}");
    output
}
