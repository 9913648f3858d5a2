//! Signs of life of a connection: when bytes last came, how many have gone, and whose turn it is.
//!
//! Time limits ask it, so that what is slow but alive is told from what hangs. Times are milliseconds since the connection began.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// What has been seen of a connection so far.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    heard: AtomicU64,
    written: AtomicU64,
    blocked: AtomicBool,
    running: AtomicUsize,
    ours: AtomicUsize,
    ended: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            heard: AtomicU64::new(0),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// Milliseconds since the connection began.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Notes that bytes came.
    pub fn hear(&self) {
        self.heard.store(self.now(), Relaxed);
    }

    /// When bytes last came.
    pub fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// For how long no byte has come.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.heard()))
    }

    /// Notes that the socket has taken bytes.
    pub fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
        self.blocked.store(false, Relaxed);
    }

    /// Notes that bytes wait for room in the socket.
    pub fn block(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// Bytes that the socket has taken so far.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether requests are being answered.
    pub fn is_running(&self) -> bool {
        self.running.load(Relaxed) > 0
    }

    /// Whether nothing goes on before the client takes bytes.
    pub fn waits_for_client(&self) -> bool {
        self.blocked.load(Relaxed) || (self.is_running() && self.ours.load(Relaxed) == 0)
    }

    /// For how long no answer has ended.
    pub fn rest(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.ended()))
    }

    /// When the last answer ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }
}

/// A request that is being answered. It begins as our turn, and ends when it is dropped.
#[derive(Debug)]
pub struct Exchange {
    pulse: Arc<Pulse>,
    ours: bool,
}

impl Exchange {
    pub fn begin(pulse: Arc<Pulse>) -> Self {
        pulse.running.fetch_add(1, Relaxed);
        pulse.ours.fetch_add(1, Relaxed);
        Self { pulse, ours: true }
    }

    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Says whose turn it is: ours to make more of the answer, or the client's to take what is there.
    pub fn turn(&mut self, ours: bool) {
        if self.ours == ours {
            return;
        }
        self.ours = ours;
        if ours {
            self.pulse.ours.fetch_add(1, Relaxed);
        } else {
            self.pulse.ours.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.turn(false);
        self.pulse.ended.store(self.pulse.now(), Relaxed);
        self.pulse.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_clients_turn_when_no_exchange_is_ours() {
        let pulse = Arc::new(Pulse::default());
        assert!(!pulse.is_running() && !pulse.waits_for_client());
        let mut one = Exchange::begin(pulse.clone());
        let two = Exchange::begin(pulse.clone());
        one.turn(false);
        one.turn(false);
        assert!(!pulse.waits_for_client());
        drop(two);
        assert!(pulse.is_running() && pulse.waits_for_client());
        one.turn(true);
        assert!(!pulse.waits_for_client());
        drop(one);
        assert!(!pulse.is_running());
        pulse.block();
        assert!(pulse.waits_for_client());
        pulse.wrote(7);
        assert!(!pulse.waits_for_client());
        assert_eq!(pulse.written(), 7);
    }
}
