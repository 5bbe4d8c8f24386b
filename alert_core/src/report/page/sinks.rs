//! The sinks: whether each can be reached, and what it was sent.

use std::fmt::{self, Write as _};

use super::text::{Text, grouped};
use crate::report::view::View;

/// Writes the section.
pub fn write(html: &mut String, view: &View<'_>) -> fmt::Result {
    html.push_str(
        "<section class=half aria-labelledby=sinks><h2 id=sinks>Sinks</h2><table class=stack><thead><tr>\
         <th scope=col>Sink<th scope=col>Health<th scope=col class=n>Sent<th scope=col class=n>Retried\
         <th scope=col class=n>Failed<th scope=col class=n>Pending</tr></thead><tbody>",
    );
    for sink in &view.sinks {
        let (class, health) = match (sink.last_error.is_empty(), sink.sent) {
            (false, _) => ("bad", "failing"),
            (true, 0) => ("", "unused"),
            (true, _) => ("ok", "ok"),
        };
        write!(
            html,
            "<tr><th scope=row>{}<td class=wide data-label=Health><span><span class=\"badge {class}\">{health}</span> {}</span>\
             <td class=n data-label=Sent>{}<td class=n data-label=Retried>{}<td class=n data-label=Failed>{}\
             <td class=n data-label=Pending>{}</tr>",
            Text(&sink.settings.name),
            Text(&sink.last_error),
            grouped(sink.sent),
            grouped(sink.retried),
            grouped(sink.failed),
            sink.pending
        )?;
    }
    if view.sinks.is_empty() {
        html.push_str("<tr><td colspan=6 class=none>None is configured: alerts go to the error log only.</tr>");
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}
