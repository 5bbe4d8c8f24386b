//! The workers: what each has counted, and whether it keeps up.

use std::fmt::{self, Write as _};

use super::text::{ROWS, grouped, more};
use crate::report::view::View;

/// Writes the section.
pub fn write(html: &mut String, view: &View<'_>) -> fmt::Result {
    html.push_str(
        "<section class=half aria-labelledby=workers><h2 id=workers>Workers</h2><table class=stack><thead><tr>\
         <th scope=col>Process<th scope=col class=n>Counted<th scope=col class=n>Dropped\
         <th scope=col class=n>Waiting</tr></thead><tbody>",
    );
    for worker in view.workers.iter().take(ROWS) {
        write!(
            html,
            "<tr><th scope=row>{}<td class=n data-label=Counted>{}<td class=n data-label=Dropped>{}\
             <td class=n data-label=Waiting>{}</tr>",
            worker.pid,
            grouped(worker.events),
            grouped(worker.dropped),
            worker.queue_depth
        )?;
    }
    more(html, view.workers.len())?;
    html.push_str("</tbody></table></section>");
    Ok(())
}
