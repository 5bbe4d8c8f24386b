//! Making text fit: what comes from upstreams is cut, and loses what could break a line or a layout.

use crate::base::name::plain;
use crate::model::alert::{Alert, Example, Fired, Missed, PoolFigures, PoolLabel};

/// Characters kept of any one string of an alert: enough for a host name, little enough for every service.
const STRING_MAX: usize = 255;
/// Characters kept of a story, which has several lines.
const STORY_MAX: usize = 500;
const ELLIPSIS: char = '…';

/// The alert with every string bounded, on one line and readable from left to right.
pub(super) fn bounded_alert(alert: &Alert) -> Alert {
    let pool = |label: &PoolLabel| PoolLabel {
        name: one_line(&label.name),
        release: one_line(&label.release),
        address: one_line(&label.address),
    };
    let example = |example: &Example| Example {
        method: one_line(&example.method),
        path: one_line(&example.path),
        address: one_line(&example.address),
        ..*example
    };
    let figures =
        |pool: &PoolFigures| PoolFigures { name: one_line(&pool.name), release: one_line(&pool.release), ..*pool };
    let fired = |fired: &Fired| Fired { headline: one_line(&fired.headline), ..*fired };
    Alert {
        monitor: one_line(&alert.monitor),
        instance: one_line(&alert.instance),
        labels: alert.labels.iter().map(|(name, value)| (one_line(name), one_line(value))).collect(),
        story: bounded(&alert.story, STORY_MAX),
        cause: one_line(&alert.cause),
        examples: alert.examples.iter().map(example).collect(),
        limit: one_line(&alert.limit),
        from: pool(&alert.from),
        to: pool(&alert.to),
        pools: alert.pools.iter().map(figures).collect(),
        missed: Missed { fired: alert.missed.fired.as_ref().map(fired), ..alert.missed },
        ..alert.clone()
    }
}

fn one_line(text: &str) -> String {
    bounded(text, STRING_MAX)
}

fn bounded(text: &str, limit: usize) -> String {
    let kept: String = text.chars().map(plain).take(limit + 1).collect();
    cut(&kept, limit)
}

/// The text within a limit, with an ellipsis where something is missing.
///
/// Limits count UTF-16 units, as the services (JavaScript, Java, .NET) do: never fewer than characters.
pub(super) fn cut(text: &str, limit: usize) -> String {
    cut_escaped(text, limit, |_| None)
}

/// The text with some characters replaced, within a limit that holds for the result. No replacement is cut in two.
pub(super) fn cut_escaped(text: &str, limit: usize, escape: impl Fn(char) -> Option<&'static str>) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut units = 0;
    // Where the ellipsis goes, should there be more text than room.
    let mut fits = 0;
    for c in text.chars() {
        let replacement = escape(c);
        units += replacement.map_or(c.len_utf16(), length);
        if units > limit {
            escaped.truncate(fits);
            escaped.push(ELLIPSIS);
            break;
        }
        match replacement {
            Some(replacement) => escaped.push_str(replacement),
            None => escaped.push(c),
        }
        if units < limit {
            fits = escaped.len();
        }
    }
    escaped
}

/// The text without the three characters that mean something in HTML, and to Slack: neither a tag nor an entity, a mention, a
/// link or a date is left.
pub(super) fn without_markup(text: &str, limit: usize) -> String {
    cut_escaped(text, limit, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

/// The text within a limit in bytes, with an ellipsis where something is missing.
pub(super) fn cut_bytes(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(ELLIPSIS.len_utf8());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{ELLIPSIS}", &text[..end])
}

/// The length of a text, as limits count it.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_fits_stays_as_it_is() {
        assert_eq!(cut("blue", 4), "blue");
        assert_eq!(cut("", 4), "");
    }

    #[test]
    fn a_text_that_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(cut("green", 4), "gre…");
        assert_eq!(cut("🟢🟢🟢", 5), "🟢🟢…");
    }

    #[test]
    fn a_replacement_is_whole_or_not_there() {
        let escape = |c| (c == '<').then_some("&lt;");
        assert_eq!(cut_escaped("a<b", 6, escape), "a&lt;b");
        assert_eq!(cut_escaped("a<b", 5, escape), "a…");
    }

    #[test]
    fn a_name_can_neither_start_a_line_nor_turn_the_text_around() {
        assert_eq!(one_line("blue\r\n:fire: all\u{202e} down\u{2028}"), "blue  :fire: all\u{fffd} down ");
    }

    proptest! {
        #[test]
        fn a_limit_in_bytes_holds_for_any_text(text in "\\PC*", limit in 3usize..40) {
            let short = cut_bytes(&text, limit);
            prop_assert!(short.len() <= limit && (short == text || short.ends_with(ELLIPSIS)));
        }

        #[test]
        fn the_limit_holds_for_any_text(text in "\\PC*", limit in 1usize..40) {
            let short = cut_escaped(&text, limit, |c| (c == 'a').then_some("&amp;"));
            prop_assert!(length(&short) <= limit);
        }
    }
}
