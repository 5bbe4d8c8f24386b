//! Assembles a configuration from its directives, whoever splits the text into words.

use super::{Error, LABELS_MAX, MonitorReader, Settings, values};
use crate::sink::settings::{Missing, SettingsError, SinkSettings, Source, name_sinks};

/// Reads the directives of the http level, one after the other, in any order.
#[derive(Debug, Default)]
pub struct Reader {
    settings: Settings,
}

impl Reader {
    /// The directives that [`directive`](Reader::directive) reads.
    pub const DIRECTIVES: [&str; 4] = ["alert_notify", "alert_instance", "alert_label", "alert_link"];

    /// Reads one of [`DIRECTIVES`](Reader::DIRECTIVES): its name and its words.
    ///
    /// # Errors
    /// What is wrong with it; the configuration stays as it was.
    pub fn directive(&mut self, words: &[&str], source: &dyn Source) -> Result<(), Error> {
        let settings = &mut self.settings;
        match words {
            ["alert_notify", ..] => return self.add_sink(words, source).map(drop),
            ["alert_instance", name] => {
                once("alert_instance", settings.instance.is_empty())?;
                settings.instance = instance(name, source)?;
            }
            ["alert_instance", ..] => return Err(wrong_count("alert_instance", "alert_instance NAME|env:VARIABLE;")),
            ["alert_label", name, value] => {
                let name = values::label_name("alert_label", name)?;
                if settings.labels.iter().any(|(other, _)| *other == name) {
                    return Err(Error::DuplicateLabel(name));
                }
                if settings.labels.len() == LABELS_MAX {
                    return Err(Error::TooManyLabels);
                }
                settings.labels.push((name, values::label_value("alert_label", value)?));
            }
            ["alert_label", ..] => return Err(wrong_count("alert_label", "alert_label NAME VALUE;")),
            ["alert_link", url] => {
                once("alert_link", settings.link.is_none())?;
                settings.link = Some(values::url("alert_link", url, "https://nginx.example.com/alert")?);
            }
            ["alert_link", ..] => return Err(wrong_count("alert_link", "alert_link URL;")),
            _ => return Err(Error::UnknownDirective(words.first().copied().unwrap_or_default().into())),
        }
        Ok(())
    }

    /// Begins a monitor.
    ///
    /// # Errors
    /// A name that is taken, or is none.
    pub fn monitor(&self, name: &str) -> Result<MonitorReader, Error> {
        if self.settings.monitors.iter().any(|monitor| monitor.name == name) {
            return Err(Error::DuplicateMonitor(name.into()));
        }
        MonitorReader::new(name)
    }

    /// Reads one directive of a monitor that was begun.
    ///
    /// # Errors
    /// What is wrong with it; the monitor stays as it was.
    pub fn in_monitor(
        &mut self,
        monitor: &mut MonitorReader,
        words: &[&str],
        source: &dyn Source,
    ) -> Result<(), Error> {
        if words.first() == Some(&"notify") {
            monitor.notify(self.add_sink(words, source)?);
            return Ok(());
        }
        monitor.directive(words, &mut |written| source.resolve(written))
    }

    /// Ends a monitor.
    ///
    /// # Errors
    /// Directives that do not fit each other.
    pub fn end_monitor(&mut self, monitor: MonitorReader) -> Result<(), Error> {
        self.settings.monitors.push(monitor.finish()?);
        Ok(())
    }

    /// Ends the configuration.
    ///
    /// # Errors
    /// As above.
    pub fn finish(mut self) -> Result<Settings, SettingsError> {
        name_sinks(&mut self.settings.sinks)?;
        Ok(self.settings)
    }

    /// Adds the sink of an `alert_notify` or `notify` and returns its place. There is none where a value of it is missing
    /// that the source does without.
    fn add_sink(&mut self, words: &[&str], source: &dyn Source) -> Result<Option<usize>, Error> {
        let in_directive = |error| Error::Sink { directive: words[0].into(), error };
        let sinks = &mut self.settings.sinks;
        match SinkSettings::parse(&words[1..], source) {
            Ok(sink) => sinks.push(sink),
            Err(error) => {
                let (missing, error) = (error.missing(), in_directive(error));
                let is_good = missing.is_some_and(|missing| source.does_without(missing, &error.to_string()));
                return if is_good { Ok(None) } else { Err(error) };
            }
        }
        // The names are given when all sinks are known; a name that stands twice is told here, where the line is known.
        name_sinks(&mut sinks.clone()).map_err(in_directive)?;
        Ok(Some(sinks.len() - 1))
    }
}

/// The name of this nginx; empty where it is missing and the source does without.
fn instance(written: &str, source: &dyn Source) -> Result<String, Error> {
    let Some(variable) = written.strip_prefix("env:") else { return values::name("alert_instance", written) };
    match source.env(variable).filter(|value| !value.trim().is_empty()) {
        Some(value) => values::name("alert_instance", value.trim()),
        None => {
            let unset = Error::Env { directive: "alert_instance", variable: variable.into() };
            let is_good = source.does_without(Missing::Value, &unset.to_string());
            if is_good { Ok(String::new()) } else { Err(unset) }
        }
    }
}

fn once(directive: &str, is_first: bool) -> Result<(), Error> {
    if is_first { Ok(()) } else { Err(Error::Duplicate(directive.into())) }
}

fn wrong_count(directive: &str, usage: &'static str) -> Error {
    Error::Arguments { directive: directive.into(), usage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::settings::tests::FakeSource;

    fn read(lines: &[&str]) -> Result<Settings, String> {
        let mut reader = Reader::default();
        let source = FakeSource::with_env(&[("NODE", " web-7\n"), ("EMPTY", "")]);
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            reader.directive(&words, &source).map_err(|error| error.to_string())?;
        }
        reader.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn an_nginx_has_a_name_labels_and_a_link() {
        let settings = read(&[
            "alert_instance env:NODE",
            "alert_label env prod",
            "alert_label team shop",
            "alert_link https://example.com/alert?a=$b",
        ])
        .expect("valid settings");
        assert_eq!(settings.instance, "web-7");
        let labels = [("env", "prod"), ("team", "shop")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(settings.labels, labels);
        assert_eq!(settings.link.as_deref(), Some("https://example.com/alert?a=$b"));
    }

    /// An environment that lacks everything, which is no mistake.
    #[derive(Default)]
    struct Lenient(std::cell::RefCell<Vec<String>>);

    impl Source for Lenient {
        fn env(&self, _: &str) -> Option<String> {
            None
        }

        fn read(&self, _: &std::path::Path) -> std::io::Result<Vec<u8>> {
            Err(std::io::ErrorKind::NotFound.into())
        }

        fn does_without(&self, _: Missing, sentence: &str) -> bool {
            self.0.borrow_mut().push(sentence.into());
            true
        }
    }

    #[test]
    fn a_source_can_do_without_what_it_lacks_and_every_other_mistake_stays_one() {
        let source = Lenient::default();
        let mut reader = Reader::default();
        for line in ["alert_notify slack env:HOOK", "alert_notify slack file:/hook", "alert_instance env:NODE"] {
            reader.directive(&line.split(' ').collect::<Vec<_>>(), &source).expect(line);
        }
        for line in ["alert_notify slack env:HOOK name=/", "alert_notify slack file:hook", "alert_notify slak env:HOOK"]
        {
            reader.directive(&line.split(' ').collect::<Vec<_>>(), &source).expect_err(line);
        }
        let mut monitor = reader.monitor("app").expect("a monitor");
        reader.in_monitor(&mut monitor, &["notify", "slack", "env:HOOK"], &source).expect("a sink");
        reader.end_monitor(monitor).expect("a monitor");
        let settings = reader.finish().expect("settings");
        assert_eq!((settings.sinks.len(), settings.instance.as_str()), (0, ""));
        assert_eq!(settings.monitors[0].sinks, Some(Vec::new()), "it has sinks of its own");
        assert_eq!(source.0.borrow().len(), 4, "each is told once: {:?}", source.0);
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        for (lines, expected) in [
            (&["alert_instance"][..], "write \"alert_instance NAME|env:VARIABLE;\""),
            (&["alert_instance env:EMPTY"], "the environment variable \"EMPTY\" of the \"alert_instance\" directive"),
            (&["alert_instance a", "alert_instance b"], "\"alert_instance\" directive is duplicate"),
            (&["alert_label env"], "write \"alert_label NAME VALUE;\""),
            (&["alert_label 1st prod"], "a label of 1 to 47 letters, digits and \"_\", such as \"env\""),
            (&["alert_label kind prod"], "another label than those that alerts have already"),
            (&["alert_label env "], "a value of 1 to 128 bytes"),
            (&["alert_label env a", "alert_label env b"], "duplicate label \"env\""),
            (&["alert_link /alert"], "a URL of at most 512 bytes, such as \"https://nginx.example.com/alert\""),
            (&["alert_link http://a", "alert_link http://b"], "\"alert_link\" directive is duplicate"),
        ] {
            let error = read(lines).expect_err("a mistake");
            assert!(error.contains(expected), "{lines:?}: {error}");
        }
        let many: Vec<String> = (0..=LABELS_MAX).map(|at| format!("alert_label l{at} v")).collect();
        let lines: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(read(&lines).expect_err("a mistake"), "too many labels, alerts can have 16");
    }
}
