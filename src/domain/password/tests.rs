use super::*;

const CHEAP: Cost = Cost { memory_kib: 16, iterations: 1, lanes: 1 };

fn passwords() -> Passwords {
    Passwords::new(CHEAP, "the-salt", 1, 0).expect("passwords")
}

fn stored(algorithm: &str, hash: &str) -> StoredPassword {
    StoredPassword { algorithm: algorithm.to_owned(), hash: hash.to_owned(), attributes: None }
}

#[test]
fn a_hash_is_argon2id_with_the_parameters_and_verifies() {
    let passwords = passwords();
    let hash = passwords.hash("secret-word").expect("a hash");
    assert!(hash.hash.starts_with("$argon2id$v=19$m=16,t=1,p=1$"), "{}", hash.hash);
    assert_ne!(hash.hash, passwords.hash("secret-word").expect("a hash").hash, "every hash has a salt of its own");
    assert_eq!(passwords.verify("secret-word", Some(&hash)), Ok(Match::Yes));
    assert_eq!(passwords.verify("secret-worD", Some(&hash)), Ok(Match::No));
    assert_eq!(passwords.verify("secret-word", None), Ok(Match::No));
    let dearer = Passwords::new(Cost { iterations: 2, ..CHEAP }, "", 1, 0).expect("passwords");
    assert_eq!(dearer.verify("secret-word", Some(&hash)), Ok(Match::Renew));
    assert!(!format!("{hash:?} {passwords:?}").contains('$'));
}

#[test]
fn hashes_from_elsewhere_are_verified_and_to_be_renewed() {
    let passwords = passwords();
    let sha = stored("sha-256", &digest("secret-wordthe-salt"));
    assert_eq!(passwords.verify("secret-word", Some(&sha)), Ok(Match::Renew));
    assert_eq!(passwords.verify("secret", Some(&sha)), Ok(Match::No));
    let hash = format!("$a0810${}${}", STANDARD.encode("NaCl"), scrypt_key());
    let scrypt = stored("scrypt", &hash);
    assert_eq!(passwords.verify("password", Some(&scrypt)), Ok(Match::Renew));
    assert_eq!(passwords.verify("passwore", Some(&scrypt)), Ok(Match::No));
}

/// The key of RFC 7914 section 12 for `password`, `NaCl`, N=1024, r=8, p=16.
fn scrypt_key() -> String {
    const KEY: [u8; 64] = [
        0xfd, 0xba, 0xbe, 0x1c, 0x9d, 0x34, 0x72, 0x00, 0x78, 0x56, 0xe7, 0x19, 0x0d, 0x01, 0xe9, 0xfe, 0x7c, 0x6a,
        0xd7, 0xcb, 0xc8, 0x23, 0x78, 0x30, 0xe7, 0x73, 0x76, 0x63, 0x4b, 0x37, 0x31, 0x62, 0x2e, 0xaf, 0x30, 0xd9,
        0x2e, 0x22, 0xa3, 0x88, 0x6f, 0xf1, 0x09, 0x27, 0x9d, 0x98, 0x30, 0xda, 0xc7, 0x27, 0xaf, 0xb9, 0x4a, 0x83,
        0xee, 0x6d, 0x83, 0x60, 0xcb, 0xdf, 0xa2, 0xcc, 0x06, 0x40,
    ];
    STANDARD.encode(KEY)
}

#[test]
fn hashes_that_cannot_be_computed_match_nothing() {
    let passwords = passwords();
    for (algorithm, hash) in [
        ("scrypt", ""),
        ("scrypt", "$"),
        ("scrypt", "$ffffff$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("scrypt", "$1e0801$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("scrypt", "$0a0801$AAAA$"),
        ("sha-256", ""),
        ("argon2id", "$argon2id$"),
        ("md5", "d41d8cd98f00b204e9800998ecf8427e"),
    ] {
        assert_eq!(passwords.verify("", Some(&stored(algorithm, hash))), Ok(Match::No), "{algorithm} {hash}");
    }
    assert!(Passwords::new(Cost { memory_kib: 1, ..CHEAP }, "", 1, 0).is_err());
}

#[test]
fn who_finds_the_queue_full_is_sent_away_and_slots_come_back() {
    let slots = Slots { at_once: 1, waiting: 1, state: Mutex::default(), freed: Condvar::new() };
    let first = slots.take().expect("a slot");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| slots.take().map(drop));
        while slots.state.lock().expect("the state").waiting == 0 {
            std::thread::yield_now();
        }
        assert!(slots.take().is_err(), "one runs, one waits");
        drop(first);
        assert_eq!(second.join().expect("a thread"), Ok(()));
    });
    assert!(slots.take().is_ok());
}
