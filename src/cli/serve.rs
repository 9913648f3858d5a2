//! `cellar serve`: opens the unit, listens, tells where, and serves until it is asked to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use super::args::{LogArgs, ServeArgs};
use super::error::Error;
use super::exit::Exit;
use super::log;
use super::printer::Printer;
use crate::config::{Config, Sources};
use crate::server::App;
use crate::server::listen::{self, Ended};
use crate::server::shutdown::Signals;
use crate::server::tls::Tls;
use crate::storage::Unit;
use crate::storage::cell::Limits;
use crate::storage::unit::{OpenError, Role};
use crate::web::auth::UnitToken;
use crate::web::authority::Authority;

/// How often the age of the keys of tokens is looked at.
const KEYS_LOOKED_AT: Duration = Duration::from_mins(10);

const TOKEN_VARIABLE: &str = "CELLAR_UNIT_TOKEN";

/// A large upload, and a listing that is read slowly, keep a thread for as long as they last. Threads come by need and go.
const BLOCKING_THREADS: usize = 4096;

pub(super) fn run(args: &ServeArgs, log_args: &LogArgs, printer: &Printer) -> Result<Exit, Error> {
    let config = Config::load(&Sources::of_process(args.config.as_deref())?)?;
    log::start(log_args)?;
    let tls = match (&config.server.tls_cert, &config.server.tls_key) {
        (Some(cert), Some(key)) => Some(Tls::load(cert, key)?),
        _ => None,
    };
    let most = most_connections(config.connections.max, raise_descriptor_limit());
    let unit = open_unit(args, &config)?;
    let token = unit_token(&unit)?;
    let authority = Arc::new(Authority::new(&config.auth, token, &unit)?);
    let app = Arc::new(App::new(config, authority, unit.clone()));
    let (installer, transfers) = (app.installer.clone(), app.transfers.clone());
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|source| Error::System { op: "start the runtime", source })?;
    let ended = runtime.block_on(serve(args, app, tls, most, printer))?;
    match ended {
        Ended::Drained => {
            transfers.close();
            installer.close();
            drop(runtime);
            drop((installer, transfers));
            unit.close();
            Ok(Exit::Ok)
        }
        Ended::AtOnce => {
            // Dropping the runtime would wait for what runs in its blocking pool.
            runtime.shutdown_background();
            Ok(Exit::Interrupted)
        }
    }
}

/// The usual limit of 1024 is for programs that use `select`; connections, open cells and resumable archives of a busy unit
/// need more. Returns what the limit is now; none is no limit.
fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(e) => {
            tracing::warn!(error = %e, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// How many connections there may be, so that a quarter of the descriptors is left for files.
fn most_connections(wanted: u64, descriptors: Option<u64>) -> usize {
    let most = descriptors.map_or(wanted, |descriptors| wanted.min(descriptors / 4 * 3)).max(1);
    if most < wanted {
        let descriptors = descriptors.unwrap_or(u64::MAX);
        tracing::warn!(
            wanted,
            most,
            descriptors,
            "fewer connections than `connections.max`: too few open files are allowed"
        );
    }
    usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

async fn serve(
    args: &ServeArgs,
    app: Arc<App>,
    tls: Option<Tls>,
    most: usize,
    printer: &Printer,
) -> Result<Ended, Error> {
    let mut signals = Signals::listen().map_err(|source| Error::System { op: "listen for signals", source })?;
    let failed = |source| Error::Listen { address: args.listen.clone(), source };
    let listener = listen::bind(&args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() && tls.is_none() {
        tracing::warn!(
            %address,
            "passwords and tokens travel unencrypted: set `server.tls_cert` and `server.tls_key`, or put a proxy with TLS in front"
        );
    }
    let url = format!("{}://{address}/", if tls.is_some() { "https" } else { "http" });
    printer.data(&format!("listening on {url}"))?;
    if printer.interactive() {
        greet(printer, url, &app, &args.root);
    }
    tokio::spawn(let_go_of_archives(app.clone()));
    tokio::spawn(rotate_keys(app.clone()));
    Ok(listen::serve(listener, app, tls, most, &mut signals).await)
}

/// Lets archives go that nobody has read for a while, so that what they pin can be removed; on a full disk, at once.
async fn let_go_of_archives(app: Arc<App>) {
    let mut tick = tokio::time::interval(app.archives.sweep_interval());
    loop {
        tick.tick().await;
        if app.disk_is_almost_full() {
            app.archives.let_go_of_unread();
        } else {
            app.archives.sweep();
        }
    }
}

/// Gives the key of tokens a successor when it is time.
async fn rotate_keys(app: Arc<App>) {
    let mut tick = tokio::time::interval(KEYS_LOOKED_AT);
    loop {
        tick.tick().await;
        let app = app.clone();
        let rotated = tokio::task::spawn_blocking(move || app.authority.rotate(&app.unit)).await;
        if let Ok(Err(e)) = rotated {
            tracing::warn!(error = &e as &dyn std::error::Error, "the keys of tokens stay as they are");
        }
    }
}

/// Tells a person how to get in.
fn greet(printer: &Printer, url: String, app: &App, root: &Path) {
    let url = app.config.server.public_url.as_ref().map_or(url, ToString::to_string);
    let token = if std::env::var_os(TOKEN_VARIABLE).is_some() {
        format!("${TOKEN_VARIABLE}")
    } else {
        format!("$(cat '{}')", root.join("unit.token").display())
    };
    let dav = url.replacen("http", "dav", 1);
    printer.say(&format!(
        "\n  The unit is at  {url}\n  Get in with     the user `unit` and the password {token}\n\n  \
         curl -u \"unit:{token}\" {url}\n  gio mount {dav}\n\n  Ctrl-C finishes running requests and ends.\n"
    ));
}

fn open_unit(args: &ServeArgs, config: &Config) -> Result<Arc<Unit>, Error> {
    let limits = Limits {
        children: i64::try_from(config.limits.children_per_collection).unwrap_or(i64::MAX),
        depth: config.limits.collection_depth as usize,
        cell_bytes: i64::try_from(config.limits.cell_bytes.0).unwrap_or(i64::MAX),
        relaxed: config.storage.durability == crate::config::value::Durability::Relaxed,
    };
    let unit = Unit::open(&args.root, Role::Server, limits)?;
    unit.resume().map_err(OpenError::from)?;
    Ok(Arc::new(unit))
}

/// The administrator's token: the environment's, else that of the unit.
fn unit_token(unit: &Unit) -> Result<UnitToken, Error> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if !token.trim().is_empty() => Ok(UnitToken::new(token.trim().to_owned())),
        Err(std::env::VarError::NotPresent) => Ok(UnitToken::new(unit.token().map_err(OpenError::from)?)),
        _ => Err(Error::Environment(TOKEN_VARIABLE)),
    }
}
