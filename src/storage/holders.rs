//! Who has a byte of `unit.lock` locked. The kernel does not tell whose an open-file-description lock is, but lists the locks
//! of each open file below `/proc`; of processes of other users only to root.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::lease::Lease;

/// A process that has a cell open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// Of its program, as the kernel knows it.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name.escape_debug())
    }
}

impl Lease {
    /// The other processes that have a cell open, as far as this one may know.
    pub fn holders(&self, number: i64) -> Vec<Holder> {
        let Ok(stat) = self.file().metadata() else { return Vec::new() };
        let (device, byte) = (stat.dev(), Self::open_byte(number));
        let device = format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device));
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut holders = Vec::new();
        for pid in pids.filter(|pid| *pid != std::process::id()) {
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { continue };
            let infos = files.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
            if infos.into_iter().any(|info| locks(&info, &device, stat.ino(), byte)) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                holders.push(Holder { pid, name: name.trim_end().to_owned() });
            }
        }
        holders
    }
}

/// Whether what the kernel tells of an open file has a lock on a byte of a file: lines such as
/// `lock: 1: OFDLCK ADVISORY READ -1 fe:00:10011183 1099511627781 1099511627781`, the end being a number or `EOF`.
fn locks(info: &str, device: &str, inode: u64, byte: u64) -> bool {
    let file = format!("{device}:{inode}");
    info.lines().filter_map(|line| line.strip_prefix("lock:")).any(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != file).skip(1);
        let start = words.next().and_then(|word| word.parse::<u64>().ok());
        let end = words.next().map(|word| word.parse::<u64>().unwrap_or(u64::MAX));
        start.zip(end).is_some_and(|(start, end)| (start..=end).contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_covers_its_range_of_its_file() {
        let info = "pos:\t0\nino:\t7\nlock:\t1: OFDLCK ADVISORY  READ -1 fe:00:7 10 12\nlock:\t2: OFDLCK ADVISORY  WRITE -1 fe:00:7 20 EOF\n";
        for (byte, expected) in [(9, false), (10, true), (12, true), (13, false), (20, true), (1 << 41, true)] {
            assert_eq!(locks(info, "fe:00", 7, byte), expected, "{byte}");
        }
        assert!(!locks(info, "fe:01", 7, 10) && !locks(info, "fe:00", 8, 10) && !locks("", "fe:00", 7, 10));
    }
}
