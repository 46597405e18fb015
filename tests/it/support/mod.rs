//! What the tests share: registries, proxies, commands.

pub(crate) mod access;
pub(crate) mod archives;
pub(crate) mod command;
pub(crate) mod counting;
pub(crate) mod fault;
pub(crate) mod fronts;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod issuer;
pub(crate) mod members;
pub(crate) mod mounted;
pub(crate) mod names;
pub(crate) mod packing;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod pushing;
pub(crate) mod registry;
pub(crate) mod room;
pub(crate) mod scripted;
pub(crate) mod seeds;
pub(crate) mod site;
pub(crate) mod sources;
pub(crate) mod tls;
pub(crate) mod tunnels;
pub(crate) mod waiting;
