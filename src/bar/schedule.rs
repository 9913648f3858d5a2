//! In which order the members of a bar are processed.
//!
//! A current bar is processed in a fixed order, whatever the order of its members; what is unknown outside the contents is
//! left out. A legacy bar is processed as it lies in the archive, and fails at the first member that is out of place: what
//! comes before it is done.

use super::cause::Cause;
use super::inspect::{MemberKind, Members};
use super::{Layout, MetaFile};

/// One member to process, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A file of metadata; the manifest only in a legacy bar.
    Meta(MetaFile, usize),
    /// The directory of the contents, or something in it.
    Contents(usize),
}

/// All steps, and what happens behind the last one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    pub steps: Vec<Step>,
    /// The installation fails there, with the object of the event.
    pub failure: Option<(Cause, String)>,
}

/// The steps of an archive that has passed the inspection.
pub fn schedule<M: Members>(members: &M, layout: Layout) -> Schedule {
    match layout {
        Layout::V2 => Schedule { steps: current(members), failure: None },
        Layout::V1 => legacy(members),
    }
}

/// Metadata in their order, then the contents by the bytes of their names: collections before what is in them.
fn current<M: Members>(members: &M) -> Vec<Step> {
    let mut meta = Vec::new();
    let mut contents = Vec::new();
    for index in 0..members.count() {
        let member = members.member(index);
        let file = member.name.strip_prefix(Layout::V2.meta()).and_then(MetaFile::of);
        if let Some(file) = file.filter(|file| *file != MetaFile::Manifest && member.kind == MemberKind::File) {
            meta.push((file, index));
        } else if member.name.starts_with(Layout::V2.contents()) {
            contents.push(index);
        }
    }
    meta.sort_unstable();
    contents.sort_unstable_by(|a, b| members.member(*a).name.cmp(members.member(*b).name));
    let meta = meta.into_iter().map(|(file, index)| Step::Meta(file, index));
    meta.chain(contents.into_iter().map(Step::Contents)).collect()
}

fn legacy<M: Members>(members: &M) -> Schedule {
    let mut order: Vec<usize> = (0..members.count()).collect();
    order.sort_by_key(|index| members.member(*index).position);
    let mut schedule = Schedule::default();
    let fail = |mut schedule: Schedule, object: &str| {
        schedule.failure = Some((Cause::Structure, object.to_owned()));
        schedule
    };
    for (at, required) in [Layout::V1.root(), Layout::V1.meta()].into_iter().enumerate() {
        if order.get(at).is_none_or(|index| members.member(*index).name != required) {
            return fail(schedule, required);
        }
    }
    let mut last: Option<MetaFile> = None;
    let mut in_contents = false;
    for index in order.into_iter().skip(2) {
        let name = members.member(index).name;
        if in_contents && name.starts_with(Layout::V1.contents()) || name == Layout::V1.contents() {
            in_contents = true;
            schedule.steps.push(Step::Contents(index));
            continue;
        }
        let file = name.strip_prefix(Layout::V1.meta()).and_then(MetaFile::of);
        match file {
            Some(file) if !in_contents && last.map_or(file == MetaFile::Manifest, |last| last <= file) => {
                schedule.steps.push(Step::Meta(file, index));
                last = Some(file);
            }
            _ => return fail(schedule, name),
        }
    }
    schedule
}

#[cfg(test)]
mod tests {
    use super::super::inspect::tests::Archive;
    use super::*;

    fn names(archive: &Archive, layout: Layout) -> (Vec<String>, Option<String>) {
        let schedule = schedule(archive, layout);
        let name = |step: &Step| match step {
            Step::Meta(_, index) | Step::Contents(index) => archive.member(*index).name.to_owned(),
        };
        (schedule.steps.iter().map(name).collect(), schedule.failure.map(|(_, object)| object))
    }

    #[test]
    fn the_order_of_a_current_archive_does_not_count() {
        let archive = Archive::of(&[
            "90_contents/d/x",
            "README",
            "90_contents/d/",
            "00_meta/90_rootprops.xml",
            "00_meta/55_unknown.txt",
            "90_contents/",
            "00_meta/70_$links.json",
            "00_meta/00_manifest.json",
            "00_meta/20_roles.json",
            "00_meta/",
        ]);
        let expected = [
            "00_meta/20_roles.json",
            "00_meta/70_$links.json",
            "00_meta/90_rootprops.xml",
            "90_contents/",
            "90_contents/d/",
            "90_contents/d/x",
        ];
        assert_eq!(names(&archive, Layout::V2), (expected.map(str::to_owned).to_vec(), None));
    }

    const LEGACY: [&str; 8] = [
        "bar/",
        "bar/00_meta/",
        "bar/00_meta/00_manifest.json",
        "bar/00_meta/10_relations.json",
        "bar/00_meta/20_roles.json",
        "bar/00_meta/90_rootprops.xml",
        "bar/90_contents/",
        "bar/90_contents/d/",
    ];

    #[test]
    fn a_legacy_archive_in_order_is_processed_whole() {
        let (steps, failure) = names(&Archive::of(&LEGACY), Layout::V1);
        assert_eq!(steps, LEGACY[2..]);
        assert_eq!(failure, None);
        let (steps, failure) = names(&Archive::of(&LEGACY[..6]), Layout::V1);
        assert_eq!((steps.len(), failure), (4, None));
    }

    #[test]
    fn a_legacy_archive_fails_where_it_is_out_of_order() {
        for (swapped, done, object) in [
            ((0, 1), 0, "bar/"),
            ((1, 2), 0, "bar/00_meta/"),
            ((2, 3), 0, "bar/00_meta/10_relations.json"),
            ((3, 4), 2, "bar/00_meta/10_relations.json"),
            ((2, 5), 0, "bar/00_meta/90_rootprops.xml"),
            ((5, 6), 4, "bar/00_meta/90_rootprops.xml"),
            ((6, 7), 4, "bar/90_contents/d/"),
        ] {
            let mut order = LEGACY;
            order.swap(swapped.0, swapped.1);
            let (steps, failure) = names(&Archive::of(&order), Layout::V1);
            assert_eq!((steps.len(), failure.as_deref()), (done, Some(object)), "{swapped:?}");
        }
    }

    #[test]
    fn a_legacy_archive_holds_nothing_unknown() {
        for name in ["bar/00_meta/40_future.json", "bar/50_message.json", "README"] {
            let mut order = LEGACY.to_vec();
            order.insert(5, name);
            assert_eq!(names(&Archive::of(&order), Layout::V1).1.as_deref(), Some(name));
        }
    }
}
