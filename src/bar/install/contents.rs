//! The files of a bar: inflated by several threads, with the outcome of being processed one after the other.
//!
//! What can be told without reading is checked first, in order, up to the first entry that fails. The files before it are
//! stored by threads that take them in order; when one fails, no later one is begun, and those that are there already are
//! removed. Rows and events follow in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Install;
use super::work::{Failure, Work};
use crate::archive::{ArchiveError, Entry};
use crate::bar::cause::Cause;
use crate::bar::contents::{Action, Contents, content_type};
use crate::bar::event::InstallEvent;
use crate::bar::inspect::Members;
use crate::storage;
use crate::storage::build::{BuildTree, NewFile};
use crate::storage::database::resource::Kind as RowKind;
use crate::storage::tree::Identity;

/// Entries up to this size, in bytes, are inflated whole; larger ones are streamed.
const WHOLE: u64 = 1 << 20;
/// Bytes of a larger entry in memory at a time.
const BUFFER: usize = 256 << 10;
/// Files that are stored and not yet accounted for.
const AHEAD: usize = 256;
/// Threads that one installation uses at most.
const THREADS: usize = 8;

/// One member to be processed.
struct Item {
    member: usize,
    /// The declaration of a file; none for a directory, for which nothing is left to do.
    file: Option<usize>,
}

/// A file that is there.
struct Stored {
    identity: Identity,
    crc: u32,
}

type Outcome = (usize, Result<Stored, Failure>);

/// What the threads share.
struct Store<'a> {
    install: &'a Install,
    tree: &'a BuildTree,
    /// Members and their paths, in order.
    files: Vec<(usize, String)>,
    next: AtomicUsize,
    /// The first file that is not wanted.
    limit: AtomicUsize,
    /// Something could not be removed.
    spoilt: AtomicBool,
}

impl Work<'_> {
    pub(super) fn store_contents(&mut self, members: &[usize]) -> Result<(), Failure> {
        let (items, end) = self.plan(members);
        let path = |i: &Item| i.file.map(|at| (i.member, self.declared.paths[at].clone()));
        let files: Vec<_> = items.iter().filter_map(path).collect();
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS).min(files.len());
        let store = Store {
            install: self.install,
            tree: self.tree,
            limit: AtomicUsize::new(files.len()),
            files,
            next: AtomicUsize::new(0),
            spoilt: AtomicBool::new(false),
        };
        let (sender, receiver) = sync_channel(AHEAD);
        let result = std::thread::scope(|scope| {
            let start = || {
                let (store, sender) = (&store, sender.clone());
                let thread = std::thread::Builder::new().name("inflate".to_owned());
                thread.spawn_scoped(scope, move || store.work(&sender))
            };
            let started = (0..threads).try_for_each(|_| start().map(drop));
            drop(sender);
            let result = started
                .map_err(|e| storage::Error::io("start a thread", "inflate")(e).into())
                .and_then(|()| self.account(&items, &receiver));
            if result.is_err() {
                store.limit.store(0, Ordering::Relaxed);
                // Whatever else was stored comes after what failed.
                receiver.iter().filter(|(_, stored)| stored.is_ok()).for_each(|(n, _)| store.remove(n));
            }
            result
        });
        self.spoilt |= store.spoilt.load(Ordering::Relaxed);
        result?;
        let Some((member, failure)) = end else { return Ok(()) };
        self.begin(member);
        Err(failure)
    }

    /// What is to be done with each member, up to the first that fails without having been read.
    fn plan(&mut self, members: &[usize]) -> (Vec<Item>, Option<(usize, Failure)>) {
        let mut children = self.declared.children.clone();
        let mut taken = vec![false; self.declared.resources.len()];
        let contents = Contents::new(&self.declared.resources, self.install.plan.layout);
        let mut items = Vec::with_capacity(members.len());
        for &member in members {
            let described = self.install.bar.member(member);
            let checked = contents.action(&described).map_err(Into::into).and_then(|action| match action {
                Action::Collection(_) => Ok(None),
                Action::OData(..) => Err(Cause::ODataUnsupported.into()),
                Action::StoreFile(at) => {
                    let (declaration, parent) = (&self.declared.resources[at], self.declared.parents[at]);
                    if children[parent] >= self.install.cell.core.limits.children {
                        return Err(Cause::TooManyChildren.into());
                    }
                    // A service can have one source at two places.
                    if std::mem::replace(&mut taken[at], true) {
                        return Err(Cause::Structure.into());
                    }
                    content_type(declaration)?;
                    children[parent] += 1;
                    let acl = declaration.acl.as_ref().map_err(Clone::clone)?;
                    if let Some(acl) = acl {
                        self.acls.extend(self.roles.resolve(acl, self.declared.id(at), &self.objects)?);
                    }
                    Ok(Some(at))
                }
            });
            match checked {
                Ok(file) => items.push(Item { member, file }),
                Err(refused) => return (items, Some((member, super::acl::Refused::of(refused, described.name)))),
            }
        }
        (items, None)
    }

    /// The event of a member whose processing begins.
    fn begin(&mut self, member: usize) {
        let described = self.install.bar.member(member);
        self.report.event(InstallEvent::Started, described.name, "");
        if !described.name.ends_with('/') {
            self.report.count_file();
        }
    }

    /// Rows and events of everything, in order; the outcomes come in any.
    fn account(&mut self, items: &[Item], outcomes: &Receiver<Outcome>) -> Result<(), Failure> {
        let mut early: HashMap<usize, Result<Stored, Failure>> = HashMap::new();
        let result = self.account_each(items, outcomes, &mut early);
        if result.is_err() {
            let behind: Vec<usize> = early.iter().filter(|(_, stored)| stored.is_ok()).map(|(n, _)| *n).collect();
            let files: Vec<usize> = items.iter().filter_map(|i| i.file).collect();
            for n in behind {
                self.spoilt |= self.tree.remove_file(&self.declared.paths[files[n]]).is_err();
            }
        }
        result
    }

    fn account_each(
        &mut self,
        items: &[Item],
        outcomes: &Receiver<Outcome>,
        early: &mut HashMap<usize, Result<Stored, Failure>>,
    ) -> Result<(), Failure> {
        let mut number = 0;
        for item in items {
            self.begin(item.member);
            if let Some(at) = item.file {
                let Stored { identity, crc } = loop {
                    if let Some(outcome) = early.remove(&number) {
                        break outcome?;
                    }
                    let (n, outcome) = outcomes.recv().map_err(|_| Failure::Stopped)?;
                    early.insert(n, outcome);
                };
                number += 1;
                self.declared.children[self.declared.parents[at]] += 1;
                let row = self.declared.row(at, RowKind::File, identity, Some(crc));
                self.push_row(row)?;
            }
            let name = self.install.bar.member(item.member).name;
            self.report.event(InstallEvent::Completed, name, "");
        }
        Ok(())
    }
}

impl Store<'_> {
    fn work(&self, sender: &SyncSender<Outcome>) {
        let mut buffer = Vec::new();
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.limit.load(Ordering::Relaxed) {
                return;
            }
            let outcome = self.store(n, &mut buffer);
            if outcome.is_err() {
                self.limit.fetch_min(n, Ordering::Relaxed);
            }
            if sender.send((n, outcome)).is_err() {
                return;
            }
        }
    }

    fn store(&self, n: usize, buffer: &mut Vec<u8>) -> Result<Stored, Failure> {
        if self.install.is_stopping() {
            return Err(Failure::Stopped);
        }
        let (member, path) = &self.files[n];
        let entry = self.install.bar.entry(*member);
        let name = self.install.bar.member(*member).name;
        let whole = if entry.size <= WHOLE {
            let limit = self.install.installer.limits.bar_entry_size;
            Some(self.install.bar.archive().read_entry(entry, limit).map_err(|e| broken(e, name))?)
        } else {
            None
        };
        let mut file = self.tree.create(path)?;
        let filled = match whole {
            Some(bytes) if bytes.is_empty() => Ok(()),
            Some(bytes) => file.write(&bytes).map_err(Failure::Machine),
            None => self.stream(entry, name, &mut file, buffer),
        };
        filled
            .and_then(|()| file.finish().map_err(Failure::Machine))
            .map(|identity| Stored { identity, crc: entry.crc })
            .inspect_err(|_| self.remove(n))
    }

    fn stream(&self, entry: &Entry, name: &str, file: &mut NewFile<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        buffer.resize(BUFFER, 0);
        let mut reader = self.install.bar.archive().open_entry(entry).map_err(|e| broken(e, name))?;
        loop {
            let mut filled = 0;
            while filled < BUFFER {
                match reader.read_some(&mut buffer[filled..]).map_err(|e| broken(e, name))? {
                    0 => break,
                    n => filled += n,
                }
            }
            if filled == 0 {
                return Ok(());
            }
            file.write(&buffer[..filled])?;
        }
    }

    fn remove(&self, n: usize) {
        if let Err(e) = self.tree.remove_file(&self.files[n].1) {
            tracing::warn!(error = &e as &dyn std::error::Error, "a file of a failed installation cannot be removed");
            self.spoilt.store(true, Ordering::Relaxed);
        }
    }
}

/// A member that cannot be read: the bar's fault, unless the file itself could not be.
fn broken(error: ArchiveError, name: &str) -> Failure {
    match error {
        ArchiveError::Read(source) => {
            Failure::Machine(storage::Error::Io { op: "read", path: "the bar".to_owned(), source })
        }
        other => Failure::entry(Cause::Other(format!("{other}.")), name),
    }
}
