//! The pools and their addresses, each with what it did.

use std::fmt::{self, Write as _};

use super::colours::Colours;
use super::text::{ROWS, Span, Swatch, Text, grouped, more};
use crate::model::outcome::Cause;
use crate::report::detail::{Address, Detail};
use crate::report::view::{Monitor, Pool, View};

/// Writes both sections.
pub fn write(
    html: &mut String,
    view: &View<'_>,
    monitor: &Monitor<'_>,
    detail: &Detail,
    colours: &Colours,
) -> fmt::Result {
    pools(html, view, monitor, colours)?;
    if detail.addresses.is_empty() { Ok(()) } else { addresses(html, view, monitor, &detail.addresses, colours) }
}

fn pools(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>, colours: &Colours) -> fmt::Result {
    html.push_str(
        "<section class=half aria-labelledby=pools><h2 id=pools>Pools</h2><table class=stack><thead><tr>\
         <th scope=col>Pool<th scope=col>Release<th scope=col class=n>Answered<th scope=col class=n>Failed attempts\
         <th scope=col>Last answer</tr></thead><tbody>",
    );
    let unknown = monitor.unknown.iter().map(|pool| (pool, true));
    let pools: Vec<(&Pool, bool)> = monitor.pools.iter().map(|pool| (pool, false)).chain(unknown).collect();
    for (pool, is_unknown) in pools.iter().take(ROWS) {
        html.push_str("<tr><th scope=row>");
        match is_unknown {
            true => html.push_str("<i class=\"dot c0\"></i>unknown"),
            false => write!(html, "{}", Swatch(pool, colours.of(pool.id)))?,
        }
        let serves = monitor.serving_pool().is_some_and(|serving| serving.id == pool.id && pool.answered > 0);
        let is_active = monitor.active_pool().is_some_and(|active| active.id == pool.id);
        for (is, badge) in
            [(serves, " <span class=\"badge ok\">serves</span>"), (is_active, " <span class=badge>active</span>")]
        {
            html.push_str(if is { badge } else { "" });
        }
        write!(
            html,
            "<td data-label=Release>{}<td class=n data-label=Answered>{}<td class=n data-label=\"Failed attempts\">",
            Text(if pool.release.is_empty() { "–" } else { &pool.release }),
            grouped(pool.answered),
        )?;
        causes(html, pool)?;
        html.push_str("<td data-label=\"Last answer\">");
        ago(html, view, pool.last_seen_ms)?;
        html.push_str("</tr>");
    }
    if pools.is_empty() {
        html.push_str("<tr><td colspan=5 class=none>None is listed, and no answer has named one.</tr>");
    }
    more(html, pools.len())?;
    html.push_str("</tbody></table></section>");
    Ok(())
}

/// Failed attempts, and why they failed.
fn causes(html: &mut String, pool: &Pool) -> fmt::Result {
    html.push_str(&grouped(pool.failed_attempts));
    for (cause, count) in Cause::ALL.into_iter().zip(pool.causes).filter(|(_, count)| *count > 0) {
        write!(html, "<br><span class=soft>{} {}</span>", grouped(count), words(cause))?;
    }
    Ok(())
}

fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Connect => "not connected",
        Cause::Timeout => "timed out",
        Cause::Status => "answered with an error",
        Cause::Cut => "broken off",
        Cause::Local => "not begun by nginx",
    }
}

fn ago(html: &mut String, view: &View<'_>, time_ms: Option<u64>) -> fmt::Result {
    match time_ms {
        None => write!(html, "never"),
        Some(time_ms) => write!(html, "{} ago", Span(view.now_ms.saturating_sub(time_ms) / 1000)),
    }
}

fn addresses(
    html: &mut String,
    view: &View<'_>,
    monitor: &Monitor<'_>,
    addresses: &[Address],
    colours: &Colours,
) -> fmt::Result {
    html.push_str(
        "<section class=half aria-labelledby=addresses><h2 id=addresses>Addresses</h2><table class=stack><thead><tr>\
         <th scope=col>Address<th scope=col class=n>Answered<th scope=col class=n>Failed attempts\
         <th scope=col>Last failure</tr></thead><tbody>",
    );
    for address in addresses.iter().take(ROWS) {
        let pool = monitor.pools.iter().find(|pool| pool.id == address.pool);
        let name = pool.map_or("unknown", |pool| &pool.name);
        write!(
            html,
            "<tr><th scope=row><i class=\"dot {}\"></i>{} <span class=vh>of pool {}</span>\
             <td class=n data-label=Answered>{}<td class=n data-label=\"Failed attempts\">{}<td data-label=\"Last failure\">",
            colours.of(address.pool),
            Text(&address.name),
            Text(name),
            grouped(address.answered),
            grouped(address.failed_attempts),
        )?;
        ago(html, view, address.failed_ms)?;
        if let Some(cause) = address.cause {
            write!(html, "<span class=soft>, {}</span>", words(cause))?;
        }
        html.push_str("</tr>");
    }
    more(html, addresses.len())?;
    html.push_str("</tbody></table></section>");
    Ok(())
}
