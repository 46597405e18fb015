//! The integration tests: one binary, one file per feature.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod archives;
mod bad_layouts;
mod bad_packed;
mod bad_registries;
mod bad_sources;
mod bad_tar;
mod certificates;
mod changing;
mod cli;
mod cli_list;
mod cli_push;
mod cli_serve;
mod cli_terminal;
mod compress;
mod credentials;
mod discovery;
mod fixtures;
mod interrupted;
mod logins;
mod memory;
mod naming;
mod net;
mod packed;
mod partial;
mod proxies;
mod push;
mod secrets;
mod serve;
mod settings;
mod skopeo_dir;
mod sources;
mod static_binary;
mod stdin;
mod support;
mod tidy;
mod trouble;
mod wire;
mod wire_answers;
mod wire_checks;
mod wire_push;
mod wire_reach;
mod wire_resume;
mod wire_uploads;
mod without;
