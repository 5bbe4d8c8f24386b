//! The pools: which serves, its release, and what each did.

use std::fmt::{self, Write as _};

use super::colours::Colours;
use super::text::{ROWS, Since, Swatch, Text, grouped, more, words};
use crate::model::outcome::Cause;
use crate::report::view::{Monitor, Pool, View};

/// Writes the section.
pub fn write(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>, colours: &Colours) -> fmt::Result {
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
        let serves = monitor.answering_pool().is_some_and(|serving| serving.id == pool.id);
        let is_active = monitor.active_pool().is_some_and(|active| active.id == pool.id);
        for (is, badge) in
            [(serves, " <span class=\"badge ok\">serves</span>"), (is_active, " <span class=badge>active</span>")]
        {
            html.push_str(if is { badge } else { "" });
        }
        write!(
            html,
            "<td class=wide data-label=Release>{}<td class=n data-label=Answered>{}<td class=n data-label=\"Failed attempts\">",
            Text(if pool.release.is_empty() { "–" } else { &pool.release }),
            grouped(pool.answered),
        )?;
        causes(html, pool)?;
        html.push_str("<td class=wide data-label=\"Last answer\">");
        write!(html, "{}", Since { time_ms: pool.last_seen_ms, now_ms: view.now_ms })?;
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
    write!(html, "<span>{}", grouped(pool.failed_attempts))?;
    for (cause, count) in Cause::ALL.into_iter().zip(pool.causes).filter(|(_, count)| *count > 0) {
        write!(html, "<br><span class=soft>{}: {}</span>", words(cause), grouped(count))?;
    }
    html.push_str("</span>");
    Ok(())
}
