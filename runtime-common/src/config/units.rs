//! How a person writes sizes, durations and numbers; every error is the end of a line that says what to do.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes in a KiB.
pub(super) const KIB: u64 = 1 << 10;
/// Bytes in a MiB.
pub(super) const MIB: u64 = 1 << 20;
/// Bytes in a GiB.
pub(super) const GIB: u64 = 1 << 30;

/// A whole number within `range`.
pub(super) fn number(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let (low, high) = (range.start(), range.end());
    match digits(text) {
        None => Err(format!(
            "'{text}' is not a whole number: give {low} to {high}"
        )),
        Some(value) => within(text, value, range, |bound| bound.to_string()),
    }
}

/// A number of bytes within `range`: plain, or with one of K, M, G, KiB, MiB, GiB (powers of 1024, either case).
pub(super) fn size(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let (number, suffix) = split(text);
    let unit = match suffix.to_ascii_lowercase().as_str() {
        "" => Some(1),
        "k" | "kib" => Some(KIB),
        "m" | "mib" => Some(MIB),
        "g" | "gib" => Some(GIB),
        _ => None,
    };
    let (Some(value), Some(unit)) = (digits(number), unit) else {
        return Err(format!(
            "'{text}' is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB"
        ));
    };
    within(text, value.saturating_mul(unit), range, show_size)
}

/// A duration within `range`: whole seconds, or a whole number with ms, s, m or h.
pub(super) fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let (number, suffix) = split(text);
    let milliseconds = match suffix {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let (Some(value), Some(milliseconds)) = (digits(number), milliseconds) else {
        return Err(format!(
            "'{text}' is not a duration: give seconds, or a whole number with ms, s, m or h, such as 10s"
        ));
    };
    let duration = Duration::from_millis(value.saturating_mul(milliseconds));
    within(text, duration, range, show_duration)
}

/// The value, if it is within `range`.
fn within<T: Copy + PartialOrd>(
    text: &str,
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (show(*range.start()), show(*range.end()));
    Err(format!("{text} is out of range: give {low} to {high}"))
}

/// A size in the largest unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || bytes.to_string(),
            |(unit, name)| format!("{}{name}", bytes / unit),
        )
}

/// A duration in the largest unit that divides it.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit))
        .map_or_else(
            || format!("{milliseconds}ms"),
            |(unit, name)| format!("{}{name}", milliseconds / unit),
        )
}

/// The leading digits, and what follows them without the space between.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    (number, suffix.strip_prefix(' ').unwrap_or(suffix))
}

/// Digits and nothing else (`parse` alone takes a `+`); what does not fit is the largest number, out of every range.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let all = 0..=u64::MAX;
        let valid = [
            ("0", 0),
            ("1", 1),
            ("007", 7),
            ("65536", 65536),
            ("1K", 1 << 10),
            ("1KiB", 1 << 10),
            ("2 kib", 2 << 10),
            ("8MiB", 8 << 20),
            ("8M", 8 << 20),
            ("64 MiB", 64 << 20),
            ("1G", 1 << 30),
            ("3GiB", 3 << 30),
        ];
        for (text, bytes) in valid {
            assert_eq!(size(text, &all), Ok(bytes), "{text}");
        }
        for text in [
            "", " ", "MiB", "8MB", "8kB", "1.5MiB", "-1", "+1", "8  MiB", "8MiB ", "1_000", "0x10",
            "8TiB",
        ] {
            let expected = format!(
                "'{text}' is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB"
            );
            assert_eq!(size(text, &all), Err(expected));
        }
    }

    #[test]
    fn durations() {
        let all = Duration::ZERO..=Duration::MAX;
        let valid = [
            ("0", 0),
            ("10", 10_000),
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("2 m", 120_000),
            ("1h", 3_600_000),
        ];
        for (text, milliseconds) in valid {
            assert_eq!(
                duration(text, &all),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "", "s", "1.5s", "-1s", "+1", "10S", "10 sec", "1d", "1us", "ten",
        ] {
            let expected = format!(
                "'{text}' is not a duration: give seconds, or a whole number with ms, s, m or h, such as 10s"
            );
            assert_eq!(duration(text, &all), Err(expected));
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(number("7", &(1..=9)), Ok(7));
        assert_eq!(
            number("0", &(1..=9)),
            Err("0 is out of range: give 1 to 9".into())
        );
        assert_eq!(
            number("+7", &(1..=9)),
            Err("'+7' is not a whole number: give 1 to 9".into())
        );
        assert_eq!(
            number("", &(1..=9)),
            Err("'' is not a whole number: give 1 to 9".into())
        );
        let beyond = "99999999999999999999";
        assert_eq!(
            number(beyond, &(1..=9)),
            Err(format!("{beyond} is out of range: give 1 to 9"))
        );
        let range = 4 * KIB..=GIB;
        assert_eq!(
            size("1", &range),
            Err("1 is out of range: give 4KiB to 1GiB".into())
        );
        assert_eq!(
            size("99999999999G", &range),
            Err("99999999999G is out of range: give 4KiB to 1GiB".into())
        );
        let range = Duration::from_millis(10)..=Duration::from_secs(3600);
        assert_eq!(
            duration("0", &range),
            Err("0 is out of range: give 10ms to 1h".into())
        );
        assert_eq!(
            duration("61m", &range),
            Err("61m is out of range: give 10ms to 1h".into())
        );
    }

    #[test]
    fn shown_as_written() {
        for text in ["0", "1", "1000", "1KiB", "1025", "8MiB", "1536MiB", "2GiB"] {
            assert_eq!(show_size(size(text, &(0..=u64::MAX)).unwrap()), text);
        }
        for text in ["0ms", "10ms", "1500ms", "10s", "90s", "1m", "24h"] {
            assert_eq!(
                show_duration(duration(text, &(Duration::ZERO..=Duration::MAX)).unwrap()),
                text
            );
        }
    }
}
