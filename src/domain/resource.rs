//! What resources may become and where they may go: the rules of service collections and of moving.
//!
//! A service collection has one member, `__src`, which holds files and no collections; it comes and goes with its service.

use crate::storage::database::cell_box::Lookup;
use crate::storage::database::{Kind, Resource};
use crate::storage::operation::mkcol::SOURCES;

/// What a rule forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("a box cannot be moved")]
    MoveBox,
    #[error("the source folder of a service cannot be moved")]
    MoveSources,
    #[error("the source folder of a service cannot be overwritten")]
    OverwriteSources,
    #[error("OData collections take no resources")]
    IntoOData,
    #[error("a file takes no resources")]
    IntoFile,
    #[error("service collections take no resources")]
    IntoService,
    #[error("the source folder of a service takes no collections")]
    CollectionAmongSources,
}

/// Whether a path leads to the source folder of a service.
pub fn is_sources(lookup: &Lookup) -> bool {
    lookup.missing == 0 && ends_in_sources(&lookup.chain)
}

/// Whether a path leads to the source folder of a service or into it.
pub fn is_of_sources(lookup: &Lookup) -> bool {
    (1..=lookup.chain.len()).any(|n| ends_in_sources(&lookup.chain[..n]))
}

fn ends_in_sources(chain: &[Resource]) -> bool {
    match chain {
        [.., service, sources] => service.kind == Kind::Service && sources.name == SOURCES,
        _ => false,
    }
}

/// Whether what a path leads to may leave its place.
pub fn may_leave(from: &Lookup) -> Result<(), Forbidden> {
    if from.missing == 0 && from.chain.len() == 1 {
        return Err(Forbidden::MoveBox);
    }
    if is_sources(from) { Err(Forbidden::MoveSources) } else { Ok(()) }
}

/// Whether a collection may be made where a path leads.
pub fn may_hold_collection(to: &Lookup) -> Result<(), Forbidden> {
    let parents = if to.missing == 0 { &to.chain[..to.chain.len() - 1] } else { &to.chain[..] };
    if ends_in_sources(parents) { Err(Forbidden::CollectionAmongSources) } else { Ok(()) }
}

/// Whether a resource of this kind may be put where a path leads, in the place of what may be there. The parent exists.
pub fn may_arrive(kind: Kind, to: &Lookup) -> Result<(), Forbidden> {
    if to.missing > 0 {
        match to.nearest().kind {
            Kind::OData | Kind::Stream => return Err(Forbidden::IntoOData),
            Kind::File => return Err(Forbidden::IntoFile),
            Kind::Service => return Err(Forbidden::IntoService),
            Kind::Collection => {}
        }
    } else if is_sources(to) {
        return Err(Forbidden::OverwriteSources);
    }
    if kind.is_file() { Ok(()) } else { may_hold_collection(to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::database::cell_box::CellBox;

    fn row(name: &str, kind: Kind) -> Resource {
        Resource {
            parent: 0,
            name: name.to_owned(),
            id: 1,
            kind,
            flags: 0,
            version: 1,
            stamp: 1,
            created_ms: 0,
            mtime_ms: 0,
            seq: 1,
            placed_seq: 1,
            size: 0,
            crc: None,
            ino: 0,
            mtime_ns: 0,
            content_type: None,
            children: 0,
            dir_mtime_ns: 0,
        }
    }

    fn lookup(chain: &[(&str, Kind)], missing: usize) -> Lookup {
        let cell_box =
            CellBox { id: 1, name: "b".to_owned(), schema: None, version: 1, created_ms: 0, updated_ms: 0, seq: 1 };
        let mut rows = vec![row("b", Kind::Collection)];
        rows.extend(chain.iter().map(|(name, kind)| row(name, *kind)));
        Lookup { cell_box, chain: rows, missing }
    }

    #[test]
    fn the_sources_of_a_service_stay_with_it() {
        let sources = lookup(&[("s", Kind::Service), ("__src", Kind::Collection)], 0);
        assert!(is_sources(&sources) && is_of_sources(&sources));
        assert_eq!(may_leave(&sources), Err(Forbidden::MoveSources));
        assert_eq!(may_arrive(Kind::File, &sources), Err(Forbidden::OverwriteSources));
        let member = lookup(&[("s", Kind::Service), ("__src", Kind::Collection), ("f", Kind::File)], 0);
        assert!(!is_sources(&member) && is_of_sources(&member));
        assert_eq!(may_leave(&member), Ok(()));
        assert_eq!(may_arrive(Kind::File, &member), Ok(()));
        assert_eq!(may_arrive(Kind::Collection, &member), Err(Forbidden::CollectionAmongSources));
        let plain = lookup(&[("d", Kind::Collection), ("__src", Kind::Collection)], 0);
        assert!(!is_sources(&plain));
        assert_eq!(may_leave(&lookup(&[], 0)), Err(Forbidden::MoveBox));
    }

    #[test]
    fn a_new_place_depends_on_the_parent() {
        for (parent, answer) in [
            (Kind::Collection, Ok(())),
            (Kind::File, Err(Forbidden::IntoFile)),
            (Kind::Service, Err(Forbidden::IntoService)),
            (Kind::OData, Err(Forbidden::IntoOData)),
        ] {
            assert_eq!(may_arrive(Kind::File, &lookup(&[("p", parent)], 1)), answer, "{parent:?}");
        }
        let sources = lookup(&[("s", Kind::Service), ("__src", Kind::Collection)], 1);
        assert_eq!(may_arrive(Kind::File, &sources), Ok(()));
        assert_eq!(may_arrive(Kind::Service, &sources), Err(Forbidden::CollectionAmongSources));
    }
}
