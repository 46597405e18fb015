//! What the tests share: registries, proxies, commands.
