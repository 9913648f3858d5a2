//! How long a connection is waited for. Limits sit on what makes no progress, never on a whole transfer.
//!
//! | what | limit | counted from |
//! |---|---|---|
//! | nothing is asked | `connections.idle_s` | the last answer |
//! | the head of a request | `connections.head_s` | its first byte, however many follow |
//! | the client takes nothing of an answer | `connections.silence_s` | the last byte that it acknowledged |
//! | the client sends nothing of a body | `connections.silence_s` | the last byte that came; see `web/request_body.rs` |
//!
//! What the server itself needs has no limit. All that this costs is a look at the connection now and then; a limit may be
//! exceeded by the time between two of them.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use crate::base::sys;
use crate::config::Connections;
use crate::web::pulse::Pulse;

/// How long a connection that was asked to end may stay without doing anything.
const FAREWELL: Duration = Duration::from_secs(2);

/// The longest time between two looks: while something is going on, just after that, and while nothing is asked.
const LOOK: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_millis(50);
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// The time limits of every connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) silence: Duration,
}

impl Limits {
    pub(super) fn of(config: &Connections) -> Self {
        let seconds = Duration::from_secs;
        Self { idle: seconds(config.idle_s), head: seconds(config.head_s), silence: seconds(config.silence_s) }
    }

    /// The longest time between two looks that these limits allow.
    fn look(&self) -> Duration {
        self.idle.min(self.head).min(self.silence) / 4
    }
}

/// What a look at a connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It lives.
    Alive,
    /// Nothing has been asked for a moment.
    Idle,
    /// Nothing was asked for too long.
    Unused,
    /// The head of a request takes too long.
    SlowHead,
    /// The client takes nothing.
    Stalled,
    /// It was asked to end and does nothing any more.
    Over,
}

/// Looks at one connection from time to time.
#[derive(Debug)]
pub(super) struct Patience {
    pulse: Arc<Pulse>,
    limits: Limits,
    socket: RawFd,
    /// Whether bytes from the client tell that it takes something, as those of HTTP/2 do.
    hears: bool,
    /// Bytes that the client had acknowledged at the last look.
    taken: u64,
    /// When it last took something, while it was its turn.
    moved: Option<u64>,
    /// When it was asked to end.
    asked_to_end: Option<u64>,
}

impl Patience {
    /// `socket` must stay open for as long as this looks at it.
    pub(super) fn new(pulse: Arc<Pulse>, limits: Limits, socket: RawFd) -> Self {
        Self { pulse, limits, socket, hears: false, taken: 0, moved: None, asked_to_end: None }
    }

    /// How long nothing may be asked from now on.
    pub(super) fn idle_left(&self) -> Duration {
        self.limits.idle.saturating_sub(self.pulse.rest())
    }

    /// Says that bytes from the client are a sign of life, whatever they are.
    pub(super) fn hears(&mut self) {
        self.hears = true;
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn ask_to_end(&mut self) {
        self.asked_to_end.get_or_insert(self.pulse.now());
    }

    pub(super) fn is_asked_to_end(&self) -> bool {
        self.asked_to_end.is_some()
    }

    /// When to look next, after this was found.
    pub(super) fn next_look(&self, found: Found) -> Duration {
        let most = self.limits.look();
        match found {
            Found::Idle if !self.is_asked_to_end() => self.idle_left().min(IDLE_LOOK).max(SOON),
            _ if self.pulse.is_running() => most.min(LOOK),
            _ => most.min(SOON),
        }
    }

    /// Whether nothing is asked and nothing is on its way.
    pub(super) fn is_idle(&self, head_began: Option<u64>) -> bool {
        head_began.is_none() && !self.pulse.is_running() && !self.pulse.waits_for_client()
    }

    /// Looks at the connection; `head_began`: when the head began that has not ended.
    pub(super) fn look(&mut self, head_began: Option<u64>) -> Found {
        let now = self.pulse.now();
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        if self.pulse.waits_for_client() {
            return if since(self.moved(now)) < self.limits.silence { Found::Alive } else { Found::Stalled };
        }
        self.moved = None;
        if self.pulse.is_running() {
            return Found::Alive;
        }
        if self.asked_to_end.is_some_and(|then| since(then.max(self.pulse.ended())) >= FAREWELL) {
            return Found::Over;
        }
        match head_began {
            Some(then) if since(then) >= self.limits.head => Found::SlowHead,
            None if since(self.pulse.ended()) >= self.limits.idle => Found::Unused,
            None if since(self.pulse.ended()) >= SOON / 2 => Found::Idle,
            Some(_) | None => Found::Alive,
        }
    }

    /// When the client, whose turn it is, last took something: at the latest when this was first asked.
    ///
    /// The socket has room again only when much of it was taken, which can take a slow client minutes; so what counts is
    /// what the client's system has acknowledged.
    fn moved(&mut self, now: u64) -> u64 {
        let taken = self.pulse.written().saturating_sub(sys::unacknowledged(self.socket).unwrap_or(0));
        if self.moved.is_none() || taken != self.taken {
            (self.taken, self.moved) = (taken, Some(now));
        }
        let moved = self.moved.unwrap_or(now);
        if self.hears { moved.max(self.pulse.heard()) } else { moved }
    }
}

#[cfg(test)]
mod tests {
    use crate::web::pulse::Exchange;

    use super::*;

    const SHORT: Limits = Limits {
        idle: Duration::from_millis(400),
        head: Duration::from_millis(200),
        silence: Duration::from_millis(200),
    };

    /// How long it takes until a look finds that, to the nearest hundredth of a second.
    fn look_until(patience: &mut Patience, head_began: Option<u64>, wanted: Found) -> Duration {
        let begin = std::time::Instant::now();
        while patience.look(head_began) != wanted {
            assert!(begin.elapsed() < Duration::from_secs(10), "{wanted:?} never came");
            std::thread::yield_now();
        }
        begin.elapsed() + Duration::from_millis(5)
    }

    fn patience() -> (Patience, Arc<Pulse>) {
        let pulse = Arc::new(Pulse::default());
        (Patience::new(pulse.clone(), SHORT, -1), pulse)
    }

    #[test]
    fn what_is_never_used_is_given_up() {
        let (mut patience, _) = patience();
        assert_eq!(patience.look(None), Found::Alive);
        look_until(&mut patience, None, Found::Idle);
        look_until(&mut patience, None, Found::Unused);
        assert_eq!(patience.look(Some(0)), Found::SlowHead);
    }

    #[test]
    fn work_of_ours_has_no_limit_and_a_client_that_takes_nothing_has_one() {
        let (mut patience, pulse) = patience();
        let mut exchange = Exchange::begin(pulse.clone());
        while pulse.now() <= 500 {
            assert_eq!(patience.look(None), Found::Alive);
        }
        exchange.turn(false);
        assert!(look_until(&mut patience, None, Found::Stalled) >= SHORT.silence);
        pulse.wrote(1);
        assert_eq!(patience.look(None), Found::Alive);
        drop(exchange);
        assert_eq!(patience.look(None), Found::Alive);
        assert!(patience.is_idle(None) && !patience.is_idle(Some(1)));
    }

    #[test]
    fn what_was_asked_to_end_ends_when_it_does_nothing() {
        let (mut patience, pulse) = patience();
        let exchange = Exchange::begin(pulse);
        patience.ask_to_end();
        assert_eq!(patience.look(None), Found::Alive);
        drop(exchange);
        assert!(look_until(&mut patience, None, Found::Over) >= FAREWELL);
    }
}
