//! The limits that a container runtime sets for this process: control groups, version 1 and 2.
//!
//! `/proc/self/cgroup` says which group, `/proc/self/mountinfo` where the groups lie; a limit of a
//! group above counts too. Everything but [`Limits::read`] works on text. Does not know what a
//! program does with a limit.

use std::path::{Path, PathBuf};

/// Version 1 writes "none" as the greatest number of whole pages; no machine has half of it.
const NO_LIMIT: u64 = 1 << 62;

/// What this process may use at most, as far as its control group says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processors, as a share of time: `1.5` is one and a half.
    pub cpus: Option<f64>,
}

/// Which limit is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Cpu,
    Memory,
}

/// Where the groups of one hierarchy lie.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The group that is seen at `point`.
    root: String,
    point: PathBuf,
    /// Of version 1; `None` is version 2, which has all.
    controllers: Option<Vec<String>>,
}

impl Limits {
    /// The limits of this process. `root` is `/` but in tests. What cannot be read limits nothing.
    pub fn read(root: &Path) -> Limits {
        let text = |path: &Path| {
            let below = path.strip_prefix("/").unwrap_or(path);
            fs_err::read_to_string(root.join(below)).ok()
        };
        let groups = text(Path::new("/proc/self/cgroup")).unwrap_or_default();
        let mounts = text(Path::new("/proc/self/mountinfo")).unwrap_or_default();
        Limits::of(&groups, &mounts, &text)
    }

    fn of(groups: &str, mounts: &str, text: &dyn Fn(&Path) -> Option<String>) -> Limits {
        let mut limits = Limits::default();
        for mount in mounts.lines().filter_map(mount) {
            if let Some(folders) = folders(groups, &mount, Controller::Memory) {
                let found = folders.iter().filter_map(|folder| memory(folder, &mount, text));
                limits.memory_bytes = found.chain(limits.memory_bytes).min();
            }
            if let Some(folders) = folders(groups, &mount, Controller::Cpu) {
                let found = folders.iter().filter_map(|folder| cpus(folder, &mount, text));
                limits.cpus = found.chain(limits.cpus).min_by(f64::total_cmp);
            }
        }
        limits
    }
}

/// A line of `mountinfo`, if it is of control groups: `31 23 0:28 ROOT POINT OPTIONS … - TYPE
/// SOURCE CONTROLLERS`.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let mut fields = after.split(' ');
    let controllers = match fields.next()? {
        "cgroup2" => None,
        "cgroup" => Some(fields.nth(1)?.split(',').map(str::to_owned).collect()),
        _ => return None,
    };
    Some(Mount { root, point: PathBuf::from(point), controllers })
}

/// The kernel writes a space in a path as `\040`.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

impl Mount {
    fn has(&self, controller: Controller) -> bool {
        let name = match controller {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
        };
        self.controllers.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
    }
}

/// The folders of the group of this process and of those above it, if the mount has the controller.
fn folders(groups: &str, mount: &Mount, controller: Controller) -> Option<Vec<PathBuf>> {
    if !mount.has(controller) {
        return None;
    }
    let of_mount = |line: &&str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let names = fields.next().unwrap_or_default();
        match &mount.controllers {
            None => names.is_empty(),
            Some(known) => names.split(',').any(|name| known.iter().any(|other| other == name)),
        }
    };
    let group = groups.lines().find(of_mount)?.splitn(3, ':').nth(2)?;
    // Below the mount; a group that is not seen there is, in a container, the mounted one.
    let below = Path::new(group).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    let inside = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let below = if inside { below } else { Path::new("") };
    Some(below.ancestors().map(|above| mount.point.join(above)).collect())
}

fn memory(folder: &Path, mount: &Mount, text: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    match mount.controllers {
        None => memory_limit(&text(&folder.join("memory.max"))?),
        Some(_) => memory_limit(&text(&folder.join("memory.limit_in_bytes"))?),
    }
}

fn cpus(folder: &Path, mount: &Mount, text: &dyn Fn(&Path) -> Option<String>) -> Option<f64> {
    match mount.controllers {
        None => cpu_max(&text(&folder.join("cpu.max"))?),
        Some(_) => {
            let quota = text(&folder.join("cpu.cfs_quota_us"))?;
            cpu_share(quota.trim(), text(&folder.join("cpu.cfs_period_us"))?.trim())
        }
    }
}

/// The text of `memory.max` or `memory.limit_in_bytes`.
fn memory_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

/// The text of `cpu.max`: `150000 100000`, or `max 100000` for none.
fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    cpu_share(quota, period)
}

/// Microseconds of processor time in a period; version 1 writes −1 for no limit.
fn cpu_share(quota: &str, period: &str) -> Option<f64> {
    let quota: u64 = quota.parse().ok()?;
    let period: u64 = period.parse().ok()?;
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn limits(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Limits {
        let files: BTreeMap<&Path, &str> =
            files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        Limits::of(groups, mounts, &|path| files.get(path).map(|text| (*text).to_owned()))
    }

    const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";

    #[test]
    fn version_2_in_a_container() {
        let files = [
            ("/sys/fs/cgroup/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/memory.max", "536870912\n"),
        ];
        let found = limits("0::/\n", V2_MOUNT, &files);
        assert_eq!(found, Limits { memory_bytes: Some(512 << 20), cpus: Some(1.5) });
    }

    #[test]
    fn of_a_group_and_those_above_it_the_least_counts() {
        let files = [
            ("/sys/fs/cgroup/a.slice/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a.slice/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a.slice/b/cpu.max", "400000 100000\n"),
            ("/sys/fs/cgroup/a.slice/cpu.max", "max 100000\n"),
        ];
        let found = limits("0::/a.slice/b\n", V2_MOUNT, &files);
        assert_eq!(found, Limits { memory_bytes: Some(1000), cpus: Some(4.0) });
    }

    #[test]
    fn without_a_limit_there_is_none() {
        let files =
            [("/sys/fs/cgroup/cpu.max", "max 100000\n"), ("/sys/fs/cgroup/memory.max", "max\n")];
        assert_eq!(limits("0::/\n", V2_MOUNT, &files), Limits::default());
        assert_eq!(limits("", "", &[]), Limits::default());
        assert_eq!(memory_limit("9223372036854771712\n"), None);
        for text in ["", "x", "100000", "0 100000", "-1 100000", "100000 0", "1 2 3"] {
            assert_eq!(cpu_max(text), None, "{text}");
        }
    }

    /// As docker has it without a namespace of its own: the group is seen at the mount.
    #[test]
    fn version_1_whose_mount_shows_the_group_itself() {
        let groups =
            "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n";
        let mounts = "\
            35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
            32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";
        let files = [
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        let found = limits(groups, mounts, &files);
        assert_eq!(found, Limits { memory_bytes: Some(256 << 20), cpus: Some(0.5) });
    }

    /// Version 1 with an empty version 2 beside it, as systemd once set it up.
    #[test]
    fn version_1_on_a_hybrid_host() {
        let groups = "4:memory:/user/x\n1:cpu:/\n0::/\n";
        let mounts = "\
            31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let files = [
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/user/memory.limit_in_bytes", "2000\n"),
            ("/sys/fs/cgroup/memory/user/x/memory.limit_in_bytes", "3000\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ];
        let found = limits(groups, mounts, &files);
        assert_eq!(found, Limits { memory_bytes: Some(2000), cpus: None });
    }

    #[test]
    fn a_group_outside_of_what_is_seen_is_the_mounted_one() {
        let files = [("/sys/fs/cgroup/memory.max", "7000\n")];
        for group in ["0::/../other\n", "0::/elsewhere\n"] {
            assert_eq!(limits(group, V2_MOUNT, &files).memory_bytes, Some(7000), "{group}");
        }
    }

    #[test]
    fn the_limits_of_this_machine_can_be_read() {
        let found = Limits::read(Path::new("/"));
        assert!(found.cpus.is_none_or(|cpus| cpus > 0.0));
        assert!(found.memory_bytes.is_none_or(|bytes| bytes > 1 << 20));
    }
}
