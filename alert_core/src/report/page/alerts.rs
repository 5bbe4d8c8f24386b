//! The latest alerts, and how far each is with the sinks.

use std::fmt::{self, Write as _};

use super::text::{Linked, Text};
use crate::base::clock::rfc3339;
use crate::board::outbox::Delivery;
use crate::model::alert::Status;
use crate::report::view::{Monitor, Told, View};

/// Alerts that are shown.
const ALERTS: usize = 15;

/// Writes the section: of all monitors, or of the one that is shown.
pub fn write(html: &mut String, view: &View<'_>, shown: Option<&Monitor<'_>>) -> fmt::Result {
    let is_own = |told: &Told| shown.is_some_and(|monitor| told.alert.monitor == monitor.settings.name);
    // The only monitor has inherited what was told of those that were there before.
    let is_shown = |told: &&Told| shown.is_none() || view.monitors.len() == 1 || is_own(told);
    let alerts: Vec<&Told> = view.alerts.iter().filter(is_shown).take(ALERTS).collect();
    html.push_str("<section aria-labelledby=alerts><h2 id=alerts>Alerts</h2>");
    let latest = alerts.first().map(|told| told.alert.headline()).unwrap_or_default();
    write!(html, "<p class=vh role=status>{}</p>", Text(&latest))?;
    if alerts.is_empty() {
        html.push_str("<p class=none>None so far.</p></section>");
        return Ok(());
    }
    html.push_str("<ol class=alerts>");
    for told in alerts {
        let name = if is_own(told) { String::new() } else { format!("{}: ", told.alert.monitor) };
        alert(html, view, told, &name)?;
    }
    html.push_str("</ol></section>");
    Ok(())
}

fn alert(html: &mut String, view: &View<'_>, told: &Told, monitor: &str) -> fmt::Result {
    let time = rfc3339(told.alert.time_ms);
    let class = match told.alert.status {
        Status::Firing => "bad",
        Status::Resolved => "ok",
        Status::Info => "info",
    };
    write!(
        html,
        "<li><time class=soft datetime={time}>{}</time><span class=\"badge {class}\">{}</span>\
         <details><summary>{}{}</summary><dl>",
        &time[..19].replace('T', " "),
        told.alert.status.name(),
        Text(monitor),
        Text(&told.alert.headline())
    )?;
    for (label, value) in told.alert.details() {
        write!(html, "<dt>{}<dd>{}", Text(label), Linked(&value))?;
    }
    html.push_str("</dl></details><span class=row>");
    for (sink, delivery) in &told.deliveries {
        let class = match delivery {
            Delivery::Sent => " ok",
            Delivery::Pending => " warn",
            Delivery::Failed => " bad",
            Delivery::None | Delivery::HeldBack => "",
        };
        if let (Some(sink), Some(name)) = (view.sinks.get(*sink), delivery.name()) {
            let (sink, name) = (Text(&sink.settings.name), name.replace('_', " "));
            write!(html, "<span class=\"badge{class}\">{sink}: {name}</span>")?;
        }
    }
    html.push_str("</span></li>");
    Ok(())
}
