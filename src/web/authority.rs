//! What lets requests in or not: from the credentials of a request to a caller of a cell, and from a caller to a yes or a refusal.
//!
//! An [`Access`] belongs to one request and one cell. It is asked before work begins and, by changes, once more inside their
//! transaction, each time with what the cell says at that moment. For the unit's administrator it costs nothing.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::auth::{AccessContext, Challenge, Place as Offer, UnitToken};
use super::problem::{Code, Problem};
use super::public_url::{Asked, local_cell};
use crate::base::clock;
use crate::config::Auth;
use crate::domain::access::{
    AccessCache, AppSchema, At, Caller, Denial, Means, Need, On, Place, Reason, Scope, UnitUser, Who, need,
};
use crate::domain::account::Status;
use crate::domain::acl::{Privilege, SchemaAuthz};
use crate::domain::login::{BasicLogin, LockRules, LoginError, Logins};
use crate::domain::password::{BadCost, Cost, Overload, Passwords};
use crate::domain::token::{Claims, Kind, Sealer, Subject};
use crate::storage::database::cell_box::{CellBox, Lookup};
use crate::storage::database::{Resource, View};
use crate::storage::unit::Rotation;
use crate::storage::{Cell, Error, Result as Stored, Unit};

/// What ends the schema in a token whose app keeps its secret.
const CONFIDENTIAL: &str = "#c";

/// The longest life of a token, in milliseconds: that of a refresh token.
const LONGEST_MS: i64 = 86_400_000;

/// For how long what never changes by itself is taken for granted.
const LONGEST: Duration = Duration::from_hours(1);

/// The same for a name with a password, which is looked at again from time to time.
const LOGIN_STANDS: Duration = Duration::from_secs(10);

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    Cost(#[from] BadCost),
    #[error("`auth.password_regex` is no regular expression: {0}")]
    PasswordRegex(String),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Keys, passwords and what is known about cells.
#[derive(Debug)]
pub struct Authority {
    pub unit_token: UnitToken,
    pub sealer: Sealer,
    pub logins: Logins,
    cache: AccessCache,
    rotation: Rotation,
    password_form: regex_lite::Regex,
    /// The scope of tokens that were asked for without any.
    pub default_scope: String,
    /// The URLs of cells whose tokens for the unit are those of unit users.
    pub unit_user_issuers: Vec<String>,
}

impl Authority {
    pub fn new(config: &Auth, unit_token: UnitToken, unit: &Unit) -> Result<Self, AuthorityError> {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let cost = Cost {
            memory_kib: small(config.argon2_memory.0 / 1024),
            iterations: small(config.argon2_iterations),
            lanes: small(config.argon2_lanes),
        };
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let at_once = match config.hashes_at_once {
            0 => (processors / 2).max(1),
            number => number as usize,
        };
        let passwords = Passwords::new(cost, config.reference_salt.expose(), at_once, config.hashes_waiting as usize)?;
        let rules = LockRules {
            retry: Duration::from_millis(config.retry_interval_ms),
            count: config.lock_count,
            time: Duration::from_secs(config.lock_time_s),
        };
        let every_ms = i64::try_from(config.key_rotation_s).unwrap_or(i64::MAX).saturating_mul(1000);
        let rotation = Rotation { every_ms, tokens_live_ms: LONGEST_MS };
        let password_form =
            regex_lite::Regex::new(&config.password_regex).map_err(|e| AuthorityError::PasswordRegex(e.to_string()))?;
        Ok(Self {
            unit_token,
            sealer: Sealer::new(&unit.token_keys(rotation)?),
            logins: Logins::new(passwords, rules),
            cache: AccessCache::default(),
            rotation,
            password_form,
            default_scope: config.default_scope.clone(),
            unit_user_issuers: config.unit_user_issuers.0.clone(),
        })
    }

    /// Gives the newest key a successor when it is time.
    pub fn rotate(&self, unit: &Unit) -> Stored<()> {
        self.sealer.replace(&unit.token_keys(self.rotation)?);
        Ok(())
    }

    /// The text of a header with a new password, if it may be one.
    pub fn new_password(&self, text: &str) -> Result<String, Problem> {
        if self.password_form.is_match(text) { Ok(text.to_owned()) } else { Err(Code::PasswordFormat.into()) }
    }

    /// What a cell says at the moment of a view.
    pub fn at<'v>(&self, cell: &Cell, view: &'v View<'v>) -> Stored<At<'v>> {
        self.cache.at(cell.number(), view)
    }
}

/// The refusal of what would need too many passwords to be verified.
pub fn overloaded(error: Overload) -> Problem {
    Problem::new(Code::TooManyRequests).header(RETRY_AFTER, "1").because(error)
}

/// Who asks, as far as it can be known without the cell's word.
#[derive(Debug, Clone)]
enum Identity {
    UnitAdmin,
    UnitUser(Arc<UnitUser>),
    Anonymous,
    Invalid(Reason),
    Token(Arc<(Kind, Claims)>),
    /// Good at an access state of the cell, where that is known and is not looked at anew.
    Login(BasicLogin, Option<i64>),
}

/// A request in one cell, to be let in or not.
#[derive(Debug, Clone)]
pub struct Access(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    authority: Arc<Authority>,
    identity: Identity,
    cell: String,
    number: i64,
    asked: Asked,
    by_script: bool,
}

impl Access {
    /// Finds out who asks. A password is verified here, so this may take its time.
    pub fn of(
        authority: &Arc<Authority>,
        context: &AccessContext,
        cell: &Cell,
        asked: &Asked,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let identity = match Self::without_waiting(context) {
            Some(identity) => identity,
            None => Self::by_password(authority, context, cell, asked)?,
        };
        Ok(Self::with(authority, identity, cell, asked, headers))
    }

    /// As [`Self::of`], on a thread that must not wait; nothing where a password would have to be verified. A password that was
    /// verified a moment ago counts only as long as nothing about access has changed since.
    pub fn now(
        authority: &Arc<Authority>,
        context: &AccessContext,
        cell: &Cell,
        asked: &Asked,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let identity = match context {
            AccessContext::Basic(basic) => {
                let (login, state) = authority.logins.known(cell, &basic.user, &basic.password, basic.from)?;
                Identity::Login(login, Some(state))
            }
            other => Self::without_waiting(other)?,
        };
        Some(Self::with(authority, identity, cell, asked, headers))
    }

    fn without_waiting(context: &AccessContext) -> Option<Identity> {
        Some(match context {
            AccessContext::UnitAdmin => Identity::UnitAdmin,
            AccessContext::UnitUser(user) => Identity::UnitUser(user.clone()),
            AccessContext::Anonymous => Identity::Anonymous,
            AccessContext::Invalid(reason) => Identity::Invalid(*reason),
            AccessContext::Token(token) => Identity::Token(token.clone()),
            AccessContext::Basic(_) => return None,
        })
    }

    fn by_password(
        authority: &Authority,
        context: &AccessContext,
        cell: &Cell,
        asked: &Asked,
    ) -> Result<Identity, Problem> {
        let AccessContext::Basic(basic) = context else { return Ok(Identity::Anonymous) };
        match authority.logins.basic(cell, &basic.user, &basic.password, basic.from) {
            Ok(login) => Ok(Identity::Login(login, None)),
            Err(LoginError::Failed) => Ok(Identity::Invalid(Reason::BasicFailed)),
            Err(LoginError::Locked) => Ok(Identity::Invalid(Reason::BasicLocked)),
            Err(LoginError::Overload(overload)) => Err(overloaded(overload)),
            Err(LoginError::Store(e)) => Err(Problem::of_store(e, &asked.cell(cell.name()))),
        }
    }

    fn with(authority: &Arc<Authority>, identity: Identity, cell: &Cell, asked: &Asked, headers: &HeaderMap) -> Self {
        let by_script = Challenge::is_by_script(headers);
        let (authority, asked) = (Arc::clone(authority), asked.clone());
        let (cell, number) = (cell.name().to_owned(), cell.number());
        Self(Arc::new(Parts { authority, identity, cell, number, asked, by_script }))
    }

    pub fn is_unit_admin(&self) -> bool {
        matches!(self.0.identity, Identity::UnitAdmin)
    }

    /// For how long the answer to this request stands as long as the cell stays the same; none if that cannot be said.
    pub fn stands_for(&self) -> Option<Duration> {
        match &self.0.identity {
            Identity::UnitAdmin | Identity::Anonymous => Some(LONGEST),
            Identity::Token(token) => {
                let left = token.1.expires_ms.saturating_sub(clock::now_ms());
                u64::try_from(left).ok().map(Duration::from_millis)
            }
            Identity::Login(..) => Some(LOGIN_STANDS),
            // Whether a unit user still is one is for another cell to say.
            Identity::Invalid(_) | Identity::UnitUser(_) => None,
        }
    }

    /// Whether credentials came that may be good.
    pub fn is_somebody(&self) -> bool {
        !matches!(self.0.identity, Identity::Anonymous | Identity::Invalid(_))
    }

    /// The URL of who asks; none of the unit's administrator and of strangers. The name of an account is that in its token.
    pub fn subject(&self) -> Option<String> {
        if let Identity::UnitUser(user) = &self.0.identity {
            return Some(self.0.asked.public(&user.subject));
        }
        match &self.token()?.1.subject {
            Subject::Account(_, name) => Some(format!("{}#{name}", self.0.asked.cell(&self.0.cell))),
            Subject::Foreign { subject, .. } => Some(self.0.asked.public(subject)),
        }
    }

    /// Who asks, as locks remember it.
    pub fn principal(&self) -> String {
        let account = |id: i64| format!("account:{id}");
        match &self.0.identity {
            Identity::UnitAdmin => "unit".to_owned(),
            Identity::UnitUser(user) => user.subject.clone(),
            Identity::Anonymous | Identity::Invalid(_) => "anonymous".to_owned(),
            Identity::Login(login, _) => account(login.account),
            Identity::Token(token) => match &token.1.subject {
                Subject::Account(id, _) => account(*id),
                Subject::Foreign { subject, .. } => subject.clone(),
            },
        }
    }

    /// The claims of the token that was sent.
    pub fn token(&self) -> Option<&(Kind, Claims)> {
        match &self.0.identity {
            Identity::Token(token) => Some(token),
            _ => None,
        }
    }

    /// The schema of the app that acts for the caller, as its token says.
    pub fn schema(&self) -> Option<String> {
        let schema = self.token()?.1.schema.as_deref()?;
        Some(schema.strip_suffix(CONFIDENTIAL).unwrap_or(schema).to_owned())
    }

    /// What the cell says at the moment of a view.
    pub fn at<'v>(&self, view: &'v View<'v>) -> Stored<At<'v>> {
        self.0.authority.cache.at(self.0.number, view)
    }

    /// The caller at a moment of the cell.
    pub fn caller(&self, at: &At<'_>) -> Stored<Caller> {
        Ok(match &self.0.identity {
            Identity::UnitAdmin => Caller::new(Who::UnitAdmin),
            Identity::UnitUser(user) => Caller::new(Who::UnitUser(user.clone())),
            Identity::Anonymous => Caller::new(Who::Anonymous),
            Identity::Invalid(reason) => Caller::new(Who::Invalid(*reason)),
            // The password must be looked at again, which is not for here.
            Identity::Login(_, Some(state)) if *state != at.state() => return Err(Error::Busy("the login")),
            Identity::Login(login, _) => Self::by_login(at, *login)?,
            Identity::Token(token) => self.by_token(at, token.0, &token.1)?,
        })
    }

    fn by_login(at: &At<'_>, login: BasicLogin) -> Stored<Caller> {
        let Some(account) = at.account(login.account)?.filter(|a| a.fields.status != Status::Deactivated) else {
            return Ok(Caller::new(Who::Invalid(Reason::BasicFailed)));
        };
        let means = login.drive.map_or(Means::Password, Means::Drive);
        let app = match login.drive {
            Some(Some(limit)) => at.schema_of(limit)?,
            _ => None,
        };
        Ok(Caller {
            means,
            roles: account.roles.clone(),
            app: app.map(|schema| AppSchema { urls: vec![schema.to_string()], level: SchemaAuthz::Public }),
            scope: Privilege::Root.name().to_owned(),
            ..Caller::new(Who::Account { id: login.account, name: account.name.clone() })
        })
    }

    fn by_token(&self, at: &At<'_>, kind: Kind, claims: &Claims) -> Stored<Caller> {
        let invalid = |reason| Ok(Caller::new(Who::Invalid(reason)));
        let home = kind != Kind::Transcell;
        let here = if home { claims.cell == at.uuid() } else { self.is_target(claims) };
        if !here {
            return invalid(Reason::Token);
        }
        if at.is_spent(&claims.id) {
            return invalid(Reason::Expired);
        }
        let caller = match &claims.subject {
            Subject::Account(id, name) if home => {
                let account = at.account(*id)?.filter(|account| account.name == *name);
                let Some(account) = account.filter(|a| a.fields.status != Status::Deactivated) else {
                    return invalid(Reason::NotHere);
                };
                if kind == Kind::PasswordChange {
                    return Ok(Caller::new(Who::PasswordChange(*id)));
                }
                Caller { roles: account.roles.clone(), ..Caller::new(Who::Account { id: *id, name: name.clone() }) }
            }
            Subject::Foreign { subject, local, .. } if home => {
                Caller { roles: local.clone(), ..Caller::new(Who::Foreign(self.0.asked.public(subject))) }
            }
            Subject::Foreign { subject, issuer, roles, .. } => {
                let roles = at.roles_of_foreign(&self.forms_of(issuer), &self.forms_of_roles(roles))?;
                Caller { roles, ..Caller::new(Who::Foreign(self.0.asked.public(subject))) }
            }
            Subject::Account(..) => return invalid(Reason::Token),
        };
        Ok(Caller { app: claims.schema.as_deref().map(|s| self.app(s)), scope: claims.scope.clone(), ..caller })
    }

    /// Whether a token for another cell is for this one.
    fn is_target(&self, claims: &Claims) -> bool {
        claims.target.as_deref() == Some(&*local_cell(&self.0.cell))
    }

    /// Every way to write the URLs of roles.
    pub fn forms_of_roles(&self, urls: &[String]) -> Vec<String> {
        urls.iter().flat_map(|url| self.0.asked.forms_below(url)).collect()
    }

    /// Every way to write the URL of a cell of this unit; of another only the one that is given.
    pub fn forms_of(&self, url: &str) -> Vec<String> {
        self.0.asked.forms_of(url)
    }

    fn app(&self, schema: &str) -> AppSchema {
        let (url, level) = match schema.strip_suffix(CONFIDENTIAL) {
            Some(url) => (url, SchemaAuthz::Confidential),
            None => (schema, SchemaAuthz::Public),
        };
        AppSchema { urls: self.forms_of(url), level }
    }

    /// What a caller who may not hears. `place` decides what is offered.
    pub fn refusal(&self, denial: Denial, place: Offer) -> Problem {
        let parts = &self.0;
        Challenge::with(place, parts.asked.cell(&parts.cell), parts.by_script).refusal(denial)
    }

    /// Whether the caller has a privilege on the cell.
    pub fn permit_cell(&self, view: &View<'_>, privilege: Privilege, scope: Scope) -> Stored<()> {
        if self.is_unit_admin() {
            return Ok(());
        }
        let at = self.at(view)?;
        let denial = at.check_cell(&self.caller(&at)?, privilege, scope)?;
        let offer = if scope == Scope::Endpoint { Offer::Endpoint } else { Offer::Open };
        denial.map_or(Ok(()), |denial| Err(self.refusal(denial, offer).into()))
    }

    /// Whether the caller may do what the method of a place of the cell, not of a box, does.
    pub fn permit_place(&self, view: &View<'_>, place: Place, method: &str) -> Stored<()> {
        if self.is_unit_admin() {
            return Ok(());
        }
        let of_the_cell = matches!(place, Place::Cell | Place::FreeBox | Place::BoxRoot | Place::Snapshot);
        // An account's own password lets people look at the cell, a drive password mount it.
        let scope = match method {
            _ if !of_the_cell => Scope::Endpoint,
            _ if place == Place::Snapshot => Scope::Drive,
            "PROPFIND" | "OPTIONS" | "GET" | "HEAD" => Scope::Cell,
            _ => Scope::Drive,
        };
        let at = self.at(view)?;
        let caller = self.caller(&at)?;
        let denial = match need(place, method) {
            Need::Nothing => None,
            Need::Login => {
                let caller = caller.at(scope);
                (!caller.is_known()).then(|| denial_of_stranger(&caller))
            }
            Need::Unit if matches!(&caller.who, Who::UnitUser(user) if at.is_owned_by(user)) => None,
            Need::Unit => Some(if caller.is_known() { unit_only(&caller) } else { denial_of_stranger(&caller) }),
            Need::Cell(privilege) => at.check_cell(&caller, privilege, scope)?,
            Need::Description(_) => at.check_description(&caller)?,
            Need::Box(_) => Some(Denial::Lacking),
        };
        let offer = if of_the_cell { Offer::Open } else { Offer::Endpoint };
        denial.map_or(Ok(()), |denial| Err(self.refusal(denial, offer).into()))
    }

    /// Whether the caller may do what a method does to what a path leads to.
    pub fn permit(&self, view: &View<'_>, lookup: &Lookup, method: &str) -> Stored<()> {
        let place = place_of(lookup);
        self.permit_at(view, place, lookup, method)
    }

    /// As [`Self::permit`], for a place that the path does not tell by itself.
    pub fn permit_at(&self, view: &View<'_>, place: Place, lookup: &Lookup, method: &str) -> Stored<()> {
        match need(place, method) {
            Need::Box(privileges) => self.permit_in_box(view, lookup, privileges, false),
            _ => self.permit_place(view, place, method),
        }
    }

    /// Whether the caller may let something arrive where a path leads: the other end of MOVE and COPY.
    pub fn permit_arrival(&self, view: &View<'_>, to: &Lookup, method: &str) -> Stored<()> {
        match need(Place::File, method) {
            Need::Box(privileges) => self.permit_in_box(view, to, privileges, true),
            _ => self.permit_place(view, Place::File, method),
        }
    }

    /// Whether nothing below what a path leads to asks more of apps than the caller's has proved: what is taken along unseen would
    /// otherwise be read elsewhere.
    pub fn permit_tree(&self, view: &View<'_>, lookup: &Lookup) -> Stored<()> {
        if self.is_unit_admin() || lookup.nearest().is_file() {
            return Ok(());
        }
        let at = self.at(view)?;
        let caller = self.caller(&at)?;
        for id in view.asking_for_apps()? {
            if view.chain_below(lookup.nearest().id, id)?.is_none() {
                continue;
            }
            let Some(row) = view.resource(id)? else { continue };
            if let Some(denial) = at.check_schema(&caller, &lookup.cell_box, &[row])? {
                return Err(self.refusal(denial, offer_of(&lookup.cell_box)).into());
            }
        }
        Ok(())
    }

    fn permit_in_box(
        &self,
        view: &View<'_>,
        lookup: &Lookup,
        privileges: &[(Privilege, On)],
        arrival: bool,
    ) -> Stored<()> {
        if self.is_unit_admin() {
            return Ok(());
        }
        let at = self.at(view)?;
        let caller = self.caller(&at)?;
        let parent = lookup.chain.len() - usize::from(lookup.missing == 0);
        for (privilege, on) in privileges {
            let chain: &[Resource] = match (on, arrival) {
                (On::Itself, false) => &lookup.chain,
                (On::Parent, false) | (On::Destination, true) => &lookup.chain[..parent],
                (On::DestinationTaken, true) if lookup.missing == 0 => &lookup.chain[..parent],
                _ => continue,
            };
            self.check_box(&at, &caller, &lookup.cell_box, chain, *privilege)?;
        }
        Ok(())
    }

    /// Whether a caller has a privilege on the last resource of a chain that begins with a box's root.
    pub fn check_box(
        &self,
        at: &At<'_>,
        caller: &Caller,
        cell_box: &CellBox,
        chain: &[Resource],
        privilege: Privilege,
    ) -> Stored<()> {
        let denial = at.check_box(caller, cell_box, chain, privilege)?;
        denial.map_or(Ok(()), |denial| Err(self.refusal(denial, offer_of(cell_box)).into()))
    }
}

/// What a box offers to those it refuses.
fn offer_of(cell_box: &CellBox) -> Offer {
    if cell_box.schema.is_some() { Offer::SchemaBox } else { Offer::Open }
}

fn denial_of_stranger(caller: &Caller) -> Denial {
    match caller.who {
        Who::Anonymous => Denial::Anonymous,
        Who::Invalid(reason) => Denial::Invalid(reason),
        _ => Denial::Lacking,
    }
}

/// The refusal of somebody who is not the unit's administrator: Basic is no login for that.
fn unit_only(caller: &Caller) -> Denial {
    if matches!(caller.who, Who::UnitUser(_)) {
        return Denial::NotTheOwner;
    }
    if caller.means == Means::Token { Denial::UnitOnly } else { Denial::Invalid(Reason::NotHere) }
}

/// What kind of place a path leads to.
pub fn place_of(lookup: &Lookup) -> Place {
    match lookup.found() {
        None => Place::Free,
        Some(_) if lookup.chain.len() == 1 => Place::BoxRoot,
        Some(row) if row.is_file() => Place::File,
        Some(_) => Place::Collection,
    }
}
