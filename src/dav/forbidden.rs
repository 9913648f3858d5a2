//! The codes of the rules of resources.

use crate::domain::resource::Forbidden;
use crate::web::problem::{Code, Problem};

impl From<Forbidden> for Problem {
    fn from(rule: Forbidden) -> Self {
        Self::new(match rule {
            Forbidden::MoveBox => Code::MoveBox,
            Forbidden::MoveSources => Code::MoveServiceSource,
            Forbidden::OverwriteSources => Code::OverwriteServiceSource,
            Forbidden::IntoOData => Code::MoveIntoOData,
            Forbidden::IntoFile => Code::MoveIntoFile,
            Forbidden::IntoService => Code::MoveIntoService,
            Forbidden::CollectionAmongSources => Code::CollectionInServiceSource,
        })
    }
}
