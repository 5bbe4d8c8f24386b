//! What a viewer can do, where the commands are within reach: buttons that send what `alert_control` takes.
//!
//! They are forms, so that they work without the script; with it, the answer is shown in place, and they are hidden from
//! viewers that may not send commands. Nothing is done by one press: a button stands behind its explanation.

use std::fmt::{self, Display, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::text::Text;
use crate::report::rollout::Rollout;
use crate::report::view::{Monitor, Pool};
use crate::rollout::state::Phase;

/// What is escaped in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// Where the commands are, relative to a page with this path, so that it works behind a proxy too.
fn relative(page: &str, control: &str) -> String {
    let above = page.matches('/').count().saturating_sub(1);
    let below = control.trim_matches('/');
    let end = if below.is_empty() { "" } else { "/" };
    format!("{}{}{end}", "../".repeat(above), utf8_percent_encode(below, IN_PATH))
}

/// Writes the section. `control` is the path of the commands.
pub fn write(html: &mut String, page: &str, control: &str, monitor: &Monitor<'_>) -> fmt::Result {
    let form = Form { base: relative(page, control), monitor };
    write!(
        html,
        "<section class=\"half operate\" id=operate aria-labelledby=operates><h2 id=operates>Operate</h2>\
         <form method=post action=\"{}\">",
        if form.base.is_empty() { "./" } else { &form.base }
    )?;
    if let Some(rollout) = &monitor.rollout {
        form.rollout(html, rollout)?;
    }
    for pool in form.others() {
        let explained = format!(
            "{} becomes the active pool at once, and any rollout ends. Traffic follows where nginx routes by it.",
            pool.name
        );
        let command = format!("active?monitor={}&amp;pool={}", form.name(), argument(&pool.name));
        form.action(
            html,
            ("switch", pool.id.get()),
            &format!("Switch to {}", pool.name),
            &explained,
            &[("Switch now", &command)],
        )?;
    }
    form.maintenance(html)?;
    html.push_str("</form><output id=said hidden></output></section>");
    Ok(())
}

struct Form<'a> {
    base: String,
    monitor: &'a Monitor<'a>,
}

impl Form<'_> {
    fn name(&self) -> impl Display + '_ {
        argument(self.monitor.name())
    }

    /// The pools that can become the active one: those that are listed, or else those that are known.
    fn others(&self) -> impl Iterator<Item = &Pool> {
        let listed = &self.monitor.settings.pools;
        let is_own = move |pool: &&Pool| listed.is_empty() || listed.iter().any(|(name, _)| *name == pool.name);
        let active = self.monitor.active_pool().map(|pool| pool.id);
        self.monitor.pools.iter().filter(is_own).filter(move |pool| Some(pool.id) != active)
    }

    /// One thing to do, with an explanation and its buttons: what they say and the commands that they send. What is
    /// another thing has another id, so that no button turns into another one under somebody's hand.
    fn action(
        &self,
        html: &mut String,
        (id, of): (&str, u8),
        title: &str,
        explained: &str,
        buttons: &[(&str, &str)],
    ) -> fmt::Result {
        write!(
            html,
            "<details name=operate id=do-{id}-{of}><summary>{}</summary><p class=soft>{}</p><p class=row>",
            Text(title),
            Text(explained)
        )?;
        for (text, command) in buttons {
            write!(html, "<button formaction=\"{}{command}\">{text}</button>", self.base)?;
        }
        html.push_str("</p></details>");
        Ok(())
    }

    fn rollout(&self, html: &mut String, rollout: &Rollout) -> fmt::Result {
        let name = self.name();
        let order = |word: &str| format!("rollout?monitor={name}&amp;do={word}");
        let [from, to] = &rollout.pools;
        match rollout.state.phase {
            Phase::Step(_) | Phase::Held { .. } => {
                let (id, title, explained, word, button) = match rollout.state.phase {
                    Phase::Step(_) => ("pause", "Hold the rollout", "It keeps its share.", "pause", "Hold"),
                    _ => ("resume", "Go on with the rollout", "Its step begins anew.", "resume", "Go on"),
                };
                self.action(html, (id, 0), title, explained, &[(button, &order(word))])?;
            }
            _ => (),
        }
        match rollout.state.phase {
            Phase::Idle => (),
            Phase::Guard(_) | Phase::Suspect(_) | Phase::Comparing(_) => {
                let explained = format!("{to} keeps all traffic, and nothing goes back by itself.");
                self.action(html, ("unguard", 0), "End the guard", &explained, &[("End it", &order("abort"))])?;
                let back = format!("rollback?monitor={name}");
                let explained = format!("{from} gets all traffic back, if it passes its probe.");
                let title = format!("Roll back to {from}");
                self.action(html, ("back", 0), &title, &explained, &[("Roll back now", &back)])?;
            }
            _ => {
                let explained = format!("{from} gets all traffic back at once.");
                self.action(html, ("abort", 0), "Abort the rollout", &explained, &[("Abort now", &order("abort"))])?;
            }
        }
        let begins = matches!(rollout.state.phase, Phase::Idle | Phase::Guard(_));
        let is_probed = self.monitor.settings.rollout.probe.is_some();
        for pool in self.others().filter(|_| begins && is_probed) {
            let explained = format!(
                "{} has to pass its probes, then it gets more and more of the clients as long as it is no worse.",
                pool.name
            );
            let command = format!("rollout?monitor={name}&amp;pool={}", argument(&pool.name));
            let title = format!("Roll out to {}", pool.name);
            self.action(html, ("rollout", pool.id.get()), &title, &explained, &[("Begin the rollout", &command)])?;
        }
        Ok(())
    }

    fn maintenance(&self, html: &mut String) -> fmt::Result {
        let command = |rest: &str| format!("maintenance?monitor={}&amp;on={rest}", self.name());
        if self.monitor.maintenance {
            let explained = "Alerts are sent again, and rollouts go on.";
            let buttons = [("End it now", &*command("0"))];
            return self.action(html, ("alerts", 0), "End maintenance", explained, &buttons);
        }
        let explained = "Alerts are held back, and rollouts wait.";
        let commands = [command("1&amp;for=30m"), command("1&amp;for=2h"), command("1")];
        let buttons = [("For 30 min", &*commands[0]), ("For 2 h", &commands[1]), ("Until it is ended", &commands[2])];
        self.action(html, ("maintenance", 0), "Begin maintenance", explained, &buttons)
    }
}

/// A name as an argument of a query string.
fn argument(name: &str) -> impl Display + '_ {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

#[cfg(test)]
mod tests {
    use super::relative;

    #[test]
    fn commands_are_found_wherever_the_page_is_and_behind_a_proxy_too() {
        for (page, control, expected) in [
            ("/alert/", "/alert/control/", "../alert/control/"),
            ("/alert", "/control", "control/"),
            ("/ops/alert/", "/control/", "../../control/"),
            ("/alert/", "/", "../"),
            ("/alert", "/", ""),
            ("/a/", "/with space\"/x:y", "../with%20space%22/x%3Ay/"),
        ] {
            assert_eq!(relative(page, control), expected, "{control} from {page}");
        }
    }
}
