//! The names of certificates, as far as people need them: `Corp Root CA (Corp, Ltd.)`.

/// Tags of [X.690](https://www.itu.int/rec/T-REC-X.690), and of the strings that names are made of.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANISATION: &[u8] = &[0x55, 4, 10];
const UNIT: &[u8] = &[0x55, 4, 11];

/// Nobody reads more of a name.
const MOST: usize = 120;

/// The common name and the organisation in the content of an X.501 `Name`, or what else it says of
/// these; `None` when it names nothing.
pub(super) fn name(content: &[u8]) -> Option<String> {
    let find = |wanted| attributes(content).find(|(id, _)| *id == wanted);
    let text = |wanted| find(wanted).map(|(_, value)| value);
    let organisation = text(ORGANISATION).or_else(|| text(UNIT));
    let shown = match (text(COMMON_NAME), organisation) {
        (Some(common), Some(organisation)) if common != organisation => {
            format!("{common} ({organisation})")
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return None,
    };
    Some(shown.chars().map(legible).take(MOST).collect())
}

/// Anybody can make a certificate with any name: one that moves a cursor, breaks a line or turns it
/// around is not shown as it is.
fn legible(c: char) -> char {
    let turns =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    match c.is_control() || turns {
        true => '\u{fffd}',
        false => c,
    }
}

/// Object identifiers and texts.
fn attributes(content: &[u8]) -> impl Iterator<Item = (&[u8], String)> {
    let sets = elements(content).filter(|(tag, _)| *tag == SET);
    let pairs = sets.flat_map(|(_, set)| elements(set));
    pairs.filter_map(|(tag, pair)| {
        let mut parts = elements(pair).filter(|_| tag == SEQUENCE);
        let (OBJECT_ID, id) = parts.next()? else {
            return None;
        };
        let (kind, value) = parts.next()?;
        let text = match kind {
            BMP_STRING => {
                let units = value.chunks_exact(2);
                let units: Vec<u16> = units
                    .map(|two| u16::from_be_bytes([two[0], two[1]]))
                    .collect();
                String::from_utf16_lossy(&units)
            }
            _ => String::from_utf8_lossy(value).into_owned(),
        };
        let text = text.trim().to_owned();
        (!text.is_empty()).then_some((id, text))
    })
}

/// Tags and contents, as far as they can be read.
fn elements(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[tag, first], after) = rest.split_first_chunk()?;
        let (length, after) = match first {
            ..=0x7f => (usize::from(first), after),
            0x81 => after
                .split_first()
                .map(|(&one, left)| (usize::from(one), left))?,
            0x82 => {
                let (two, left) = after.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*two)), left)
            }
            _ => return None,
        };
        let (content, after) = after.split_at_checked(length)?;
        rest = after;
        Some((tag, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One relative name.
    fn attribute(id: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        let element = |kind: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            let head = match length {
                ..=0x7f => vec![kind, length],
                _ => vec![kind, 0x81, length],
            };
            [head, content.to_vec()].concat()
        };
        let pair = [element(OBJECT_ID, id), element(tag, text)].concat();
        element(SET, &element(SEQUENCE, &pair))
    }

    #[test]
    fn names_are_read() {
        let common = attribute(COMMON_NAME, 0x0c, "Corp Root é".as_bytes());
        let organisation = attribute(ORGANISATION, 0x13, b"Corp, Ltd.");
        let unit = attribute(UNIT, 0x0c, b"Unit");
        let country = attribute(&[0x55, 4, 6], 0x13, b"DE");
        let wide = attribute(COMMON_NAME, BMP_STRING, b"\0A\0\xe9");
        let long = attribute(COMMON_NAME, 0x0c, &[b'x'; 200]);
        let odd = attribute(COMMON_NAME, 0x0c, "a\u{1b}[2J\n\u{202e}b".as_bytes());
        let all = [&country[..], &organisation, &unit, &common].concat();
        for (content, expected) in [
            (&all[..], Some("Corp Root é (Corp, Ltd.)")),
            (&common, Some("Corp Root é")),
            (&organisation, Some("Corp, Ltd.")),
            (&unit, Some("Unit")),
            (&wide, Some("Aé")),
            (&long, Some("x".repeat(MOST).as_str())),
            (&odd, Some("a\u{fffd}[2J\u{fffd}\u{fffd}b")),
            (&country, None),
            (&attribute(COMMON_NAME, 0x0c, b" "), None),
            (&attribute(COMMON_NAME, 0x0c, &[0xff]), Some("\u{fffd}")),
            (b"", None),
            (b"not a name at all", None),
        ] {
            assert_eq!(name(content).as_deref(), expected, "{content:?}");
        }
        for end in 0..all.len() {
            let _ = name(&all[..end]);
        }
        let lengths = [
            &[SET, 0x83, 1, 0, 0][..],
            &[SET, 0x82, 0xff],
            &[SET, 5, 1],
            &[SET],
        ];
        for broken in lengths {
            assert_eq!(name(broken), None);
        }
    }
}
