//! Days of the calendar, for the ends of keys.

use std::time::Duration;

use asm_core::Timestamp;

/// The midnight, UTC, with which a day `YYYY-MM-DD` begins. `None` before 1970, and when there is
/// no such day.
pub(crate) fn midnight(day: &str) -> Option<Timestamp> {
    let bytes = day.as_bytes();
    let shape = |(at, byte): (usize, &u8)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    if bytes.len() != 10 || !bytes.iter().enumerate().all(shape) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| day.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let valid = year >= 1970 && (1..=12).contains(&month);
    if !valid || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(days_of_year).sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    let days = years + months + day - 1;
    Some(Timestamp::from_micros(0) + Duration::from_secs(days * 24 * 60 * 60))
}

fn days_of_year(year: u64) -> u64 {
    (1..=12).map(|month| days_of(year, month)).sum()
}

fn days_of(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        // By `date -u -d DAY +%s`.
        for (day, secs) in [
            ("1970-01-01", 0),
            ("1972-03-01", 68_256_000),
            ("2000-02-29", 951_782_400),
            ("2026-11-26", 1_795_651_200),
            ("2100-03-01", 4_107_542_400),
        ] {
            let at = Timestamp::from_micros(secs * 1_000_000);
            assert_eq!(midnight(day), Some(at), "{day}");
        }
    }

    #[test]
    fn what_is_no_day_is_none() {
        for wrong in [
            "",
            "2026",
            "2026-11",
            "2026-11-31",
            "2026-00-01",
            "2026-13-01",
            "2026-01-00",
            "2025-02-29",
            "2100-02-29",
            "1969-12-31",
            "2026-1-1",
            "2026/11/26",
            "+026-11-26",
            "2026-11-26 ",
            "２０２６",
        ] {
            assert_eq!(midnight(wrong), None, "{wrong}");
        }
    }
}
