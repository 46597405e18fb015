//! `hoist logout`: takes the login of a registry out of the files and helpers that keep it.

use crate::cli::results::{OWNER, write_file};
use crate::cli::settings::Settings;
use crate::cli::usage::UsageError;
use crate::cli::{Exit, Streams, Surroundings, identity, logging, login, summary};
use crate::image::reference::Host;
use crate::observe::text::safe;
use crate::registry::keychain::Keeper;

const USAGE: &str = "hoist logout HOST";

pub(crate) fn run(settings: &Settings, around: Surroundings, mut streams: Streams) -> Exit {
    let host = match login::host(settings, USAGE) {
        Ok(host) => host,
        Err(error) => return streams.refuse(&error),
    };
    let args = match settings.args(Some(&host)) {
        Ok(args) => args,
        Err(error) => return streams.refuse(&error),
    };
    logging::start(logging::Filter::of(&args), &streams.console);
    let keepers = Keeper::for_logout(&host, &identity::whereabouts(&args, &around));
    let (mut keepers, warnings) = match keepers {
        Ok(found) => found,
        Err(why) => return streams.refuse(&UsageError::new(why)),
    };
    for warning in warnings.iter().filter(|_| !streams.quiet) {
        streams.console.line(&safe(&format!("warning: {warning}")));
    }
    let mut places = Vec::new();
    let mut exit = Exit::Done;
    for keeper in &mut keepers {
        let outcome = forget(keeper);
        places.extend(outcome.places);
        if let Some(trouble) = outcome.trouble {
            let message = format!("logout from {host} failed: {trouble}");
            summary::error(&streams.console, &message, None);
            exit = Exit::Failed;
        }
    }
    let line = told(&host, &places, &keepers);
    streams.conclude(&(safe(&line) + "\n"), exit)
}

struct Outcome {
    places: Vec<String>,
    trouble: Option<String>,
}

fn forget(keeper: &mut Keeper) -> Outcome {
    let exists = keeper.existing().is_some();
    let _turn = exists.then(|| login::folder(keeper.path()));
    let removed = match keeper.forget() {
        Ok(removed) => removed,
        Err(why) => {
            return Outcome {
                places: Vec::new(),
                trouble: Some(why),
            };
        }
    };
    let written = removed
        .text
        .as_ref()
        .map(|text| write_file(&removed.path, text, OWNER));
    let mut outcome = Outcome {
        places: removed.places,
        trouble: removed.trouble,
    };
    if let Some(Err(error)) = written {
        outcome.places.remove(0);
        outcome.trouble = Some(format!(
            "writing {} failed: {error}",
            removed.path.display()
        ));
    }
    outcome
}

/// One line: where it was, or where it was looked for.
fn told(host: &Host, places: &[String], keepers: &[Keeper]) -> String {
    if !places.is_empty() {
        return format!(
            "logged out from {host}, removed from {}",
            places.join(" and ")
        );
    }
    let files: Vec<&str> = keepers.iter().filter_map(Keeper::existing).collect();
    match files.is_empty() {
        true => format!("nothing to remove: no file with logins is there, for {host} or another"),
        false => format!(
            "nothing to remove: no login to {host} in {}",
            files.join(", ")
        ),
    }
}
