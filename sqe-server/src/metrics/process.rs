//! The process, by the names that dashboards for all programs look for.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::counter::ConstCounter,
    registry::Unit,
};

use super::moments::gauge;

/// Clock ticks a second in what Linux tells programs (`USER_HZ`): the same on every architecture that Rust supports.
const TICKS: f64 = 100.0;

/// Reads `/proc/self`. Where there is none, it tells nothing.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        if let Some(stat) = text("stat").and_then(|stat| Stat::parse(&stat)) {
            let seconds = ConstCounter::new(stat.cpu_seconds);
            let help = "Time that the process computed, of all threads together";
            let kind = seconds.metric_type();
            seconds.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)?;
            gauge(&mut encoder, "process_threads", "Threads of the process", None, stat.threads)?;
        }
        if let Some(bytes) = text("status").and_then(|status| resident(&status)) {
            let help = "Memory of the process that is in RAM";
            gauge(&mut encoder, "process_resident_memory", help, Some(&Unit::Bytes), bytes)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is this listing.
            let open = open.count().saturating_sub(1) as u64;
            gauge(&mut encoder, "process_open_fds", "File descriptors that are open", None, open)?;
        }
        if let Some(limit) = text("limits").and_then(|limits| descriptors(&limits)) {
            gauge(&mut encoder, "process_max_fds", "File descriptors that may be open", None, limit)?;
        }
        Ok(())
    }
}

/// Of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program stands in brackets, and may hold both spaces and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted from the state, which is field 3: utime is 14, stime 15, num_threads 20.
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self { cpu_seconds: (number(11)? + number(12)?) as f64 / TICKS, threads: number(17)? })
    }
}

/// Of `/proc/self/status`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of `/proc/self/limits`; `None` if there is no limit.
fn descriptors(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read_whatever_the_program_is_called() {
        let stat = "7 (a ) (b) c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 9 0 100 1 1";
        assert_eq!(Stat::parse(stat), Some(Stat { cpu_seconds: 2.0, threads: 9 }));
        assert_eq!(Stat::parse("7 (x) S 1"), None);
        assert_eq!(resident("VmPeak: 1 kB\nVmRSS:\t  2048 kB\n"), Some(2048 * 1024));
        assert_eq!(resident("VmRSS: many\n"), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   4096   files\n";
        assert_eq!(descriptors(limits), Some(1024));
        assert_eq!(descriptors("Max open files  unlimited unlimited files\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_files_and_threads() {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        assert!(Stat::parse(&read("stat")).unwrap().threads > 0);
        assert!(resident(&read("status")).unwrap() > 1 << 20);
    }
}
