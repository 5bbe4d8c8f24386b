//! The rules: what each allows, how it stands, and what was told.

use std::fmt::{self, Write as _};

use super::title;
use crate::report::view::{Monitor, RuleState};

/// Writes the section.
pub fn write(html: &mut String, monitor: &Monitor<'_>) -> fmt::Result {
    html.push_str(
        "<section class=half aria-labelledby=rules><h2 id=rules>Rules</h2><table class=stack><thead><tr>\
         <th scope=col>Rule<th scope=col>Limit<th scope=col>State<th scope=col class=n>Told\
         <th scope=col class=n>Held back</tr></thead><tbody>",
    );
    for rule in &monitor.rules {
        let class = match rule.state {
            RuleState::Ok => " ok",
            RuleState::Firing => " bad",
            RuleState::Cooldown => " warn",
            RuleState::Off => "",
        };
        write!(
            html,
            "<tr><th scope=row>{}<td data-label=Limit>{}<td data-label=State><span class=\"badge{class}\">{}\
             </span><td class=n data-label=Told>{}<td class=n data-label=\"Held back\">{}</tr>",
            title(rule.kind),
            rule.limit.map_or_else(|| "–".into(), |limit| limit.to_string()),
            rule.state.name(),
            rule.fired,
            rule.held_back
        )?;
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}
