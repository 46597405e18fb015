//! The user's folders, as the XDG base directory specification has them: one that is relative does not
//! count.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::cli::args::Args;

type Environment = BTreeMap<OsString, OsString>;

/// Where settings are looked for.
pub(crate) fn config(env: &Environment) -> Option<PathBuf> {
    let folder = absolute(env, "XDG_CONFIG_HOME").or_else(|| Some(home(env)?.join(".config")))?;
    Some(folder.join("hoist"))
}

/// What is learned for later pushes goes there. No home is made for that where there is none.
pub(crate) fn cache(args: &Args, env: &Environment) -> Option<PathBuf> {
    if args.no_cache {
        return None;
    }
    let usual = || beside(env, "XDG_CACHE_HOME", ".cache");
    args.cache_dir.clone().or_else(usual)
}

/// What the next push goes on with lies there. No home is made for that either.
pub(crate) fn state(args: &Args, env: &Environment) -> Option<PathBuf> {
    if args.no_state {
        return None;
    }
    let usual = || beside(env, "XDG_STATE_HOME", ".local/state");
    args.state_dir.clone().or_else(usual)
}

/// Our folder in the one that `variable` names, or else in a home that is there.
fn beside(env: &Environment, variable: &str, usual: &str) -> Option<PathBuf> {
    let home = || home(env).filter(|home| home.is_dir());
    let folder = absolute(env, variable).or_else(|| Some(home()?.join(usual)))?;
    Some(folder.join("hoist"))
}

fn home(env: &Environment) -> Option<PathBuf> {
    absolute(env, "HOME")
}

fn absolute(env: &Environment, name: &str) -> Option<PathBuf> {
    let found = env.get(OsStr::new(name)).map(PathBuf::from);
    found.filter(|path| path.is_absolute())
}
