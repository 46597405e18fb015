//! `--rename`, `--map` and `--tag`: what they say together, before anything is looked for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::usage::UsageError;
use crate::image::name::{Destination, Map, Naming, Rename};
use crate::image::reference::Tag;

/// Checks the rules against each other and the destination, and reads the map.
pub(crate) fn settle(
    renames: Vec<Rename>,
    map: Option<&Path>,
    extra_tags: Vec<Tag>,
    destination: &Destination,
) -> Result<Naming, UsageError> {
    if let Destination::Repository {
        host, repository, ..
    } = destination
    {
        let option = match (renames.is_empty(), map) {
            (_, Some(_)) => Some("--map"),
            (false, None) => Some("--rename"),
            (true, None) => None,
        };
        if let Some(option) = option {
            let message = format!(
                "{option} needs a destination that ends in /: {destination} is one repository"
            );
            return Err(UsageError::new(message).hint(format!("{host}/{repository}/")));
        }
    }
    for (position, rule) in renames.iter().enumerate() {
        if let Some(other) = renames[..position].iter().find(|o| o.contradicts(rule)) {
            return Err(UsageError::new(format!(
                "--rename {other} and --rename {rule} contradict each other"
            ))
            .hint("leave one of them out"));
        }
    }
    Ok(Naming {
        renames,
        map: map.map(read_map).transpose()?,
        extra_tags,
    })
}

fn read_map(path: &Path) -> Result<Map, UsageError> {
    let wrong = |why: String| UsageError::new(format!("--map {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let read = file.take(Map::MAX_SIZE + 1).read_to_end(&mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > Map::MAX_SIZE {
        let most = Map::MAX_SIZE >> 20;
        return Err(wrong(format!("has more than {most} MiB")));
    }
    Map::parse(path, &bytes).map_err(|why| {
        UsageError::new(format!("--map {why}")).hint("lines of SOURCE-NAME REPOSITORY[:TAG]")
    })
}
