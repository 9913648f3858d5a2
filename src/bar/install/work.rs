//! The work of an installation: every step in its order, up to the first that fails.

use std::time::{Duration, Instant};

use super::Install;
use super::acl::{PlannedAcl, Roles};
use super::declare::Declared;
use super::objects::Objects;
use super::report::Report;
use crate::bar::cause::Cause;
use crate::bar::event::{InstallEvent, meta_object};
use crate::bar::inspect::Members;
use crate::bar::schedule::{Step, schedule};
use crate::bar::{Layout, MetaFile};
use crate::storage;
use crate::storage::build::{self, BuildTree, CHUNK, NewRow};
use crate::storage::database::property::Property;
use crate::storage::writer::Context;

/// Why the work did not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The bar is at fault.
    Bar {
        cause: Cause,
        /// The object of the event.
        object: String,
        /// Whether it is in one of the lists of control objects.
        in_list: bool,
    },
    /// The machine is.
    Machine(storage::Error),
    /// The server is being stopped.
    Stopped,
}

impl Failure {
    pub(super) fn entry(cause: impl Into<Cause>, object: &str) -> Self {
        Self::Bar { cause: cause.into(), object: object.to_owned(), in_list: false }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        Self::Machine(error)
    }
}

/// Rows that are complete wait this long for others to be written with them.
const PATIENCE: Duration = Duration::from_millis(250);

/// The state of the work.
pub(super) struct Work<'i> {
    pub(super) install: &'i Install,
    pub(super) tree: &'i BuildTree,
    pub(super) report: Report<'i>,
    pub(super) roles: Roles<'i>,
    pub(super) objects: Objects,
    pub(super) declared: Declared,
    pub(super) acls: Vec<PlannedAcl>,
    pub(super) box_properties: Vec<Property>,
    rows: Vec<NewRow>,
    written: Instant,
    /// The tree may hold what no row tells of: it cannot be shown.
    pub(super) spoilt: bool,
}

impl<'i> Work<'i> {
    pub(super) fn new(install: &'i Install, tree: &'i BuildTree) -> Self {
        Self {
            install,
            tree,
            report: Report::new(install),
            roles: Roles::new(&install.cell, &install.cell_urls, &install.begun.cell_box.name),
            objects: Objects::default(),
            declared: Declared::default(),
            acls: Vec::new(),
            box_properties: Vec::new(),
            rows: Vec::with_capacity(CHUNK),
            written: Instant::now(),
            spoilt: false,
        }
    }

    /// Everything, in order.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        let schedule = schedule(&self.install.bar, self.install.plan.layout);
        let mut contents = Vec::new();
        for step in &schedule.steps {
            match *step {
                Step::Meta(file, index) => self.meta(file, index)?,
                Step::Contents(index) => contents.push(index),
            }
        }
        self.store_contents(&contents)?;
        schedule.failure.map_or(Ok(()), |(cause, object)| Err(Failure::entry(cause, &object)))
    }

    fn meta(&mut self, file: MetaFile, index: usize) -> Result<(), Failure> {
        if self.install.is_stopping() {
            return Err(Failure::Stopped);
        }
        let layout = self.install.plan.layout;
        let object = meta_object(layout, file).unwrap_or_default();
        let in_list = layout == Layout::V2 && file != MetaFile::Rootprops;
        self.report.event(InstallEvent::Started, &object, "");
        self.report.count_file();
        let fail = |cause: Cause| Failure::Bar {
            cause,
            object: if in_list { String::new() } else { object.clone() },
            in_list,
        };
        let limits = &self.install.installer.limits;
        let cap = if file == MetaFile::Rootprops { limits.properties_size() } else { limits.bar_entry_size };
        let bytes = self.install.bar.read(index, cap).map_err(|e| fail(Cause::Other(format!("{e}."))))?;
        let any = match file {
            MetaFile::Manifest => self.install.plan.manifest.check(layout).map(|()| true).map_err(fail)?,
            MetaFile::Rootprops => self.declare(&bytes, &object).map(|()| true)?,
            _ => {
                let (objects, report) = (&mut self.objects, &mut self.report);
                let name = &self.install.begun.cell_box.name;
                objects.add(file, layout, &bytes, name, |event| report.push(event)).map_err(fail)?
            }
        };
        if any || layout == Layout::V1 {
            self.report.event(InstallEvent::Completed, &object, "");
        }
        Ok(())
    }

    /// Takes a row that is complete and writes what has gathered from time to time.
    pub(super) fn push_row(&mut self, row: NewRow) -> Result<(), Failure> {
        self.rows.push(row);
        if self.rows.len() >= CHUNK || self.written.elapsed() >= PATIENCE { self.write_rows() } else { Ok(()) }
    }

    /// Writes the rows that are complete, and the progress.
    fn write_rows(&mut self) -> Result<(), Failure> {
        self.written = Instant::now();
        let (job, due) = (self.install.begun.job.id, self.report.due());
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(CHUNK));
        if rows.is_empty() && due.is_none() {
            return Ok(());
        }
        let limit = self.install.cell.core.limits.cell_bytes;
        let also = move |ctx: &Context<'_>| {
            due.map_or(Ok(()), |percent| ctx.tx.set_progress(job, percent))?;
            // There was room when the installation began; others may have taken it since.
            ctx.tx.check_quota(0, limit)
        };
        let contents = self.install.plan.layout.contents();
        build::write_rows(&self.install.cell, rows, also).map_err(|e| {
            self.spoilt = true;
            match e {
                storage::Error::OverQuota => Failure::entry(Cause::NoRoom, contents),
                e => Failure::Machine(e),
            }
        })
    }

    /// Completes rows and tree, durably: after this they can be shown.
    pub(super) fn seal(&mut self) -> Result<(), Failure> {
        self.write_rows()?;
        self.install.bar.discard();
        let folders = self.declared.folders();
        let mut counts = vec![(self.install.begun.cell_box.id, self.declared.children_of_box(), "")];
        counts.extend(folders.iter().map(|f| (f.id, f.children, f.path)));
        let mut updates = Vec::with_capacity(counts.len());
        for (id, children, path) in &counts {
            updates.push((*id, *children, self.tree.look_at_folder(path)?.1));
        }
        for chunk in updates.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            build::write_rows(&self.install.cell, Vec::new(), move |ctx| {
                for (id, children, mtime_ns) in &chunk {
                    ctx.tx.set_children(*id, *children)?;
                    ctx.tx.set_dir_mtime(*id, *mtime_ns)?;
                }
                Ok(())
            })?;
        }
        self.tree.sync(counts.iter().map(|(_, _, path)| *path))?;
        Ok(())
    }
}
