//! Time as the wire and the store have it: milliseconds and microseconds since 1970, and their text forms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

pub mod dates;

/// The last millisecond of the year 9999, after which no text form goes on.
pub const LAST_MS: i64 = 253_402_300_799_999;

/// The first millisecond of the year 1, before which an HTTP date has no text.
pub const FIRST_HTTP_MS: i64 = -62_135_596_800_000;

const HTTP_DATE: StaticFormatDescription =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// Now, in microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as i64
}

fn date_time(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2024-05-01T10:20:30.400Z`, always three digits of milliseconds.
pub fn iso_ms(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    date_time(ms).format(&format).expect("invariant: the format has no failing component")
}

/// `2024-05-01T10:20:30.400+0000`, as `creationdate` is written.
pub fn creation_date(ms: i64) -> String {
    let mut text = iso_ms(ms);
    text.pop();
    text.push_str("+0000");
    text
}

/// `Wed, 01 May 2024 10:20:30 GMT`; what is before the year 1 or after 9999 becomes the nearest that is not.
pub fn http_date(ms: i64) -> String {
    let ms = ms.clamp(FIRST_HTTP_MS, LAST_MS);
    if let Ok(ms) = u64::try_from(ms) {
        return httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms));
    }
    // That crate knows no time before 1970, which files do have.
    date_time(ms.div_euclid(1000) * 1000).format(HTTP_DATE).expect("invariant: the format has no failing component")
}

/// Reads an HTTP date as milliseconds since 1970.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let text = text.trim();
    match httpdate::parse_http_date(text) {
        Ok(at) => Some(at.duration_since(UNIX_EPOCH).ok()?.as_millis() as i64),
        Err(_) => Some(PrimitiveDateTime::parse(text, HTTP_DATE).ok()?.assume_utc().unix_timestamp() * 1000),
    }
}

/// `20240501_102030` in UTC.
pub fn compact(ms: i64) -> String {
    let format = format_description!("[year][month][day]_[hour][minute][second]");
    date_time(ms).format(&format).expect("invariant: the format has no failing component")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_one_moment() {
        let ms = 1_714_558_830_400;
        assert_eq!(iso_ms(ms), "2024-05-01T10:20:30.400Z");
        assert_eq!(creation_date(ms), "2024-05-01T10:20:30.400+0000");
        assert_eq!(http_date(ms), "Wed, 01 May 2024 10:20:30 GMT");
        assert_eq!(parse_http_date("Wed, 01 May 2024 10:20:30 GMT"), Some(1_714_558_830_000));
        assert_eq!(compact(ms), "20240501_102030");
    }

    #[test]
    fn http_dates_before_1970() {
        for (ms, text) in [
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (-1_000_000_000_000, "Sun, 24 Apr 1938 22:13:20 GMT"),
            (FIRST_HTTP_MS, "Mon, 01 Jan 0001 00:00:00 GMT"),
            (i64::MIN, "Mon, 01 Jan 0001 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(ms), text);
            assert_eq!(parse_http_date(text), Some(ms.max(FIRST_HTTP_MS).div_euclid(1000) * 1000));
        }
        assert_eq!(parse_http_date("Wed, 31 Dec 1969"), None);
    }
}
