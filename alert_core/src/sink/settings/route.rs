//! Which alerts a sink is for: those of some kinds, or from some severity up.

use super::SettingsError;
use super::words::{Words, quotable};
use crate::model::alert::{Kind, Severity};

/// Which alerts a sink is for; all of them where nothing is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    kinds: Option<Vec<Kind>>,
    severity: Option<Severity>,
}

impl Route {
    /// Whether alerts of this kind go this way. All about one incident go the same way, and a test goes every way.
    pub fn takes(&self, kind: Kind) -> bool {
        kind == Kind::Test
            || (self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind.incident()))
                && self.severity.is_none_or(|severity| kind.severity() >= severity))
    }

    pub(super) fn read(words: &Words<'_>) -> Result<Route, SettingsError> {
        Ok(Route {
            kinds: words.written("kinds").map(kinds).transpose()?,
            severity: words.written("severity").map(severity).transpose()?,
        })
    }
}

fn kinds(list: &str) -> Result<Vec<Kind>, SettingsError> {
    let known = || Kind::ALL.into_iter().filter(|kind| kind.incident() == *kind && *kind != Kind::Test);
    list.split(',')
        .map(|word| {
            known().find(|kind| kind.name() == word).ok_or_else(|| SettingsError::Value {
                parameter: "kinds",
                quoted: quotable(word),
                expected: format!(
                    "some of {}, separated by commas",
                    known().map(Kind::name).collect::<Vec<_>>().join(", ")
                ),
            })
        })
        .collect()
}

fn severity(word: &str) -> Result<Severity, SettingsError> {
    Severity::ALL.into_iter().find(|severity| severity.name() == word).ok_or_else(|| SettingsError::Value {
        parameter: "severity",
        quoted: quotable(word),
        expected: Severity::ALL.map(Severity::name).join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, settings};
    use super::*;

    #[test]
    fn a_route_takes_what_it_names_with_its_end_and_every_test() {
        let route = settings("slack http://a kinds=failover,outage").route;
        let taken: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| route.takes(*kind)).collect();
        assert_eq!(taken, [Kind::Failover, Kind::Failback, Kind::Test, Kind::Outage]);
        let route = settings("slack http://a severity=critical").route;
        assert!(route.takes(Kind::ErrorRate) && route.takes(Kind::Failback) && route.takes(Kind::Test));
        assert!(!route.takes(Kind::Latency) && !route.takes(Kind::Switched));
        assert!(Kind::ALL.into_iter().all(|kind| settings("slack http://a").route.takes(kind)));
    }

    #[test]
    fn a_word_that_is_no_kind_or_severity_is_named_with_those_that_are() {
        let said = error("slack http://a kinds=failover,outrage");
        assert!(said.contains("value \"outrage\" of \"kinds=\"") && said.contains("error_rate"), "{said}");
        assert!(error("slack http://a kinds=").contains("some of error_rate"));
        assert!(error("slack http://a severity=loud").contains("it must be info, warning, critical"));
    }
}
