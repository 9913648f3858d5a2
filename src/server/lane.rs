//! Connections that ask for what can be answered again, over and over, leave the runtime and ride in a lane: one thread that waits for
//! all of its connections at once, reads a request, and answers it. No task is woken, no timer is set.
//!
//! A lane never waits for anything else. What it cannot answer at once, in whole, goes back to the connection's task, with what was read
//! or is left to send. The task looks after the connection meanwhile: it takes it out when nothing is asked for a moment, and when the
//! server ends.
//!
//! All requests that one wait found had begun to come before it returned, so they share one [`Moment`], and those for one file one
//! look at it.

use std::io::{self, Read as _};
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use tokio::sync::Notify;

use super::recall::{Latest, Recall};
use super::sending::Sending;
use crate::storage::known::Moment;
use crate::web::pulse::{Exchange, Pulse};

/// How much is read at once. Longer heads are not kept, so none that matters is longer.
const READ: usize = 4096;

/// How many connections one wait may find; the others come next.
const FOUND: usize = 256;

/// So many connections are few for one lane.
const FEW: usize = 16;

/// What wakes a lane that is to end: no connection has this number.
const END: Token = Token(usize::MAX);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All lanes of a server.
#[derive(Debug)]
pub(super) struct Lanes(Vec<(Arc<Lane>, Option<JoinHandle<()>>)>);

impl Lanes {
    /// Begins some lanes, which answer what is remembered. Without lanes all goes the usual way.
    pub(super) fn new(count: usize, recall: &Arc<Recall>) -> Self {
        let begun = (0..count).map(|_| Lane::begin(Arc::clone(recall)));
        let told = begun.filter_map(|lane| {
            lane.inspect_err(|e| tracing::warn!(error = %e, "cannot begin a lane for repeated requests")).ok()
        });
        Self(told.map(|(lane, thread)| (lane, Some(thread))).collect())
    }

    /// Puts a connection into the first lane with few, or else into the one with the fewest: the more a lane finds at once, the less
    /// each costs. Its socket must not block, and all its requests must have been answered.
    pub(super) fn enter(&self, stream: TcpStream, peer: IpAddr, pulse: Arc<Pulse>) -> Result<Ride, TcpStream> {
        let fewest = self.0.iter().min_by_key(|(lane, _)| lane.riders.load(Relaxed).max(FEW));
        let Some((lane, _)) = fewest else { return Err(stream) };
        let socket = stream.as_raw_fd();
        let held = Held { stream, latest: None, left: None };
        let seat = Arc::new(Seat { peer, pulse, held: Mutex::new(Some(held)), over: Notify::new() });
        lane.riders.fetch_add(1, Relaxed);
        lane.put(socket, Some(Arc::clone(&seat)));
        let ride = Ride { lane: Arc::clone(lane), seat };
        match lane.registry.register(&mut SourceFd(&socket), token(socket), Interest::READABLE) {
            Ok(()) => Ok(ride),
            Err(e) => {
                tracing::debug!(error = %e, "a connection cannot enter a lane");
                Err(ride.leave().0)
            }
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for (lane, thread) in &mut self.0 {
            // A lane that cannot be woken ends with the process.
            if lane.end.wake().is_ok()
                && let Some(thread) = thread.take()
            {
                let _ = thread.join();
            }
        }
    }
}

fn token(socket: RawFd) -> Token {
    Token(socket as usize)
}

#[derive(Debug)]
struct Lane {
    registry: Registry,
    end: Waker,
    riders: AtomicUsize,
    /// The seats of the connections, by the number of the socket.
    seats: Mutex<Vec<Option<Arc<Seat>>>>,
}

impl Lane {
    fn begin(recall: Arc<Recall>) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let end = Waker::new(&registry, END)?;
        let lane = Arc::new(Self { registry, end, riders: AtomicUsize::new(0), seats: Mutex::default() });
        let driver = Driver { lane: Arc::clone(&lane), recall, read: vec![0; READ], head: Vec::new() };
        let thread = std::thread::Builder::new().name("lane".to_owned()).spawn(move || driver.run(poll))?;
        Ok((lane, thread))
    }

    fn put(&self, socket: RawFd, seat: Option<Arc<Seat>>) {
        let (mut seats, at) = (locked(&self.seats), socket as usize);
        if seats.len() <= at {
            seats.resize(at + 1, None);
        }
        seats[at] = seat;
    }

    fn seat(&self, token: Token) -> Option<Arc<Seat>> {
        locked(&self.seats).get(token.0)?.clone()
    }
}

/// A connection in a lane.
#[derive(Debug)]
struct Seat {
    peer: IpAddr,
    pulse: Arc<Pulse>,
    /// None when the connection has left.
    held: Mutex<Option<Held>>,
    over: Notify,
}

#[derive(Debug)]
struct Held {
    stream: TcpStream,
    latest: Option<Latest>,
    /// Set when the lane does nothing more for it.
    left: Option<Left>,
}

/// What a lane leaves to the task of a connection.
#[derive(Debug)]
pub(super) enum Left {
    /// What was read last; nothing if there may be something to read.
    Read(Vec<u8>),
    /// An answer that was begun, and its head.
    Sending(Box<Sending>, Vec<u8>),
    /// Nothing: no more can be said.
    Broken,
}

/// A connection's stay in a lane.
#[derive(Debug)]
pub(super) struct Ride {
    lane: Arc<Lane>,
    seat: Arc<Seat>,
}

impl Ride {
    /// Waits until the lane does nothing more for the connection.
    pub(super) async fn over(&self) {
        self.seat.over.notified().await;
    }

    /// Takes the connection out, with what is left to do.
    pub(super) fn leave(self) -> (TcpStream, Left) {
        let held = self.take().expect("invariant: only who leaves takes what is held");
        (held.stream, held.left.unwrap_or(Left::Read(Vec::new())))
    }

    fn take(&self) -> Option<Held> {
        let held = locked(&self.seat.held).take()?;
        let socket = held.stream.as_raw_fd();
        self.lane.put(socket, None);
        self.lane.riders.fetch_sub(1, Relaxed);
        if let Err(e) = self.lane.registry.deregister(&mut SourceFd(&socket)) {
            tracing::debug!(error = %e, "a connection was not in its lane");
        }
        Some(held)
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// What drives a lane.
struct Driver {
    lane: Arc<Lane>,
    recall: Arc<Recall>,
    read: Vec<u8>,
    head: Vec<u8>,
}

impl Driver {
    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(FOUND);
        loop {
            match poll.poll(&mut events, None) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    tracing::error!(error = %e, "a lane for repeated requests has ended");
                    return;
                }
            }
            let moment = Moment::next();
            for event in &events {
                if event.token() == END {
                    return;
                }
                if let Some(seat) = self.lane.seat(event.token()) {
                    self.serve(&seat, moment, event.is_read_closed() || event.is_error());
                }
            }
        }
    }

    fn serve(&mut self, seat: &Seat, moment: Moment, ends: bool) {
        let mut held = locked(&seat.held);
        if let Some(held) = held.as_mut().filter(|held| held.left.is_none()) {
            held.left = if ends { Some(Left::Read(Vec::new())) } else { self.answer(seat, held, moment) };
            if held.left.is_some() {
                seat.over.notify_one();
            }
        }
    }

    /// Answers what has come; what is left to do if the connection cannot stay.
    fn answer(&mut self, seat: &Seat, held: &mut Held, moment: Moment) -> Option<Left> {
        let n = match held.stream.read(&mut self.read) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => 0,
        };
        let read = &self.read[..n];
        // Whether more has come than fits is for the task to find out.
        let recalled =
            if n < READ { self.recall.find_after(moment, seat.peer, read, true, &mut held.latest) } else { None };
        let Some(recalled) = recalled else {
            seat.pulse.hear();
            return Some(Left::Read(read.to_vec()));
        };
        tracing::debug!(peer = %seat.peer, path = recalled.path(), "answered again");
        self.recall.write_head(&recalled, &mut self.head);
        let line = recalled.line();
        let mut sending = Sending::new(recalled, line, Exchange::begin(Arc::clone(&seat.pulse)));
        match sending.send_now(&held.stream, &self.head) {
            Ok(true) => None,
            Ok(false) => Some(Left::Sending(Box::new(sending), self.head.clone())),
            Err(e) => {
                tracing::debug!(peer = %seat.peer, error = %e, "a connection broke");
                Some(Left::Broken)
            }
        }
    }
}
