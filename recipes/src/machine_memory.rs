//! How much memory the machine lends to this process.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where Linux shows groups of processes and their limits; those of the first version have a folder for the memory.
const GROUPS: &str = "/sys/fs/cgroup";

/// Bytes of the machine, or of the group of processes that this one is in (a container) where that may take less. `None` where the
/// system tells neither. What could be swapped out is not counted.
pub(crate) fn machine_memory() -> Option<u64> {
    memory_by(|path| fs::read_to_string(path).ok())
}

fn memory_by(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let total = read(Path::new("/proc/meminfo")).and_then(|text| total_of(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| limit_of(&read(&path)?));
    total.into_iter().chain(limits).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024).filter(|bytes| *bytes > 0)
}

/// The limit of a group; `None` where there is none (`max`). The first version writes a very large number then.
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok().filter(|bytes| *bytes > 0)
}

/// The files that may hold a limit, by `/proc/self/cgroup`: those of the process' groups and of the groups around them, of both versions.
/// In a container the outermost folder is its own.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let unified = (Path::new(GROUPS).to_owned(), "memory.max");
    let of_memory = (Path::new(GROUPS).join("memory"), "memory.limit_in_bytes");
    let mut files = vec![unified.0.join(unified.1), of_memory.0.join(of_memory.1)];
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => &unified,
            _ if controllers.split(',').any(|controller| controller == "memory") => &of_memory,
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        // a group outside of what the process may see begins with `..`
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            let within = path.ancestors().filter(|path| !path.as_os_str().is_empty());
            files.extend(within.map(|path| root.join(path).join(file)));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24576 kB\nMemFree:         1024 kB\n";
    const UNLIMITED_V1: &str = "9223372036854771712\n";

    #[test]
    fn a_container_is_told_its_own_limit_and_not_the_machines_memory() {
        // a case, files and what they say, and the limit
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<u64>);
        let rows: [Row<'_>; 12] = [
            ("no Linux", &[], None),
            ("no limit", &[("/proc/meminfo", MEMINFO)], Some(24 << 20)),
            ("damaged", &[("/proc/meminfo", "MemTotal: many kB\n")], None),
            ("without a unit", &[("/proc/meminfo", "MemTotal: 24576\n")], None),
            ("nothing", &[("/proc/meminfo", "MemTotal: 0 kB\n")], None),
            ("max", &[("/proc/meminfo", MEMINFO), ("/sys/fs/cgroup/memory.max", "max\n")], Some(24 << 20)),
            ("a container", &[("/proc/meminfo", MEMINFO), ("/sys/fs/cgroup/memory.max", "8388608\n")], Some(8 << 20)),
            (
                "the group around a service",
                &[
                    ("/proc/meminfo", MEMINFO),
                    ("/proc/self/cgroup", "0::/a.slice/b.service\n"),
                    ("/sys/fs/cgroup/a.slice/memory.max", "4194304\n"),
                    ("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
                ],
                Some(4 << 20),
            ),
            (
                "the first version",
                &[
                    ("/proc/meminfo", MEMINFO),
                    ("/proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:hugetlb,memory:/docker/1:2\n"),
                    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", UNLIMITED_V1),
                    ("/sys/fs/cgroup/memory/elsewhere/memory.limit_in_bytes", "1024\n"),
                    ("/sys/fs/cgroup/memory/docker/1:2/memory.limit_in_bytes", "2097152\n"),
                ],
                Some(2 << 20),
            ),
            (
                "a container of the first version",
                &[
                    ("/proc/meminfo", MEMINFO),
                    ("/proc/self/cgroup", "4:memory:/docker/1\n"),
                    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n"),
                ],
                Some(2 << 20),
            ),
            (
                "a group out of sight",
                &[
                    ("/proc/meminfo", MEMINFO),
                    ("/proc/self/cgroup", "0::/../other\n"),
                    ("/sys/fs/cgroup/../other/memory.max", "1024\n"),
                ],
                Some(24 << 20),
            ),
            (
                "a limit above the machine",
                &[("/proc/meminfo", MEMINFO), ("/sys/fs/cgroup/memory.max", "99999999999\n")],
                Some(24 << 20),
            ),
        ];
        for (name, files, wanted) in rows {
            let read = |path: &Path| {
                let found = files.iter().find(|(file, _)| Path::new(file) == path);
                found.map(|(_, text)| (*text).to_owned())
            };
            assert_eq!(memory_by(read), wanted, "{name}");
        }
    }

    #[test]
    fn linux_tells_how_much_memory_there_is() {
        if cfg!(target_os = "linux") {
            assert!(machine_memory().is_some_and(|bytes| bytes > 64 << 20));
        }
    }
}
