//! All monitors at a glance, the worst first.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::colours::Colours;
use super::headline::{class, word};
use super::text::{Swatch, Text, milliseconds, per_second, percent};
use crate::model::alert::Kind;
use crate::report::view::{Monitor, State, View};

/// Writes the headline and the table.
pub fn write(html: &mut String, view: &View<'_>) -> fmt::Result {
    let count = |wanted: &str| view.monitors.iter().filter(|monitor| class(monitor) == wanted).count();
    let (bad, warn, all) = (count("bad"), count("warn"), view.monitors.len());
    let tone = if bad > 0 {
        "bad"
    } else if warn > 0 {
        "warn"
    } else {
        "ok"
    };
    write!(html, "<section class=\"state {tone}\" aria-labelledby=says><h1 id=says aria-live=polite>")?;
    match bad {
        0 => write!(html, "None of {all} monitors is in trouble")?,
        1 => write!(html, "1 of {all} monitors is in trouble")?,
        _ => write!(html, "{bad} of {all} monitors are in trouble")?,
    }
    html.push_str("</h1>");
    match warn {
        0 => (),
        1 => html.push_str("<p>1 more needs a look.</p>"),
        _ => write!(html, "<p>{warn} more need a look.</p>")?,
    }
    html.push_str(
        "</section><section aria-labelledby=monitors><h2 id=monitors>Monitors</h2><table class=\"stack monitors\"><thead>\
         <tr><th scope=col>Monitor<th scope=col>State<th scope=col>Serving pool<th scope=col class=n>Requests\
         <th scope=col class=n>Errors<th scope=col class=n>Retries<th scope=col class=n>p95</tr></thead><tbody>",
    );
    for monitor in worst_first(view) {
        row(html, monitor)?;
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}

/// The monitors, the worst first; equals in the order of the configuration.
pub fn worst_first<'a, 'b>(view: &'b View<'a>) -> Vec<&'b Monitor<'a>> {
    let mut monitors: Vec<&Monitor<'_>> = view.monitors.iter().collect();
    monitors.sort_by_key(|monitor| {
        let rank = match class(monitor) {
            "bad" if monitor.maintenance => 3,
            "bad" => 4,
            "warn" => 2,
            "ok" => 1,
            _ => 0,
        };
        let failed = monitor.window.as_ref().map_or(0, |window| window.counts.failed + window.counts.abandoned);
        Reverse((rank, monitor.trouble, failed))
    });
    monitors
}

fn row(html: &mut String, monitor: &Monitor<'_>) -> fmt::Result {
    let window = monitor.window.as_ref();
    let colours = Colours::of_pools(&monitor.pools);
    let muted = if monitor.maintenance && monitor.trouble != State::Ok {
        " <span class=\"badge warn\">maintenance</span>"
    } else {
        ""
    };
    write!(
        html,
        "<tr><th scope=row><a href=\"{}\">{}</a><td class=wide data-label=State><span><span class=\"badge {}\">{}</span>{muted}</span>\
         <td class=wide data-label=Serving>",
        address(monitor),
        Text(monitor.name()),
        class(monitor),
        word(monitor),
    )?;
    match monitor.answering_pool() {
        Some(pool) => write!(
            html,
            "<span>{} <span class=soft>{}</span></span>",
            Swatch(pool, colours.of(pool.id)),
            Text(&pool.release)
        )?,
        None => html.push('–'),
    }
    let bad = |kind: Kind| if monitor.is_firing(kind) { " bad" } else { "" };
    write!(
        html,
        "<td class=n data-label=Requests>{}<td class=\"n{}\" data-label=Errors>{}<td class=\"n{}\" data-label=Retries>{}\
         <td class=\"n{}\" data-label=p95>{}</tr>",
        per_second(monitor.requests_per_second),
        bad(Kind::ErrorRate),
        percent(window.and_then(|window| window.error_rate())),
        bad(Kind::RetryRate),
        percent(window.and_then(|window| window.retry_rate())),
        bad(Kind::Latency),
        milliseconds(window.and_then(|window| Some(window.percentiles_ms?[1].into()))),
    )
}

/// The address of the page of a monitor, relative to that of the overview.
pub fn address(monitor: &Monitor<'_>) -> String {
    format!("?monitor={}", utf8_percent_encode(monitor.name(), NON_ALPHANUMERIC))
}
