//! The addresses, each with what it did and when it failed last.

use std::fmt::{self, Write as _};

use super::colours::Colours;
use super::text::{ROWS, Since, Text, grouped, more, words};
use crate::report::view::{Detail, Monitor, View};

/// Writes the section, if there are any.
pub fn write(
    html: &mut String,
    view: &View<'_>,
    monitor: &Monitor<'_>,
    detail: &Detail,
    colours: &Colours,
) -> fmt::Result {
    if detail.addresses.is_empty() {
        return Ok(());
    }
    html.push_str(
        "<section aria-labelledby=addresses><h2 id=addresses>Addresses</h2><table class=stack><thead><tr>\
         <th scope=col>Address<th scope=col>Pool<th scope=col class=n>Answered<th scope=col class=n>Failed attempts\
         <th scope=col>Last failure</tr></thead><tbody>",
    );
    for address in detail.addresses.iter().take(ROWS) {
        let pool = monitor.pools.iter().find(|pool| pool.id == address.pool);
        write!(
            html,
            "<tr><th scope=row>{}<td class=wide data-label=Pool><span><i class=\"dot {}\"></i>{}</span>\
             <td class=n data-label=Answered>{}<td class=n data-label=\"Failed attempts\">{}\
             <td class=wide data-label=\"Last failure\"><span>{}",
            Text(&address.name),
            colours.of(address.pool),
            Text(pool.map_or("unknown", |pool| &pool.name)),
            grouped(address.answered),
            grouped(address.failed_attempts),
            Since { time_ms: address.failed_ms, now_ms: view.now_ms },
        )?;
        if let Some(cause) = address.cause {
            write!(html, "<span class=soft>, {}</span>", words(cause))?;
        }
        html.push_str("</span></tr>");
    }
    more(html, detail.addresses.len())?;
    html.push_str("</tbody></table></section>");
    Ok(())
}
