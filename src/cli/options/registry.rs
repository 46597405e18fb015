//! Options about the registry: who we are there, whom we trust, how we speak.

use crate::cli::args::Command;
use crate::cli::options::{Form, Opt, Scope};
use crate::cli::values;

/// Who speak to a registry.
pub(super) const REACHING: &[Command] = &[Command::Push, Command::Login];
/// Who look at credential files.
const LOOKING: &[Command] = &[Command::Push, Command::Login, Command::Logout];

pub(super) const REGISTRY: &[Opt] = &[
    Opt::value(
        "username",
        "NAME",
        |args, given| {
            args.username = Some(given.username()?);
            Ok(())
        },
        "log in as NAME, with the password from one of the next two or HOIST_PASSWORD",
    )
    .on(REACHING)
    .scope(Scope::Registry)
    .variable("HOIST_USERNAME")
    .short('u'),
    Opt::flag(
        "password-stdin",
        |args| args.password_stdin = true,
        "read the password from standard input (64 KiB at most, one line end at its end removed)",
    )
    .on(REACHING)
    .scope(Scope::Nowhere),
    Opt::value(
        "password-file",
        "FILE",
        |args, given| {
            args.password_file = Some(given.path()?);
            Ok(())
        },
        "read the password from FILE, in the same way",
    )
    .on(REACHING)
    .form(Form::Path)
    .scope(Scope::Registry),
    Opt::value(
        "token-file",
        "FILE",
        |args, given| {
            args.token_file = Some(given.path()?);
            Ok(())
        },
        "send the token in FILE instead of a password; with -u '<token>' it is an identity token, for which a token service gives others",
    )
    .on(REACHING)
    .form(Form::Path)
    .scope(Scope::Registry),
    Opt::value(
        "auth-file",
        "FILE",
        |args, given| {
            args.auth_file = Some(given.path()?);
            Ok(())
        },
        "look for credentials first in FILE, an auth.json of podman or a config.json of docker; login and logout change it",
    )
    .on(LOOKING)
    .form(Form::Path)
    .scope(Scope::Both),
    Opt::value(
        "ca-cert",
        "FILE",
        |args, given| {
            args.ca_certs.push(given.path()?);
            Ok(())
        },
        "trust the certificates in this PEM file too; repeatable",
    )
    .on(REACHING)
    .form(Form::Path)
    .repeatable()
    .scope(Scope::Both),
    Opt::value(
        "client-cert",
        "FILE",
        |args, given| {
            args.client_cert = Some(given.path()?);
            Ok(())
        },
        "show the certificate in this PEM file to the registry",
    )
    .on(REACHING)
    .form(Form::Path)
    .scope(Scope::Registry),
    Opt::value(
        "client-key",
        "FILE",
        |args, given| {
            args.client_key = Some(given.path()?);
            Ok(())
        },
        "its private key, unencrypted PEM; not needed where both are in one file",
    )
    .on(REACHING)
    .form(Form::Path)
    .scope(Scope::Registry),
    Opt::flag(
        "insecure",
        |args| args.insecure = true,
        "do not verify certificates, and use http where https does not answer",
    )
    .on(REACHING)
    .scope(Scope::Both)
    .variable("HOIST_INSECURE"),
    Opt::flag(
        "plain-http",
        |args| args.plain_http = true,
        "use http and nothing else (not needed for localhost)",
    )
    .on(REACHING)
    .scope(Scope::Both),
    Opt::value(
        "user-agent",
        "TEXT",
        |args, given| {
            args.user_agent = Some(given.parsed(values::user_agent)?);
            Ok(())
        },
        "what hoist calls itself in requests (default hoist/VERSION)",
    )
    .on(REACHING)
    .scope(Scope::Both),
];
