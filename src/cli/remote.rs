//! A server to speak to: one elsewhere, or one of our own for as long as the verb takes, on a directory beside whoever serves it. So
//! every verb does the same in both cases.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Sender;
use tokio::task::{AbortHandle, JoinHandle};

use self::link::Link;
use super::args::people::Place;
use super::error::Error;
use crate::base::id;
use crate::config::{CellUrls, Config, Sources};
use crate::server::App;
use crate::server::listen;
use crate::server::shutdown::Signals;
use crate::storage::Unit;
use crate::storage::cell::Limits;
use crate::storage::unit::Role;
use crate::web::auth::UnitToken;
use crate::web::authority::Authority;

mod link;
pub(super) mod stream;

/// Where the tokens for servers elsewhere come from.
const TOKENS: &[&str] = &["CELLAR_TOKEN", "CELLAR_UNIT_TOKEN"];
/// Connections to a server of our own.
const CONNECTIONS: usize = 4;
/// How long a server of our own may take to finish what it does.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN_FILE: &str = ".config/cellar/token";

/// A server that requests can be sent to.
pub(super) struct Remote {
    runtime: Option<Runtime>,
    link: Link,
    token: String,
    own: Option<Own>,
}

/// A server of our own.
struct Own {
    unit: Arc<Unit>,
    app: Arc<App>,
    stop: Sender<()>,
    served: JoinHandle<listen::Ended>,
    /// What its URLs begin with: where the unit is told to be, or this machine.
    shown: (String, String),
}

type SentBody = BoxBody<Bytes, io::Error>;

/// A body without bytes.
fn empty() -> SentBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response<Incoming>) -> Result<Self, Error> {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|e| Error::Answer(e.to_string()))?;
        Ok(Self { status, body: body.to_bytes().to_vec() })
    }

    pub(super) fn json(&self) -> Result<serde_json::Value, Error> {
        serde_json::from_slice(&self.body).map_err(|e| Error::Answer(e.to_string()))
    }
}

fn system(op: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { op, source }
}

impl Remote {
    pub(super) fn open(place: &Place) -> Result<Self, Error> {
        Self::open_as(place, Role::Tool)
    }

    /// As [`Self::open`], but where it is a directory nobody else may serve it meanwhile.
    pub(super) fn open_alone(place: &Place) -> Result<Self, Error> {
        if place.url.is_none() {
            // Only what is a unit already is opened as a server opens it.
            drop(Unit::open(&place.root, Role::Tool, Limits::default())?);
        }
        Self::open_as(place, Role::Server)
    }

    fn open_as(place: &Place, role: Role) -> Result<Self, Error> {
        let runtime = Runtime::new().map_err(system("start the runtime"))?;
        match &place.url {
            Some(url) => {
                let link = Link::to(url, place.ca.as_deref())?;
                Ok(Self { runtime: Some(runtime), link, token: token()?, own: None })
            }
            None => Self::on(place, role, runtime),
        }
    }

    /// Serves the directory for this process alone: on a port that is told to nobody, with a token that nobody else knows.
    fn on(place: &Place, role: Role, runtime: Runtime) -> Result<Self, Error> {
        let mut config = Config::load(&Sources::of_process(None)?)?;
        config.server.cell_urls = CellUrls::Path;
        let shown =
            config.server.public_url.take().map_or_else(|| "http://localhost".to_owned(), |url| url.to_string());
        let (scheme, host) = shown.trim_end_matches('/').split_once("://").unwrap_or(("http", "localhost"));
        let shown = (scheme.to_owned(), host.split('/').next().unwrap_or_default().to_owned());
        // Only the server gives keys successors.
        config.auth.key_rotation_s = u64::MAX;
        let unit = Arc::new(Unit::open(&place.root, role, Limits::default())?);
        let token = id::token();
        let authority = Arc::new(Authority::new(&config.auth, UnitToken::new(token.clone()), &unit)?);
        let app = Arc::new(App::new(config, authority, unit.clone()));
        let (stop, mut signals) = Signals::of_owner();
        let serving = app.clone();
        let started = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let served =
                tokio::spawn(async move { listen::serve(listener, serving, None, CONNECTIONS, &mut signals).await });
            Ok((address, served))
        });
        let (address, served) = started.map_err(system("listen on the loopback interface"))?;
        let link = Link::to(&format!("http://{address}"), None)?;
        let own = Own { unit, app, stop, served, shown };
        Ok(Self { runtime: Some(runtime), link, token, own: Some(own) })
    }

    /// The URL of a cell, with its trailing slash.
    pub(super) fn cell(&self, name: &str) -> String {
        format!("{}/{name}/", self.link.base())
    }

    /// Sends a request of the administrator and returns its answer; a refusal is an error with the server's words.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, Error> {
        let bearer = format!("Bearer {}", self.token);
        self.send_as(method, path, &[headers, &[("authorization", &bearer)]].concat(), body)
    }

    /// As [`Self::send`], but of nobody.
    pub(super) fn send_as(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, Error> {
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
        let answer =
            self.runtime().block_on(async { Answer::of(self.request(method, path, headers, body).await?).await })?;
        if answer.status < 400 { Ok(answer) } else { Err(refused(&answer)) }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("invariant: the runtime lives until the end")
    }

    /// Headers with which a server of our own writes URLs that mean something to others.
    pub(super) fn as_others_see_it(&self) -> Vec<(&str, &str)> {
        let shown = self.own.iter().map(|own| (own.shown.0.as_str(), own.shown.1.as_str()));
        shown.flat_map(|(scheme, host)| [("x-forwarded-proto", scheme), ("x-forwarded-host", host)]).collect()
    }

    /// Whether the server is one of our own.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Sends a request of the administrator; the answer's body is still to come.
    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: SentBody,
    ) -> Result<Response<Incoming>, Error> {
        let bearer = format!("Bearer {}", self.token);
        self.request(method, path, &[headers, &[("authorization", bearer.as_str())]].concat(), body).await
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: SentBody,
    ) -> Result<Response<Incoming>, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Answer(e.to_string());
        let method = Method::from_bytes(method.as_bytes()).map_err(|e| wrong(&e))?;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.link.prefix()));
        request = request.header("host", self.link.authority()).header("accept", "application/json");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(&e))?;
            request = request.header(name, *value);
        }
        let request = request.body(body).map_err(|e| wrong(&e))?;
        let stream = self.link.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| wrong(&e))?;
        // Dropped before the answer, it ends the connection: a body that is half sent is not sent to its end.
        let mut hold = Hold(Some(tokio::spawn(connection).abort_handle()));
        let response = sender.send_request(request).await.map_err(|e| wrong(&e))?;
        hold.0 = None;
        Ok(response)
    }
}

/// Ends a task, unless it was let go.
struct Hold(Option<AbortHandle>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let Some(Own { unit, app, stop, served, .. }) = self.own.take() else { return runtime.shutdown_background() };
        runtime.block_on(async {
            // It may have ended by itself.
            let _ = stop.send(()).await;
            drop(tokio::time::timeout(PATIENCE, served).await);
        });
        app.transfers.close();
        app.installer.close();
        runtime.shutdown_background();
        unit.close();
    }
}

/// What a refusal says, in one line.
fn refused(answer: &Answer) -> Error {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = match (json["code"].as_str(), json["message"]["value"].as_str(), json["error_description"].as_str()) {
        (Some(code), Some(text), _) => return Error::Coded { code: code.to_owned(), text: text.to_owned() },
        (_, _, Some(description)) => description.to_owned(),
        _ => format!("the server answered {}", answer.status),
    };
    Error::Refused(text)
}

/// The token for a server elsewhere.
fn token() -> Result<String, Error> {
    for name in TOKENS {
        match std::env::var(name) {
            Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
            _ => {}
        }
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    #[allow(clippy::disallowed_methods, reason = "a file of the person, not of a unit")]
    let text = std::fs::read_to_string(home.join(TOKEN_FILE)).unwrap_or_default();
    let token = text.trim();
    if token.is_empty() { Err(Error::Token) } else { Ok(token.to_owned()) }
}

/// A secret from the environment, else a line from stdin; on a terminal it is asked for and not shown.
pub(super) fn secret(variable: &str, what: &str) -> Result<String, Error> {
    if let Ok(secret) = std::env::var(variable)
        && !secret.is_empty()
    {
        return Ok(secret);
    }
    let stdin = io::stdin();
    let hidden = stdin.is_terminal().then(|| Hidden::ask(what)).transpose().map_err(system("use the terminal"))?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(system("read from stdin"))?;
    drop(hidden);
    let secret = line.trim_end_matches(['\n', '\r']).to_owned();
    if secret.is_empty() { Err(Error::NoSecret(what.to_owned())) } else { Ok(secret) }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn ask(what: &str) -> io::Result<Self> {
        let mut err = io::stderr();
        write!(err, "{what}: ")?;
        err.flush()?;
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal is as good as gone if this fails.
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
        let _ = writeln!(io::stderr());
    }
}
