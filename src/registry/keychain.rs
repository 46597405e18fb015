//! The credentials that docker, podman and CI left on this machine: looked for in order, each place and
//! each helper asked once, and only when the registry wants to know who we are.

mod document;
mod edit;
mod file;
mod keep;
mod object;
mod places;
mod programs;
mod server;
#[cfg(test)]
pub(super) mod soak;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::image::reference::{Host, Repository};
use crate::observe::event::{Emit, Event};
use crate::registry::clock::Stop;
use crate::registry::credentials::{Credentials, Keychain, Login};
use crate::registry::keychain::document::{Document, HelperName, Said};
use crate::registry::keychain::file::Content;
use crate::registry::keychain::places::{At, DOCKER_AUTH_CONFIG, Place};
use crate::registry::keychain::programs::{Programs, program};
use crate::registry::keychain::server::Server;

pub use crate::registry::keychain::file::{LARGEST, read as read_file};
pub use crate::registry::keychain::keep::{Keeper, Kept, Removed};
pub use crate::registry::keychain::places::Whereabouts;

/// What the machine knows about one registry.
pub struct Keys {
    host: Host,
    /// These and no others.
    given: Option<Credentials>,
    server: Server,
    places: Vec<Place>,
    /// The text of [`DOCKER_AUTH_CONFIG`].
    variable: Option<Content>,
    programs: Programs,
    state: Mutex<State>,
}

/// What was found out so far. Held while a helper runs: whoever else wants to know has to wait.
#[derive(Default)]
struct State {
    /// By the number of the place; nothing where nothing could be read.
    contents: BTreeMap<usize, Option<Content>>,
    /// By the name of the helper.
    answers: BTreeMap<String, Option<Login>>,
    /// Sentences are for once.
    told: BTreeSet<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("host", &self.host)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// What somebody said about `host`: nothing else is looked at.
    pub fn given(host: &Host, credentials: Credentials) -> Self {
        Self {
            host: host.clone(),
            given: Some(credentials),
            server: Server::new(host),
            places: Vec::new(),
            variable: None,
            programs: Programs::new(&BTreeMap::new(), &Stop::default()),
            state: Mutex::default(),
        }
    }

    /// Reads what was named by flag or variable; all else waits until it is needed.
    ///
    /// # Errors
    /// A sentence: such a place is missing, cannot be read, or is damaged where it is about `host`.
    pub fn new(host: &Host, whereabouts: &Whereabouts<'_>) -> Result<Self, String> {
        let variable = whereabouts.variable(DOCKER_AUTH_CONFIG);
        let variable = variable.map(|text| Content {
            text: text.to_string_lossy().into_owned().into(),
            open_mode: None,
        });
        let keys = Self {
            host: host.clone(),
            given: None,
            server: Server::new(host),
            places: whereabouts.all(),
            variable,
            programs: Programs::new(whereabouts.env, whereabouts.stop),
            state: Mutex::default(),
        };
        keys.check()?;
        Ok(keys)
    }

    fn check(&self) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, place) in self.places.iter().enumerate() {
            if place.by.is_none() {
                continue;
            }
            let wrong = |why: &dyn fmt::Display| format!("{place}: {why}");
            let content = self.content(place).map_err(|why| wrong(&why))?;
            match &content {
                Some(content) => {
                    let document = Document::parse(&content.text);
                    let checked = document.and_then(|document| document.check(&self.server));
                    checked.map_err(|damage| format!("{place} {damage}"))?;
                }
                None if place.must_be_there() => return Err(wrong(&"is not there")),
                None => {}
            }
            state.contents.insert(number, content);
        }
        Ok(())
    }

    /// What is written there; nothing where there is nothing.
    fn content(&self, place: &Place) -> Result<Option<Content>, String> {
        match &place.at {
            At::Variable => Ok(self.variable.as_ref().map(|content| Content {
                text: content.text.clone(),
                open_mode: None,
            })),
            At::File(path) => read_if_there(path, place.by.is_some()),
        }
    }

    fn ask(
        &self,
        number: usize,
        repository: Option<&Repository>,
        asking: &mut Asking<'_>,
    ) -> Option<Credentials> {
        let place = &self.places[number];
        let said = self.said(number, repository, asking)?;
        if let Some(name) = &said.helper
            && let Some(found) = self.ask_helper(place, name, asking)
        {
            return Some(found);
        }
        match said.login? {
            Ok(login) => {
                let content = asking.state.contents.get(&number);
                let open_mode = content.and_then(|content| content.as_ref()?.open_mode);
                if let Some(mode) = open_mode {
                    asking.warn(format!(
                        "everybody on this machine can read the credentials in {place} (mode {mode:04o}): chmod 600 {}",
                        place.path_shown()
                    ));
                }
                let origin = place.to_string();
                Some(Credentials { login, origin })
            }
            Err(damage) => {
                asking.warn(format!("{place} is passed over: it {damage}"));
                None
            }
        }
    }

    fn said(
        &self,
        number: usize,
        repository: Option<&Repository>,
        asking: &mut Asking<'_>,
    ) -> Option<Said> {
        let place = &self.places[number];
        if !asking.state.contents.contains_key(&number) {
            let content = self.content(place).unwrap_or_else(|why| {
                asking.warn(format!("{place} is passed over: it {why}"));
                None
            });
            asking.state.contents.insert(number, content);
        }
        let content = asking.state.contents.get(&number)?.as_ref()?;
        let document = Document::parse(&content.text);
        let repository = repository.map(Repository::as_str);
        let said = document.and_then(|document| document.look_up(&self.server, repository));
        said.map_err(|damage| asking.warn(format!("{place} is passed over: it {damage}")))
            .ok()
    }

    /// Whether a place names a helper or credentials. One that cannot be read is left for whoever has to
    /// say so.
    fn may_say(&self, number: usize, repository: &Repository, state: &mut State) -> bool {
        let content = match state.contents.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => match self.content(&self.places[number]) {
                Ok(content) => unknown.insert(content),
                Err(_) => return false,
            },
        };
        let Some(content) = content else {
            return false;
        };
        let document = Document::parse(&content.text);
        let said = document.and_then(|document| {
            let repository = Some(repository.as_str());
            document.look_up(&self.server, repository)
        });
        said.is_ok_and(|said| said.helper.is_some() || said.login.is_some())
    }

    fn ask_helper(
        &self,
        place: &Place,
        name: &HelperName,
        asking: &mut Asking<'_>,
    ) -> Option<Credentials> {
        let HelperName { suffix, field } = name;
        let origin = format!("{} ({field} in {place})", program(suffix));
        if !asking.state.answers.contains_key(suffix) {
            let answer = self.programs.get(suffix, self.server.key());
            let answer = answer.unwrap_or_else(|trouble| {
                asking.warn(format!(
                    "{origin} {trouble}: other credentials are looked for"
                ));
                None
            });
            asking.state.answers.insert(suffix.clone(), answer);
        }
        let login = asking.state.answers.get(suffix)?.clone()?;
        Some(Credentials { login, origin })
    }
}

impl Keychain for Keys {
    fn find(&self, repository: Option<&Repository>, events: &dyn Emit) -> Option<Credentials> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asking = Asking {
            state: &mut state,
            events,
        };
        let mut places = 0..self.places.len();
        let found = self.given.clone();
        let found =
            found.or_else(|| places.find_map(|number| self.ask(number, repository, &mut asking)));
        let host = &self.host;
        asking.log(match &found {
            Some(found) => format!("credentials for {host} are from {}", found.origin),
            None => format!("there are no credentials for {host} on this machine"),
        });
        found
    }

    fn may_find(&self, repository: &Repository) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = 0..self.places.len();
        self.given.is_some() || places.any(|number| self.may_say(number, repository, &mut state))
    }
}

/// One search, and who hears of it.
struct Asking<'a> {
    state: &'a mut State,
    events: &'a dyn Emit,
}

impl Asking<'_> {
    fn warn(&mut self, message: String) {
        if self.state.told.insert(message.clone()) {
            self.events.emit(Event::Warning { message });
        }
    }

    fn log(&mut self, message: String) {
        if !self.state.told.contains(&message) {
            log::info!("{message}");
            self.state.told.insert(message);
        }
    }
}

/// One that is only looked for is as good as not there where its folder may not be looked into.
fn read_if_there(path: &Path, named: bool) -> Result<Option<Content>, String> {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match std::fs::metadata(path) {
        Ok(_) => file::read(path, named).map(Some),
        Err(error) => match error.kind() {
            NotFound | NotADirectory => Ok(None),
            PermissionDenied if !named => Ok(None),
            _ => Err(file::fault(&error)),
        },
    }
}
