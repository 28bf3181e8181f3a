//! How much memory statements get when nobody says how much.

use std::{fs, path::Path};

/// The part, in percent, of the memory that this process may have. The rest is for what no operator accounts for:
/// connections, plans, decoded pages, the cache of files.
const PERCENT: u64 = 60;

/// What all statements may share, in bytes. `None` where the system does not tell how much there is.
pub(crate) fn share() -> Option<usize> {
    let text = |path: &str| fs::read_to_string(path).ok();
    let machine = text("/proc/meminfo").and_then(|text| total(&text));
    let group = text("/proc/self/cgroup").and_then(|text| allowed(Path::new("/sys/fs/cgroup"), &text));
    let available = machine.into_iter().chain(group).min()?;
    usize::try_from(available / 100 * PERCENT).ok()
}

/// The machine's memory, in bytes, by `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The tightest `memory.max`, in bytes, of this process's control group (version 2) and those around it; `None` if none of
/// them has a limit. `membership` is `/proc/self/cgroup`.
fn allowed(root: &Path, membership: &str) -> Option<u64> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    let group = root.join(path.trim_start_matches('/'));
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok();
    group.ancestors().take_while(|group| group.starts_with(root)).filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_its_memory_in_kibibytes() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2048 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(total("MemTotal: many\n"), None);
    }

    #[test]
    fn the_tightest_group_around_the_process_counts_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("service/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(root.path().join("other")).unwrap();
        fs::write(root.path().join("other/memory.max"), "1\n").unwrap();
        let membership = "9:name=systemd:/\n0::/service/inner\n";
        assert_eq!(allowed(root.path(), membership), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(allowed(root.path(), membership), None, "no limit is not a limit of nothing");
        fs::write(root.path().join("service/memory.max"), "4096\n").unwrap();
        assert_eq!(allowed(root.path(), membership), Some(4096));
        fs::write(inner.join("memory.max"), "8192\n").unwrap();
        assert_eq!(allowed(root.path(), membership), Some(4096));
        assert_eq!(allowed(root.path(), "9:name=systemd:/\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_a_share_that_leaves_something() {
        let machine = total(&fs::read_to_string("/proc/meminfo").unwrap()).unwrap();
        let share = share().unwrap() as u64;
        assert!(share > 0 && share < machine * 2 / 3, "{share} of {machine}");
    }
}
