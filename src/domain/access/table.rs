//! What each method of each kind of place needs: the one table. Handlers look their line up; a test walks all of it.

use crate::domain::acl::Privilege;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `{unit}`
    Unit,
    /// `{unit}__ctl`
    UnitControl,
    /// `{cell}`
    Cell,
    /// `{cell}__ctl` itself.
    Description,
    /// `{cell}__ctl/$metadata`
    Metadata,
    /// Boxes as control objects.
    ControlBox,
    /// Accounts, roles, external roles and drive passwords.
    ControlAuth,
    /// Relations and external cells.
    ControlSocial,
    ControlRule,
    /// `{cell}__role/…`
    RoleUrl,
    /// `{cell}__box`; an app needs nothing for the box of its schema.
    BoxUrl,
    /// `{cell}__log/…`
    Log,
    /// `{cell}__export` and `{cell}__import`
    Transfer,
    /// `{cell}__snapshot` and its files
    Snapshot,
    /// `{cell}__event`
    Event,
    /// `{cell}__token` and the other places where one logs in.
    Login,
    /// `{cell}__mypassword`, with a token of the account itself.
    MyPassword,
    /// The root of a box.
    BoxRoot,
    /// The root of a box as a bar.
    BoxArchive,
    /// A box that is not there.
    FreeBox,
    Collection,
    File,
    /// A path in a box that leads to nothing.
    Free,
}

/// Whose list a privilege of a box must come from, itself or from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    Itself,
    /// The collection that it is or would be in.
    Parent,
    /// The collection that it is to arrive in.
    Destination,
    /// The same, where something there is replaced.
    DestinationTaken,
}

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// Any good login of the cell; of any cell at the unit.
    Login,
    /// The unit's administrator.
    Unit,
    /// A privilege on the cell, which the token's scope must cover too.
    Cell(Privilege),
    /// A privilege of boxes, granted by the cell's own list.
    Description(Privilege),
    /// Privileges in a box, all of them.
    Box(&'static [(Privilege, On)]),
}

/// One line of the table: methods of a place, and what they need.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub place: Place,
    pub methods: &'static [&'static str],
    pub need: Need,
}

const fn row(place: Place, methods: &'static [&'static str], need: Need) -> Row {
    Row { place, methods, need }
}

const READ: Need = Need::Box(&[(Privilege::Read, On::Itself)]);
const READ_PROPERTIES: Need = Need::Box(&[(Privilege::ReadProperties, On::Itself)]);
const WRITE_PROPERTIES: Need = Need::Box(&[(Privilege::WriteProperties, On::Itself)]);
const WRITE_ACL: Need = Need::Box(&[(Privilege::WriteAcl, On::Itself)]);
const WRITE_CONTENT: Need = Need::Box(&[(Privilege::WriteContent, On::Itself)]);
const BIND: Need = Need::Box(&[(Privilege::Bind, On::Parent)]);
const UNBIND: Need = Need::Box(&[(Privilege::Unbind, On::Parent)]);
const MOVE: Need = Need::Box(&[
    (Privilege::Unbind, On::Parent),
    (Privilege::Bind, On::Destination),
    (Privilege::Unbind, On::DestinationTaken),
]);
const COPY: Need = Need::Box(&[
    (Privilege::Read, On::Itself),
    (Privilege::Bind, On::Destination),
    (Privilege::Unbind, On::DestinationTaken),
]);

/// The whole table.
pub const TABLE: &[Row] = &[
    row(Place::Unit, &["GET", "HEAD", "OPTIONS"], Need::Nothing),
    // Depth 0 shows any login a bare collection: clients walk down from here.
    row(Place::Unit, &["PROPFIND"], Need::Unit),
    row(Place::UnitControl, &["GET", "HEAD", "POST", "PUT", "MERGE", "DELETE"], Need::Unit),
    row(Place::Cell, &["GET", "HEAD", "OPTIONS"], Need::Nothing),
    // Depth 0 shows any login of the cell a bare collection.
    row(Place::Cell, &["PROPFIND"], Need::Cell(Privilege::Propfind)),
    row(Place::Cell, &["ACL"], Need::Cell(Privilege::Acl)),
    row(Place::Cell, &["PROPPATCH", "DELETE", "MKCOL"], Need::Unit),
    row(Place::Description, &["GET", "HEAD"], Need::Description(Privilege::Read)),
    row(Place::Metadata, &["GET", "HEAD"], Need::Nothing),
    row(Place::ControlBox, &["GET", "HEAD"], Need::Cell(Privilege::BoxRead)),
    row(Place::ControlBox, &["POST", "PUT", "MERGE", "DELETE"], Need::Cell(Privilege::Box)),
    row(Place::ControlAuth, &["GET", "HEAD"], Need::Cell(Privilege::AuthRead)),
    row(Place::ControlAuth, &["POST", "PUT", "MERGE", "DELETE"], Need::Cell(Privilege::Auth)),
    row(Place::ControlSocial, &["GET", "HEAD"], Need::Cell(Privilege::SocialRead)),
    row(Place::ControlSocial, &["POST", "PUT", "MERGE", "DELETE"], Need::Cell(Privilege::Social)),
    row(Place::ControlRule, &["GET", "HEAD"], Need::Cell(Privilege::RuleRead)),
    row(Place::ControlRule, &["POST", "PUT", "MERGE", "DELETE"], Need::Cell(Privilege::Rule)),
    row(Place::RoleUrl, &["GET", "HEAD"], Need::Cell(Privilege::AuthRead)),
    row(Place::BoxUrl, &["GET", "HEAD"], READ),
    row(Place::Log, &["GET", "HEAD", "PROPFIND"], Need::Cell(Privilege::LogRead)),
    row(Place::Log, &["DELETE"], Need::Cell(Privilege::Log)),
    row(Place::Transfer, &["GET", "HEAD", "POST"], Need::Cell(Privilege::Root)),
    row(Place::Snapshot, &["GET", "HEAD", "PROPFIND", "PUT", "DELETE"], Need::Cell(Privilege::Root)),
    row(Place::Event, &["POST"], Need::Cell(Privilege::Event)),
    row(Place::Login, &["GET", "HEAD", "POST", "OPTIONS"], Need::Nothing),
    row(Place::MyPassword, &["PUT"], Need::Login),
    row(Place::FreeBox, &["MKCOL"], Need::Cell(Privilege::BoxInstall)),
    row(Place::BoxRoot, &["GET", "HEAD"], READ),
    row(Place::BoxRoot, &["MKCOL"], Need::Cell(Privilege::BoxInstall)),
    row(Place::BoxRoot, &["DELETE"], Need::Cell(Privilege::Box)),
    row(Place::BoxRoot, &["PROPFIND", "REPORT"], READ_PROPERTIES),
    row(Place::BoxRoot, &["PROPPATCH"], WRITE_PROPERTIES),
    row(Place::BoxRoot, &["ACL"], WRITE_ACL),
    row(Place::BoxRoot, &["LOCK", "UNLOCK"], WRITE_CONTENT),
    row(Place::BoxRoot, &["COPY"], COPY),
    row(
        Place::BoxArchive,
        &["GET", "HEAD"],
        Need::Box(&[(Privilege::Read, On::Itself), (Privilege::ReadAcl, On::Itself)]),
    ),
    row(Place::Collection, &["GET", "HEAD"], READ),
    row(Place::Collection, &["PROPFIND", "REPORT"], READ_PROPERTIES),
    row(Place::Collection, &["PROPPATCH"], WRITE_PROPERTIES),
    row(Place::Collection, &["ACL"], WRITE_ACL),
    row(Place::Collection, &["LOCK", "UNLOCK"], WRITE_CONTENT),
    row(Place::Collection, &["PUT", "MKCOL"], BIND),
    row(Place::Collection, &["DELETE"], UNBIND),
    row(Place::Collection, &["MOVE"], MOVE),
    row(Place::Collection, &["COPY"], COPY),
    row(Place::File, &["GET", "HEAD"], READ),
    row(Place::File, &["PROPFIND", "REPORT"], READ_PROPERTIES),
    row(Place::File, &["PROPPATCH"], WRITE_PROPERTIES),
    row(Place::File, &["ACL"], WRITE_ACL),
    row(Place::File, &["PUT", "PATCH", "LOCK", "UNLOCK"], WRITE_CONTENT),
    row(Place::File, &["MKCOL"], BIND),
    row(Place::File, &["DELETE"], UNBIND),
    row(Place::File, &["MOVE"], MOVE),
    row(Place::File, &["COPY"], COPY),
    row(Place::Free, &["GET", "HEAD"], READ),
    row(Place::Free, &["PROPFIND", "REPORT"], READ_PROPERTIES),
    row(Place::Free, &["PROPPATCH"], WRITE_PROPERTIES),
    row(Place::Free, &["ACL"], WRITE_ACL),
    row(Place::Free, &["POST"], Need::Box(&[(Privilege::Write, On::Itself)])),
    row(Place::Free, &["PUT", "MKCOL", "LOCK"], BIND),
    row(Place::Free, &["PATCH", "UNLOCK"], WRITE_CONTENT),
    // There is nothing that could arrive anywhere.
    row(Place::Free, &["DELETE", "MOVE"], UNBIND),
    row(Place::Free, &["COPY"], READ),
];

/// What a method of a place needs. A method that the place does not have needs what reading it does, so that its refusal tells
/// nobody more.
pub fn need(place: Place, method: &str) -> Need {
    let find = |method: &str| TABLE.iter().find(|row| row.place == place && row.methods.contains(&method));
    find(method).or_else(|| find("GET")).map_or(Need::Unit, |row| row.need)
}
