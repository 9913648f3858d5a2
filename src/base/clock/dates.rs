//! The dates of a listing, written one after the other: most are of one day, whose text is kept.

use super::{FIRST_HTTP_MS, LAST_MS, http_date, iso_ms};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// `-9999-01-01`, the first day that can be written, in milliseconds since 1970.
const FIRST_MS: i64 = -377_705_116_800_000;

/// Writes dates as [`iso_ms`] and [`http_date`] do.
#[derive(Debug, Default)]
pub struct Dates {
    iso: Day,
    http: Day,
}

/// The text that the dates of one day begin with.
#[derive(Debug, Default)]
struct Day {
    /// Days since 1970.
    number: Option<i64>,
    text: String,
}

impl Day {
    fn text(&mut self, number: i64, write: impl FnOnce(i64) -> String) -> &str {
        if self.number != Some(number) {
            self.text = write(number * DAY);
            self.number = Some(number);
        }
        &self.text
    }
}

impl Dates {
    /// Appends `2024-05-01T10:20:30.400Z`.
    pub fn push_iso(&mut self, out: &mut String, ms: i64) {
        let ms = if (FIRST_MS..=LAST_MS).contains(&ms) { ms } else { 0 };
        let day = |midnight| {
            let mut text = iso_ms(midnight);
            text.truncate(text.find('T').map_or(0, |at| at + 1));
            text
        };
        out.push_str(self.iso.text(ms.div_euclid(DAY), day));
        let of_day = ms.rem_euclid(DAY) as u32;
        push_time(out, of_day);
        let ms = of_day % 1000;
        let rest = [b'.', digit(ms / 100), digit(ms / 10 % 10), digit(ms % 10), b'Z'];
        out.push_str(std::str::from_utf8(&rest).expect("invariant: digits are ASCII"));
    }

    /// Appends `Wed, 01 May 2024 10:20:30 GMT`.
    pub fn push_http(&mut self, out: &mut String, ms: i64) {
        let ms = ms.clamp(FIRST_HTTP_MS, LAST_MS);
        let day = |midnight| {
            let mut text = http_date(midnight);
            text.truncate("Wed, 01 May 2024 ".len());
            text
        };
        out.push_str(self.http.text(ms.div_euclid(DAY), day));
        push_time(out, ms.rem_euclid(DAY) as u32);
        out.push_str(" GMT");
    }
}

fn digit(n: u32) -> u8 {
    b'0' + n as u8
}

/// Appends `10:20:30`.
fn push_time(out: &mut String, ms_of_day: u32) {
    let seconds = ms_of_day / 1000;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = [digit(h / 10), digit(h % 10), b':', digit(m / 10), digit(m % 10), b':', digit(s / 10), digit(s % 10)];
    out.push_str(std::str::from_utf8(&text).expect("invariant: digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dates_are_those_that_are_written_alone(near in proptest::collection::vec(-3 * DAY..3 * DAY, 4), at in any::<i64>(), year in 0..9999_i64) {
            let mut dates = Dates::default();
            let base = -62_167_219_200_000 + year * 365 * DAY;
            for ms in near.into_iter().flat_map(|n| [n, base + n, at]) {
                let (mut iso, mut http) = (String::new(), String::new());
                dates.push_iso(&mut iso, ms);
                dates.push_http(&mut http, ms);
                prop_assert_eq!(iso, iso_ms(ms));
                prop_assert_eq!(http, http_date(ms));
            }
        }
    }

    #[test]
    fn the_ends_of_time_are_written() {
        for ms in
            [FIRST_MS - 1, FIRST_MS, FIRST_HTTP_MS - 1, FIRST_HTTP_MS, -1, 0, LAST_MS, LAST_MS + 1, i64::MIN, i64::MAX]
        {
            let (mut iso, mut http) = (String::new(), String::new());
            let mut dates = Dates::default();
            dates.push_iso(&mut iso, ms);
            dates.push_http(&mut http, ms);
            assert_eq!((iso, http), (iso_ms(ms), http_date(ms)), "{ms}");
        }
    }
}
