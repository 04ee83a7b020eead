//! The memory of the machine, as `/proc/meminfo` tells. Does not know limits.

use std::path::Path;

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All there is.
    pub total_bytes: u64,
    /// What programs can have now without anything being swapped out.
    pub available_bytes: u64,
}

impl Memory {
    /// The memory of this machine, where it can be told. `root` is `/` but in tests.
    pub fn read(root: &Path) -> Option<Memory> {
        Memory::of(&fs_err::read_to_string(root.join("proc/meminfo")).ok()?)
    }

    fn of(meminfo: &str) -> Option<Memory> {
        let bytes = |name: &str| {
            let value = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        Some(Memory { total_bytes: bytes("MemTotal:")?, available_bytes: bytes("MemAvailable:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let text = "MemTotal:        2048 kB\nMemFree:  1 kB\nMemAvailable:    1024 kB\n";
        let memory = Memory { total_bytes: 2 << 20, available_bytes: 1 << 20 };
        assert_eq!(Memory::of(text), Some(memory));
        assert_eq!(Memory::of("MemTotal: much\n"), None);
        assert!(Memory::read(Path::new("/")).is_some());
    }
}
