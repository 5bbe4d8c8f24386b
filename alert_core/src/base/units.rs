//! Values as nginx writes them: times and sizes.

/// The longest time that can be written, in days.
pub const TIME_MAX_DAYS: u64 = 3650;

/// Reads a time in nginx's syntax (`300s`, `1h 30m` without the space, `500ms`; a bare number is seconds), in
/// milliseconds.
///
/// Source: <https://nginx.org/en/docs/syntax.html>.
pub fn parse_time_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] =
        [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1000), ("", 1000)];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, ms) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        // As in nginx, units go from large to small and each stands once; a number without unit ends the text.
        if *ms >= last_unit || (unit.is_empty() && !rest.is_empty()) {
            return None;
        }
        last_unit = *ms;
        rest = &rest[unit.len()..];
        total = total.checked_add(number.checked_mul(*ms)?)?;
    }
    (!text.is_empty() && total <= TIME_MAX_DAYS * 86_400_000).then_some(total)
}

/// Reads a size in nginx's syntax: a number of bytes, or of `k`, or of `m`.
///
/// Source: <https://nginx.org/en/docs/syntax.html>.
pub fn parse_size(text: &str) -> Option<usize> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<usize>().ok().filter(|_| plain)?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_nginx() {
        for (text, ms) in
            [("300s", 300_000), ("5m", 300_000), ("1h30m", 5_400_000), ("500ms", 500), ("30", 30_000), ("0", 0)]
        {
            assert_eq!(parse_time_ms(text), Some(ms), "{text}");
        }
        for text in ["", "s", "5x", "-1s", "5m5m", "1s1m", "1.5s", "99999999999999999999s", "99999d", "5 m"] {
            assert_eq!(parse_time_ms(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_those_of_nginx() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("32k", 32 << 10), ("1m", 1 << 20), ("2M", 2 << 20)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "k", "1g", "-1m", "+1", "1.5m", "1 m", "1mm", "17592186044416m", "99999999999999999999"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
