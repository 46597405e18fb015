//! What is sent back.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

use serde_json::json;

#[derive(Debug)]
pub(in crate::serve) struct Answer {
    pub(in crate::serve) status: u16,
    fields: Vec<(&'static str, String)>,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    Bytes(Vec<u8>),
    /// `length` bytes of the file from `start`.
    File {
        file: File,
        start: u64,
        length: u64,
    },
}

impl Answer {
    pub(in crate::serve) fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            payload: Payload::Bytes(Vec::new()),
        }
    }

    pub(in crate::serve) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(in crate::serve) fn body(mut self, media_type: &str, bytes: Vec<u8>) -> Self {
        self.payload = Payload::Bytes(bytes);
        self.with("Content-Type", media_type)
    }

    pub(in crate::serve) fn json(self, value: &serde_json::Value) -> Self {
        self.body("application/json", value.to_string().into_bytes())
    }

    pub(in crate::serve) fn file(mut self, file: File, start: u64, length: u64) -> Self {
        self.payload = Payload::File {
            file,
            start,
            length,
        };
        self.with("Content-Type", "application/octet-stream")
    }

    /// Sends it; without the body when the request was a HEAD.
    pub(super) fn send(self, mut to: &TcpStream, is_head: bool, closing: bool) -> io::Result<()> {
        let mut message = self.head(closing);
        match self.payload {
            _ if is_head => to.write_all(&message),
            Payload::Bytes(bytes) => {
                message.extend_from_slice(&bytes);
                to.write_all(&message)
            }
            Payload::File {
                mut file,
                start,
                length,
            } => {
                to.write_all(&message)?;
                file.seek(io::SeekFrom::Start(start))?;
                let sent = io::copy(&mut file.take(length), &mut to)?;
                if sent < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(())
            }
        }
    }

    fn head(&self, closing: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n",
            self.status,
            reason(self.status),
            httpdate::fmt_http_date(SystemTime::now()),
        );
        for (name, value) in &self.fields {
            // Some values come from files that anybody may have edited.
            let value = value.replace(|c: char| !c.is_ascii() || c.is_ascii_control(), "?");
            head += &format!("{name}: {value}\r\n");
        }
        let length = match &self.payload {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::File { length, .. } => *length,
        };
        // RFC 9110 section 8.6 forbids it with 204.
        if self.status != 204 {
            head += &format!("Content-Length: {length}\r\n");
        }
        if closing {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        head.into_bytes()
    }
}

/// An answer to what is no proper HTTP, or went wrong below the protocol.
pub(in crate::serve) fn failure(status: u16, message: &str) -> Answer {
    let code = if status < 500 {
        "UNSUPPORTED"
    } else {
        "UNKNOWN"
    };
    Answer::new(status).json(&json!({"errors": [{"code": code, "message": message}]}))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}
