//! Documents as they are met, row by row: what is found for which repository.

use crate::image::reference::Host;
use crate::registry::credentials::Login;
use crate::registry::keychain::document::Document;
use crate::registry::keychain::server::Server;

/// `user password`, `identity TOKEN`, `bearer TOKEN`, `helper NAME (FIELD)`, nothing, or what is wrong.
fn said(text: &str, host: &str, repository: Option<&str>) -> String {
    let server = Server::new(&Host::parse(host).unwrap());
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(damage) => return format!("it {damage}"),
    };
    let said = match document.look_up(&server, repository) {
        Ok(said) => said,
        Err(damage) => return format!("it {damage}"),
    };
    let helper = said.helper.iter();
    let helper = helper.map(|name| format!("helper {} ({})", name.suffix, name.field));
    let login = said.login.iter().map(|login| match login {
        Ok(Login::Password { username, password }) => format!("{username} {}", password.expose()),
        Ok(Login::IdentityToken(token)) => format!("identity {}", token.expose()),
        Ok(Login::Bearer(token)) => format!("bearer {}", token.expose()),
        Err(damage) => damage.to_string(),
    });
    helper.chain(login).collect::<Vec<_>>().join(", ")
}

#[test]
fn entries_are_read_in_every_form() {
    // Aladdin:open sesame, RFC 7617 section 2.
    for (entry, expected) in [
        (
            r#"{"auth":"QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}"#,
            "Aladdin open sesame",
        ),
        // Without padding, with line ends, with a NUL at the end, with colons in the password.
        (
            r#"{"auth":"QWxhZGRpbjpvcGVuIHNlc2FtZQ"}"#,
            "Aladdin open sesame",
        ),
        (
            r#"{"auth":"QWxhZGRpbjpv\ncGVuIHNlc2FtZQ==\n"}"#,
            "Aladdin open sesame",
        ),
        (r#"{"auth":"dTpwAAA="}"#, "u p"),
        (r#"{"auth":"dTphOmI6"}"#, "u a:b:"),
        (r#"{"auth":"dTo="}"#, "u "),
        (r#"{"username":"u","password":"p"}"#, "u p"),
        (
            r#"{"auth":"dTpw","username":"x","password":"y","email":"e","serveraddress":"s"}"#,
            "u p",
        ),
        (r#"{"auth":"dTo=","identitytoken":"t"}"#, "identity t"),
        (r#"{"identitytoken":"t","registrytoken":"r"}"#, "bearer r"),
        (r#"{"auth":"PHRva2VuPjp0"}"#, "identity t"),
        (r#"{"username":"<token>","password":"t"}"#, "identity t"),
        // Signs that a helper has it, and what logging out may leave behind.
        ("{}", ""),
        ("null", ""),
        (r#"{"auth":""}"#, ""),
        (r#"{"auth":null,"username":""}"#, ""),
        (r#"{"auth":"Og=="}"#, ""),
        // Damage.
        ("7", "has auths.\"r.io\" that is no object"),
        (r#"["hunter2"]"#, "has auths.\"r.io\" that is no object"),
        (r#"{"auth":7}"#, "has auths.\"r.io\".auth that is no text"),
        (
            r#"{"auth":"hunter2!"}"#,
            "has auths.\"r.io\".auth that is not base64",
        ),
        (
            r#"{"auth":"/////w=="}"#,
            "has auths.\"r.io\".auth that is not UTF-8 inside its base64",
        ),
        (
            r#"{"auth":"aHVudGVyMg=="}"#,
            "has auths.\"r.io\".auth that has no colon inside its base64",
        ),
        (
            r#"{"auth":"OnA="}"#,
            "has auths.\"r.io\".auth that has no user name inside its base64",
        ),
        (
            r#"{"username":"u"}"#,
            "has auths.\"r.io\" with a username and no password",
        ),
        (
            r#"{"password":"hunter2"}"#,
            "has auths.\"r.io\" with a password and no username",
        ),
        (
            r#"{"registrytoken":"two words"}"#,
            "has auths.\"r.io\".registrytoken that is no token",
        ),
    ] {
        let text = format!(r#"{{"auths":{{"r.io":{entry}}}}}"#);
        assert_eq!(said(&text, "r.io", None), expected, "{entry}");
    }
}

#[test]
fn the_key_that_fits_best_is_taken() {
    let podman = r#"{"auths":{
        "r.io":{"auth":"aDpo"},
        "r.io/a":{"auth":"YTph"},
        "r.io/a/b":{"auth":"Yjpi"},
        "r.io/empty":{},
        "r.io:5000":{"auth":"cDpw"}}}"#;
    for (host, repository, expected) in [
        ("r.io", None, "h h"),
        ("r.io", Some("c"), "h h"),
        ("r.io", Some("a"), "a a"),
        ("r.io", Some("a/c"), "a a"),
        ("r.io", Some("a/b/c"), "b b"),
        ("r.io", Some("ab"), "h h"),
        ("r.io", Some("empty/x"), "h h"),
        ("r.io:5000", Some("a/b"), "p p"),
        ("other.io", Some("a"), ""),
    ] {
        assert_eq!(
            said(podman, host, repository),
            expected,
            "{host} {repository:?}"
        );
    }
    let docker = r#"{"auths":{
        "https://r.io/v1/":{"auth":"dTp1"},
        "https://index.docker.io/v1/":{"auth":"aDpo"},
        "https://x.io":{"auth":"eTp5"},
        "x.io":{"auth":"eDp4"},
        "d.io":{"auth":"MToy"},
        "d.io":{"auth":"Mzo0"}}}"#;
    for (host, expected) in [
        ("r.io", "u u"),
        ("docker.io", "h h"),
        ("registry-1.docker.io", "h h"),
        ("x.io", "x x"),
    ] {
        assert_eq!(said(docker, host, Some("a/b")), expected, "{host}");
    }
}

#[test]
fn a_hosts_own_helper_comes_first_and_an_empty_one_says_none() {
    for (fields, host, expected) in [
        (r#""credsStore":"pass""#, "r.io", "helper pass (credsStore)"),
        (
            r#""credsStore":"pass","credHelpers":{"r.io":"ecr-login"}"#,
            "r.io",
            "helper ecr-login (credHelpers)",
        ),
        (
            r#""credsStore":"pass","credHelpers":{"r.io":"ecr-login"}"#,
            "s.io",
            "helper pass (credsStore)",
        ),
        (
            r#""credsStore":"pass","credHelpers":{"r.io":""}"#,
            "r.io",
            "",
        ),
        (
            r#""credHelpers":{"https://index.docker.io/v1/":"hub"}"#,
            "docker.io",
            "helper hub (credHelpers)",
        ),
        (
            r#""credHelpers":{"r.io":"x"},"auths":{"r.io":{"auth":"dTpw"}}"#,
            "r.io",
            "helper x (credHelpers), u p",
        ),
        (r#""credsStore":"","credHelpers":null"#, "r.io", ""),
        (
            r#""credHelpers":{"r.io":7}"#,
            "r.io",
            "it has credHelpers that is no text",
        ),
        (r#""credHelpers":{"other.io":7}"#, "r.io", ""),
    ] {
        let text = format!("{{{fields}}}");
        assert_eq!(said(&text, host, Some("a/b")), expected, "{text} {host}");
    }
}

#[test]
fn what_is_no_document_is_said_without_quoting_it() {
    let deep = "[".repeat(100_000);
    for (text, expected) in [
        ("", ""),
        (" \n", ""),
        ("\u{feff}{}", ""),
        ("{}", ""),
        (
            r#"{"auths":null,"HttpHeaders":{"X":["y"]},"proxies":7}"#,
            "",
        ),
        ("hunter2", "it is no JSON (line 1, column 1)"),
        (
            "{\n\"auths\": hunter2}",
            "it is no JSON (line 2, column 10)",
        ),
        (r#"{"auths":{}} {}"#, "it is no JSON (line 1, column 14)"),
        (r#"{"auths":{}"#, "it is no JSON (line 1, column 11)"),
        (r#""hunter2""#, "it is no JSON object"),
        ("[]", "it is no JSON object"),
        ("null", "it is no JSON object"),
        (r#"{"auths":["hunter2"]}"#, "it has auths that is no object"),
        (r#"{"auths":"hunter2"}"#, "it has auths that is no object"),
        (
            r#"{"credHelpers":7}"#,
            "it has credHelpers that is no object",
        ),
        (r#"{"credsStore":{}}"#, "it has credsStore that is no text"),
        (&deep, "it is no JSON object"),
    ] {
        assert_eq!(said(text, "r.io", None), expected, "{text:.60}");
    }
}

#[test]
fn every_entry_of_a_registry_is_checked_and_no_other() {
    for (text, expected) in [
        (r#"{"auths":{"r.io/a":{"auth":"!"}}}"#, false),
        (
            r#"{"auths":{"r.io":{"auth":"dTpw"},"https://r.io":7}}"#,
            false,
        ),
        (r#"{"auths":{"other.io":{"auth":"!"},"r.io":{}}}"#, true),
        (r#"{"credHelpers":{"r.io":7}}"#, false),
    ] {
        let server = Server::new(&Host::parse("r.io").unwrap());
        let checked = Document::parse(text).unwrap().check(&server);
        assert_eq!(checked.is_ok(), expected, "{text}");
    }
}
