//! What a service says about a message, as far as it may be shown: its first line, short and plain, and nothing at all where
//! any piece of a secret is in it, however that is spelled.
//!
//! Services repeat what they were sent, so an answer may hold the path of a webhook, a password, or a header decoded. Shown
//! are only letters, digits and the punctuation of plain sentences: no sign that begins an escape of any kind (`%`, `&`, `\`,
//! `=`, `+`) is among them. What is left are the secret itself, its base64 (in both alphabets, at any of three places within
//! more), its hexadecimal digits, and what stands between percent signs; in any case, whole or in part, with or without other
//! signs between. An answer that has a run of [`RUN`] characters in common with any of these says nothing.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

use super::secret::Secret;
use super::text::cut;

/// A run of so many characters of a secret, or of a spelling of it, is too much.
const RUN: usize = 6;
/// A secret that is shorter than a run counts as a whole from so many characters on; shorter ones are words such as `ops`.
const WHOLE_MIN: usize = 4;
/// Characters that are shown.
const SHOWN_MAX: usize = 120;

/// What is said, in parentheses, with a space in front; empty where it may not be shown.
pub(super) fn excerpt(said: &str, secrets: &[Secret]) -> String {
    let line = said.trim().lines().next().unwrap_or_default().trim_end();
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-.,:;'\"@()[]<>/!?".contains(c);
    // What begins like this is markup, which says nothing in its first line.
    if line.is_empty() || line.starts_with('<') || !line.chars().all(plain) || leaks(line, secrets) {
        return String::new();
    }
    format!(" ({})", cut(line, SHOWN_MAX))
}

/// Whether a text of plain characters has any piece of these secrets in it.
fn leaks(text: &str, secrets: &[Secret]) -> bool {
    let text = [text.to_ascii_lowercase(), text.to_ascii_lowercase().replace(' ', ""), squeezed(text)];
    let runs: HashSet<&[u8]> = text.iter().flat_map(|text| text.as_bytes().windows(RUN)).collect();
    let is_in = |piece: &[u8]| match piece.len() {
        0..WHOLE_MIN => false,
        short @ WHOLE_MIN..RUN => text.iter().any(|text| text.as_bytes().windows(short).any(|run| run == piece)),
        _ => piece.windows(RUN).any(|run| runs.contains(run)),
    };
    let spellings = secrets.iter().flat_map(|secret| readings(secret.reveal())).flat_map(|read| spellings(&read));
    { spellings }
        .any(|spelling| is_in(spelling.to_ascii_lowercase().as_bytes()) || is_in(squeezed(&spelling).as_bytes()))
}

/// The secret as it is, and what it is once somebody has decoded it.
fn readings(secret: &str) -> Vec<Vec<u8>> {
    let mut readings = vec![secret.as_bytes().to_vec(), percent_encoding::percent_decode_str(secret).collect()];
    for word in secret.split(|c: char| c.is_whitespace() || ":;,".contains(c)) {
        let word = word.trim_end_matches('=');
        readings
            .extend([BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD].iter().filter_map(|base| base.decode(word).ok()));
        let digits: Option<Vec<u8>> = word
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        readings.extend(digits);
    }
    readings.sort_unstable();
    readings.dedup();
    readings
}

/// What may stand for these bytes.
fn spellings(bytes: &[u8]) -> Vec<String> {
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // As a part of more, it begins with the first, second or third byte of a group: what that group shares with others is
    // left out.
    let places = [(0, 0), (1, 2), (2, 3)];
    let base64 = places.iter().flat_map(|(before, shared)| {
        let all = [&[0; 2][..*before], bytes].concat();
        [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD].map(|base| base.encode(&all)[*shared..].to_owned())
    });
    // Only a part of it can be shown, since the percent sign cannot.
    let encoded = percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC).to_string();
    [String::from_utf8_lossy(bytes).into_owned(), hex, encoded].into_iter().chain(base64).collect()
}

/// Its letters and digits alone, in lower case.
fn squeezed(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(said: &str, secrets: &[&str]) -> String {
        excerpt(said, &secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_plain_and_short_is_shown_by_its_first_line() {
        assert_eq!(shown("no_service", &["T0/B0/s3cr3t"]), " (no_service)");
        assert_eq!(
            shown(" 550 5.1.1 <ops@example.com>: unknown\r\nsecond line", &[]),
            " (550 5.1.1 <ops@example.com>: unknown)"
        );
        assert_eq!(shown(&"long ".repeat(100), &[]).chars().count(), SHOWN_MAX + " ()".len());
        for nothing in
            ["", "\n\n", "<html>no</html>", "\x1b[31mred", "a\u{202e}b", "caf\u{e9}", "a&#115;b", "\\u0073", "%73"]
        {
            assert_eq!(shown(nothing, &[]), "", "{nothing:?}");
        }
    }

    #[test]
    fn no_spelling_of_a_secret_is_shown() {
        let secrets = ["operator:s3cr3t-pa55word", "T0123/B4567/AbCdEfGhIjKl"];
        for echo in [
            "no such password: s3cr3t-pa55word",
            "S3CR3T-PA55WORD",
            "half: pa55wo",
            "who is operator",
            "s3cr3t pa55word",
            "s.3.c.r.3.t.p",
            "b3BlcmF0b3I6czNjcjN0LXBhNTV3b3Jk",
            "czNjcjN0LXBhNTV3b3Jk",
            "token XBhNTV3",
            "7333637233742d70613535776f7264",
            "hook abcdefgh is gone",
            "B4567/Ab",
        ] {
            assert_eq!(shown(echo, &secrets), "", "{echo}");
        }
        assert_eq!(shown("it is MCE-QW", &["0!>Aa"]), "", "five characters, as a URL has them");
        assert_eq!(shown("user:hunter2 is wrong", &["Basic dXNlcjpodW50ZXIy"]), "", "decoded");
        assert_eq!(shown("p@ss/w0rd", &["p%40ss%2Fw0rd"]), "", "decoded");
        assert_eq!(shown("the key is ab1", &["ab1"]), " (the key is ab1)", "a word");
        assert_eq!(shown("topic opsy", &["opsy"]), "", "a whole one that is short");
        assert_eq!(shown("wrong: !?!?!?", &["!?!?!?"]), "", "no letter in it");
    }

    /// A spelling of a secret, by number.
    fn spelled(secret: &str, how: usize, before: &str, after: &str) -> String {
        let more = format!("{before}{secret}{after}");
        match how {
            0 => secret.to_owned(),
            1 => secret.to_uppercase(),
            2 => BASE64_STANDARD_NO_PAD.encode(secret),
            3 => BASE64_URL_SAFE_NO_PAD.encode(secret),
            4 => BASE64_URL_SAFE_NO_PAD.encode(&more),
            5 => secret.bytes().map(|byte| format!("{byte:02X}")).collect(),
            6 => percent_encoding::percent_encode(secret.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string(),
            7 => secret.chars().map(|c| format!("{c} ")).collect(),
            _ => more,
        }
    }

    proptest! {
        #[test]
        fn no_part_of_any_spelling_of_a_secret_is_shown(
            secret in "[!-~]{6,40}", how in 0..9usize, around in "[a-z ]{0,9}", before in "[!-~]{0,4}", after in "[!-~]{0,4}",
            from in 0..60usize, len in RUN..60,
        ) {
            // The whole of what stands for the secret alone, and half of it; padding cannot be shown.
            let all = spelled(&secret, how, &before, &after);
            let part: String = all.chars().skip(from % all.chars().count().saturating_sub(RUN).max(1)).take(len).collect();
            // A part that is spaced out is a shorter one.
            for echo in [&all, if how == 7 { &all } else { &part }] {
                let said = shown(&format!("{around} {echo} {around}"), &[&secret]);
                // What surrounds the secret in base64 may be all that a part has.
                let holds = |run: &[char]| said.contains(&run.iter().collect::<String>());
                let secret: Vec<char> = secret.chars().collect();
                prop_assert!(!secret.windows(RUN).any(holds), "{said:?}");
                if how < 4 || how > 4 && how < 8 {
                    prop_assert_eq!(&said, "", "{:?}", echo);
                }
            }
        }
    }
}
