//! The one way to change a cell: operations queue up for its writer, which takes them in batches.
//!
//! A batch holds the cell's write lock and goes: replay what a dead process left → one transaction with a savepoint for each
//! operation, which decides *finally* → sync of `staging/` → durable commit → renames in commit order → answers. The pending
//! rows of the transaction are the redo record, so no answer waits for a directory to be synced; a settler does that a
//! little later and the rows go. A rename that fails is undone and answered as an error. Contract: `docs/on-disk.md`.

mod ahead;
mod batch;
mod context;
mod decide;
mod places;
mod redo;
mod rename;
mod replay;
mod settler;
mod unsettled;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc;

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use context::{Context, Touched};
pub use settler::Settler;

use super::database::pending::{How, Step, Undo};
use super::database::{Resource, View};
use super::error::{Error, Result};
use crate::base::path::{ResourcePath, Segment};
use crate::storage::cell::Core;
use crate::storage::stage::Riding;

/// The names an operation touches. Two operations on one name, or on names above and below each other, never share a batch,
/// because taking one back would take the other along.
#[derive(Debug, Clone, Default)]
pub struct Footprint {
    names: Vec<(String, ResourcePath)>,
}

impl Footprint {
    pub fn of(box_name: &str, path: &ResourcePath) -> Self {
        Self::default().and(box_name, path)
    }

    pub fn and(mut self, box_name: &str, path: &ResourcePath) -> Self {
        // A path is looked up as given, then in NFC: both forms lead to the same name.
        let path = ResourcePath::from_segments(path.segments().iter().map(Segment::nfc).collect());
        self.names.push((box_name.to_owned(), path));
        self
    }

    fn meets(&self, other: &Self) -> bool {
        self.names
            .iter()
            .any(|(b, p)| other.names.iter().any(|(ob, op)| b == ob && (p.starts_with(op) || op.starts_with(p))))
    }
}

/// What an operation decided: its renames, what takes its rows back, which directories change, and the answer.
#[derive(Debug)]
pub struct Decision<T> {
    pub op: &'static str,
    /// The resource that the operation is about.
    pub id: i64,
    pub steps: Vec<Step>,
    pub undo: Vec<Undo>,
    pub touched: Vec<Touched>,
    /// Content of the file that the last step renames, if no sync has covered it.
    pub content: Option<Riding>,
    pub output: T,
}

/// What a change of rows alone is called.
const ROWS: &str = "rows";

impl<T> Decision<T> {
    /// The same with another answer.
    pub fn with<U>(self, output: U) -> Decision<U> {
        let Self { op, id, steps, undo, touched, content, .. } = self;
        Decision { op, id, steps, undo, touched, content, output }
    }

    /// A change of rows alone.
    pub fn rows(output: T) -> Self {
        Self { op: ROWS, id: 0, steps: Vec::new(), undo: Vec::new(), touched: Vec::new(), content: None, output }
    }
}

/// One change of a cell.
pub trait Operation: Send + 'static {
    type Output: Send + 'static;

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    /// Checks and changes the rows inside the transaction. An error takes back what it wrote.
    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Self::Output>>;

    /// Whether nobody hears of it before a later operation is durable, so that its own commit need not be.
    fn waits_for_another(&self) -> bool {
        false
    }

    /// Whether it may use the room that is kept for a full disk, because it makes room, or because reading needs it.
    fn may_use_reserve(&self) -> bool {
        false
    }

    /// Whether it changes no row before it has refused whatever it refuses; what it adopts on its way may stay.
    fn refuses_first(&self) -> bool {
        false
    }

    /// Whether all collections stay where and what they are.
    fn keeps_places(&self) -> bool {
        false
    }

    /// Whether it may be answered before its rows are committed, where the cell allows that: it puts one file under a name.
    fn may_go_ahead(&self) -> bool {
        false
    }

    /// The file that an operation that goes ahead has put under its name.
    fn file_of(_output: &Self::Output) -> Option<&Resource> {
        None
    }

    /// Told once the operation's commit may have reached the disk: what it staged belongs to the rows now.
    fn committed(&mut self) {}
}

/// A change of rows alone, as a closure.
pub struct Change<F>(pub F);

impl<T: Send + 'static, F: FnMut(&Context<'_>) -> Result<T> + Send + 'static> Operation for Change<F> {
    type Output = T;

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<T>> {
        (self.0)(ctx).map(Decision::rows)
    }
}

/// A change of rows that nobody sees until a later operation shows them.
pub struct HiddenChange<F>(pub F);

impl<T: Send + 'static, F: FnMut(&Context<'_>) -> Result<T> + Send + 'static> Operation for HiddenChange<F> {
    type Output = T;

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<T>> {
        (self.0)(ctx).map(Decision::rows)
    }

    fn waits_for_another(&self) -> bool {
        true
    }
}

/// A change of rows that belong to some names.
pub struct ChangeAt<F>(pub Footprint, pub F);

impl<T: Send + 'static, F: FnMut(&Context<'_>) -> Result<T> + Send + 'static> Operation for ChangeAt<F> {
    type Output = T;

    fn footprint(&self) -> Footprint {
        self.0.clone()
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<T>> {
        (self.1)(ctx).map(Decision::rows)
    }
}

/// Asked inside the transaction of a change, before anything else.
pub type Permission = Box<dyn Fn(&View<'_>) -> Result<()> + Send>;

/// An operation that happens only if that is allowed at its moment.
pub struct Permitted<O>(pub Permission, pub O);

impl<O: Operation> Operation for Permitted<O> {
    type Output = O::Output;

    fn footprint(&self) -> Footprint {
        self.1.footprint()
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<O::Output>> {
        (self.0)(ctx.tx)?;
        self.1.decide(ctx)
    }

    fn waits_for_another(&self) -> bool {
        self.1.waits_for_another()
    }

    fn refuses_first(&self) -> bool {
        self.1.refuses_first()
    }

    fn keeps_places(&self) -> bool {
        self.1.keeps_places()
    }

    fn may_go_ahead(&self) -> bool {
        self.1.may_go_ahead()
    }

    fn file_of(output: &Self::Output) -> Option<&Resource> {
        O::file_of(output)
    }

    fn committed(&mut self) {
        self.1.committed();
    }
}

/// An operation in the queue, its types forgotten.
trait Queued: Send {
    fn footprint(&self) -> Footprint;
    fn decide(&mut self, ctx: &Context<'_>) -> Result<Plan>;
    fn waits_for_another(&self) -> bool;
    fn may_use_reserve(&self) -> bool;
    fn refuses_first(&self) -> bool;
    fn keeps_places(&self) -> bool;
    fn may_go_ahead(&self) -> bool;
    /// The file that was decided to be put under its name.
    fn file(&self) -> Option<&Resource>;
    fn committed(&mut self);
    fn answer(self: Box<Self>, result: Result<()>);
}

/// A decision without its answer.
struct Plan {
    op: &'static str,
    id: i64,
    steps: Vec<Step>,
    undo: Vec<Undo>,
    touched: Vec<Touched>,
    content: Option<Riding>,
}

impl Plan {
    /// Whether a file gets new content and all else stays: whoever looks at the file notices that.
    fn only_replaces(&self) -> bool {
        self.op == "put" && self.steps.iter().all(|step| step.how == How::Exchange)
    }
}

struct Slot<O: Operation> {
    operation: O,
    output: Option<O::Output>,
    /// None once there was an answer.
    reply: Option<oneshot::Sender<Result<O::Output>>>,
    /// Its commit may have reached the disk.
    committed: bool,
}

impl<O: Operation> Queued for Slot<O> {
    fn footprint(&self) -> Footprint {
        self.operation.footprint()
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Plan> {
        let Decision { op, id, steps, undo, touched, content, output } = self.operation.decide(ctx)?;
        self.output = Some(output);
        Ok(Plan { op, id, steps, undo, touched, content })
    }

    fn waits_for_another(&self) -> bool {
        self.operation.waits_for_another()
    }

    fn may_use_reserve(&self) -> bool {
        self.operation.may_use_reserve()
    }

    fn refuses_first(&self) -> bool {
        self.operation.refuses_first()
    }

    fn keeps_places(&self) -> bool {
        self.operation.keeps_places()
    }

    fn may_go_ahead(&self) -> bool {
        self.operation.may_go_ahead()
    }

    fn file(&self) -> Option<&Resource> {
        self.output.as_ref().and_then(O::file_of)
    }

    fn committed(&mut self) {
        self.committed = true;
        self.operation.committed();
    }

    fn answer(mut self: Box<Self>, result: Result<()>) {
        let (output, reply) = (self.output.take(), self.reply.take());
        // What the operation staged and did not use is removed before the client hears of it.
        drop(self);
        let answer = result
            .and_then(|()| output.ok_or_else(|| Error::Inconsistent("an operation without an answer".to_owned())));
        // A client that has gone away does not need the answer.
        drop(reply.map(|reply| reply.send(answer)));
    }
}

impl<O: Operation> Drop for Slot<O> {
    fn drop(&mut self) {
        // Who hears nothing may take it that nothing was done, and do it again.
        if let Some(reply) = self.reply.take().filter(|_| self.committed) {
            drop(reply.send(Err(Error::Inconsistent("the writer ended before its answer".to_owned()))));
        }
    }
}

enum Message {
    Operation(Box<dyn Queued>),
    /// A sync has covered the renames of these pending rows.
    Settled(Vec<i64>),
    /// A directory of renames could not be synced: the cell must be opened anew.
    Unsynced,
    /// Somebody wants to read the rows of all that was answered.
    Publish(mpsc::Sender<Infallible>),
    /// A reader is through: something may be reapable.
    Reap,
    /// The cell is being closed.
    Stop,
}

/// The way into a cell's writer.
#[derive(Debug, Clone)]
pub struct Queue {
    sender: mpsc::Sender<Message>,
}

impl Queue {
    /// Hands an operation over; the answer comes when it is durable.
    pub fn submit<O: Operation>(&self, operation: O) -> oneshot::Receiver<Result<O::Output>> {
        let (reply, answer) = oneshot::channel();
        let slot = Slot { operation, output: None, reply: Some(reply), committed: false };
        // If the writer is gone the slot is dropped, and with it the reply: the receiver sees that.
        drop(self.sender.send(Message::Operation(Box::new(slot))));
        answer
    }

    /// Waits until the rows of all that was answered can be read.
    pub(crate) fn publish(&self) {
        let (done, wait) = mpsc::channel();
        if self.sender.send(Message::Publish(done)).is_ok() {
            // It is dropped without a word.
            let _ = wait.recv();
        }
    }

    pub(crate) fn reap(&self) {
        drop(self.sender.send(Message::Reap));
    }

    /// Ends the writer once it has done and settled what was submitted before.
    pub(crate) fn stop(&self) {
        drop(self.sender.send(Message::Stop));
    }
}

/// Starts the writer of a cell that has been recovered.
pub(crate) fn start(core: Arc<Core>, conn: Connection) -> Result<(Queue, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel();
    let writer = batch::Writer::new(core, conn, receiver, sender.clone())?;
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || writer.run())
        .map_err(Error::io("start a thread", "writer"))?;
    Ok((Queue { sender }, thread))
}

pub(crate) use replay::{in_transaction, leave_box_empty, litter, recover};
