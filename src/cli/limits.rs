//! What the system lets this process have.

use std::fs;

/// Standard streams, signals, and what is open besides transfers.
const BASE_FILES: u64 = 12;
/// A connection, the file that is sent, and another connection in the making.
const FILES_PER_JOB: u64 = 3;

/// How many of `jobs` transfers fit into the number of files that may be open at once.
pub(crate) fn bearable(jobs: u32, open_files: Option<u64>) -> u32 {
    let Some(most) = open_files else { return jobs };
    let fit = most.saturating_sub(BASE_FILES) / FILES_PER_JOB;
    u32::try_from(fit).map_or(jobs, |fit| jobs.min(fit.max(1)))
}

/// `ulimit -n`, where the system tells it in a file.
pub(crate) fn open_files() -> Option<u64> {
    soft_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// proc_pid_limits(5): name, soft limit, hard limit, unit, in columns.
fn soft_limit(limits: &str) -> Option<u64> {
    let row = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_fit_the_files_that_may_be_open() {
        for (jobs, most, expected) in [
            (16, None, 16),
            (16, Some(1024), 16),
            (256, Some(1024), 256),
            (48, Some(32), 6),
            (48, Some(3), 1),
            (48, Some(u64::MAX), 48),
        ] {
            assert_eq!(bearable(jobs, most), expected, "{jobs} {most:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let file = "Limit   Soft Limit  Hard Limit  Units\n\
                    Max processes   95  95  processes\n\
                    Max open files  1024  524288  files\n";
        assert_eq!(soft_limit(file), Some(1024));
        assert_eq!(
            soft_limit("Max open files  unlimited  unlimited  files"),
            None
        );
        assert_eq!(soft_limit(""), None);
    }
}
