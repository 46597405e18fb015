//! Where a login is kept, and how it gets there and away: which file, which helper, what text.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::image::reference::Host;
use crate::registry::credentials::{IDENTITY, Login};
use crate::registry::keychain::document::{Document, HelperName};
use crate::registry::keychain::edit;
use crate::registry::keychain::places::{At, DOCKER_AUTH_CONFIG, Place, Whereabouts};
use crate::registry::keychain::programs::{Programs, program};
use crate::registry::keychain::read_if_there;
use crate::registry::keychain::server::Server;

/// One file, as it was read, that is to keep the login of one registry, or to lose it.
pub struct Keeper {
    server: Server,
    path: PathBuf,
    place: Place,
    exists: bool,
    text: Zeroizing<String>,
    helper: Option<HelperName>,
    programs: Programs,
    /// What somebody should know about places that were passed over.
    pub warnings: Vec<String>,
}

/// What is left to do: write this text to that file.
pub struct Kept {
    pub path: PathBuf,
    /// `None` where it is that already.
    pub text: Option<Zeroizing<String>>,
    /// Where the secret is now, for people.
    pub place: String,
}

/// What a logout takes away.
pub struct Removed {
    pub path: PathBuf,
    /// The new text, where entries go.
    pub text: Option<Zeroizing<String>>,
    /// Where the secret was, for people.
    pub places: Vec<String>,
    /// What went wrong with the helper.
    pub trouble: Option<String>,
}

impl Keeper {
    /// For a login: the named file, else the first one of the order that has the host, else docker's.
    ///
    /// # Errors
    /// A sentence: there is no such file, or it cannot be read and must not be written over.
    pub fn for_login(host: &Host, whereabouts: &Whereabouts<'_>) -> Result<Self, String> {
        if let Some(place) = whereabouts.named() {
            return Self::open(host, place, whereabouts);
        }
        let server = Server::new(host);
        let mut warnings = Vec::new();
        for place in whereabouts.all() {
            if place.at == At::Variable {
                warnings.extend(shadow(&server, host, whereabouts));
                continue;
            }
            match Self::open(host, place, whereabouts) {
                Ok(keeper) if keeper.names_host() => return Ok(Self { warnings, ..keeper }),
                Ok(_) => {}
                Err(why) => warnings.push(format!("{why}: passed over")),
            }
        }
        let Some(place) = whereabouts.dockers() else {
            return Err(
                "there is no file to keep the login in: neither HOME nor DOCKER_CONFIG is set"
                    .to_owned(),
            );
        };
        let keeper = Self::open(host, place, whereabouts)?;
        Ok(Self { warnings, ..keeper })
    }

    /// For a logout: the named file, else all of the order.
    ///
    /// # Errors
    /// A sentence: the named one is damaged.
    pub fn for_logout(
        host: &Host,
        whereabouts: &Whereabouts<'_>,
    ) -> Result<(Vec<Self>, Vec<String>), String> {
        let server = Server::new(host);
        let mut warnings: Vec<String> = shadow(&server, host, whereabouts).into_iter().collect();
        let mut keepers = Vec::new();
        if let Some(place) = whereabouts.named() {
            return Ok((vec![Self::open(host, place, whereabouts)?], warnings));
        }
        let files = whereabouts.all().into_iter();
        for place in files.filter(|place| place.at != At::Variable) {
            match Self::open(host, place, whereabouts) {
                Ok(keeper) => keepers.push(keeper),
                Err(why) => warnings.push(format!("{why}: left as it is")),
            }
        }
        Ok((keepers, warnings))
    }

    fn open(host: &Host, place: Place, whereabouts: &Whereabouts<'_>) -> Result<Self, String> {
        let path = match &place.at {
            At::File(path) => path.clone(),
            At::Variable => PathBuf::new(),
        };
        let mut keeper = Self {
            server: Server::new(host),
            path,
            place,
            exists: false,
            text: Zeroizing::default(),
            helper: None,
            programs: Programs::new(whereabouts.env, whereabouts.stop),
            warnings: Vec::new(),
        };
        keeper.read()?;
        Ok(keeper)
    }

    fn read(&mut self) -> Result<(), String> {
        let place = &self.place;
        let content = read_if_there(&self.path, place.by.is_some());
        let content = content.map_err(|why| format!("{place}: {why}"))?;
        self.exists = content.is_some();
        self.text = content.map(|content| content.text).unwrap_or_default();
        let document = Document::parse(&self.text);
        let helper = document.and_then(|document| document.helper(&self.server));
        self.helper = helper.map_err(|damage| format!("{place} {damage}"))?;
        Ok(())
    }

    fn names_host(&self) -> bool {
        Document::parse(&self.text).is_ok_and(|document| document.names(&self.server))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path as people write it, where there is such a file.
    pub fn existing(&self) -> Option<&str> {
        self.exists.then(|| self.place.path_shown())
    }

    /// Reads the file again, gives the login to the helper, if there is one, and says what the file is to
    /// hold.
    ///
    /// # Errors
    /// A sentence: the helper does not take it.
    pub fn keep(&mut self, login: &Login) -> Result<Kept, String> {
        self.read()?;
        let damaged = |damage| format!("{} {damage}", self.place);
        let Some(HelperName { suffix, field }) = &self.helper else {
            let text = edit::put(&self.text, &self.server, Some(login)).map_err(damaged)?;
            return Ok(self.kept(text, self.place.path_shown().to_owned()));
        };
        let origin = format!("{} ({field} in {})", program(suffix), self.place);
        let (username, secret) = match login {
            Login::Password { username, password } => (username.as_str(), password),
            Login::IdentityToken(token) => (IDENTITY, token),
            Login::Bearer(_) => {
                return Err(format!(
                    "{origin} keeps passwords and identity tokens, and this is neither"
                ));
            }
        };
        let text = edit::put(&self.text, &self.server, None).map_err(damaged)?;
        let stored = self
            .programs
            .store(suffix, self.server.key(), username, secret);
        stored.map_err(|trouble| format!("{origin} {trouble}"))?;
        Ok(self.kept(text, origin))
    }

    fn kept(&self, text: Zeroizing<String>, place: String) -> Kept {
        Kept {
            path: self.path.clone(),
            text: (text != self.text).then_some(text),
            place,
        }
    }

    /// Reads the file again, has the helper forget the login, if there is one, and says what the file is
    /// to hold.
    ///
    /// # Errors
    /// A sentence: the file is damaged.
    pub fn forget(&mut self) -> Result<Removed, String> {
        self.read()?;
        let mut places = Vec::new();
        let text = edit::remove(&self.text, &self.server);
        let text = text.map_err(|damage| format!("{} {damage}", self.place))?;
        if text.is_some() {
            places.push(self.place.path_shown().to_owned());
        }
        let mut trouble = None;
        if let Some(HelperName { suffix, field }) = &self.helper {
            let origin = format!("{} ({field} in {})", program(suffix), self.place);
            match self.programs.erase(suffix, self.server.key()) {
                Ok(true) => places.push(origin),
                Ok(false) => {}
                Err(why) => trouble = Some(format!("{origin} {why}")),
            }
        }
        Ok(Removed {
            path: self.path.clone(),
            text,
            places,
            trouble,
        })
    }
}

/// A variable cannot be written to, and what it says counts before the usual files.
fn shadow(server: &Server, host: &Host, whereabouts: &Whereabouts<'_>) -> Option<String> {
    let text = whereabouts.variable(DOCKER_AUTH_CONFIG)?.to_str()?;
    let names = Document::parse(text).is_ok_and(|document| document.names(server));
    names.then(|| format!("{DOCKER_AUTH_CONFIG} has credentials for {host} too, and counts before the files of docker and podman"))
}
