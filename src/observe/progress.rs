//! Progress for people: a live display on a terminal, plain lines elsewhere.
