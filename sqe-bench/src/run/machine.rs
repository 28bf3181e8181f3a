//! What the times were measured on, as far as `/proc` tells.

use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// The machine of a run. What the system does not tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// The processor's model.
    pub cpu: Option<String>,
    /// How many of its cores this process may use.
    pub cores: Option<usize>,
    /// The memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Operating system and architecture.
    pub system: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").ok();
        let memory = fs::read_to_string("/proc/meminfo").ok();
        Self {
            cpu: cpu.as_deref().and_then(|text| field(text, "model name")).map(str::to_owned),
            cores: thread::available_parallelism().ok().map(usize::from),
            memory_bytes: memory.as_deref().and_then(|text| field(text, "MemTotal")).and_then(kibibytes),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// The most memory that this process has used, in bytes, where the system tells.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    peak_memory_of(std::process::id())
}

/// The most memory that a process has used, in bytes, where the system tells. `None` also for a process that is gone.
#[must_use]
pub fn peak_memory_of(process: impl Into<Option<u32>>) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.into()?)).ok()?;
    field(&status, "VmHWM").and_then(kibibytes)
}

/// The value of the first line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "VmHWM2:\t 1 kB\nmodel name\t: A Processor: fast\nVmHWM:\t    2048 kB\n";
        assert_eq!(field(text, "model name"), Some("A Processor: fast"));
        assert_eq!(field(text, "VmHWM").and_then(kibibytes), Some(2048 * 1024));
        assert_eq!(field(text, "model"), None);
        assert_eq!(kibibytes("12 MB"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_and_process_are_known() {
        let machine = Machine::this();
        assert!(machine.cores.is_some_and(|cores| cores > 0));
        assert!(machine.memory_bytes > peak_memory());
        assert!(peak_memory() > Some(1024 * 1024));
    }
}
