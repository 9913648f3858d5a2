//! Lines of the log on their way to stderr, many in one write: a server writes one for each request.
//!
//! A thread writes what has come, at the latest a tenth of a second after the first line. A warning or an error goes out at once, with all
//! that came before it, and so does everything when the program ends or panics. What a killed process had not written is lost.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line waits for others.
const WAIT: Duration = Duration::from_millis(100);

/// So much is written without waiting longer, in bytes; and when so much has come, whoever writes a line waits until it is written.
const MUCH: usize = 64 * 1024;
const MOST: usize = 1024 * 1024;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way to an output. All copies are the same.
#[derive(Debug)]
pub(super) struct Bulk<W>(Arc<Shared<W>>);

#[derive(Debug)]
struct Shared<W> {
    lines: Mutex<Lines>,
    came: Condvar,
    /// Held from taking lines to having written them, so that they stay in order.
    out: Mutex<W>,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    /// Nobody waits for others any more.
    at_once: bool,
}

impl<W> Clone for Bulk<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Write + Send + 'static> Bulk<W> {
    /// Begins the thread; where there is none, every line is written at once.
    pub(super) fn new(out: W) -> Self {
        let bulk = Self(Arc::new(Shared { lines: Mutex::default(), came: Condvar::new(), out: Mutex::new(out) }));
        let writer = bulk.clone();
        let begun = thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_on());
        locked(&bulk.0.lines).at_once = begun.is_err();
        bulk
    }

    fn write_on(&self) {
        loop {
            let lines = locked(&self.0.lines);
            let waited = self.0.came.wait_while(lines, |lines| lines.text.is_empty() && !lines.at_once);
            let lines = waited.unwrap_or_else(PoisonError::into_inner);
            if lines.at_once {
                return;
            }
            let waits = |lines: &mut Lines| (1..MUCH).contains(&lines.text.len()) && !lines.at_once;
            drop(self.0.came.wait_timeout_while(lines, WAIT, waits));
            self.flush();
        }
    }

    /// Writes all that has come.
    pub(super) fn flush(&self) {
        let mut out = locked(&self.0.out);
        let text = mem::take(&mut locked(&self.0.lines).text);
        // Nobody is left to hear that the log cannot be written.
        let _ = out.write_all(&text).and_then(|()| out.flush());
        let mut lines = locked(&self.0.lines);
        if lines.text.is_empty() && text.capacity() <= 2 * MUCH {
            lines.text = text;
            lines.text.clear();
        }
    }

    /// Writes all that has come, and from here on each line at once.
    pub(super) fn end(&self) {
        locked(&self.0.lines).at_once = true;
        self.0.came.notify_all();
        self.flush();
    }

    fn put(&self, line: &[u8], urgent: bool) {
        let mut lines = locked(&self.0.lines);
        let before = lines.text.len();
        lines.text.extend_from_slice(line);
        let (length, at_once) = (lines.text.len(), lines.at_once);
        drop(lines);
        if urgent || at_once || length >= MOST {
            self.flush();
        } else if before == 0 || (before < MUCH && length >= MUCH) {
            self.0.came.notify_one();
        }
    }
}

/// Takes one line.
#[derive(Debug)]
pub(super) struct Line<'b, W> {
    bulk: &'b Bulk<W>,
    urgent: bool,
}

impl<W: Write + Send + 'static> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bulk.put(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'b, W: Write + Send + 'static> MakeWriter<'b> for Bulk<W> {
    type Writer = Line<'b, W>;

    fn make_writer(&'b self) -> Self::Writer {
        Line { bulk: self, urgent: true }
    }

    fn make_writer_for(&'b self, meta: &Metadata<'_>) -> Self::Writer {
        Line { bulk: self, urgent: *meta.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// The pieces in which something was written.
    #[derive(Clone, Default)]
    struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            locked(&self.0).push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bulk() -> (Bulk<Pieces>, Pieces) {
        let pieces = Pieces::default();
        (Bulk::new(pieces.clone()), pieces)
    }

    #[test]
    fn lines_are_written_together_and_soon() {
        let (bulk, pieces) = bulk();
        let begun = Instant::now();
        for i in 0..1000 {
            bulk.put(format!("{i}\n").as_bytes(), false);
        }
        while locked(&pieces.0).concat().len() < 3890 {
            assert!(begun.elapsed() < Duration::from_secs(20), "they are never written");
            thread::yield_now();
        }
        let whole: String = (0..1000).fold(String::new(), |text, i| text + &format!("{i}\n"));
        assert_eq!(String::from_utf8(locked(&pieces.0).concat()).expect("text"), whole);
        assert!(locked(&pieces.0).len() < 100);
    }

    #[test]
    fn what_is_urgent_is_written_at_once_behind_what_came_before() {
        let (bulk, pieces) = bulk();
        bulk.put(b"one\n", false);
        bulk.put(b"two\n", true);
        assert_eq!(locked(&pieces.0).concat(), b"one\ntwo\n");
    }

    #[test]
    fn nothing_is_lost_at_the_end_or_after_it() {
        let (bulk, pieces) = bulk();
        bulk.put(b"one\n", false);
        bulk.end();
        assert_eq!(locked(&pieces.0).concat(), b"one\n");
        bulk.put(b"two\n", false);
        assert_eq!(locked(&pieces.0).concat(), b"one\ntwo\n");
    }

    #[test]
    fn no_more_waits_than_fits() {
        let (bulk, pieces) = bulk();
        let line = [b'x'; 1000];
        for i in 1..=5000 {
            bulk.put(&line, false);
            let written: usize = locked(&pieces.0).iter().map(Vec::len).sum();
            assert!(i * line.len() - written <= MOST + line.len());
        }
        bulk.end();
        assert_eq!(locked(&pieces.0).concat().len(), 5_000_000);
    }

    #[test]
    fn lines_of_many_threads_stay_whole() {
        let (bulk, pieces) = bulk();
        thread::scope(|scope| {
            for name in b'a'..b'e' {
                let bulk = &bulk;
                scope.spawn(move || (0..2000).for_each(|i| bulk.put(&[name, name, b'\n'], i % 100 == 0)));
            }
        });
        bulk.end();
        let text = String::from_utf8(locked(&pieces.0).concat()).expect("text");
        assert_eq!(text.lines().filter(|line| ["aa", "bb", "cc", "dd"].contains(line)).count(), 8000);
    }
}
