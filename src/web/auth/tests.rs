use http::HeaderValue;

use super::*;
use crate::base::id;
use crate::domain::token::Subject;
use crate::storage::unit::TokenKey;

fn sealer() -> Sealer {
    Sealer::new(&[TokenKey { id: 1, created_ms: 0, secret: id::secret() }])
}

fn of(headers: &HeaderMap, query: Option<&str>, sealer: &Sealer) -> AccessContext {
    let from = "127.0.0.1".parse().expect("an address");
    AccessContext::of(headers, query, from, &UnitToken::new("s3cret".to_owned()), sealer)
}

fn context(authorization: &str) -> AccessContext {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a value"));
    of(&headers, None, &sealer())
}

fn basic(text: &str) -> AccessContext {
    context(&format!("Basic {}", STANDARD.encode(text)))
}

fn claims(seconds: i64) -> Claims {
    Claims::new("cell", Subject::Account(1, "user".to_owned()), seconds)
}

#[test]
fn the_unit_token_is_the_administrator() {
    assert!(context("Bearer s3cret").is_unit_admin());
    assert!(context("bearer  s3cret ").is_unit_admin());
    assert!(basic("unit:s3cret").is_unit_admin());
}

#[test]
fn bad_credentials_say_why() {
    assert_eq!(of(&HeaderMap::new(), None, &sealer()), AccessContext::Anonymous);
    for (text, reason) in [
        ("Bearer", Reason::Token),
        ("Bearer s3cre", Reason::Token),
        ("Bearer s3cret x", Reason::Token),
        ("Digest x", Reason::Scheme),
        ("", Reason::Scheme),
        ("Basic", Reason::BasicFormat),
        ("Basic %%%", Reason::BasicFormat),
    ] {
        assert_eq!(context(text), AccessContext::Invalid(reason), "{text}");
    }
    assert_eq!(basic("no colon"), AccessContext::Invalid(Reason::BasicFormat));
    for text in ["unit:wrong", "other:s3cret"] {
        let AccessContext::Basic(credentials) = basic(text) else { panic!("credentials of {text}") };
        assert_eq!(format!("{}:{}", credentials.user, credentials.password), text);
        assert!(!format!("{credentials:?}").contains(&credentials.password));
    }
}

#[test]
fn a_token_says_by_its_kind_and_age_what_it_is_good_for() {
    let sealer = sealer();
    let with = |kind, seconds| {
        let mut headers = HeaderMap::new();
        let token = format!("Bearer {}", sealer.seal(kind, &claims(seconds)));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&token).expect("a value"));
        of(&headers, None, &sealer)
    };
    for kind in [Kind::Access, Kind::VisitorAccess, Kind::Transcell, Kind::PasswordChange] {
        assert!(matches!(with(kind, 60), AccessContext::Token(token) if token.0 == kind), "{kind:?}");
        assert_eq!(with(kind, 0), AccessContext::Invalid(Reason::Expired));
    }
    for kind in [Kind::Refresh, Kind::VisitorRefresh] {
        assert_eq!(with(kind, 60), AccessContext::Invalid(Reason::RefreshToken));
    }
    for kind in [Kind::Code, Kind::Cookie] {
        assert_eq!(with(kind, 60), AccessContext::Invalid(Reason::Token));
    }
}

#[test]
fn a_cookie_counts_with_its_peer_and_without_authorization() {
    let sealer = sealer();
    let token = sealer.seal(Kind::Access, &claims(60));
    let cookie = cookie_for(&sealer, &claims(60), &token, "peer 1");
    let with = |cookie: &str, query| {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&format!("a=b; {cookie}; c=d")).expect("a value"));
        of(&headers, query, &sealer)
    };
    assert!(matches!(with(&cookie, Some("x=y&p_cookie_peer=peer%201")), AccessContext::Token(_)));
    assert_eq!(with(&cookie, Some("p_cookie_peer=other")), AccessContext::Invalid(Reason::Cookie));
    assert_eq!(
        with(&cookie[..cookie.len() - 4], Some("p_cookie_peer=peer%201")),
        AccessContext::Invalid(Reason::Cookie)
    );
    assert_eq!(with(&format!("p_cookie={token}"), Some("p_cookie_peer=p")), AccessContext::Invalid(Reason::Cookie));
    assert_eq!(with(&cookie, Some("p_cookie_peer=")), AccessContext::Anonymous);
    assert_eq!(with(&cookie, None), AccessContext::Anonymous);
    assert_eq!(with("p=q", Some("p_cookie_peer=p")), AccessContext::Anonymous);
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(&cookie).expect("a value"));
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer nonsense"));
    assert_eq!(of(&headers, Some("p_cookie_peer=peer%201"), &sealer), AccessContext::Invalid(Reason::Token));
}

fn offered(place: Place, header: Option<(HeaderName, &'static str)>) -> Vec<String> {
    let mut request = HeaderMap::new();
    if let Some((name, value)) = header {
        request.insert(name, HeaderValue::from_static(value));
    }
    let challenge = Challenge::new(place, "http://u/c/".to_owned(), &request);
    let problem = AccessContext::Anonymous.require_unit(&challenge).expect_err("a refusal");
    assert_eq!(problem.code(), Code::AuthorizationRequired);
    let response = problem.respond(&request);
    response.headers().get_all(WWW_AUTHENTICATE).iter().map(|v| v.to_str().expect("text").to_owned()).collect()
}

#[test]
fn the_place_decides_what_is_offered() {
    let bearer = "Bearer realm=\"http://u/c/\"";
    let both = [bearer, "Basic realm=\"http://u/c/\", charset=\"UTF-8\""];
    assert_eq!(offered(Place::Open, Some((ORIGIN, "https://a.example"))), both);
    assert_eq!(offered(Place::SchemaBox, None), both);
    assert_eq!(offered(Place::SchemaBox, Some((ORIGIN, "https://a.example"))), [bearer]);
    assert_eq!(offered(Place::SchemaBox, Some((SEC_FETCH_MODE, "cors"))), [bearer]);
    assert_eq!(offered(Place::SchemaBox, Some((SEC_FETCH_MODE, "navigate"))), both);
    assert_eq!(offered(Place::Endpoint, None), [bearer]);
}

#[test]
fn who_is_known_and_may_not_is_not_asked_again() {
    let challenge = Challenge::new(Place::Open, "http://u/c/".to_owned(), &HeaderMap::new());
    for denial in [Denial::Lacking, Denial::UnitOnly, Denial::NoSchema, Denial::OtherSchema, Denial::SchemaLevel] {
        let response = challenge.refusal(denial).respond(&HeaderMap::new());
        assert_eq!((response.status().as_u16(), response.headers().get(WWW_AUTHENTICATE)), (403, None), "{denial:?}");
    }
    for denial in [Denial::PasswordChange, Denial::Invalid(Reason::Expired), Denial::Invalid(Reason::NotHere)] {
        let response = challenge.refusal(denial).respond(&HeaderMap::new());
        assert_eq!(response.status(), 401, "{denial:?}");
        assert!(response.headers().contains_key(WWW_AUTHENTICATE), "{denial:?}");
    }
}

#[test]
fn tokens_are_not_shown() {
    assert!(!format!("{:?}", UnitToken::new("s3cret".to_owned())).contains("s3cret"));
}
