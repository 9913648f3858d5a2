//! The only `unsafe` of the project: system calls for which the crates used here have no safe wrapper.
//!
//! Byte-range locks that belong to an open file and not to the process: POSIX record locks vanish when any descriptor of the
//! file is closed, the open-file-description locks of Linux do not. How much a socket has not yet handed over. Threads that run when
//! nothing else does. And numbers that processes share.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// How a byte is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    Shared,
    Exclusive,
}

fn description(kind: libc::c_int, offset: u64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

#[allow(unsafe_code)]
fn control(file: &File, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `lock` is a valid, initialised `flock` that
    // outlives the call, as all three OFD commands require.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(lock)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn code(kind: LockKind) -> libc::c_int {
    match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    }
}

/// Locks one byte, waiting until it is free.
pub fn lock_byte(file: &File, offset: u64, kind: LockKind) -> io::Result<()> {
    loop {
        match control(file, libc::F_OFD_SETLKW, &mut description(code(kind), offset)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Locks one byte if it is free; tells whether it was.
pub fn try_lock_byte(file: &File, offset: u64, kind: LockKind) -> io::Result<bool> {
    match control(file, libc::F_OFD_SETLK, &mut description(code(kind), offset)) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Gives a byte free.
pub fn unlock_byte(file: &File, offset: u64) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, &mut description(libc::F_UNLCK, offset))
}

/// Whether another open file holds a lock on the byte.
pub fn byte_is_locked(file: &File, offset: u64) -> io::Result<bool> {
    let mut lock = description(libc::F_WRLCK, offset);
    control(file, libc::F_OFD_GETLK, &mut lock)?;
    Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
}

/// Asks the kernel to begin writing bytes of a file to its disk, so that a later sync has less to wait for. A hint: nothing is
/// durable by it, and where it cannot be followed nothing happens.
#[allow(unsafe_code)]
pub fn begin_writing(file: &File, offset: u64, length: u64) {
    // SAFETY: the call takes no pointers; the descriptor is open for as long as `file` is borrowed.
    let _ = unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset as libc::off64_t,
            length as libc::off64_t,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}

/// Lets the calling thread run only while nothing else wants its CPU, and takes it away at once for whatever does. It stays so, and
/// so are the threads that it starts.
#[allow(unsafe_code)]
pub fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the parameters, which are valid while it runs; 0 stands for the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, std::ptr::from_ref(&parameters)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets the calling thread have its CPU for a tenth of a millisecond at a time, so that whoever wakes does not wait long for it. It keeps
/// its share. Kernels before 6.12 take no notice.
#[allow(unsafe_code)]
pub fn run_in_short_turns(nice: i32) -> io::Result<()> {
    // SAFETY: the structure is plain numbers, of which all may be zero.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = libc::SCHED_OTHER as u32;
    attributes.sched_nice = nice;
    attributes.sched_runtime = 100_000;
    // SAFETY: the call reads the structure, which is valid while it runs and tells its size; 0 stands for the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&attributes), 0) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Bytes that were written to a TCP socket and that its peer has not acknowledged yet.
#[allow(unsafe_code)]
pub fn unacknowledged(socket: RawFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the command writes one `int` to where its argument points, which is valid for as long as the call runs; a
    // descriptor that is closed or no socket makes it fail.
    let result = unsafe { libc::ioctl(socket, libc::TIOCOUTQ, std::ptr::from_mut(&mut bytes)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(bytes.max(0) as u64) }
}

/// Numbers in a file, shared by all processes that map it.
#[derive(Debug)]
pub struct SharedNumbers {
    first: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: all that can be had of it are shared references to atomics, which any thread may use; the mapping belongs to the
// process and not to a thread.
#[allow(unsafe_code)]
unsafe impl Send for SharedNumbers {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for SharedNumbers {}

impl SharedNumbers {
    /// Maps the first `count` numbers of a file that is open for reading and writing, and makes it that long.
    #[allow(unsafe_code)]
    pub fn map(file: &File, count: usize) -> io::Result<Self> {
        let length = count * size_of::<AtomicU64>();
        if count == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if file.metadata()?.len() < length as u64 {
            file.set_len(length as u64)?;
        }
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping of a place that the kernel chooses touches no memory of ours. It is aligned to a page, as long as
        // asked, and stays until `drop`. Any bytes are valid numbers. The file is this program's own, which never makes it
        // shorter; whoever else does ends the process by a signal, as with the shared memory of SQLite.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { first, count })
    }

    /// One number; none beyond the last.
    #[allow(unsafe_code)]
    pub fn get(&self, index: usize) -> Option<&AtomicU64> {
        // SAFETY: the mapping holds `count` aligned numbers for as long as `self` lives, and everybody changes them atomically.
        (index < self.count).then(|| unsafe { self.first.add(index).as_ref() })
    }
}

impl Drop for SharedNumbers {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and no reference to it outlives `self`.
        let result = unsafe { libc::munmap(self.first.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
        debug_assert_eq!(result, 0, "a mapping of ours can be taken away");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_peer_does_not_take_is_unacknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut writer = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (mut reader, _) = listener.accept().expect("a connection");
        writer.set_nonblocking(true).expect("not blocking");
        while writer.write(&[0; 8192]).is_ok() {}
        let before = unacknowledged(writer.as_raw_fd()).expect("a number");
        assert!(before > 0);
        let mut taken = 0;
        while unacknowledged(writer.as_raw_fd()).expect("a number") == before {
            taken += reader.read(&mut [0; 8192]).expect("bytes");
            assert!(taken < 1 << 26, "nothing moves");
        }
        assert!(unacknowledged(-1).is_err());
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "what the kernel says of the thread is read where it says so")]
    fn a_thread_that_runs_when_idle_says_so_and_no_other_does() {
        // The 41st field of proc_pid_stat(5), of which two come before the closing parenthesis.
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a line");
            let (_, fields) = stat.rsplit_once(')').expect("a name");
            fields.split_whitespace().nth(38).and_then(|n| n.parse::<i32>().ok())
        };
        let idle = std::thread::spawn(move || {
            run_when_idle().expect("anybody may");
            let started = std::thread::spawn(policy).join().expect("no panic");
            (policy(), started)
        });
        assert_eq!(idle.join().expect("no panic"), (Some(libc::SCHED_IDLE), Some(libc::SCHED_IDLE)));
        assert_ne!(policy(), Some(libc::SCHED_IDLE));
    }

    #[test]
    fn who_steps_back_keeps_its_priority_in_short_turns() {
        let nice = std::thread::spawn(|| {
            let nice = rustix::process::nice(7).expect("anybody may");
            run_in_short_turns(nice).expect("anybody may");
            (nice, rustix::process::nice(0).expect("a number"))
        });
        let (asked, kept) = nice.join().expect("no panic");
        assert_eq!(asked, kept);
    }

    #[test]
    fn a_locked_byte_excludes_other_open_files() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (one, two) = (file.reopen().expect("a handle"), file.reopen().expect("a handle"));
        assert!(try_lock_byte(&one, 7, LockKind::Exclusive).expect("a lock"));
        assert!(!try_lock_byte(&two, 7, LockKind::Shared).expect("an answer"));
        assert!(byte_is_locked(&two, 7).expect("an answer"));
        assert!(!byte_is_locked(&two, 8).expect("an answer"));
        unlock_byte(&one, 7).expect("unlocked");
        assert!(try_lock_byte(&two, 7, LockKind::Shared).expect("a lock"));
    }

    #[test]
    fn numbers_are_the_same_for_all_who_map_the_file() {
        use std::sync::atomic::Ordering::SeqCst;
        let file = tempfile::NamedTempFile::new().expect("a file");
        let map = || SharedNumbers::map(&file.reopen().expect("a handle"), 1000).expect("a mapping");
        let (one, two) = (map(), map());
        one.get(999).expect("the last").store(7, SeqCst);
        assert_eq!(two.get(999).expect("the last").load(SeqCst), 7);
        assert_eq!(two.get(0).expect("the first").load(SeqCst), 0);
        assert!(one.get(1000).is_none());
        drop((one, two));
        assert_eq!(map().get(999).expect("the last").load(SeqCst), 7);
    }
}
