//! The sources, their order, and what is refused.

use std::path::Path;

use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut sources = Sources::default();
    sources.add_toml(file, Path::new("cellar.toml"))?;
    sources.add_environment(environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))?;
    Config::load(&sources)
}

fn message(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment).expect_err("a refusal").to_string()
}

#[test]
fn defaults_are_valid() {
    let config = load("", &[]).expect("a configuration");
    assert_eq!(config.limits.bar_size, Size(104_857_600));
    assert_eq!(config.limits.request_body.limit(), None);
    assert_eq!(config.storage.disk_reserve, Reserve::Share(0.01));
    assert!(config.server.trusted_proxies.contains("127.0.0.1".parse().expect("an address")));
    assert!(config.server.trusted_proxies.contains("::1".parse().expect("an address")));
    assert!(config.server.trusted_proxies.contains("::ffff:127.0.0.9".parse().expect("an address")));
    assert!(!config.server.trusted_proxies.contains("10.0.0.1".parse().expect("an address")));
    assert_eq!(config.settings().len(), KEYS.len());
    assert!(config.settings().iter().all(|s| s.source == Source::Default));
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "[limits]\nbar_size = \"10MiB\"\nbar_entries = 7\n[export]\ntransport_hosts = [\"a\", \"b\"]\n";
    let config = load(file, &[("CELLAR_LIMITS__BAR_SIZE", "4096"), ("PATH", "x")]).expect("a configuration");
    assert_eq!(config.limits.bar_size, Size(4096));
    assert_eq!(config.limits.bar_entries, 7);
    assert_eq!(config.export.transport_hosts.0, ["a", "b"]);
    let source = |name| config.settings().iter().find(|s| s.key.name == name).map(|s| s.source.to_string());
    assert_eq!(source("limits.bar_size").as_deref(), Some("environment CELLAR_LIMITS__BAR_SIZE"));
    assert_eq!(source("limits.bar_entries").as_deref(), Some("file cellar.toml"));
    assert_eq!(source("limits.bar_entry_size").as_deref(), Some("default"));
}

#[test]
fn unknown_keys_name_the_nearest() {
    assert!(message("[limits]\nbar_sise = 1", &[]).contains("`limits.bar_size`"));
    assert!(message("[limit]\nbar_size = 1", &[]).contains("`limits.bar_size`"));
    assert!(message("bar_size = 1", &[]).contains("`limits.bar_size`"));
    assert!(message("", &[("CELLAR_LIMITS__BAR_SIZES", "1")]).contains("`CELLAR_LIMITS__BAR_SIZE`"));
    assert!(load("", &[("CELLAR_UNIT_TOKEN", "secret")]).is_ok());
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    for (variable, text) in [
        ("CELLAR_LIMITS__BAR_SIZE", "10 parsecs"),
        ("CELLAR_LIMITS__BAR_SIZE", "-1"),
        ("CELLAR_LIMITS__BAR_SIZE", "99999999TiB"),
        ("CELLAR_LIMITS__BAR_ENTRIES", "10MiB"),
        ("CELLAR_STORAGE__DISK_RESERVE", "101%"),
        ("CELLAR_STORAGE__DURABILITY", "some"),
        ("CELLAR_WEBDAV__INFINITE_DEPTH", "yes"),
        ("CELLAR_SERVER__TRUSTED_PROXIES", "10.0.0.0/33"),
        ("CELLAR_SERVER__PUBLIC_URL", "unit.example"),
        ("CELLAR_SERVER__PUBLIC_URL", "ftp://unit.example/"),
        ("CELLAR_SERVER__CELL_URLS", "host"),
        ("CELLAR_SERVER__TLS_CERT", "cert.pem"),
        ("CELLAR_CONNECTIONS__MAX", "0"),
        ("CELLAR_CONNECTIONS__IDLE_S", "0"),
        ("CELLAR_CONNECTIONS__HEAD_S", "0.5"),
        ("CELLAR_CONNECTIONS__SILENCE_S", "0"),
        ("CELLAR_CONNECTIONS__HEAD_SIZE", "1KiB"),
        ("CELLAR_CONNECTIONS__HEAD_SIZE", "1GiB"),
    ] {
        assert!(load("", &[(variable, text)]).is_err(), "{variable}={text}");
    }
    let by_address = [("CELLAR_SERVER__CELL_URLS", "both"), ("CELLAR_SERVER__PUBLIC_URL", "http://[::1]:80/")];
    assert!(message("", &by_address).contains("subdomains"));
}

#[test]
fn every_shown_value_reads_as_itself() {
    let environment = [
        ("CELLAR_STORAGE__DISK_RESERVE", "2.5%"),
        ("CELLAR_SERVER__PUBLIC_URL", "https://Unit.example:443/a/b"),
        ("CELLAR_SERVER__TRUSTED_PROXIES", "192.0.2.0/24, 2001:db8::/32,10.0.0.1"),
        ("CELLAR_LIMITS__BAR_SIZE", "3 GiB"),
    ];
    let config = load("", &environment).expect("a configuration");
    assert_eq!(
        config.server.public_url.as_ref().map(ToString::to_string).as_deref(),
        Some("https://unit.example/a/b/")
    );
    let shown: Vec<(String, String)> = config
        .settings()
        .iter()
        .map(|s| (format!("CELLAR_{}", s.key.name.replacen('.', "__", 1).to_uppercase()), s.value.clone()))
        .collect();
    let mut sources = Sources::default();
    sources.add_environment(shown.clone()).expect("known keys");
    let again = Config::load(&sources).expect("a configuration");
    assert!(again.settings().iter().zip(&shown).all(|(setting, (_, value))| setting.value == *value));
}

#[test]
fn secrets_are_not_shown() {
    let config = load("", &[("CELLAR_AUTH__REFERENCE_SALT", "pepper")]).expect("a configuration");
    assert!(config.settings().iter().all(|s| !s.value.contains("pepper")));
    assert!(!format!("{config:?}").contains("pepper"));
    assert_eq!(config.auth.reference_salt.expose(), "pepper");
}
