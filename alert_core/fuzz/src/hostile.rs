//! Names that want to break what shows them, and what must be true of text that shows such names.

use std::borrow::Cow;

use arbitrary::{Result, Unstructured};

/// Words that mean something to some receiver.
pub const WORDS: &[&str] = &[
    "<!channel>",
    "<@U1>",
    "@everyone",
    "</td>",
    "<script>",
    "\"",
    "'",
    "\\",
    "&",
    "&amp;",
    "\n",
    "\r",
    "\0",
    "\u{7f}",
    "\u{202e}",
    "\u{2066}",
    "\u{2028}",
    "[x](https://a)",
    "`",
    "*",
    "_",
    "~",
    "{",
    "}",
    "%",
    "https://a.b",
    "\u{1f534}",
    "blue",
    "\u{85}",
    "<b onmouseover=x>",
    "unknown",
    "~1",
];

/// A name of anybody.
pub fn name<'a>(input: &mut Unstructured<'a>) -> Result<Cow<'a, str>> {
    let length = match input.arbitrary::<u8>()? {
        0..=200 => input.int_in_range(0..=20)?,
        201..=250 => input.int_in_range(0..=80)?,
        _ => input.int_in_range(0..=3000)?,
    };
    Ok(String::from_utf8_lossy(input.bytes(length.min(input.len()))?))
}

/// A number, often one at an edge.
pub fn number(input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match input.arbitrary::<u8>()? {
        0..=60 => input.int_in_range(0..=300)?,
        61..=120 => crate::rig::T0 + u64::from(input.arbitrary::<u32>()?),
        121..=140 => u64::MAX,
        141..=160 => 1 << input.int_in_range(0..=63)?,
        161..=180 => u64::from(u32::MAX),
        _ => input.arbitrary()?,
    })
}

/// Whether a text can neither break a line or a terminal nor turn what surrounds it around.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}
