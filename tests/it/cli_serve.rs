//! `hoist serve` as a command: the line scripts wait for, the access log, the end by a signal.

use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::{TempDir, tempdir};

use crate::support::command::{Running, hoist};

fn serve(dir: &TempDir, args: &[&str]) -> (Running, String) {
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let command = hoist(listen.iter().chain(args)).arg(dir.path());
    let mut running = command.spawn();
    let said = running.wait_for_stdout("\n");
    let address = said.strip_prefix("listening on http://").unwrap().trim();
    (running, address.to_owned())
}

fn get(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_says_where_it_listens_and_ends_in_order() {
    let dir = tempdir().unwrap();
    for signal in ["INT", "TERM"] {
        let (running, address) = serve(&dir, &[]);
        assert!(get(&address, "/v2/").starts_with("HTTP/1.1 200 "));
        running.signal(signal);
        let output = running.wait().expect_code(0);
        assert_eq!(output.stdout, format!("listening on http://{address}\n"));
        assert!(output.stderr.is_empty(), "{output}");
    }
}

#[test]
fn requests_are_told_where_that_is_asked_for() {
    let dir = tempdir().unwrap();
    let (mut running, address) = serve(&dir, &["-v"]);
    get(&address, "/v2/");
    running.wait_for_stderr("GET /v2/ 200 0\n");
    running.signal("TERM");
    running.wait().expect_code(0);
}

#[test]
fn an_open_connection_does_not_keep_it_alive() {
    let dir = tempdir().unwrap();
    let (running, address) = serve(&dir, &[]);
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.write_all(b"GET /v2/ HT").unwrap();
    let begun = std::time::Instant::now();
    running.signal("INT");
    running.wait().expect_code(0);
    assert!(begun.elapsed().as_millis() < 2000, "{:?}", begun.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_is_a_warning() {
    let dir = "/proc/sys/kernel/random";
    let mut running = hoist(["serve", "--listen", "127.0.0.1:0", dir]).spawn();
    running.wait_for_stdout("listening on ");
    running.signal("TERM");
    let warning = format!("warning: {dir} can be read only, and pushes will fail: ");
    running.wait().expect_code(0).expect_stderr(&warning);
}

#[test]
fn a_folder_has_one_registry_at_a_time() {
    let dir = tempdir().unwrap();
    let (running, _) = serve(&dir, &[]);
    let second = || hoist(["serve", "--listen", "127.0.0.1:0"]).arg(dir.path());
    let refused = second().run().expect_code(1);
    refused.expect_stderr("is served by another registry");
    drop(running);
    let mut third = second().spawn();
    third.wait_for_stdout("listening on ");
}

#[test]
fn a_port_that_is_taken_is_a_sentence() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let (running, address) = serve(&dir, &[]);
    let output = hoist(["serve", "--listen", &address])
        .arg(other.path())
        .run()
        .expect_code(1);
    let output = output.expect_stderr(&format!(" on {address} failed: "));
    assert!(
        output.stderr.ends_with("try: --listen 127.0.0.1:0\n"),
        "{output}"
    );
    drop(running);
}
