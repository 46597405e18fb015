//! `hoist list` as text: a table for people, columns for programs.

use crate::cli::list::rows::{BlobRow, Kind, Row};
use crate::observe::text::{bytes, safe};

/// Tab-separated, in the order found: one image per line or, where blobs were asked for, one blob.
pub(super) fn columns(rows: &[Row]) -> String {
    let line = |row: &Row| match &row.blobs {
        None => image_line(row),
        Some(blobs) => blobs.iter().map(|blob| blob_line(row, blob)).collect(),
    };
    rows.iter().map(line).collect()
}

fn image_line(row: &Row) -> String {
    line(&[
        &row.names.join(","),
        &row.platforms.join(","),
        &row.layers.to_string(),
        &row.size.to_string(),
        row.digest.as_deref().unwrap_or_default(),
        &row.source,
    ])
}

fn blob_line(row: &Row, blob: &BlobRow) -> String {
    line(&[
        &row.names.join(","),
        &blob.platforms.join(","),
        blob.kind.name(),
        &blob.size.to_string(),
        blob.digest_or_diff_id(),
        &row.source,
        blob.media_type_or_form(),
    ])
}

fn line(fields: &[&str]) -> String {
    let or_dash = |field: &&str| match *field {
        "" => "-".to_owned(),
        text => safe(text).into_owned(),
    };
    let fields: Vec<String> = fields.iter().map(or_dash).collect();
    fields.join("\t") + "\n"
}

const COLUMNS: usize = 6;

/// For people: aligned, with headings; further names and platforms of an image below the first, and
/// then its blobs, where they were asked for.
pub(super) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let long = rows.iter().any(|row| row.blobs.is_some());
    let last = if long { "FILE OR TYPE" } else { "FILE" };
    let headings = ["NAME", "PLATFORM", "LAYERS", "SIZE", "DIGEST", last];
    let mut grid = Grid(vec![headings.map(str::to_owned)]);
    for row in rows {
        let digest = row.digest.as_deref().unwrap_or("-");
        let digest = if long { digest } else { short(digest) };
        let layers = row.layers.to_string();
        let rest = [&layers, &bytes(row.size), digest, &row.source];
        grid.add(&row.names, &row.platforms, rest);
        for blob in row.blobs.iter().flatten() {
            let kind = format!("  {}", blob.kind.name());
            let size = bytes(blob.size);
            let name = blob.digest_or_diff_id();
            let about = ["", &size, name, blob.media_type_or_form()];
            grid.add(&[kind], &blob.platforms, about);
        }
    }
    grid.aligned()
}

struct Grid(Vec<[String; COLUMNS]>);

impl Grid {
    /// As many lines as there are names or platforms; the rest is in the first.
    fn add(&mut self, names: &[String], platforms: &[String], rest: [&str; 4]) {
        let at = |list: &[String], line: usize| match list.get(line) {
            Some(text) => safe(text).into_owned(),
            None if line == 0 => "-".to_owned(),
            None => String::new(),
        };
        for line in 0..names.len().max(platforms.len()).max(1) {
            let rest = if line == 0 { rest } else { [""; 4] };
            let [layers, size, digest, last] = rest.map(|text| safe(text).into_owned());
            let names = at(names, line);
            let platforms = at(platforms, line);
            self.0.push([names, platforms, layers, size, digest, last]);
        }
    }

    fn aligned(&self) -> String {
        let mut widths = [0; COLUMNS];
        for cells in &self.0 {
            for (wide, text) in widths.iter_mut().zip(cells) {
                *wide = text.chars().count().max(*wide);
            }
        }
        let line = |cells: &[String; COLUMNS]| {
            let fields = cells.iter().zip(widths).enumerate();
            let fields = fields.map(|(column, (text, wide))| match column {
                // Numbers to the right.
                2 | 3 => format!("{text:>wide$}"),
                _ => format!("{text:wide$}"),
            });
            let fields: Vec<String> = fields.collect();
            fields.join("  ").trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }
}

impl BlobRow {
    /// The digest, or of a layer that has none yet the one of its uncompressed bytes.
    fn digest_or_diff_id(&self) -> &str {
        let digest = self.digest.as_deref().or(self.diff_id.as_deref());
        digest.unwrap_or("-")
    }

    fn media_type_or_form(&self) -> &str {
        self.media_type.as_deref().or(self.form).unwrap_or("-")
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Layer => "layer",
            Self::Manifest => "manifest",
            Self::Index => "index",
        }
    }
}

/// "sha256:5f70bf18a086"
fn short(digest: &str) -> &str {
    let end = digest.find(':').map_or(0, |colon| colon + 1) + 12;
    digest.get(..end).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |names: &[&str], platforms: &[&str], digest: Option<&str>| Row {
            source: "images/a.tar".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            platforms: platforms.iter().map(|name| (*name).to_owned()).collect(),
            layers: 3,
            size: 34 << 20,
            digest: digest.map(str::to_owned),
            media_type: None,
            config: None,
            blobs: None,
        };
        let digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        vec![
            row(
                &["docker.io/library/app:1", "docker.io/library/app:2"],
                &["linux/amd64"],
                Some(digest),
            ),
            row(&[], &[], None),
            row(&["evil\u{1b}[2J\t:1"], &["linux/amd64"], None),
        ]
    }

    #[test]
    fn a_table_on_a_terminal() {
        let expected = "\
NAME                     PLATFORM     LAYERS      SIZE  DIGEST               FILE
docker.io/library/app:1  linux/amd64       3  34.0 MiB  sha256:5f70bf18a086  images/a.tar
docker.io/library/app:2
-                        -                 3  34.0 MiB  -                    images/a.tar
evil\\u{1b}[2J\\t:1        linux/amd64       3  34.0 MiB  -                    images/a.tar
";
        assert_eq!(table(&rows()), expected);
    }

    #[test]
    fn tab_separated_columns_in_a_pipe() {
        let text = columns(&rows());
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
        assert!(lines.iter().all(|fields| fields.len() == 6), "{text}");
        assert_eq!(
            lines[0][0],
            "docker.io/library/app:1,docker.io/library/app:2"
        );
        assert_eq!(lines[0][3], "35651584");
        assert_eq!(lines[1][..2], ["-", "-"]);
    }

    fn long_rows() -> Vec<Row> {
        let mut rows = rows();
        let blob = |kind, digest: Option<&str>, diff_id: Option<&str>| BlobRow {
            kind,
            digest: digest.map(str::to_owned),
            diff_id: diff_id.map(str::to_owned),
            size: 2048,
            media_type: digest.map(|_| "a/b".to_owned()),
            form: diff_id.map(|_| "tar+gzip"),
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
        };
        let found = blob(Kind::Manifest, Some("sha256:aa"), None);
        let made = blob(Kind::Layer, None, Some("sha256:bb"));
        rows.truncate(2);
        rows[0].digest = Some("sha256:cc".to_owned());
        rows[0].blobs = Some(vec![found]);
        rows[1].blobs = Some(vec![made]);
        rows
    }

    #[test]
    fn blobs_stand_below_their_image() {
        let expected = "\
NAME                     PLATFORM     LAYERS      SIZE  DIGEST     FILE OR TYPE
docker.io/library/app:1  linux/amd64       3  34.0 MiB  sha256:cc  images/a.tar
docker.io/library/app:2
  manifest               linux/amd64           2.0 KiB  sha256:aa  a/b
                         linux/arm64
-                        -                 3  34.0 MiB  -          images/a.tar
  layer                  linux/amd64           2.0 KiB  sha256:bb  tar+gzip
                         linux/arm64
";
        assert_eq!(table(&long_rows()), expected);
    }

    #[test]
    fn each_blob_is_a_line_of_its_own_in_a_pipe() {
        let expected = "\
docker.io/library/app:1,docker.io/library/app:2\tlinux/amd64,linux/arm64\tmanifest\t2048\tsha256:aa\timages/a.tar\ta/b
-\tlinux/amd64,linux/arm64\tlayer\t2048\tsha256:bb\timages/a.tar\ttar+gzip
";
        assert_eq!(columns(&long_rows()), expected);
    }
}
